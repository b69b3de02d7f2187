//! What the helpers cost beside the plain libraries, as ratios within one run.
//!
//! `cargo run --release -p anio-parallel --example ratios` prints, for each pair, the median of the ratio
//! over rounds in which both sides take turns, and the ratio of the best rounds, which other load on the
//! machine disturbs least. Figures below 1 mean that the helper was faster.
#![expect(clippy::print_stdout, clippy::cast_precision_loss, reason = "it prints a table of rounded figures")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use anio_parallel::{ParMap, ParStreamExt, Pool, Scope};
use futures::{StreamExt, stream};
use rayon::prelude::*;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::prelude::*;

const ROUNDS: usize = 21;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let pool = Pool::new(0).expect("threads start");
    println!("{} threads, {ROUNDS} rounds", pool.n_threads());
    for (label, busy, n_items) in
        [("10 us", 10_000, 4_000), ("1 us", 1_000, 40_000), ("100 ns", 100, 400_000)]
    {
        par_map(&pool, label, Work::of_nanos(busy), n_items);
    }
    spans(&pool);
    runtime.block_on(async {
        let scope = Scope::new(pool.clone(), CancellationToken::new());
        scope.run(streams()).await;
    });
}

/// A loop that computes for about so long, measured once.
#[derive(Clone, Copy)]
struct Work {
    n_steps: u64,
}

impl Work {
    fn of_nanos(nanos: u64) -> Self {
        let n_steps = 2_000_000;
        let took = (0..5).map(|_| time(|| Self { n_steps }.run(1))).min().unwrap_or_default();
        Self { n_steps: (n_steps * nanos / (took.as_nanos() as u64).max(1)).max(1) }
    }

    fn run(self, seed: u64) -> u64 {
        (0..self.n_steps)
            .fold(seed, |x, n| black_box(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(n)))
    }
}

fn par_map(pool: &Pool, label: &str, work: Work, n_items: u64) {
    let items: Vec<u64> = (0..n_items).collect();
    let plain = || pool.install(|| items.par_iter().map(|n| work.run(*n)).collect::<Vec<_>>().len());
    let ours = || pool.install(|| items.par_map_ref(|n| work.run(*n)));
    print(&format!("par_map / par_iter().map(), {label} an item, spans off"), &compare(plain, ours));
}

/// Spans on: what one item more costs.
fn spans(pool: &Pool) {
    let items: Vec<u64> = (0..200_000).collect();
    let run = || pool.install(|| items.par_map_ref(|n| *n));
    let off = (0..ROUNDS).map(|_| time(run)).min().unwrap_or_default();
    let subscriber =
        tracing_subscriber::registry().with(tracing_subscriber::fmt::layer().with_writer(std::io::sink));
    let on = tracing::subscriber::with_default(subscriber, || {
        tracing::info_span!("task").in_scope(|| (0..ROUNDS).map(|_| time(run)).min().unwrap_or_default())
    });
    let per_item = |took: Duration| took.as_nanos() as f64 * pool.n_threads() as f64 / items.len() as f64;
    println!("an empty item of par_map: {:.0} ns spans off, {:.0} ns spans on", per_item(off), per_item(on));
}

trait ParMapRef {
    fn par_map_ref(&self, f: impl Fn(&u64) -> u64 + Send + Sync) -> usize;
}

impl ParMapRef for Vec<u64> {
    fn par_map_ref(&self, f: impl Fn(&u64) -> u64 + Send + Sync) -> usize {
        self.as_slice().par_map(f).map_or(0, |results| results.len())
    }
}

async fn streams() {
    let work = Work::of_nanos(1_000);
    let item = move |n: u64| async move { work.run(n) };
    let spawned = move |n: u64| async move { tokio::spawn(item(n)).await.unwrap_or(0) };
    let source = || stream::iter(0..40_000_u64);
    for n_workers in [2, 8, 32] {
        let (mut kept, mut unordered) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let theirs = elapsed(source().map(spawned).buffered(n_workers).count()).await;
            kept.push((theirs, elapsed(source().par_then(n_workers, item).count()).await));
            let theirs = elapsed(source().map(spawned).buffer_unordered(n_workers).count()).await;
            unordered.push((theirs, elapsed(source().par_then_unordered(n_workers, item).count()).await));
        }
        print(&format!("par_then / buffered of spawned, 1 us, {n_workers} workers"), &kept);
        print(
            &format!("par_then_unordered / buffer_unordered of spawned, 1 us, {n_workers} workers"),
            &unordered,
        );
    }
}

/// Seconds of the plain library and of ours, round by round.
type Rounds = Vec<(f64, f64)>;

fn compare<A, B>(plain: impl Fn() -> A, ours: impl Fn() -> B) -> Rounds {
    (0..ROUNDS).map(|_| (time(&plain).as_secs_f64(), time(&ours).as_secs_f64())).collect()
}

fn print(what: &str, rounds: &Rounds) {
    let mut ratios: Vec<f64> = rounds.iter().map(|(plain, ours)| ours / plain).collect();
    ratios.sort_by(f64::total_cmp);
    let best = |of: fn(&(f64, f64)) -> f64| rounds.iter().map(of).fold(f64::INFINITY, f64::min);
    let of_best = best(|round| round.1) / best(|round| round.0);
    println!("{what}: {:.3}, of the best rounds {of_best:.3}", ratios[ratios.len() / 2]);
}

fn time<R>(f: impl FnOnce() -> R) -> Duration {
    let started = Instant::now();
    black_box(f());
    started.elapsed()
}

async fn elapsed<R>(future: impl Future<Output = R>) -> f64 {
    let started = Instant::now();
    black_box(future.await);
    started.elapsed().as_secs_f64()
}
