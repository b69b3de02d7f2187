//! The helpers of anio-parallel beside what one would write without them: the same work, in turns, in one
//! process.
//!
//! An item computes for 1, 10 or 100 µs. The figure is that of 10 µs; how the two compare at the others is
//! among the details.

mod sort;
mod spread;
mod stages;

use std::hint::black_box;
use std::time::{Duration, Instant};

use anio::parallel::{ParMap, Pool};
use rayon::prelude::*;

use crate::Result;
use crate::report::Sample;

pub(super) use sort::par_sort;
pub(super) use spread::{par_then, par_then_unordered};
pub(super) use stages::{pipeline, queue};

/// So often each of the two has its turn; its best counts, since all that disturbs makes it slower.
const N_TURNS: usize = 7;

/// An item of the figure.
const MIDDLE_US: u64 = 10;

/// Microseconds per item, how many items, and the name of their ratio.
const SIZES: [(u64, u64, &str); 3] =
    [(1, 100_000, "ratio_at_1_us"), (MIDDLE_US, 20_000, "ratio_at_10_us"), (100, 2_000, "ratio_at_100_us")];

pub(super) fn par_map() -> Result<Sample> {
    let pool = Pool::new(0)?;
    let ours = |work: Work, n_items: u64| {
        let items: Vec<u64> = (0..n_items).collect();
        let begun = Instant::now();
        let done = pool.install(|| items.as_slice().par_map(|item| work.on(*item)))?;
        Ok((begun.elapsed(), done.iter().fold(0, |sum: u64, one| sum.wrapping_add(*one))))
    };
    let by_hand = |work: Work, n_items: u64| {
        let items: Vec<u64> = (0..n_items).collect();
        let begun = Instant::now();
        let done: Vec<u64> = pool.rayon().install(|| items.par_iter().map(|item| work.on(*item)).collect());
        Ok((begun.elapsed(), done.iter().fold(0, |sum: u64, one| sum.wrapping_add(*one))))
    };
    let mut sample = compare(ours, by_hand)?;
    // A registry alone keeps spans and shows them to nobody: the least that spans cost.
    let (micros, n_items, _) = SIZES[0];
    let work = Work::of(micros);
    let best = |spans: bool| -> Result<Duration> {
        let turn = || if spans { with_spans(|| ours(work, n_items)) } else { ours(work, n_items) };
        let turns = (0..N_TURNS).map(|_| Ok(turn()?.0)).collect::<Result<Vec<_>>>()?;
        Ok(turns.into_iter().min().unwrap_or_default())
    };
    let cost = best(true)?.saturating_sub(best(false)?).as_secs_f64() * pool.n_threads() as f64;
    sample.details.push(("thread_ns_per_span", cost / n_items as f64 * 1e9));
    Ok(sample)
}

fn with_spans<T>(work: impl FnOnce() -> T) -> T {
    tracing::subscriber::with_default(tracing_subscriber::registry(), || {
        tracing::info_span!("task").in_scope(work)
    })
}

/// Lets both do the same work, in turns. Each tells its time, and a sum that must be the same.
fn compare(
    ours: impl Fn(Work, u64) -> Result<(Duration, u64)>,
    by_hand: impl Fn(Work, u64) -> Result<(Duration, u64)>,
) -> Result<Sample> {
    let (mut figure, mut limit, mut details) = (f64::NAN, f64::NAN, Vec::new());
    for (micros, n_items, name) in SIZES {
        let work = Work::of(micros);
        let mut best = [Duration::MAX; 2];
        for _ in 0..N_TURNS {
            let ((ours, our_sum), (by_hand, sum)) = (ours(work, n_items)?, by_hand(work, n_items)?);
            assert_eq!(our_sum, sum, "both have done the same");
            best = [best[0].min(ours), best[1].min(by_hand)];
        }
        let [ours, by_hand] = best.map(|time| time.as_secs_f64() / n_items as f64 * 1e9);
        if micros == MIDDLE_US {
            (figure, limit) = (ours, by_hand);
        }
        details.push((name, ours / by_hand));
    }
    Ok(Sample { figure, limit: Some(limit), details })
}

/// What is done with an item: it keeps a core busy for a while.
#[derive(Clone, Copy)]
struct Work {
    n_steps: u64,
}

impl Work {
    /// As many steps as take so many microseconds here and now.
    fn of(micros: u64) -> Self {
        const MANY: u64 = 2_000_000;
        let begun = Instant::now();
        black_box(Self { n_steps: MANY }.on(1));
        let step_ns = begun.elapsed().as_secs_f64() * 1e9 / MANY as f64;
        #[expect(clippy::cast_sign_loss, reason = "times are positive")]
        let n_steps = (micros as f64 * 1e3 / step_ns) as u64;
        Self { n_steps }
    }

    fn on(self, item: u64) -> u64 {
        (0..self.n_steps).fold(item, |value, _| {
            black_box(value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407))
        })
    }

    /// A part of it.
    fn share(self, n_parts: u64) -> Self {
        Self { n_steps: self.n_steps / n_parts }
    }
}
