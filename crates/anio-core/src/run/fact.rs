//! Facts: what has happened to a run and is, or will be, durable. Inserted, never updated.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::context::Writes;
use crate::error::TaskFailure;
use crate::output::Output;
use crate::time::Timestamp;

/// A task run: a task of the plan by position, with its map index where it is an element of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskRunKey {
    /// The position of the task in the plan.
    pub task: u32,
    /// Which element of a mapped task; `None` for a task that is not mapped, and for the map as a whole.
    pub map_index: Option<u32>,
}

/// One thing that happened to one task run.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// Which task run.
    pub key: TaskRunKey,
    /// Which attempt, from 1; 0 for what concerns no attempt.
    pub attempt: u32,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub kind: FactKind,
}

/// What happened to a task run.
#[derive(Clone, Debug, PartialEq)]
pub enum FactKind {
    /// The attempt has begun. Recorded for attempts that go on for a while, and before the first attempt
    /// of every task run that might have been in flight when its worker died; others have their time of
    /// beginning in the fact that ends them.
    Started,
    /// The attempt succeeded; the task run with it.
    Succeeded {
        /// When the attempt began.
        started_at: Timestamp,
        /// The output.
        output: Output,
        /// What it wrote into the context; `None` for nothing.
        writes: Option<Arc<Writes>>,
    },
    /// The attempt failed.
    Failed {
        /// When the attempt began.
        started_at: Timestamp,
        /// Why.
        failure: Arc<TaskFailure>,
        /// When the next attempt is due; `None` when the task run has failed for good.
        retry_at: Option<Timestamp>,
    },
    /// The attempt was cut short by a graceful shutdown; the next one follows elsewhere.
    Interrupted {
        /// When the attempt began.
        started_at: Timestamp,
    },
    /// The task will not run: its condition does not hold, or what it needs is not there. (That the
    /// dependants of a failed or skipped task are skipped in turn follows, and is no fact of its own.) With a
    /// map index: this task run, which was under way when its task was [`FactKind::Stopped`].
    Skipped {
        /// Why.
        reason: String,
    },
    /// A map was expanded to so many elements.
    Expanded {
        /// How many.
        n: u32,
    },
    /// A mapped task has enough: none of its task runs begins any more, and those that have not ended are
    /// skipped, but for these, by their map index: they were under way, and their end is a fact of its own.
    Stopped {
        /// Those.
        running: Vec<u32>,
    },
    /// Somebody asked that the task run be given up: it will not begin another attempt. Without a map
    /// index, and the task being mapped: all its elements.
    Cancelled,
    /// Somebody asked that the task run be done again: what is known of it before this fact counts no
    /// more, but for the number of its attempts, which is this fact's. Without a map index, and the task
    /// being mapped: its width counts no more.
    Cleared,
    /// The callback of the task run's end has returned.
    Called,
}

impl FactKind {
    /// The word for it, as it is stored.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Succeeded { .. } => "succeeded",
            Self::Failed { .. } => "failed",
            Self::Interrupted { .. } => "interrupted",
            Self::Skipped { .. } => "skipped",
            Self::Expanded { .. } => "expanded",
            Self::Stopped { .. } => "stopped",
            Self::Cancelled => "cancelled",
            Self::Cleared => "cleared",
            Self::Called => "called",
        }
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct RunEnd {
    /// When.
    pub at: Timestamp,
    /// How.
    pub how: Conclusion,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conclusion {
    /// Every task is settled and no failure was left unhandled.
    Succeeded,
    /// A task failed, or its deadline passed.
    Failed(RunFailure),
    /// Somebody asked for it.
    Cancelled,
}

impl Conclusion {
    /// Why it failed.
    pub fn failure(&self) -> Option<&RunFailure> {
        match self {
            Self::Failed(failure) => Some(failure),
            Self::Succeeded | Self::Cancelled => None,
        }
    }
}

/// Why a run failed: its first failed task, or the task that it was at when its deadline passed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFailure {
    /// The first task that failed.
    pub task: String,
    /// Which element, where the task is mapped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map_index: Option<u32>,
    /// How many attempts it had.
    pub attempts: u32,
    /// The failure of its last attempt.
    pub failure: TaskFailure,
}

impl std::fmt::Display for RunFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "task {:?}", self.task)?;
        if let Some(index) = self.map_index {
            write!(f, " (element {index})")?;
        }
        let plural = if self.attempts == 1 { "attempt" } else { "attempts" };
        write!(f, " failed after {} {plural}: {}", self.attempts, self.failure)
    }
}
