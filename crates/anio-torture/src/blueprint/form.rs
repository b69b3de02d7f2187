//! Tasks that have many task runs, or that make lists: maps, trees, steps, and maps that take the elements of
//! steps as they come.

use serde_json::Value;

use super::{Blueprint, Inputs, TaskBlueprint, Yields};
use crate::dice::mix;

impl TaskBlueprint {
    /// All that it waits for.
    pub fn before(&self) -> impl Iterator<Item = usize> {
        let lists = self.mapped_over.iter().chain(&self.pairs_over);
        self.after.iter().chain(&self.settled).chain(lists).copied()
    }

    /// Whether its task runs are told apart by their map index.
    pub const fn has_many(&self) -> bool {
        self.mapped_over.is_some() || self.pairs_over.is_some() || self.steps_max.is_some()
    }

    /// Whether it decides for itself when all before it has settled.
    pub const fn decides(&self) -> bool {
        self.when.is_some() || !self.settled.is_empty()
    }

    /// What other tasks are given of its output: where which elements gave one depends on time, how many are enough.
    pub fn shown(&self, output: Value) -> Value {
        match (self.enough, output.as_array()) {
            (Some(enough), Some(list)) => list.len().min(enough).into(),
            _ => output,
        }
    }

    /// Whether a step that is given this finds the end. All lengths up to the longest are as likely.
    pub(super) fn is_at_end(&self, inputs: &Inputs) -> bool {
        let Some(n_max) = self.steps_max else { return false };
        let n_left = n_max.saturating_sub(inputs.map_index.map_or(0, u64::from));
        mix(self.seed ^ 2, inputs.hash()).is_multiple_of(n_left + 1)
    }
}

impl Blueprint {
    /// The steps whose elements this task takes as they come, if it does: it has no condition, is told of nothing,
    /// and waits for no other task that comes after the steps.
    pub fn streams_from(&self, task: &TaskBlueprint) -> Option<usize> {
        let steps = task.mapped_over.filter(|&list| self.tasks[list].steps_max.is_some())?;
        let mut is_after = vec![false; self.tasks.len()];
        for (position, other) in self.tasks.iter().enumerate().skip(steps + 1) {
            is_after[position] = other.before().any(|before| before == steps || is_after[before]);
        }
        let waits = task.after.iter().any(|&other| is_after[other]);
        (!task.decides() && !waits).then_some(steps)
    }
}

/// Whether a task can be mapped over what this one returns, or make one of it two by two.
pub(super) fn gives_list(tasks: &[TaskBlueprint], position: usize) -> bool {
    let task = &tasks[position];
    match task.pairs_over {
        // Of one element it is that element.
        Some(list) => task.yields != Yields::Number && gives_lists(tasks, list),
        None => task.mapped_over.is_some() || task.steps_max.is_some() || task.yields != Yields::Number,
    }
}

/// Whether the elements of what this one returns are lists.
fn gives_lists(tasks: &[TaskBlueprint], position: usize) -> bool {
    let task = &tasks[position];
    (task.mapped_over.is_some() || task.steps_max.is_some()) && task.yields != Yields::Number
}
