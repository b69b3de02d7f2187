//! One of those who send requests, one after another.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::{Instant, sleep_until};

use super::recorder::{Answer, Recorder};
use crate::panic::Caught;
use crate::quantity::Rate;

/// What the users of a test share.
pub(super) struct Job<F, X> {
    pub(super) target: F,
    pub(super) kind: Arc<dyn Fn(&X) -> String + Send + Sync>,
    pub(super) rate: Option<Rate>,
    pub(super) start: Instant,
    pub(super) measured_from: Instant,
    pub(super) end: Instant,
    /// Requests of the schedule that a user has taken upon itself, in an open loop.
    pub(super) n_claimed: AtomicU64,
    pub(super) recorder: Recorder,
}

pub(super) struct User<F, X> {
    pub(super) job: Arc<Job<F, X>>,
    pub(super) ix: usize,
}

impl<F, Fut, R, X> User<F, X>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<R, X>>,
{
    pub(super) async fn run(self) {
        let job = &*self.job;
        while let Some(due) = job.next_due().await {
            let sent = Instant::now();
            let answer = Caught::new(async { (job.target)().await }).await;
            let answered = Instant::now();
            let error = match answer {
                Ok(Ok(_)) => None,
                Ok(Err(error)) => Some((job.kind)(&error)),
                Err(panicked) => Some(panicked.to_string()),
            };
            job.recorder.record(
                self.ix,
                Answer {
                    latency: answered.saturating_duration_since(due),
                    service: answered.saturating_duration_since(sent),
                    is_measured: sent >= job.measured_from,
                    is_in_time: (job.measured_from..=job.end).contains(&answered),
                    error,
                },
            );
        }
    }
}

impl<F, X> Job<F, X> {
    /// When the next request is due, which is now or in the past; `None` at the end.
    async fn next_due(&self) -> Option<Instant> {
        let Some(rate) = self.rate else {
            let now = Instant::now();
            return (now < self.end).then_some(now);
        };
        let request = self.n_claimed.fetch_add(1, Ordering::Relaxed);
        let due = self.start + rate.due(request);
        if due >= self.end {
            return None;
        }
        let now = Instant::now();
        if due > now {
            sleep_until(due).await;
        } else if now >= self.end {
            self.recorder.note_unsent(request);
            return None;
        }
        Some(due)
    }
}
