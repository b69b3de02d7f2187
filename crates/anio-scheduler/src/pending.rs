//! What is gathered for the next commit while the last one is under way.

use std::collections::VecDeque;

use anio_core::run::{Fact, TaskRunKey};
use anio_core::{RunId, Timestamp};
use anio_store::record::Batch;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::config::NOTE_AFTER;
use crate::error::Error;
use crate::live_run::LiveRun;

/// Runs that were submitted together and are being made durable.
#[derive(Debug)]
pub(crate) struct Submitted {
    pub(crate) ids: Vec<RunId>,
    /// Those that this worker holds; the others were put into the queue.
    /// Each with its deadline.
    pub(crate) live: Vec<(LiveRun, Option<Timestamp>)>,
    pub(crate) reply: oneshot::Sender<Result<Vec<RunId>, Error>>,
}

/// A batch in the making.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    pub(crate) batch: Batch,
    pub(crate) submitted: Vec<Submitted>,
    /// The runs that have facts or their end in the batch.
    pub(crate) runs: Vec<RunId>,
    pub(crate) notes: Notes,
}

/// A batch that is being committed, with what follows when it is.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) submitted: Vec<Submitted>,
    /// For each run with facts in the batch: how many of its facts are durable then.
    pub(crate) durable: Vec<(RunId, u64)>,
}

/// Starts that are recorded once their attempts have been running for a while.
#[derive(Debug, Default)]
pub(crate) struct Notes(VecDeque<(Instant, RunId, Fact)>);

impl Notes {
    pub(crate) fn push(&mut self, run: RunId, fact: Fact) {
        self.0.push_back((Instant::now(), run, fact));
    }

    /// When the oldest is to be written.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.front().map(|(begun, ..)| *begun + NOTE_AFTER)
    }

    /// Takes the next that is old enough.
    pub(crate) fn pop_old(&mut self, now: Instant) -> Option<(RunId, Fact)> {
        if self.next()? > now {
            return None;
        }
        self.0.pop_front().map(|(_, run, fact)| (run, fact))
    }

    /// Forgets those at the front whose attempts have ended.
    pub(crate) fn drop_ended(&mut self, is_running: impl Fn(RunId, TaskRunKey, u32) -> bool) {
        while self.0.front().is_some_and(|(_, run, fact)| !is_running(*run, fact.key, fact.attempt)) {
            self.0.pop_front();
        }
    }
}
