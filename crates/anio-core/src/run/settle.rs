//! What the end of a task run means for the others: who starts, who is skipped, who decides.
//!
//! Two steps, as everywhere: when an end is **decided**, the dependants that need its success are skipped
//! at once (they start nothing, so nothing durable is needed); when it is **durable**, it propagates:
//! dependants have one less to wait for. A skipped task settles when all that it waited for has, so that
//! whatever comes before a settled task has settled too. A task with a condition, or that takes what became
//! of a dependency whatever it is, decides for itself once all its dependencies have settled durably, and
//! its decision not to run is a fact.

use std::sync::Arc;

use super::fact::{Fact, FactKind, TaskRunKey};
use super::map::Form;
use super::replay::fresh;
use super::task_run::{Skip, Stage, State};
use super::{Awaited, Effect, MAP_WIDTH_MAX, Phase, RunState, control};
use crate::condition::Settlement;
use crate::context::Context;
use crate::error::{FailureKind, TaskFailure};
use crate::plan::PlanTask;
use crate::task::{Edge, Settled};
use crate::time::Timestamp;

impl RunState {
    /// The end of a task run is decided: count it, and skip the dependants of a task that failed.
    pub(super) fn decided(&mut self, key: TaskRunKey) {
        let attempts_before = &self.attempts_before;
        let is_first_failure = match &mut self.nodes[key.task as usize].stage {
            Stage::Map(map) => {
                let n_skipped = map.n_skipped;
                let is_first = map.decided(key.map_index.unwrap_or_default(), |index| {
                    fresh(attempts_before, TaskRunKey { map_index: Some(index), ..key })
                });
                self.n_skipped += map.n_skipped - n_skipped;
                is_first
            }
            stage => stage.run(None).is_some_and(|run| matches!(run.state, State::Failed)),
        };
        if is_first_failure {
            self.failures.extend(self.failure_of(key).map(|failure| (key.task, failure)));
        }
        self.whole_is_decided(key.task);
    }

    /// Some of a task is decided: where that was the last of it, so is the task.
    pub(super) fn whole_is_decided(&mut self, task: u32) {
        let stage = &self.nodes[task as usize].stage;
        if !matches!(stage, Stage::Map(map) if map.n_undecided > 0) {
            let is_lost = !stage.has_succeeded();
            self.n_open -= 1;
            if is_lost {
                self.skip_dependants(task);
            }
        }
        if self.plan.task(task).definition.steps {
            self.feed_all(task);
        }
    }

    /// A task decides not to run.
    pub(super) fn skip(&mut self, task: u32, reason: &str) {
        let skip = Skip { root: task, reason: Some(Arc::from(reason)) };
        self.nodes[task as usize].stage = Stage::Skipped(skip);
        self.n_open -= 1;
        self.n_skipped += 1;
        self.skip_dependants(task);
    }

    /// Skips all that need the success of `root`, and all that need theirs.
    fn skip_dependants(&mut self, root: u32) {
        let plan = Arc::clone(&self.plan);
        let mut open = vec![root];
        while let Some(task) = open.pop() {
            for &dependant in plan.dependants(task) {
                let has_items = self.has_items(dependant, task);
                let node = &mut self.nodes[dependant as usize];
                match &mut node.stage {
                    // What steps have made that fail then is kept.
                    Stage::Map(map) if map.form == Form::Stream && !map.is_blank() => {
                        map.cut_by = Some(root);
                    }
                    Stage::Waiting if has_items => node.stage = Stage::stream(Some(root)),
                    stage if stage.is_waiting() && !plan.task(dependant).decides => {
                        node.stage = Stage::Skipped(Skip { root, reason: None });
                        self.n_open -= 1;
                        self.n_skipped += 1;
                        open.push(dependant);
                    }
                    _ => {}
                }
            }
        }
    }

    /// The end of a task run is durable; when it is the last of its task, the task has settled.
    pub(super) fn settled(&mut self, key: TaskRunKey, at: Timestamp, effects: &mut Vec<Effect>) {
        let Stage::Map(map) = &mut self.nodes[key.task as usize].stage else {
            return self.propagate(key.task, at, effects);
        };
        map.n_undurable -= 1;
        let index = key.map_index.unwrap_or_default();
        let has_succeeded = map.runs[index as usize].output().is_some();
        let released = if has_succeeded { map.released_by(index) } else { None };
        if released.is_some() {
            self.offer_or_give_up(TaskRunKey { map_index: released, ..key }, at, effects);
        }
        if has_succeeded && self.plan.task(key.task).definition.steps {
            self.release_elements(key, at, effects);
        }
        self.whole_is_durable(key.task, at, effects);
    }

