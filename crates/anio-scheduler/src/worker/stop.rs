//! How a worker stops: it lets bodies end, then drops them, then leaves behind what does not give up.
//!
//! ```text
//!   draining ──► called off ──► abandoned      (each may end early: when nothing runs and all is recorded)
//!        grace          250 ms
//! ```

use std::time::Duration;

use anio_core::Timestamp;
use anio_core::plant::{Plant, is_planted};
use anio_core::run::{Event, TaskRunKey, TaskRunStatus};
use tokio::sync::oneshot;

use super::Worker;
use crate::config::ABANDON_AFTER;

/// A shutdown that is under way.
pub(super) struct Stopping {
    pub(super) phase: StopPhase,
    /// When the next phase begins.
    pub(super) deadline: tokio::time::Instant,
    replies: Vec<oneshot::Sender<()>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StopPhase {
    /// Bodies that run may end.
    Draining,
    /// Bodies that still run are dropped; plain functions are told to give up.
    CalledOff,
    /// Plain functions that did not give up are left behind.
    Abandoned,
}

impl Worker {
    /// Begins to stop, or stops sooner.
    pub(super) fn shut_down(&mut self, grace: Duration, reply: oneshot::Sender<()>) {
        let deadline = tokio::time::Instant::now() + grace;
        let new = || Stopping { phase: StopPhase::Draining, deadline, replies: Vec::new() };
        let stopping = self.stopping.get_or_insert_with(new);
        stopping.deadline = stopping.deadline.min(deadline);
        stopping.replies.push(reply);
    }

    /// Enters the next phase, when its time has come.
    pub(super) fn stop_further(&mut self, now: Timestamp) {
        let Some(stopping) = &mut self.stopping else { return };
        if stopping.deadline > tokio::time::Instant::now() {
            return;
        }
        match stopping.phase {
            StopPhase::Draining => {
                stopping.phase = StopPhase::CalledOff;
                stopping.deadline += ABANDON_AFTER;
                self.cancellation.cancel();
            }
            StopPhase::CalledOff => {
                stopping.phase = StopPhase::Abandoned;
                self.abandon(now);
            }
            StopPhase::Abandoned => {}
        }
    }

    /// Records of all attempts that still run that they were cut short.
    fn abandon(&mut self, now: Timestamp) {
        let mut running = Vec::new();
        for (run, live) in &self.runs {
            let plan = live.workflow.plan();
            for view in live.state.task_runs().filter(|view| view.status == TaskRunStatus::Running) {
                let task = plan.position(view.task.as_str()).expect("a task run is of a task of the plan");
                running.push((*run, TaskRunKey { task, map_index: view.map_index }, view.attempts));
            }
        }
        for (run, key, attempt) in running {
            self.apply(run, now, Event::Interrupted { key, attempt });
        }
    }

    /// Whether a shutdown has nothing more to wait for.
    pub(super) fn is_drained(&self) -> bool {
        let Some(stopping) = &self.stopping else { return false };
        (stopping.phase == StopPhase::Abandoned || self.plain.n_used + self.cpu.n_used + self.n_calls == 0)
            && (self.commit.is_none() && self.pending.batch.is_empty() || is_planted(Plant::GivenBackEarly))
    }

    /// Gives the lease back and answers those who asked for the end.
    pub(super) async fn end(&mut self) -> Option<String> {
        self.metrics.gave_all_back();
        if let Err(error) = self.store.release(self.keeper.worker).await {
            tracing::warn!(%error, "the lease could not be given back; it runs out by itself");
        }
        let stopping = self.stopping.take()?;
        stopping.replies.into_iter().for_each(|reply| reply.send(()).unwrap_or(()));
        None
    }
}
