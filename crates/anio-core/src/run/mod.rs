//! The state machine of a run: events in, effects out.
//!
//! It decides what starts when, what a failure leads to, and when a run has ended. It never looks at a
//! clock, a database or a thread: [`RunState::apply`] is a function of the state and the event, and
//! [`RunState::replay`] leads to the same state from the facts alone.
//!
//! ```text
//!             Ready            Dispatched           Returned(ok)         Committed
//!   waiting ────────► (queue) ────────────► running ────────────► fact ────────────► dependants Ready
//!                        ▲                     │ Returned(error)
//!                        │ Due                 ▼
//!                        └──── backoff ◄──── fact ────► failed, dependants skipped
//! ```
//!
//! What is *decided* (an attempt returned) and what is *durable* (its fact is committed) are two steps: a
//! dependant starts only after the second.

mod event;
mod fact;
#[cfg(test)]
mod model;
mod scope;
mod settle;
mod task_run;

use std::collections::VecDeque;
use std::sync::Arc;

pub use event::{AttemptError, Effect, Event, Retry};
pub use fact::{Fact, FactKind, RunEnd, RunFailure, TaskRunKey};
pub use task_run::{TaskRunStatus, TaskRunView};

use self::scope::Scopes;
use self::settle::Released;
use self::task_run::{Map, Skip, Stage, State, TaskRun};
use crate::error::{FailureKind, TaskFailure};
use crate::name::RunId;
use crate::output::Output;
use crate::plan::Plan;
use crate::task::{Argument, Edge, Settled, TaskReturn};
use crate::time::Timestamp;

/// The widest map: the most elements that a list may have which a task is mapped over.
pub const MAP_WIDTH_MAX: usize = 1_000_000;

/// The default of how many deaths of a worker in a row a task run may be in flight during.
pub const POISON_DEATHS: u32 = 3;

/// The state of one run over its plan.
#[derive(Debug)]
pub struct RunState {
    id: RunId,
    plan: Arc<Plan>,
    input: Output,
    poison_deaths: u32,
    nodes: Vec<Node>,
    scopes: Scopes,
    /// Tasks whose end is not decided yet.
    n_open: u32,
    /// For each task that failed, in that order: its first task run that did.
    failures: Vec<(u32, RunFailure)>,
    /// Facts that were asked to persist since the run was taken up, and how many of them are durable.
    n_persisted: u64,
    n_durable: u64,
    /// What waits for the facts that are not durable yet, in their order.
    awaited: VecDeque<Awaited>,
    phase: Phase,
}

#[derive(Clone, Debug)]
struct Node {
    /// Dependencies whose end is not durable yet.
    missing: u32,
    stage: Stage,
}

