//! The times that runs wait for, in memory; the due times themselves are durable in the facts.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use anio_core::run::TaskRunKey;
use anio_core::{RunId, Timestamp};

/// A heap of due times: of the next attempts of task runs (with their keys), and of the deadlines of runs.
#[derive(Debug, Default)]
pub(crate) struct Timers(BinaryHeap<Reverse<(Timestamp, RunId, Option<TaskRunKey>)>>);

impl Timers {
    pub(crate) fn arm(&mut self, at: Timestamp, run: RunId, key: TaskRunKey) {
        self.0.push(Reverse((at, run, Some(key))));
    }

    pub(crate) fn arm_deadline(&mut self, at: Timestamp, run: RunId) {
        self.0.push(Reverse((at, run, None)));
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.0.peek().map(|Reverse((at, ..))| *at)
    }

    /// Takes one that is due: its time, its run, and whose next attempt it is; `None`: the run's deadline.
    pub(crate) fn pop_due(&mut self, now: Timestamp) -> Option<(Timestamp, RunId, Option<TaskRunKey>)> {
        if self.next()? > now {
            return None;
        }
        self.0.pop().map(|Reverse(due)| due)
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}
