//! Doing task runs of an ended run again: which are undone, and how a log is read in which some were.
//!
//! To undo is to add a fact that says so. Reading the log, all that an undone task run did before that fact
//! is passed over, but for the number of its attempts, which goes on. With a task all tasks after it are
//! undone too, so what is left of the log is again the log of a run.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::RunState;
use super::fact::{Conclusion, Fact, FactKind, TaskRunKey};
use super::task_run::{Stage, State};
use crate::name::did_you_mean;
use crate::time::Timestamp;

/// Which task runs are to be done again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clearing {
    /// Those that failed or were cancelled (of a mapped task, only these elements), and all tasks after
    /// them. What has not begun yet is not undone and goes on, too.
    Failed,
    /// These tasks, by name, and all tasks after them.
    From(Vec<String>),
    /// One element of a mapped task, and all tasks after that task.
    Element(String, u32),
}

/// Why nothing was undone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClearError {
    /// No task run failed, and none is left to begin.
    #[error("no task failed and none is left to run; to run some again, name them")]
    NothingFailed,
    /// There is no such task.
    #[error("there is no task {task:?}{}", suggestion.as_ref().map(|name| format!("; did you mean {name:?}?")).unwrap_or_default())]
    UnknownTask {
        /// The name that was given.
        task: String,
        /// A name that is like it.
        suggestion: Option<String>,
    },
    /// The mapped task has no such element, or the task is not mapped.
    #[error("task {task:?} has no element {index}")]
    UnknownElement {
        /// The task.
        task: String,
        /// The element.
        index: u32,
    },
}

impl RunState {
    /// The facts that undo task runs of this run, which has ended.
    ///
    /// # Errors
    /// [`ClearError`] when there is nothing to undo, or what is named is not there.
    pub fn clearing(&self, which: &Clearing, at: Timestamp) -> Result<Vec<Fact>, ClearError> {
        let mut cleared = BTreeMap::new();
        let mut open = Vec::new();
        match which {
            Clearing::Failed => {
                for (task, node) in (0..).zip(&self.nodes) {
                    let failed = node.stage.runs(task).filter(|(_, run)| matches!(run.state, State::Failed));
                    let before = cleared.len();
                    cleared.extend(failed.map(|(key, run)| (key, run.attempt)));
                    if cleared.len() > before {
                        self.open_after_failure(task, &mut open);
                    }
                }
                // One that was too late may have nothing left to do but to end.
                let has_failed = matches!(self.conclusion, Some(Conclusion::Failed(_)));
                if cleared.is_empty() && self.n_open == 0 && !has_failed {
                    return Err(ClearError::NothingFailed);
                }
            }
            Clearing::From(tasks) => {
                for task in tasks {
                    open.push(self.named(task)?);
                }
            }
            Clearing::Element(name, index) => {
                let task = self.named(name)?;
                let key = TaskRunKey { task, map_index: Some(*index) };
                let run = self.nodes[task as usize].stage.run(key.map_index);
                let run =
                    run.ok_or_else(|| ClearError::UnknownElement { task: name.clone(), index: *index })?;
                cleared.insert(key, run.attempt);
                self.clear_built_on(key, &mut cleared);
                open.extend(self.plan.dependants(task));
            }
        }
        let mut seen = HashSet::new();
        while let Some(task) = open.pop() {
            if seen.insert(task) {
                self.clear_whole(task, &mut cleared);
                open.extend(self.plan.dependants(task));
            }
        }
        self.clear_left_out(&mut cleared);
        let fact = |(key, attempt)| Fact { key, attempt, at, kind: FactKind::Cleared };
        Ok(cleared.into_iter().map(fact).collect())
    }

    /// The tasks after one that failed. What takes the elements of steps as they come keeps those that it has;
    /// those after it are done again.
    fn open_after_failure(&self, task: u32, open: &mut Vec<u32>) {
        for &dependant in self.plan.dependants(task) {
            let keeps = self.plan.task(dependant).streams && self.has_items(dependant, task);
            if keeps {
                open.extend(self.plan.dependants(dependant));
            } else {
                open.push(dependant);
            }
        }
    }

    /// Where some of a task that had enough is done again, that it had counts no more: those that were left out for
    /// it may begin, and count their attempts on.
    fn clear_left_out(&self, cleared: &mut BTreeMap<TaskRunKey, u32>) {
        let touched: BTreeSet<u32> = cleared.keys().map(|key| key.task).collect();
        for task in touched {
            let runs = self.nodes[task as usize].stage.runs(task);
            let left_out = runs.filter(|(_, run)| matches!(run.state, State::Skipped) && run.attempt > 0);
            for (key, run) in left_out {
                cleared.entry(key).or_insert(run.attempt);
            }
        }
    }

    /// The other task runs of a task that rest on this one: the steps after it, the tree above it.
    fn clear_built_on(&self, key: TaskRunKey, cleared: &mut BTreeMap<TaskRunKey, u32>) {
        if let Stage::Map(map) = &self.nodes[key.task as usize].stage {
            for index in map.built_on(key.map_index.unwrap_or_default()) {
                let run = &map.runs[index as usize];
                cleared.insert(TaskRunKey { map_index: Some(index), ..key }, run.attempt);
            }
        }
    }

    /// A task with all its elements, its width, and that it was skipped.
    fn clear_whole(&self, task: u32, cleared: &mut BTreeMap<TaskRunKey, u32>) {
        let stage = &self.nodes[task as usize].stage;
        let whole = TaskRunKey { task, map_index: None };
        let before = self.attempts_before.get(&whole).copied().unwrap_or_default();
        let attempts = if let Stage::Single(run) = stage { run.attempt } else { before };
        cleared.insert(whole, attempts);
        let begun = stage.runs(task).filter(|(_, run)| run.attempt > 0);
        cleared.extend(begun.map(|(key, run)| (key, run.attempt)));
    }

    fn named(&self, name: &str) -> Result<u32, ClearError> {
        self.plan.position(name).ok_or_else(|| {
            let known = self.plan.tasks().iter().map(|task| task.name.as_str());
            let suggestion = did_you_mean(name, known).map(str::to_owned);
            ClearError::UnknownTask { task: name.to_owned(), suggestion }
        })
    }
}

/// The facts of a log that count: those of task runs that were undone since are passed over.
pub fn since_cleared(log: &[Fact]) -> Vec<&Fact> {
    let mut cleared: HashSet<TaskRunKey> = HashSet::new();
    let mut touched: HashSet<u32> = HashSet::new();
    let mut kept = Vec::with_capacity(log.len());
    for fact in log.iter().rev() {
        let whole = TaskRunKey { map_index: None, ..fact.key };
        let counts = match fact.kind {
            FactKind::Cleared => {
                touched.insert(fact.key.task);
                cleared.insert(fact.key)
            }
            // One who has an element done again takes back that all elements were given up.
            FactKind::Cancelled if fact.key == whole => !touched.contains(&fact.key.task),
            // And that the task had enough.
            FactKind::Stopped { .. } => !touched.contains(&fact.key.task),
            FactKind::Skipped { .. } if fact.key != whole => !touched.contains(&fact.key.task),
            _ => !cleared.contains(&fact.key) && !cleared.contains(&whole),
        };
        if counts {
            kept.push(fact);
        }
    }
    kept.reverse();
    kept
}
