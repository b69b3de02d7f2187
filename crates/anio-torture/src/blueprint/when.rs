//! Conditions as plain data: as the engine is told, and as the reference interpreter decides them.

use anio_core::condition::Condition;
use serde_json::Value;

use super::TaskBlueprint;

/// The condition of a task, over tasks before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// This one has failed.
    Failed(usize),
    /// This one was not skipped.
    NotSkipped(usize),
    /// At least one of these succeeded.
    AnySucceeded(Vec<usize>),
    /// The value that this one wrote under its own key is there, and in the lower half of all numbers.
    IsLow(usize),
}

/// What has become of a task.
#[derive(Clone, Debug, PartialEq)]
pub enum Fortune {
    /// It succeeded, and returned this.
    Succeeded(Value),
    /// It failed.
    Failed,
    /// It was skipped.
    Skipped,
}

impl When {
    /// As the engine is told.
    pub fn condition(&self, tasks: &[TaskBlueprint]) -> Condition {
        let name = |position: &usize| tasks[*position].name.clone();
        match self {
            Self::Failed(task) => Condition::failed(name(task)),
            Self::NotSkipped(task) => Condition::none([Condition::all([
                Condition::done(name(task)),
                Condition::skipped(name(task)),
            ])]),
            Self::AnySucceeded(tasks) => Condition::any(tasks.iter().map(name).map(Condition::succeeded)),
            Self::IsLow(task) => Condition::value(tasks[*task].own_key(None)).less_than(u64::MAX / 2),
        }
    }

    /// Whether it holds: worked out here, without the engine.
    pub fn holds(&self, fortunes: &[Fortune], written: impl Fn(usize) -> Option<Value>) -> bool {
        let succeeded = |task: &usize| matches!(fortunes[*task], Fortune::Succeeded(_));
        match self {
            Self::Failed(task) => fortunes[*task] == Fortune::Failed,
            Self::NotSkipped(task) => fortunes[*task] != Fortune::Skipped,
            Self::AnySucceeded(tasks) => tasks.iter().any(succeeded),
            Self::IsLow(task) => {
                written(*task).and_then(|value| value.as_u64()).is_some_and(|value| value < u64::MAX / 2)
            }
        }
    }

    /// Whether it names this task.
    pub fn names(&self, task: usize) -> bool {
        match self {
            Self::Failed(named) | Self::NotSkipped(named) => *named == task,
            Self::AnySucceeded(named) => named.contains(&task),
            Self::IsLow(_) => false,
        }
    }
}
