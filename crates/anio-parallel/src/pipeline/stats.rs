//! What the stages of a pipeline count, while it runs and after.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;

/// One stage with its counts. The source is the first, the sink the last.
pub(super) struct Step {
    pub(super) name: Arc<str>,
    pub(super) n_workers: usize,
    pub(super) is_ordered: bool,
    n_in: AtomicU64,
    n_out: AtomicU64,
    n_errors: AtomicU64,
    busy_ns: AtomicU64,
    /// The high-water mark of the queue before it; the source has none.
    queued_max: OnceLock<Arc<AtomicUsize>>,
}

impl Step {
    pub(super) fn new(name: Arc<str>, n_workers: usize) -> Self {
        Self {
            name,
            n_workers: n_workers.max(1),
            is_ordered: false,
            n_in: AtomicU64::new(0),
            n_out: AtomicU64::new(0),
            n_errors: AtomicU64::new(0),
            busy_ns: AtomicU64::new(0),
            queued_max: OnceLock::new(),
        }
    }

    pub(super) fn watch_queue(&self, queued_max: &Arc<AtomicUsize>) {
        // A pipeline is started once, and each step has one queue.
        let _ = self.queued_max.set(Arc::clone(queued_max));
    }

    pub(super) fn add_in(&self) {
        self.n_in.fetch_add(1, Relaxed);
    }

    pub(super) fn add_out(&self) {
        self.n_out.fetch_add(1, Relaxed);
    }

    pub(super) fn add_error(&self) {
        self.n_errors.fetch_add(1, Relaxed);
    }

    pub(super) fn add_busy(&self, since: Instant) {
        let nanos = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.busy_ns.fetch_add(nanos, Relaxed);
    }
}

/// A look at a pipeline from outside, see [`Runnable::stats`](super::Runnable::stats). Cheap to clone.
#[derive(Clone)]
pub struct Stats(Arc<[Arc<Step>]>);

impl Stats {
    pub(super) fn new(steps: &[Arc<Step>]) -> Self {
        Self(steps.into())
    }

    /// What the source, the stages and the sink have counted so far, in this order. The counts of a
    /// pipeline at work are read one after the other: they may be some items apart.
    pub fn snapshot(&self) -> Vec<StageReport> {
        let mut before: Option<&Step> = None;
        let report = |step| {
            let report = StageReport::of(step, before);
            before = Some(step);
            report
        };
        self.0.iter().map(|step| &**step).map(report).collect()
    }
}

impl fmt::Debug for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stats").field(&self.snapshot()).finish()
    }
}

/// What one stage has counted. The first of a pipeline is its source, the last its sink.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StageReport {
    /// Its name; `"source"` and `"sink"` for the two ends.
    pub name: Arc<str>,
    /// How many workers it has.
    pub n_workers: usize,
    /// How many items it took from its queue; 0 for the source.
    pub n_in: u64,
    /// How many items it passed on; for the sink, how many it took without an error. In a stage of which
    /// nothing was called off, what went in came out or failed, unless it was taken apart or left out by
    /// [`flatten`](super::Pipeline::flatten) or [`take`](super::Pipeline::take).
    pub n_out: u64,
    /// How many items failed or panicked.
    pub n_errors: u64,
    /// How many items wait in the queue before it; at the end, how many nobody wanted any more.
    pub queued: u64,
    /// The most that waited there at one time, at most the [`cap`](super::Pipeline::cap).
    pub queued_max: u64,
    /// How long its workers were at work on items, added up over them: waiting at an `.await` of the
    /// function included, waiting for items or for room not. For the source, how long it had to be waited
    /// for. Counted when an item is done.
    pub busy: Duration,
}

impl StageReport {
    fn of(step: &Step, before: Option<&Step>) -> Self {
        let n_in = step.n_in.load(Relaxed);
        Self {
            name: Arc::clone(&step.name),
            n_workers: step.n_workers,
            n_in,
            n_out: step.n_out.load(Relaxed),
            n_errors: step.n_errors.load(Relaxed),
            queued: before.map_or(0, |before| before.n_out.load(Relaxed).saturating_sub(n_in)),
            queued_max: step.queued_max.get().map_or(0, |most| most.load(Relaxed) as u64),
            busy: Duration::from_nanos(step.busy_ns.load(Relaxed)),
        }
    }

    /// Tells it to the subscriber of the current span.
    pub(super) fn tell(&self) {
        tracing::debug!(
            target: "anio_parallel::pipeline",
            stage = &*self.name,
            workers = self.n_workers,
            items_in = self.n_in,
            items_out = self.n_out,
            errors = self.n_errors,
            queued = self.queued,
            queued_max = self.queued_max,
            busy_us = u64::try_from(self.busy.as_micros()).unwrap_or(u64::MAX),
            "stage ended"
        );
    }
}
