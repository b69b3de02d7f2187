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
mod task_run;

use std::collections::VecDeque;
use std::sync::Arc;

pub use event::{AttemptError, Effect, Event, Retry};
pub use fact::{Fact, FactKind, RunEnd, RunFailure, TaskRunKey};
pub use task_run::{TaskRunStatus, TaskRunView};

use self::scope::Scopes;
use self::task_run::{Map, Stage, State, TaskRun};
use crate::error::{FailureKind, TaskFailure};
use crate::name::RunId;
use crate::output::Output;
use crate::plan::Plan;
use crate::task::{Argument, Edge, TaskReturn};
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
    /// The first task run that failed for good.
    failure: Option<RunFailure>,
    /// Facts that were asked to persist since the run was taken up, and how many of them are durable.
    n_persisted: u64,
    n_durable: u64,
    /// What waits for the facts that are not durable yet, in their order.
    awaited: VecDeque<Awaited>,
    phase: Phase,
}

#[derive(Clone, Debug)]
struct Node {
    /// Dependencies whose success is not durable yet.
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
                0 => Node { missing: 0, stage: Stage::Single(TaskRun::default()) },
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
            failure: None,
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
                if self.is_unexpanded(key.task) && key.map_index.is_none() {
                    self.nodes[key.task as usize].stage = Stage::Single(TaskRun::default());
                }
                let run = self.live(key).ok_or_else(misfit)?;
                run.start(fact.attempt, *started_at);
                run.fail(fact.at, Arc::clone(failure), *retry_at);
                if retry_at.is_none() {
                    self.decided(key);
                    self.settled(key, fact.at, &mut Vec::new());
                }
            }
            FactKind::Expanded { n } => {
                if !self.is_unexpanded(key.task) {
                    return Err(misfit());
                }
                self.nodes[key.task as usize].stage = Stage::Map(Box::new(Map::of(*n)));
                if *n == 0 {
                    self.n_open -= 1;
                    self.release(key.task, fact.at, &mut Vec::new());
                }
            }
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
        let mut unexpanded = Vec::new();
        for task in 0..self.nodes.len() as u32 {
            if self.is_unexpanded(task) {
                unexpanded.push(task);
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
        for task in unexpanded {
            if self.make_ready(task, at, effects) == Release::AtOnce {
                self.release(task, at, effects);
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
            effects.push(Effect::End(RunEnd { at, failure: self.failure.clone() }));
        }
    }

    fn persist(&mut self, fact: Fact, awaited: Awaited, effects: &mut Vec<Effect>) {
        self.n_persisted += 1;
        self.awaited.push_back(awaited);
        effects.push(Effect::Persist(fact));
    }

    // ------ what a task run's end means for the others ------

    /// The end of a task run is decided: count it, and skip the dependants of a task that failed.
    fn decided(&mut self, key: TaskRunKey) {
        let node = &mut self.nodes[key.task as usize];
        let run_failed = node.stage.run(key.map_index).is_some_and(|run| matches!(run.state, State::Failed));
        let failed = match &mut node.stage {
            Stage::Map(map) => {
                map.n_undecided -= 1;
                map.n_failed += u32::from(run_failed);
                if map.n_undecided > 0 { None } else { Some(map.n_failed > 0) }
            }
            _ => Some(run_failed),
        };
        if run_failed && self.failure.is_none() {
            self.failure = self.failure_of(key);
        }
        if let Some(failed) = failed {
            self.n_open -= 1;
            if failed {
                self.skip_dependants(key.task);
            }
        }
    }

    fn skip_dependants(&mut self, failed: u32) {
        let plan = Arc::clone(&self.plan);
        let mut open = vec![failed];
        while let Some(task) = open.pop() {
            for &dependant in plan.dependants(task) {
                let node = &mut self.nodes[dependant as usize];
                if matches!(node.stage, Stage::Waiting) {
                    node.stage = Stage::Skipped { because: failed };
                    self.n_open -= 1;
                    open.push(dependant);
                }
            }
        }
    }

    /// The end of a task run is durable: its dependants have one less to wait for.
    fn settled(&mut self, key: TaskRunKey, at: Timestamp, effects: &mut Vec<Effect>) {
        let succeeded = match &mut self.nodes[key.task as usize].stage {
            Stage::Map(map) => {
                map.n_undurable -= 1;
                map.n_undurable == 0 && map.n_failed == 0
            }
            Stage::Single(run) => matches!(run.state, State::Succeeded { .. }),
            Stage::Waiting | Stage::Skipped { .. } => false,
        };
        if succeeded {
            self.release(key.task, at, effects);
        }
    }

    fn release(&mut self, task: u32, at: Timestamp, effects: &mut Vec<Effect>) {
        let plan = Arc::clone(&self.plan);
        let mut open = vec![task];
        while let Some(task) = open.pop() {
            for &dependant in plan.dependants(task) {
                let node = &mut self.nodes[dependant as usize];
                node.missing -= 1;
                if node.missing > 0 || !matches!(node.stage, Stage::Waiting) {
                    continue;
                }
                if self.make_ready(dependant, at, effects) == Release::AtOnce {
                    open.push(dependant);
                }
            }
        }
    }

    /// Starts a task whose dependencies are all there: one task run, or one per element of its list.
    fn make_ready(&mut self, task: u32, at: Timestamp, effects: &mut Vec<Effect>) -> Release {
        let plan = Arc::clone(&self.plan);
        let Some((list, len)) = plan.task(task).mapped_over() else {
            self.nodes[task as usize].stage = Stage::Single(TaskRun::default());
            effects.push(Effect::Ready(TaskRunKey { task, map_index: None }));
            return Release::Later;
        };
        if self.phase == Phase::Replaying {
            return Release::Later; // The fact that tells the width follows, or `begin` expands.
        }
        let whole = TaskRunKey { task, map_index: None };
        let n = match len(&self.output_of(list)) {
            Ok(n) if n <= MAP_WIDTH_MAX => n as u32,
            other => {
                let list = &plan.task(list).name;
                let message = match other {
                    Ok(n) => format!(
                        "the list of task {list:?} has {n} elements, over the limit of {MAP_WIDTH_MAX}"
                    ),
                    Err(error) => {
                        format!("run {}: the list of task {list:?} cannot be read: {error}", self.id)
                    }
                };
                let mut run = TaskRun::default();
                run.start(1, at);
                self.nodes[task as usize].stage = Stage::Single(run);
                self.fail(whole, at, TaskFailure::new(FailureKind::Data, message), None, effects);
                return Release::Later;
            }
        };
        self.nodes[task as usize].stage = Stage::Map(Box::new(Map::of(n)));
        let fact = Fact { key: whole, attempt: 0, at, kind: FactKind::Expanded { n } };
        self.persist(fact, Awaited::Nothing, effects);
        effects.extend((0..n).map(|index| Effect::Ready(TaskRunKey { task, map_index: Some(index) })));
        if n > 0 {
            return Release::Later;
        }
        self.n_open -= 1;
        Release::AtOnce
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

    /// Why the run fails or has failed: its first failed task run.
    pub fn failure(&self) -> Option<&RunFailure> {
        self.failure.as_ref()
    }

    /// How many facts the run asked to persist since it was taken up.
    pub fn n_persisted(&self) -> u64 {
        self.n_persisted
    }

    /// The output of a task that has succeeded: of a mapped one, the list.
    pub fn output(&self, task: u32) -> Option<Output> {
        match &self.nodes.get(task as usize)?.stage {
            Stage::Single(run) => run.output().cloned(),
            Stage::Map(map) if map.n_undecided == 0 && map.n_failed == 0 => Some(self.output_of(task)),
            _ => None,
        }
    }

    /// The output of one task run that has succeeded.
    pub fn element(&self, key: TaskRunKey) -> Option<&Output> {
        self.nodes.get(key.task as usize)?.stage.run(key.map_index)?.output()
    }

    /// The arguments of a task run that is to be executed, in the order of its dependencies.
    pub fn arguments(&self, key: TaskRunKey) -> Vec<Option<Argument>> {
        let argument = |&(dependency, edge): &(u32, Edge)| {
            let element = match edge {
                Edge::Order => return None,
                Edge::Value => None,
                Edge::Each(_) => key.map_index,
            };
            let task = self.plan.task(dependency).name.clone();
            Some(Argument { task, value: self.output_of(dependency), element })
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
            task_run::views(task, name, &self.nodes[task as usize].stage, because)
        })
    }

    fn output_of(&self, task: u32) -> Output {
        match &self.nodes[task as usize].stage {
            Stage::Single(run) => run.output().expect("a dependency has succeeded").clone(),
            Stage::Map(map) => map.gathered(self.plan.task(task).definition.gather).clone(),
            Stage::Waiting | Stage::Skipped { .. } => unreachable!("a dependency has succeeded"),
        }
    }

    /// The task run, unless it has ended.
    fn live(&mut self, key: TaskRunKey) -> Option<&mut TaskRun> {
        let run = self.nodes.get_mut(key.task as usize)?.stage.run_mut(key.map_index)?;
        (!run.has_ended()).then_some(run)
    }

    /// Whether the task is mapped, has its list, and waits to learn how long that is.
    fn is_unexpanded(&self, task: u32) -> bool {
        let node = &self.nodes[task as usize];
        node.missing == 0 && matches!(node.stage, Stage::Waiting)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Release {
    /// The task has nothing to do: its dependants have one less to wait for now.
    AtOnce,
    Later,
}

fn misfit(plan: &Plan, fact: &Fact) -> ReplayError {
    let word = match fact.kind {
        FactKind::Started => "started",
        FactKind::Succeeded { .. } => "succeeded",
        FactKind::Failed { .. } => "failed",
        FactKind::Interrupted { .. } => "interrupted",
        FactKind::Expanded { .. } => "expanded",
    };
    ReplayError {
        task: plan.task(fact.key.task).name.to_string(),
        fact: format!("{word} (attempt {})", fact.attempt),
    }
}