/// What happens when a fact is durable.
#[derive(Clone, Copy, Debug)]
enum Awaited {
    Start(TaskRunKey),
    Retry(TaskRunKey, Timestamp),
    Settle(TaskRunKey),
    End,
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Facts are read back; nothing is asked for.
    Replaying,
    Running,
    Ending,
    Ended,
}

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
    /// The state of a run without any facts. [`Event::Begin`] starts it.
    ///
    /// `poison_deaths` is how many deaths of its worker in a row a task run may be in flight during before
    /// it fails; at least 1.
    pub fn new(id: RunId, plan: Arc<Plan>, input: Output, poison_deaths: u32) -> Self {
        let nodes: Vec<_> = plan
            .tasks()
            .iter()
            .map(|task| match task.dependencies.len() as u32 {
                0 if !task.decides => Node { missing: 0, stage: Stage::Single(TaskRun::default()) },
                missing => Node { missing, stage: Stage::Waiting },
            })
            .collect();
        Self {
            id,
            poison_deaths: poison_deaths.max(1),
            scopes: Scopes::default(),
            n_open: nodes.len() as u32,
            nodes,
            plan,
            input,
            failures: Vec::new(),
            n_persisted: 0,
            n_durable: 0,
            awaited: VecDeque::new(),
            phase: Phase::Replaying,
        }
    }

    /// Reads one stored fact back; all facts of a run in their order lead to the state that it had.
    ///
    /// # Errors
    /// [`ReplayError`] when the fact does not fit: the rows were changed by hand, or the plan is another.
    ///
    /// # Panics
    /// After [`Event::Begin`].
    pub fn replay(&mut self, fact: &Fact) -> Result<(), ReplayError> {
        assert!(self.phase == Phase::Replaying, "facts are replayed before the run begins");
        let (key, plan) = (fact.key, Arc::clone(&self.plan));
        let misfit = || self::misfit(&plan, fact);
        if key.map_index.is_none() && fact.attempt > 0 && self.is_undecided(key.task) {
            // It decided to run, or its list could not be read.
            self.nodes[key.task as usize].stage = Stage::Single(TaskRun::default());
        }
        match &fact.kind {
            FactKind::Started => {
                let run = self.live(key).ok_or_else(misfit)?;
                run.start(fact.attempt, fact.at);
                run.deaths += 1;
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
                self.decided(key);
                self.settled(key, fact.at, &mut Vec::new());
            }
            FactKind::Failed { started_at, failure, retry_at } => {
                let run = self.live(key).ok_or_else(misfit)?;
                run.start(fact.attempt, *started_at);
                run.fail(fact.at, Arc::clone(failure), *retry_at);
                if retry_at.is_none() {
                    self.decided(key);
                    self.settled(key, fact.at, &mut Vec::new());
                }
            }
            FactKind::Skipped { reason } => {
                if !self.is_undecided(key.task) {
                    return Err(misfit());
                }
                self.skip(key.task, reason);
                self.settled(key, fact.at, &mut Vec::new());
            }
            FactKind::Expanded { n } => {
                if !self.is_undecided(key.task) {
                    return Err(misfit());
                }
                self.nodes[key.task as usize].stage = Stage::Map(Box::new(Map::of(*n)));
                if *n == 0 {
                    self.n_open -= 1;
                    self.propagate(key.task, fact.at, &mut Vec::new());
                }
            }
            FactKind::Cancelled | FactKind::Cleared | FactKind::Called => return Err(misfit()),
        }
        Ok(())
    }

    /// Takes one event and pushes what must be done onto `effects`, in order.
    ///
    /// Events that no longer fit (an attempt that was given up, a timer that was set anew) do nothing.
    pub fn apply(&mut self, at: Timestamp, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Begin { epoch } => self.begin(epoch, at, effects),
            Event::Dispatched { key } => self.dispatch(key, at, effects),
            Event::Returned { key, attempt, result } => {
                if !self.is_running(key, attempt) {
                    return;
                }
                match result {
                    Ok(TaskReturn { output, writes }) => {
                        let writes = (!writes.is_empty()).then(|| Arc::new(writes));
                        self.succeed(key, at, output, writes, effects);
                    }
                    Err(error) => {
                        let retry_at = self.retry_at(key, at, error.retry);
                        self.fail(key, at, error.failure, retry_at, effects);
                    }
                }
            }
            Event::Interrupted { key, attempt } => {
                if self.is_running(key, attempt) {
                    let run = self.live(key).expect("a running task run is live");
                    let started_at = run.started_at;
                    run.interrupt();
                    let kind = FactKind::Interrupted { started_at };
                    self.persist(Fact { key, attempt, at, kind }, Awaited::Nothing, effects);
                }
            }
            Event::Committed { n } => self.committed(n, at, effects),
            Event::Due { key } => {
                if let Some(run) = self.live(key).filter(|run| run.is_due(at)) {
                    run.state = State::Ready;
                    effects.push(Effect::Ready(key));
                }
            }
        }
        self.end_if_settled(at, effects);
    }

    // ------ what follows an event ------

    fn begin(&mut self, epoch: u32, at: Timestamp, effects: &mut Vec<Effect>) {
        if self.phase != Phase::Replaying {
            return;
        }
        self.phase = Phase::Running;
        let poison = self.poison_deaths;
        let mut poisoned = Vec::new();
        let mut undecided = Vec::new();
        for task in 0..self.nodes.len() as u32 {
            if self.is_undecided(task) {
                undecided.push(task);
            }
            for (key, run) in self.nodes[task as usize].stage.runs_mut(task) {
                match run.state {
                    State::Running | State::Starting if run.deaths >= poison => {
                        poisoned.push((key, run.deaths));
                    }
                    State::Ready | State::Running | State::Starting => {
                        run.state = State::Ready;
                        effects.push(Effect::Ready(key));
                    }
                    State::Backoff { due } => effects.push(Effect::Arm { key, at: due }),
                    State::Succeeded { .. } | State::Failed => {}
                }
            }
        }
        for task in undecided {
            if self.is_undecided(task) && self.start(task, at, effects) == Released::AtOnce {
                self.propagate(task, at, effects);
            }
        }
        // Whatever might be what killed the last worker has its start recorded before it starts: an element
        // of a map too, which may have begun before the map's width was durable.
        for (task, node) in (0..).zip(&mut self.nodes) {
            for (_, run) in node.stage.runs_mut(task) {
                run.cautious = epoch > 0;
            }
        }
        for (key, deaths) in poisoned {
            let message = format!("in flight during {deaths} deaths of its worker in a row");
            self.fail(key, at, TaskFailure::new(FailureKind::Poison, message), None, effects);
        }
    }

    fn dispatch(&mut self, key: TaskRunKey, at: Timestamp, effects: &mut Vec<Effect>) {
        let Some(run) = self.live(key).filter(|run| matches!(run.state, State::Ready)) else { return };
        let attempt = run.attempt + 1;
        let cautious = std::mem::take(&mut run.cautious);
        run.start(attempt, at);
        let fact = Fact { key, attempt, at, kind: FactKind::Started };
        if cautious {
            run.state = State::Starting;
            self.persist(fact, Awaited::Start(key), effects);
        } else {
            effects.push(Effect::Note(fact));
            effects.push(Effect::Execute { key, attempt });
        }
    }

    fn succeed(
        &mut self,
        key: TaskRunKey,
        at: Timestamp,
        output: Output,
        writes: Option<Arc<crate::context::Writes>>,
        effects: &mut Vec<Effect>,
    ) {
        let run = self.live(key).expect("a running task run is live");
        let (attempt, started_at) = (run.attempt, run.started_at);
        run.succeed(at, output.clone(), writes.clone());
        let kind = FactKind::Succeeded { started_at, output, writes };
        self.persist(Fact { key, attempt, at, kind }, Awaited::Settle(key), effects);
        self.decided(key);
    }

    fn fail(
        &mut self,
        key: TaskRunKey,
        at: Timestamp,
        failure: TaskFailure,
        retry_at: Option<Timestamp>,
        effects: &mut Vec<Effect>,
    ) {
        let run = self.live(key).expect("what fails is live");
        let failure = Arc::new(failure);
        let (attempt, started_at) = (run.attempt, run.started_at);
        run.fail(at, Arc::clone(&failure), retry_at);
        let awaited = retry_at.map_or(Awaited::Settle(key), |due| Awaited::Retry(key, due));
        let kind = FactKind::Failed { started_at, failure, retry_at };
        self.persist(Fact { key, attempt, at, kind }, awaited, effects);
        if retry_at.is_none() {
            self.decided(key);
        }
    }

    fn committed(&mut self, n: u64, at: Timestamp, effects: &mut Vec<Effect>) {
        while self.n_durable < n {
            let Some(awaited) = self.awaited.pop_front() else { return };
            self.n_durable += 1;
            match awaited {
                Awaited::Start(key) => {
                    if let Some(run) = self.live(key).filter(|run| matches!(run.state, State::Starting)) {
                        run.state = State::Running;
                        effects.push(Effect::Execute { key, attempt: run.attempt });
                    }
                }
                Awaited::Retry(key, due) => {
                    let Some(run) = self.live(key) else { continue };
                    if run.is_due(at) {
                        run.state = State::Ready;
                        effects.push(Effect::Ready(key));
                    } else {
                        effects.push(Effect::Arm { key, at: due });
                    }
                }
                Awaited::Settle(key) => self.settled(key, at, effects),
                Awaited::End => {
                    self.phase = Phase::Ended;
                    effects.push(Effect::Ended);
                }
                Awaited::Nothing => {}
            }
        }
    }

    fn end_if_settled(&mut self, at: Timestamp, effects: &mut Vec<Effect>) {
        if self.n_open == 0 && self.phase == Phase::Running {
            self.phase = Phase::Ending;
            self.n_persisted += 1;
            self.awaited.push_back(Awaited::End);
            effects.push(Effect::End(RunEnd { at, failure: self.failure().cloned() }));
        }
    }

    fn persist(&mut self, fact: Fact, awaited: Awaited, effects: &mut Vec<Effect>) {
        self.n_persisted += 1;
        self.awaited.push_back(awaited);
        effects.push(Effect::Persist(fact));
    }

    fn retry_at(&self, key: TaskRunKey, at: Timestamp, retry: Retry) -> Option<Timestamp> {
        let run = self.nodes[key.task as usize].stage.run(key.map_index)?;
        let task = self.plan.task(key.task);
        let policy = &task.definition.options.retry;
        let n_failures = run.n_failures + 1;
        if n_failures >= policy.attempts {
            return None;
        }
        match retry {
            Retry::Never => None,
            Retry::After(delay) => Some(at.after(delay)),
            Retry::Policy => {
                Some(at.after(policy.delay(self.id, task.name.as_str(), key.map_index, n_failures)))
            }
        }
    }

    fn failure_of(&self, key: TaskRunKey) -> Option<RunFailure> {
        let run = self.nodes[key.task as usize].stage.run(key.map_index)?;
        Some(RunFailure {
            task: self.plan.task(key.task).name.to_string(),
            map_index: key.map_index,
            attempts: run.attempt,
            failure: (**run.failure.as_ref()?).clone(),
        })
    }

    // ------ what can be asked ------

    /// The run's identity.
    pub fn id(&self) -> RunId {
        self.id
    }

    /// The plan that it runs by.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The run's input.
    pub fn input(&self) -> &Output {
        &self.input
    }

    /// Whether this attempt's body is running.
    pub fn is_running(&self, key: TaskRunKey, attempt: u32) -> bool {
        let node = self.nodes.get(key.task as usize);
        let run = node.and_then(|node| node.stage.run(key.map_index));
        run.is_some_and(|run| run.attempt == attempt && matches!(run.state, State::Running))
    }

    /// Whether the run's end is durable.
    pub fn has_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// Why the run fails or has failed: the first failed task run whose failure no other task handled.
    pub fn failure(&self) -> Option<&RunFailure> {
        self.failures.iter().find(|(task, _)| !self.is_handled(*task)).map(|(_, failure)| failure)
    }

    /// The failures that another task was told of and succeeded: the first of each failed task.
    pub fn handled_failures(&self) -> impl Iterator<Item = &RunFailure> {
        self.failures.iter().filter(|(task, _)| self.is_handled(*task)).map(|(_, failure)| failure)
    }

    fn is_handled(&self, task: u32) -> bool {
        self.plan.handlers(task).iter().any(|&handler| self.nodes[handler as usize].stage.has_succeeded())
    }

    /// How many facts the run asked to persist since it was taken up.
    pub fn n_persisted(&self) -> u64 {
        self.n_persisted
    }

    /// The output of a task that has succeeded: of a mapped one, the list.
    pub fn output(&self, task: u32) -> Option<Output> {
        match &self.nodes.get(task as usize)?.stage {
            Stage::Single(run) => run.output().cloned(),
            stage => stage.has_succeeded().then(|| self.output_of(task)),
        }
    }

    /// The output of one task run that has succeeded.
    pub fn element(&self, key: TaskRunKey) -> Option<&Output> {
        self.nodes.get(key.task as usize)?.stage.run(key.map_index)?.output()
    }

    /// The arguments of a task run that is to be executed, in the order of its dependencies.
    pub fn arguments(&self, key: TaskRunKey) -> Vec<Option<Argument>> {
        let argument = |&(dependency, edge): &(u32, Edge)| {
            let settled = match edge {
                Edge::Order => return None,
                Edge::Value | Edge::Each(_) => Settled::Succeeded(self.output_of(dependency)),
                Edge::Settled => self.became(dependency),
            };
            let element = key.map_index.filter(|_| matches!(edge, Edge::Each(_)));
            Some(Argument { task: self.plan.task(dependency).name.clone(), settled, element })
        };
        self.plan.task(key.task).dependencies.iter().map(argument).collect()
    }

    /// What a task sees of the context: the input and the keys of all tasks before it.
    pub fn scope(&mut self, task: u32) -> Arc<crate::context::Scope> {
        self.scopes.before(task, &self.plan, &self.nodes, &self.input)
    }

    /// The run's final context: what all tasks wrote, in topological order, over the input.
    pub fn context(&self) -> crate::Context {
        scope::merged(&self.plan, &self.nodes, &self.input)
    }

    /// All task runs, in topological order; a mapped task by its elements, in their order.
    pub fn task_runs(&self) -> impl Iterator<Item = TaskRunView<'_>> {
        self.plan.topological().iter().flat_map(|&task| {
            let name = &self.plan.task(task).name;
            let because = |because: u32| &self.plan.task(because).name;
            let reason = |skip: &Skip| self.skip_reason(task, skip);
            task_run::views(task, name, &self.nodes[task as usize].stage, because, reason)
        })
    }

    fn output_of(&self, task: u32) -> Output {
        match &self.nodes[task as usize].stage {
            Stage::Single(run) => run.output().expect("a dependency has succeeded").clone(),
            Stage::Map(map) => map.gathered(self.plan.task(task).definition.gather).clone(),
            Stage::Waiting | Stage::Skipped(_) => unreachable!("a dependency has succeeded"),
        }
    }

    /// The task run, unless it has ended.
    fn live(&mut self, key: TaskRunKey) -> Option<&mut TaskRun> {
        let run = self.nodes.get_mut(key.task as usize)?.stage.run_mut(key.map_index)?;
        (!run.has_ended()).then_some(run)
    }

    /// Whether the task has all that it waits for, and whether it runs, or how wide, is not decided.
    fn is_undecided(&self, task: u32) -> bool {
        let node = &self.nodes[task as usize];
        node.missing == 0 && matches!(node.stage, Stage::Waiting)
    }
}

fn misfit(plan: &Plan, fact: &Fact) -> ReplayError {
    let word = match fact.kind {
        FactKind::Started => "started",
        FactKind::Succeeded { .. } => "succeeded",
        FactKind::Failed { .. } => "failed",
        FactKind::Interrupted { .. } => "interrupted",
        FactKind::Skipped { .. } => "skipped",
        FactKind::Expanded { .. } => "expanded",
        FactKind::Cancelled => "cancelled",
        FactKind::Cleared => "cleared",
        FactKind::Called => "called",
    };
    ReplayError {
        task: plan.task(fact.key.task).name.to_string(),
        fact: format!("{word} (attempt {})", fact.attempt),
    }
}