    /// Some of a task is durable: where that was the last of it, the task has settled.
    pub(super) fn whole_is_durable(&mut self, task: u32, at: Timestamp, effects: &mut Vec<Effect>) {
        if matches!(&self.nodes[task as usize].stage, Stage::Map(map) if map.n_undurable == 0) {
            self.propagate(task, at, effects);
        }
    }

    /// A task has settled durably: those that wait for it have one less to wait for.
    pub(super) fn propagate(&mut self, task: u32, at: Timestamp, effects: &mut Vec<Effect>) {
        let plan = Arc::clone(&self.plan);
        let mut open = vec![task];
        while let Some(task) = open.pop() {
            for &dependant in plan.dependants(task) {
                let node = &mut self.nodes[dependant as usize];
                node.missing -= 1;
                if node.missing > 0 {
                    self.catch_up(dependant, at, effects);
                    continue;
                }
                match &node.stage {
                    // A task that was skipped for another's sake settles when all before it has: those that
                    // decide by it then find the same of every ancestor, whenever they are asked.
                    Stage::Skipped(_) => open.push(dependant),
                    _ if plan.task(dependant).streams => {
                        if self.close(dependant, at, effects) {
                            open.push(dependant);
                        }
                    }
                    Stage::Waiting => self.start(dependant, at, effects),
                    Stage::Single(_) | Stage::Map(_) => {}
                }
            }
        }
    }

    /// Starts a task that has all it waits for, and does not take the elements of steps as they come: one task
    /// run, or one per element of its list, or the first step; or none, where it decides so.
    pub(super) fn start(&mut self, task: u32, at: Timestamp, effects: &mut Vec<Effect>) {
        let plan = Arc::clone(&self.plan);
        let planned = plan.task(task);
        // How many of these there are, and what becomes of the task, follows from the facts of each.
        let has_steps = planned.definition.steps;
        let is_told = planned.decides || (planned.is_dynamic() && !has_steps);
        // Read back, a fact that tells the decision or the width follows, or `begin` decides. Called off, nothing
        // does: what the run shows then is what it shows when it is read back.
        let is_quiet = self.phase == Phase::Replaying || self.is_called_off();
        if is_quiet && is_told {
            return;
        }
        let key = TaskRunKey { task, map_index: None };
        if !is_quiet && self.given_up.contains(&key) && !has_steps {
            self.fail_unstarted(key, at, control::given_up(), effects);
            return;
        }
        if planned.decides {
            match self.decides_to_run(task, planned) {
                Ok(None) => {}
                Ok(Some(reason)) => {
                    self.skip(task, &reason);
                    return self.persist_skip(key, 0, reason, at, effects);
                }
                Err(failure) => {
                    self.fail_unstarted(key, at, failure, effects);
                    return;
                }
            }
        }
        if has_steps {
            let key = TaskRunKey { task, map_index: Some(0) };
            self.nodes[task as usize].stage = Stage::steps(self.fresh(key));
            self.offer_or_give_up(key, at, effects);
            return;
        }
        let Some((list, len)) = planned.mapped_over().or_else(|| planned.reduces()) else {
            self.nodes[task as usize].stage = Stage::Single(self.fresh(key));
            self.offer(key, effects);
            return;
        };
        let n = match len(&self.output_of(list)) {
            Ok(0) if planned.reduces().is_some() => {
                let list = &plan.task(list).name;
                let reason =
                    format!("the list of task {list:?} is empty: there is nothing to make one value of");
                self.skip(task, &reason);
                return self.persist_skip(key, 0, reason, at, effects);
            }
            Ok(n) if n <= MAP_WIDTH_MAX => n as u32 - u32::from(planned.reduces().is_some()),
            other => {
                let list = &plan.task(list).name;
                let message = match other {
                    Ok(n) => {
                        format!(
                            "the list of task {list:?} has {n} elements, over the limit of {MAP_WIDTH_MAX}"
                        )
                    }
                    Err(error) => {
                        format!("run {}: the list of task {list:?} cannot be read: {error}", self.id)
                    }
                };
                self.fail_unstarted(key, at, TaskFailure::new(FailureKind::Data, message), effects);
                return;
            }
        };
        self.nodes[task as usize].stage = self.fresh_map(task, n);
        let awaited = if n == 0 { Awaited::Empty(task) } else { Awaited::Nothing };
        self.n_open -= u32::from(n == 0);
        self.persist(Fact { key, attempt: 0, at, kind: FactKind::Expanded { n } }, awaited, effects);
        for index in 0..n {
            self.offer_or_give_up(TaskRunKey { task, map_index: Some(index) }, at, effects);
        }
    }

