//! Reading a log back: facts in, the state that they add up to.

use std::collections::HashMap;
use std::sync::Arc;

use super::fact::{Fact, FactKind, TaskRunKey};
use super::map::{Form, Map};
use super::task_run::{Stage, State, TaskRun};
use super::{Phase, RunState};
use crate::plan::Plan;
use crate::plant::{Plant, is_planted};

/// A stored fact does not fit the plan and the facts before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored fact {fact} of task {task:?} does not fit the facts before it")]
pub struct ReplayError {
    /// The task.
    pub task: String,
    /// The fact, in short.
    pub fact: String,
}

impl RunState {
    /// Reads one stored fact back; all facts of a run in their order lead to the state that it had. Where
    /// task runs were cleared, those that [`since_cleared`](super::since_cleared) lets through.
    ///
    /// # Errors
    /// [`ReplayError`] when the fact does not fit: the rows were changed by hand, or the plan is another.
    ///
    /// # Panics
    /// After [`Event::Begin`](super::Event::Begin).
    pub fn replay(&mut self, fact: &Fact) -> Result<(), ReplayError> {
        assert!(self.phase == Phase::Replaying, "facts are replayed before the run begins");
        let (key, plan) = (fact.key, Arc::clone(&self.plan));
        let misfit = || misfit_of(&plan, fact);
        let is_of_an_attempt = !matches!(fact.kind, FactKind::Cleared | FactKind::Called) && fact.attempt > 0;
        if key.map_index.is_none() && is_of_an_attempt && self.is_undecided(key.task) {
            // It decided to run, or its list could not be read.
            self.nodes[key.task as usize].stage = Stage::Single(self.fresh(key));
        }
        match &fact.kind {
            FactKind::Started => {
                let run = self.live(key).ok_or_else(misfit)?;
                run.start(fact.attempt, fact.at);
                run.deaths += u32::from(!is_planted(Plant::DeathsNotCounted));
            }
            FactKind::Interrupted { started_at } => {
                let run = self.live(key).ok_or_else(misfit)?;
                run.start(fact.attempt, *started_at);
                run.interrupt();
            }
            FactKind::Succeeded { started_at, output, writes } => {
                let run = self.live(key).ok_or_else(misfit)?;
                run.start(fact.attempt, *started_at);
                run.succeed(fact.at, output.clone(), writes.clone());
                self.takes(key, output).map_err(|_| misfit())?;
                self.decided(key);
                self.settled(key, fact.at, &mut Vec::new());
            }
            FactKind::Failed { started_at, failure, retry_at } => {
                let run = self.live(key).ok_or_else(misfit)?;
                run.start(fact.attempt, *started_at);
                run.fail(fact.at, Arc::clone(failure), *retry_at);
                if retry_at.is_some() && is_planted(Plant::BackoffForgotten) {
                    run.state = State::Ready;
                }
                if retry_at.is_none() {
                    self.decided(key);
                    self.settled(key, fact.at, &mut Vec::new());
                }
            }
            FactKind::Skipped { .. } if key.map_index.is_some() => {
                let run = self.live(key).ok_or_else(misfit)?;
                run.leave_out(fact.attempt, fact.at);
                self.decided(key);
                self.settled(key, fact.at, &mut Vec::new());
            }
            FactKind::Skipped { reason } => {
                if !self.is_undecided(key.task) && self.live(key).is_none() {
                    return Err(misfit());
                }
                self.skip(key.task, reason);
                self.settled(key, fact.at, &mut Vec::new());
            }
            FactKind::Expanded { n } => {
                if !self.is_undecided(key.task) {
                    return Err(misfit());
                }
                self.nodes[key.task as usize].stage = self.fresh_map(key.task, *n);
                if *n == 0 {
                    self.n_open -= 1;
                    self.propagate(key.task, fact.at, &mut Vec::new());
                }
            }
            FactKind::Stopped { running } => {
                let Stage::Map(map) = &mut self.nodes[key.task as usize].stage else { return Err(misfit()) };
                self.n_skipped += map.stop(running);
                self.whole_is_decided(key.task);
                self.whole_is_durable(key.task, fact.at, &mut Vec::new());
            }
            FactKind::Cancelled if is_planted(Plant::GivenUpForgotten) => {}
            FactKind::Cancelled => drop(self.given_up.insert(key)),
            FactKind::Cleared => {
                self.attempts_before.insert(key, fact.attempt);
                if let Some(run) = self.live(key) {
                    run.attempt = fact.attempt;
                }
            }
            FactKind::Called => {
                let run = self.nodes[key.task as usize].stage.run_mut(key.map_index).ok_or_else(misfit)?;
                run.called = true;
            }
        }
        Ok(())
    }

    /// A task run that has not begun, or not since it was cleared.
    pub(super) fn fresh(&self, key: TaskRunKey) -> TaskRun {
        fresh(&self.attempts_before, key)
    }

    pub(super) fn fresh_map(&self, task: u32, n: u32) -> Stage {
        let runs = if self.attempts_before.is_empty() {
            vec![TaskRun::default(); n as usize]
        } else {
            (0..n).map(|index| self.fresh(TaskRunKey { task, map_index: Some(index) })).collect()
        };
        let form = if self.plan.task(task).reduces().is_some() { Form::Tree } else { Form::List };
        Stage::Map(Box::new(Map::new(form, runs)))
    }
}

/// A task run that has not begun, where so many attempts were made before some were cleared.
pub(super) fn fresh(attempts_before: &HashMap<TaskRunKey, u32>, key: TaskRunKey) -> TaskRun {
    let attempt = attempts_before.get(&key).copied().unwrap_or_default();
    TaskRun { attempt, ..TaskRun::default() }
}

fn misfit_of(plan: &Plan, fact: &Fact) -> ReplayError {
    ReplayError {
        task: plan.task(fact.key.task).name.to_string(),
        fact: format!("{} (attempt {})", fact.kind.word(), fact.attempt),
    }
}
