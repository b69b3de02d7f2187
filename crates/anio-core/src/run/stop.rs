//! A mapped task that has enough before all its elements have ended.
//!
//! Its `until` is given each output when the success is decided, in the order of the facts, so that whoever
//! reads them back comes to the same. That it has enough is a fact, which names the task runs that were under
//! way: these end by themselves, as successes that count, or as skipped where they return nothing. All others
//! that have not ended are skipped with the fact. A task that makes a list step by step is stopped, too, when
//! all who take from it have enough.
//!
//! The fact of the output that was enough may be durable, and this one not, when a worker dies; the next one
//! finds that it is to stop and does. What was under way then is skipped.

use super::fact::{Fact, FactKind, TaskRunKey};
use super::task_run::{Stage, State};
use super::{Awaited, Effect, MAP_WIDTH_MAX, RunState};
use crate::error::{FailureKind, TaskFailure};
use crate::name::TaskName;
use crate::output::Output;
use crate::time::Timestamp;

/// Why a task run is skipped whose task has enough.
pub(super) fn had_enough(task: &TaskName) -> String {
    format!("task {task:?} had enough")
}

impl RunState {
    /// Lets a task look at what one of its task runs returned.
    pub(super) fn takes(&mut self, key: TaskRunKey, output: &Output) -> Result<(), TaskFailure> {
        let planned = self.plan.task(key.task);
        let definition = &planned.definition;
        let index = key.map_index.unwrap_or_default() as usize;
        if definition.steps && index >= MAP_WIDTH_MAX && !output.is_null() {
            let name = &planned.name;
            let message = format!(
                "task {name:?} has made {index} elements and goes on, over the limit of {MAP_WIDTH_MAX}"
            );
            return Err(TaskFailure::new(FailureKind::Data, message));
        }
        let (Some(until), Stage::Map(map)) = (&definition.until, &mut self.nodes[key.task as usize].stage)
        else {
            return Ok(());
        };
        map.tally(until, output)
    }

    /// Whether a task has enough.
    pub(super) fn is_stopped(&self, task: u32) -> bool {
        matches!(&self.nodes[task as usize].stage, Stage::Map(map) if map.is_stopped)
    }

    /// Stops a task that has enough, unless there is nothing left to stop.
    pub(super) fn stop_if_enough(&mut self, task: u32, at: Timestamp, effects: &mut Vec<Effect>) {
        let is_to_stop = matches!(&self.nodes[task as usize].stage, Stage::Map(map) if map.is_to_stop());
        if is_to_stop {
            self.stop(task, at, effects);
        }
    }

    fn stop(&mut self, task: u32, at: Timestamp, effects: &mut Vec<Effect>) {
        let key = TaskRunKey { task, map_index: None };
        let Stage::Map(map) = &mut self.nodes[task as usize].stage else { return };
        let active = (0..).zip(&map.runs).filter(|(_, run)| run.is_active());
        let running: Vec<u32> = active.map(|(index, _)| index).collect();
        self.n_skipped += map.stop(&running);
        map.n_undurable += 1;
        // One that waits for its start to be durable has no body yet.
        let bodies =
            running.iter().filter(|index| matches!(map.runs[**index as usize].state, State::Running));
        let bodies = bodies.map(|index| TaskRunKey { task, map_index: Some(*index) });
        effects.extend(bodies.map(|key| Effect::CallOff(Some(key))));
        self.whole_is_decided(task);
        let kind = FactKind::Stopped { running };
        self.persist(Fact { key, attempt: 0, at, kind }, Awaited::Stop(task), effects);
        self.stop_source(task, at, effects);
    }

    /// Stops the steps that a task takes its elements from, where nobody wants more of them.
    fn stop_source(&mut self, task: u32, at: Timestamp, effects: &mut Vec<Effect>) {
        let source = self.steps_of(task).filter(|(_, steps)| steps.is_going_on());
        let Some((source, _)) = source else { return };
        let has_enough = |task: &u32| self.plan.task(*task).streams && self.is_stopped(*task);
        if self.plan.dependants(source).iter().all(has_enough) {
            self.stop(source, at, effects);
        }
    }

    /// That a task has enough is durable.
    pub(super) fn stop_is_durable(&mut self, task: u32, at: Timestamp, effects: &mut Vec<Effect>) {
        if let Stage::Map(map) = &mut self.nodes[task as usize].stage {
            map.n_undurable -= 1;
        }
        self.whole_is_durable(task, at, effects);
    }

    /// A task run that was under way when its task had enough ends without an output: it is skipped.
    pub(super) fn leave_out(&mut self, key: TaskRunKey, at: Timestamp, effects: &mut Vec<Effect>) {
        let run = self.live(key).expect("what is left out is live");
        let attempt = run.attempt;
        run.leave_out(attempt, at);
        self.decided(key);
        let reason = had_enough(&self.plan.task(key.task).name);
        self.persist_skip(key, attempt, reason, at, effects);
    }

    /// A run is taken up: what the worker before it could not finish of stopping a task.
    pub(super) fn stop_again(&mut self, at: Timestamp, effects: &mut Vec<Effect>) {
        if self.is_called_off() {
            return;
        }
        for task in 0..self.nodes.len() as u32 {
            self.stop_if_enough(task, at, effects);
            if !self.is_stopped(task) {
                continue;
            }
            let runs = self.nodes[task as usize].stage.runs(task);
            let open: Vec<_> = runs.filter(|(_, run)| !run.has_ended()).map(|(key, _)| key).collect();
            for key in open {
                self.leave_out(key, at, effects);
            }
            self.stop_source(task, at, effects);
        }
    }
}
