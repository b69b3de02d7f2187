//! A map over a list that still grows: each step of the task that makes the list gives it another element.
//!
//! It opens when all else that it waits for has settled. It has an element for each step that is decided, and
//! the element is ready when the step is durable. When the steps have ended it is as wide as their list is
//! long. All that follows from the facts of the steps, so it has no fact of its own.
//!
//! If the steps fail, what they have made is kept: the elements go on to their ends, and then the task counts
//! as skipped, because it has no whole list.

use std::ops::Range;

use super::fact::TaskRunKey;
use super::map::Map;
use super::replay::fresh;
use super::task_run::Stage;
use super::{Effect, RunState};
use crate::time::Timestamp;

impl RunState {
    /// What a task takes its elements from, as they come, as far as that has come.
    pub(super) fn steps_of(&self, task: u32) -> Option<(u32, &Map)> {
        let planned = self.plan.task(task);
        let (list, _) = planned.mapped_over().filter(|_| planned.streams)?;
        match &self.nodes[list as usize].stage {
            Stage::Map(steps) => Some((list, steps)),
            _ => None,
        }
    }

    /// Whether a task takes its elements from these steps, and there are some.
    pub(super) fn has_items(&self, task: u32, steps: u32) -> bool {
        self.steps_of(task).is_some_and(|(list, map)| list == steps && map.n_items > 0)
    }

    /// A step is decided: those that take its element have another task run, or have all of them. It is not ready
    /// before the step is durable.
    pub(super) fn feed_all(&mut self, steps: u32) {
        for place in 0..self.plan.dependants(steps).len() {
            self.feed(self.plan.dependants(steps)[place]);
        }
    }

    /// A task waits for less than before: it has what its steps have made, where it waits for nothing but more of
    /// that, and begins with what is durable of it.
    pub(super) fn catch_up(&mut self, task: u32, at: Timestamp, effects: &mut Vec<Effect>) {
        for index in self.feed(task) {
            self.offer_or_give_up(TaskRunKey { task, map_index: Some(index) }, at, effects);
        }
    }

    /// Gives a task the elements that its steps have made, where it waits for nothing but more of them; which of
    /// those are ready.
    fn feed(&mut self, task: u32) -> Range<u32> {
        let Some((_, steps)) = self.steps_of(task) else { return 0..0 };
        let (n_items, n_durable) = (steps.n_items, steps.n_durable_items);
        let (is_decided, is_settled) = (steps.n_undecided == 0, steps.n_undurable == 0);
        let attempts_before = &self.attempts_before;
        let node = &mut self.nodes[task as usize];
        if node.missing > u32::from(!is_settled) {
            return 0..0;
        }
        if matches!(node.stage, Stage::Waiting) && (n_items > 0 || is_decided) {
            node.stage = Stage::stream(None);
        }
        let Stage::Map(map) = &mut node.stage else { return 0..0 };
        let n_before = map.runs.len() as u32;
        let n = if map.is_stopped { n_before } else { n_items };
        for index in n_before..n {
            let mut run = fresh(attempts_before, TaskRunKey { task, map_index: Some(index) });
            run.hold(u8::from(index >= n_durable));
            map.push(run);
        }
        if map.is_open && is_decided {
            map.close();
            self.whole_is_decided(task);
        }
        n_before..n.min(n_durable)
    }

    /// A step is durable: those that take its element may begin with it.
    pub(super) fn release_elements(&mut self, step: TaskRunKey, at: Timestamp, effects: &mut Vec<Effect>) {
        for place in 0..self.plan.dependants(step.task).len() {
            let task = self.plan.dependants(step.task)[place];
            if !self.plan.task(task).streams {
                continue;
            }
            let Stage::Map(map) = &mut self.nodes[task as usize].stage else { continue };
            if map.release(step.map_index.unwrap_or_default()) {
                self.offer_or_give_up(TaskRunKey { task, ..step }, at, effects);
            }
        }
    }

    /// The steps of a task that takes their elements as they come have ended durably: whether all of the task
    /// is durable by that.
    pub(super) fn close(&mut self, task: u32, at: Timestamp, effects: &mut Vec<Effect>) -> bool {
        self.catch_up(task, at, effects);
        let Stage::Map(map) = &mut self.nodes[task as usize].stage else { return false };
        map.n_undurable -= 1;
        map.n_undurable == 0
    }
}
