//! The times that runs wait for, in memory; the due times themselves are durable in the facts.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use anio_core::run::TaskRunKey;
use anio_core::{RunId, Timestamp};

/// A heap of due times.
#[derive(Debug, Default)]
pub(crate) struct Timers(BinaryHeap<Reverse<(Timestamp, RunId, TaskRunKey)>>);

impl Timers {
    pub(crate) fn arm(&mut self, at: Timestamp, run: RunId, key: TaskRunKey) {
        self.0.push(Reverse((at, run, key)));
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.0.peek().map(|Reverse((at, ..))| *at)
    }

    /// Takes one that is due.
    pub(crate) fn pop_due(&mut self, now: Timestamp) -> Option<(RunId, TaskRunKey)> {
        if self.next()? > now {
            return None;
        }
        self.0.pop().map(|Reverse((_, run, key))| (run, key))
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}