    /// Offers a task run that came to be, where it is ready.
    pub(super) fn offer_or_give_up(&mut self, key: TaskRunKey, at: Timestamp, effects: &mut Vec<Effect>) {
        if self.phase == Phase::Replaying {
            return;
        }
        if self.is_given_up(key) {
            self.give_up(key, at, effects);
        } else if self.live(key).is_some_and(|run| matches!(run.state, State::Ready)) {
            self.offer(key, effects);
        }
    }

    /// Why a task whose dependencies have all settled does not run; `None` when it does.
    fn decides_to_run(&mut self, task: u32, planned: &PlanTask) -> Result<Option<String>, TaskFailure> {
        let condition = planned.definition.condition.as_ref();
        if let Some(condition) = condition {
            let context = Context::over(self.scope(task));
            let became = |name: &str| {
                let position = self.plan.position(name).expect("a condition names tasks of the plan");
                match self.became(position) {
                    Settled::Succeeded(_) => Settlement::Succeeded,
                    Settled::Failed(..) => Settlement::Failed,
                    Settled::Skipped(_) => Settlement::Skipped,
                }
            };
            let failed = |error: crate::ContextError| {
                TaskFailure::new(FailureKind::Data, format!("its condition cannot be decided: {error}"))
            };
            if !condition.holds(&became, &context).map_err(failed)? {
                return Ok(Some(format!("its condition does not hold: {condition}")));
            }
        }
        let needs = |edge: &Edge| match edge {
            Edge::Value | Edge::Each(_) | Edge::Pairs(_) => true,
            Edge::Order => condition.is_none(),
            Edge::Settled => false,
        };
        let lacking =
            planned.dependencies.iter().filter(|(_, edge)| needs(edge)).find_map(|(dependency, _)| {
                let name = &self.plan.task(*dependency).name;
                match self.became(*dependency) {
                    Settled::Succeeded(_) => None,
                    Settled::Failed(..) => Some(format!("task {name:?} failed")),
                    Settled::Skipped(_) => Some(format!("task {name:?} was skipped")),
                }
            });
        Ok(lacking)
    }

    fn fail_unstarted(
        &mut self,
        key: TaskRunKey,
        at: Timestamp,
        failure: TaskFailure,
        effects: &mut Vec<Effect>,
    ) {
        let mut run = self.fresh(key);
        run.start(run.attempt + 1, at);
        self.nodes[key.task as usize].stage = Stage::Single(run);
        self.fail(key, at, failure, None, effects);
    }

    /// What became of a task that has settled.
    pub(super) fn became(&self, task: u32) -> Settled {
        let stage = &self.nodes[task as usize].stage;
        match stage {
            Stage::Skipped(skip) => Settled::Skipped(self.skip_reason(task, skip)),
            stage if stage.has_succeeded() => Settled::Succeeded(self.output_of(task)),
            Stage::Map(map) if map.n_failed == 0 => {
                let root = map.cut_by.expect("a map without a failure that did not succeed was cut");
                Settled::Skipped(self.skip_reason(task, &Skip { root, reason: None }))
            }
            stage => {
                let failed = stage.runs(task).find(|(_, run)| matches!(run.state, State::Failed));
                let (_, run) = failed.expect("a task that has settled succeeded, failed or was skipped");
                let failure = run.failure.as_ref().expect("a failed task run has its failure");
                Settled::Failed(Arc::clone(failure), run.attempt)
            }
        }
    }

    /// Why a task was skipped, in words.
    pub(super) fn skip_reason(&self, task: u32, skip: &Skip) -> String {
        if let (Some(reason), true) = (&skip.reason, skip.root == task) {
            return reason.to_string();
        }
        let verb = match &self.nodes[skip.root as usize].stage {
            Stage::Skipped(_) => "was skipped",
            Stage::Map(map) if map.n_failed == 0 => "was cut short",
            stage if stage.runs(skip.root).any(|(_, run)| run.is_cancelled()) => "was cancelled",
            _ => "failed",
        };
        format!("task {:?} {verb}", self.plan.task(skip.root).name)
    }
}
