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

mod clear;
mod control;
mod event;
mod fact;
mod look;
mod map;
#[cfg(test)]
mod model;
mod replay;
mod scope;
mod settle;
mod stop;
mod stream;
mod task_run;
mod tree;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

pub use clear::{ClearError, Clearing, since_cleared};
pub use event::{AttemptError, Effect, Event, Retry};
pub use fact::{Conclusion, Fact, FactKind, RunEnd, RunFailure, TaskRunKey};
pub use replay::ReplayError;
pub use task_run::{TaskRunStatus, TaskRunView};

use self::control::Halt;
use self::scope::Scopes;
use self::task_run::{Stage, State, TaskRun};
use crate::error::{FailureKind, TaskFailure};
use crate::name::RunId;
use crate::output::Output;
use crate::plan::Plan;
use crate::plant::{Plant, is_planted};
use crate::task::TaskReturn;
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
    /// Tasks that are skipped, and task runs that are where others of the task are not.
    n_skipped: u32,
    /// For each task that failed, in that order: its first task run that did.
    failures: Vec<(u32, RunFailure)>,
    /// Facts that were asked to persist since the run was taken up, and how many of them are durable.
    n_persisted: u64,
    n_durable: u64,
    /// What waits for the facts that are not durable yet, in their order.
    awaited: VecDeque<Awaited>,
    phase: Phase,
    /// Why nothing starts.
    halt: Option<Halt>,
    /// Task runs that somebody gave up, ended since or not; of a mapped task, without an element: all.
    given_up: BTreeSet<TaskRunKey>,
    /// How many attempts those had before who were cleared.
    attempts_before: HashMap<TaskRunKey, u32>,
    /// Callbacks that have not returned.
    n_calls: u32,
    /// How the run has ended, or is ending.
    conclusion: Option<Conclusion>,
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
    /// The width of an empty map: those who wait for the map go on.
    Empty(u32),
    /// That a task has enough.
    Stop(u32),
    End,
    Hold,
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Facts are read back; nothing is asked for.
    Replaying,
    Running,
    /// All tasks have settled durably; the run's callback is being called.
    Calling,
    /// Its end, or that it is let go, is on its way to be durable.
    Ending,
    /// It has ended or was let go.
    Ended,
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
                0 if task.definition.steps => Node { missing: 0, stage: Stage::steps(TaskRun::default()) },
                0 if !task.decides => Node { missing: 0, stage: Stage::Single(TaskRun::default()) },
                missing => Node { missing, stage: Stage::Waiting },
            })
            .collect();
        Self {
            id,
            poison_deaths: poison_deaths.max(1),
            scopes: Scopes::default(),
            n_open: nodes.len() as u32,
            n_skipped: 0,
            nodes,
            plan,
            input,
            failures: Vec::new(),
            n_persisted: 0,
            n_durable: 0,
            awaited: VecDeque::new(),
            phase: Phase::Replaying,
            halt: None,
            given_up: BTreeSet::new(),
            attempts_before: HashMap::new(),
            n_calls: 0,
            conclusion: None,
        }
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
                    Ok(TaskReturn { output, writes }) => match self.takes(key, &output) {
                        Ok(()) => {
                            let writes = (!writes.is_empty()).then(|| Arc::new(writes));
                            self.succeed(key, at, output, writes, effects);
                            self.stop_if_enough(key.task, at, effects);
                        }
                        Err(failure) => self.fail(key, at, failure, None, effects),
                    },
                    Err(_) if self.is_stopped(key.task) => self.leave_out(key, at, effects),
                    Err(AttemptError { failure, retry: Retry::Skip }) if key.map_index.is_none() => {
                        self.decline(key, at, failure.message, effects);
                    }
                    Err(error) => {
                        let retry_at = self.retry_at(key, at, error.retry);
                        self.fail(key, at, error.failure, retry_at, effects);
                    }
                }
            }
            Event::Interrupted { key, attempt } => {
                if self.is_running(key, attempt) {
                    self.interrupt(key, at, effects);
                }
            }
            Event::Committed { n } => self.committed(n, at, effects),
            Event::Due { key } => {
                if let Some(run) = self.live(key).filter(|run| run.is_due(at)) {
                    run.state = State::Ready;
                    self.offer(key, effects);
                }
            }
            Event::Called { key } => self.called(key, at, effects),
            Event::RunCalled => {
                if self.phase == Phase::Calling {
                    self.end(self.verdict(), at, effects);
                }
            }
            Event::Pause => self.pause(effects),
            Event::Resume => self.resume(effects),
            Event::Cancel => self.call_off(Halt::Cancelling, effects),
            Event::Deadline { deadline } => {
                let late = self.lateness(deadline);
                self.call_off(Halt::Late(late), effects);
            }
            Event::CancelTask { key } => self.give_up(key, at, effects),
        }
        self.end_if_settled(at, effects);
    }

    // ------ what follows an event ------

    fn begin(&mut self, epoch: u32, at: Timestamp, effects: &mut Vec<Effect>) {
        if self.phase != Phase::Replaying {
            return;
        }
        self.phase = Phase::Running;
        self.stop_again(at, effects);
        let is_halted = self.halt.is_some();
        let poison = self.poison_deaths;
        let mut poisoned = Vec::new();
        let mut undecided = Vec::new();
        let mut uncalled = Vec::new();
        for task in 0..self.nodes.len() as u32 {
            if self.is_undecided(task) {
                undecided.push(task);
            }
            let callbacks = &self.plan.task(task).definition.callbacks;
            for (key, run) in self.nodes[task as usize].stage.runs_mut(task) {
                match run.state {
                    State::Running | State::Starting if run.deaths >= poison => {
                        poisoned.push((key, run.deaths));
                    }
                    State::Ready | State::Running | State::Starting
                        if key.map_index.is_some() && is_planted(Plant::ElementsForgotten) => {}
                    State::Ready | State::Running | State::Starting => {
                        if is_planted(Plant::AttemptsCountAnew) {
                            run.attempt = 0;
                        }
                        run.state = State::Ready;
                        effects.extend((!is_halted).then_some(Effect::Ready(key)));
                    }
                    State::Backoff { .. } if is_planted(Plant::TimersNotRearmed) => {}
                    State::Backoff { due } => effects.push(Effect::Arm { key, at: due }),
                    State::Succeeded { .. } | State::Failed if run.called => {}
                    State::Succeeded { .. } => uncalled.extend(callbacks.on_success.as_ref().map(|_| key)),
                    State::Failed => uncalled.extend(callbacks.on_failure.as_ref().map(|_| key)),
                    State::Held { .. } | State::Skipped => {}
                }
            }
        }
        self.n_calls += uncalled.len() as u32;
        effects.extend(uncalled.into_iter().map(Effect::Call));
        for task in undecided {
            if !self.is_called_off() && self.is_undecided(task) {
                self.start(task, at, effects);
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
        for key in self.given_up.clone() {
            self.give_up(key, at, effects);
        }
    }

    fn dispatch(&mut self, key: TaskRunKey, at: Timestamp, effects: &mut Vec<Effect>) {
        let is_halted = self.halt.is_some();
        let run = self.live(key).filter(|run| !is_halted && matches!(run.state, State::Ready));
        let Some(run) = run else { return effects.push(Effect::Vacate(key)) };
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

    /// The body of a running attempt was dropped, or did not begin: another attempt follows when the run
    /// goes on, or none where the task run was given up.
    fn interrupt(&mut self, key: TaskRunKey, at: Timestamp, effects: &mut Vec<Effect>) {
        if self.is_stopped(key.task) {
            return self.leave_out(key, at, effects);
        }
        if self.is_given_up(key) {
            return self.fail(key, at, control::given_up(), None, effects);
        }
        let run = self.live(key).expect("what is interrupted is live");
        let (attempt, started_at) = (run.attempt, run.started_at);
        run.cautious = matches!(run.state, State::Starting); // Its body is still to begin for the first time.
        run.interrupt();
        let kind = FactKind::Interrupted { started_at };
        self.persist(Fact { key, attempt, at, kind }, Awaited::Nothing, effects);
    }

    /// The body of a task decided that the task does not run.
    fn decline(&mut self, key: TaskRunKey, at: Timestamp, reason: String, effects: &mut Vec<Effect>) {
        let attempt = self.live(key).expect("a running task run is live").attempt;
        self.skip(key.task, &reason);
        self.persist_skip(key, attempt, reason, at, effects);
    }

    /// That a task, or a task run of it, is skipped is a fact where it does not follow from others.
    fn persist_skip(
        &mut self,
        key: TaskRunKey,
        attempt: u32,
        reason: String,
        at: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let fact = Fact { key, attempt, at, kind: FactKind::Skipped { reason } };
        self.persist(fact, Awaited::Settle(key), effects);
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
        if is_planted(Plant::ReleasedBeforeCommit) {
            self.persist(Fact { key, attempt, at, kind }, Awaited::Nothing, effects);
            self.decided(key);
            self.settled(key, at, effects);
            return self.call(key, effects);
        }
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
                    let is_halted = self.halt.is_some() || self.is_given_up(key) || self.is_stopped(key.task);
                    let Some(run) = self.live(key).filter(|run| matches!(run.state, State::Starting)) else {
                        continue;
                    };
                    if is_halted {
                        effects.push(Effect::Vacate(key));
                        self.interrupt(key, at, effects);
                    } else {
                        run.state = State::Running;
                        effects.push(Effect::Execute { key, attempt: run.attempt });
                    }
                }
                Awaited::Retry(key, due) => {
                    // Given up in between, it waits for no retry any more.
                    let waits = |run: &&mut TaskRun| matches!(run.state, State::Backoff { .. });
                    let Some(run) = self.live(key).filter(waits) else { continue };
                    if run.is_due(at) {
                        run.state = State::Ready;
                        self.offer(key, effects);
                    } else {
                        effects.push(Effect::Arm { key, at: due });
                    }
                }
                Awaited::Settle(key) => {
                    self.settled(key, at, effects);
                    self.call(key, effects);
                }
                Awaited::Empty(task) => self.propagate(task, at, effects),
                Awaited::Stop(task) => self.stop_is_durable(task, at, effects),
                Awaited::End => {
                    self.phase = Phase::Ended;
                    effects.push(Effect::Ended);
                }
                Awaited::Hold => {
                    self.phase = Phase::Ended;
                    effects.push(Effect::Held);
                }
                Awaited::Nothing => {}
            }
        }
    }

    /// A task run is ready: it is offered for a slot, unless nothing starts now.
    fn offer(&self, key: TaskRunKey, effects: &mut Vec<Effect>) {
        if self.halt.is_none() {
            effects.push(Effect::Ready(key));
        }
    }

    /// The end of a task run is durable: its callback is called, where it has one.
    fn call(&mut self, key: TaskRunKey, effects: &mut Vec<Effect>) {
        let Some(run) = self.nodes[key.task as usize].stage.run(key.map_index) else { return };
        let callbacks = &self.plan.task(key.task).definition.callbacks;
        if run.is_told() && callbacks.of(run.output().is_some()).is_some() {
            self.n_calls += 1;
            effects.push(Effect::Call(key));
        }
    }

    fn called(&mut self, key: TaskRunKey, at: Timestamp, effects: &mut Vec<Effect>) {
        let stage = self.nodes.get_mut(key.task as usize).map(|node| &mut node.stage);
        let run = stage.and_then(|stage| stage.run_mut(key.map_index));
        let is_awaited = self.n_calls > 0;
        let Some(run) = run.filter(|run| is_awaited && run.has_ended() && !run.called) else { return };
        run.called = true;
        let fact = Fact { key, attempt: run.attempt, at, kind: FactKind::Called };
        self.n_calls -= 1;
        self.persist(fact, Awaited::Nothing, effects);
    }

    fn end_if_settled(&mut self, at: Timestamp, effects: &mut Vec<Effect>) {
        let is_over = self.n_open == 0 || self.halt.is_some();
        if !is_over || self.phase != Phase::Running || self.n_calls > 0 {
            return;
        }
        let callbacks = self.plan.callbacks();
        let verdict = self.verdict();
        let is_told = callbacks.of(verdict == Conclusion::Succeeded).is_some();
        let is_durable = self.n_durable == self.n_persisted;
        // What is still to be called shows when the facts that are on their way are durable.
        if !is_durable && (is_told || self.plan.has_callbacks()) {
            return;
        }
        match &self.halt {
            Some(Halt::Cancelling) if !self.is_active() => self.end(Conclusion::Cancelled, at, effects),
            Some(Halt::Late(failure)) if !self.is_active() => {
                self.end(Conclusion::Failed(failure.clone()), at, effects);
            }
            Some(Halt::Cancelling | Halt::Late(_)) => {}
            _ if self.n_open == 0 && is_told => {
                self.phase = Phase::Calling;
                effects.push(Effect::CallRun);
            }
            _ if self.n_open == 0 => self.end(verdict, at, effects),
            Some(Halt::Pausing) if is_durable && !self.is_active() => {
                self.phase = Phase::Ending;
                self.n_persisted += 1;
                self.awaited.push_back(Awaited::Hold);
                effects.push(Effect::Hold);
            }
            Some(Halt::Pausing) | None => {}
        }
    }

    fn end(&mut self, how: Conclusion, at: Timestamp, effects: &mut Vec<Effect>) {
        self.phase = Phase::Ending;
        // Bodies return on many threads: what is told last need not have been the last by the clock.
        let ended_at = (0..)
            .zip(&self.nodes)
            .flat_map(|(task, node)| node.stage.runs(task))
            .map(|(_, run)| run.ended_at);
        let at = ended_at.fold(at, Timestamp::max);
        self.n_persisted += 1;
        self.awaited.push_back(Awaited::End);
        self.conclusion = Some(how.clone());
        effects.push(Effect::End(RunEnd { at, how }));
    }

    /// How the run ends when all its tasks have settled.
    fn verdict(&self) -> Conclusion {
        self.failure().map_or(Conclusion::Succeeded, |failure| Conclusion::Failed(failure.clone()))
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
        if n_failures >= policy.attempts || self.is_given_up(key) {
            return None;
        }
        match retry {
            Retry::Never | Retry::Skip => None,
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

    fn output_of(&self, task: u32) -> Output {
        match &self.nodes[task as usize].stage {
            Stage::Single(run) => run.output().expect("a dependency has succeeded").clone(),
            Stage::Map(map) => {
                let planned = self.plan.task(task);
                let list = || planned.reduces().map(|(list, _)| self.output_of(list));
                map.output(planned.definition.gather, list)
            }
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
