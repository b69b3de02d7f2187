//! Every way through a case: depth first, each state once.
//!
//! Two worlds are the same when all that a transition or a rule ever reads is the same in both. The key
//! of a world is that, written down byte by byte and kept whole, so no two worlds are taken for one by
//! chance. It leaves out:
//! - the order of the log between task runs. Replay is a fold over the log; the world keeps its result,
//!   which is in the key, and appends to it what is committed later. The rules read the ledger, which says
//!   the same of each task run, and a few things more; those are in the key too.
//! - times, but for how long from now a timer is due, or an attempt: no transition or rule reads another time.
//! - outputs and messages: they are functions of the task run, which is checked whenever one appears.
//! - attempts, but for how many the log does not have yet, where no body asks which one it is: the rules
//!   and the state machine only ever count on from the last one.
//! - all numbers of a task run that has ended: nothing reads them but the comparison with the log, and
//!   that was made when they came in.
//! - deaths of workers, where no task run can become poison.
//! - what a zombie commits that is not awake any more: the fence does not look at it.
//! - how many facts were counted so far: only what is still awaited matters, and it is counted from there.
//! - the epoch: it matters when a run is taken up, and then only whether it is the first time.

use std::collections::HashSet;
use std::fmt::Write as _;

use super::action::Action;
use super::case::{Ask, Case};
use super::ledger::Ledger;
use super::plant::Plant;
use super::rule::{Broken, Rule, check};
use super::worker::{Record, Worker};
use super::world::World;
use crate::run::control::Halt;
use crate::run::map::{Form, Map};
use crate::run::task_run::{Skip, Stage, State, TaskRun};
use crate::run::{Awaited, FactKind, Node, Phase, RunState, TaskRunKey};
use crate::time::Timestamp;

/// How much was explored.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Explored {
    pub(super) cases: usize,
    pub(super) states: usize,
    pub(super) steps: usize,
    pub(super) ends: usize,
}

impl std::ops::AddAssign for Explored {
    fn add_assign(&mut self, other: Self) {
        self.cases += other.cases;
        self.states += other.states;
        self.steps += other.steps;
        self.ends += other.ends;
    }
}

/// A rule that was broken, and the way there.
#[derive(Debug)]
pub(super) struct Counterexample {
    pub(super) broken: Broken,
    pub(super) text: String,
}

impl Counterexample {
    pub(super) fn new(case: &Case, broken: Broken, path: &[Action]) -> Self {
        let mut text = format!("{broken}\n  in {}\n", case.name);
        for action in path {
            let _ = writeln!(text, "  {action:?}");
        }
        Self { broken, text }
    }
}

/// Walks every way through a case.
pub(super) fn explore(case: &Case) -> Result<Explored, Counterexample> {
    walk(case, World::new(case, None, false))
}

/// Walks every way through a case with a bug planted; `is_blind` leaves out the rule that looks into the
/// state, so that the bug must show in what happens.
pub(super) fn explore_with(case: &Case, plant: Plant, is_blind: bool) -> Result<Explored, Counterexample> {
    walk(case, World::new(case, Some(plant), is_blind))
}

fn walk(case: &Case, world: Result<World<'_>, Broken>) -> Result<Explored, Counterexample> {
    let mut walk = Walk { seen: HashSet::new(), path: Vec::new(), explored: Explored::default() };
    walk.explored.cases = 1;
    let walked = world.and_then(|world| walk.from(world));
    walked.map_err(|broken| Counterexample::new(case, broken, &walk.path))?;
    walk.explored.states = walk.seen.len();
    Ok(walk.explored)
}

struct Walk {
    seen: HashSet<Box<[u8]>>,
    path: Vec<Action>,
    explored: Explored,
}

/// No way through a small case is longer; one that is goes in circles.
const STEPS_MAX: usize = 500;

impl Walk {
    fn from(&mut self, world: World<'_>) -> Result<(), Broken> {
        if !self.seen.insert(key(&world)) {
            return Ok(());
        }
        let mut actions = Vec::new();
        let n_onward = world.actions(&mut actions);
        if n_onward == 0 {
            self.explored.ends += 1;
            check(world.has_ended(), Rule::RunEnds, || "nothing is left to happen".to_owned())?;
        }
        check(self.path.len() < STEPS_MAX, Rule::RunEnds, || "it goes on and on".to_owned())?;
        let Some(last) = actions.pop() else { return Ok(()) };
        for action in actions {
            self.step(world.fork(), action)?;
        }
        self.step(world, last)
    }

    fn step(&mut self, mut world: World<'_>, action: Action) -> Result<(), Broken> {
        self.path.push(action);
        self.explored.steps += 1;
        world.perform(action)?;
        self.from(world)?;
        self.path.pop();
        Ok(())
    }
}

fn key(world: &World<'_>) -> Box<[u8]> {
    let (bytes, ledger) = (Vec::with_capacity(256), &world.store.ledger);
    let mut key = Key { bytes, case: world.case, ledger, now: world.now };
    key.ledger();
    key.state(&world.store.replayed);
    key.worker(&world.owner);
    match &world.zombie {
        Some(zombie) if zombie.is_awake => key.worker(zombie),
        zombie => key.number(u32::from(zombie.is_some())),
    }
    key.bytes.push(world.n_hands);
    key.bytes.push(world.n_asks);
    key.number(u32::from(world.is_held));
    key.number(world.requested.map_or(0, |ask| match ask {
        Ask::Pause => 1,
        Ask::Cancel => 2,
        Ask::Deadline | Ask::GiveUp(..) | Ask::Again => 3,
    }));
    key.number(u32::from(world.n_handed > 0));
    key.bytes.into_boxed_slice()
}

struct Key<'a> {
    bytes: Vec<u8>,
    case: &'a Case,
    ledger: &'a Ledger,
    now: Timestamp,
}

impl Key<'_> {
    /// Numbers of a small case are small.
    fn number(&mut self, number: u32) {
        assert!(number < 256, "{number} does not fit into a key");
        self.bytes.push(number as u8);
    }

    fn length(&mut self, length: usize) {
        self.number(length as u32);
    }

    fn task_run(&mut self, key: TaskRunKey) {
        self.number(key.task);
        self.number(key.map_index.map_or(255, |index| index));
    }

    /// An attempt, counted from the last one in the log.
    fn attempt(&mut self, key: TaskRunKey, attempt: u32) {
        let logged = self.ledger.entry(key).map_or(0, |entry| entry.attempt);
        self.bytes.push((attempt as u8).wrapping_sub(logged as u8));
    }

    fn due(&mut self, due: Timestamp) {
        self.number(due.since(self.now).as_secs() as u32);
    }

    fn worker(&mut self, worker: &Worker) {
        self.state(&worker.state);
        self.length(worker.ready.len());
        worker.ready.iter().for_each(|key| self.task_run(*key));
        // Which slot is whose does not matter, nor does the order in which they were taken.
        let mut slots = worker.slots.clone();
        slots.sort_unstable();
        self.length(slots.len());
        for (key, attempt) in slots {
            self.task_run(key);
            self.number(u32::from(attempt.is_some()));
        }
        self.length(worker.timers.len());
        for (key, due) in &worker.timers {
            self.task_run(*key);
            self.due(*due);
        }
        self.number(worker.answer.map_or(255, |n| (n - worker.state.n_durable.min(n)) as u32));
        let (case, ledger) = (self.case, self.ledger);
        let ended = |key: TaskRunKey| ledger.entry(key).is_some_and(|entry| entry.end.is_some());
        for (key, attempt) in worker.executed.iter().filter(|(key, _)| !ended(*key)) {
            self.task_run(*key);
            self.attempt(*key, *attempt);
        }
        self.number(255);
        for (task, n) in worker.resumed.iter().filter(|(task, _)| !ledger.task_succeeded(case, *task)) {
            self.bytes.push(*task as u8);
            self.bytes.push(*n as u8);
        }
        self.number(255);
        self.number(u32::from(worker.is_shutting_down));
        self.number(u32::from(worker.all_called_off));
        worker.called_off.iter().for_each(|key| self.task_run(*key));
        self.number(255);
        self.length(worker.calls.len());
        for call in &worker.calls {
            self.task_run(call.unwrap_or(TaskRunKey { task: 255, map_index: None }));
        }
        self.gathered(worker);
    }

    fn gathered(&mut self, worker: &Worker) {
        self.length(worker.gathered.len());
        for (_, record) in &worker.gathered {
            let (what, fact) = match record {
                Record::Fact(fact) => (0, Some(fact)),
                Record::Note(fact) => (1, Some(fact)),
                Record::End(_) => (2, None),
                Record::Hold => (3, None),
            };
            self.number(what);
            let Some(fact) = fact else { continue };
            self.task_run(fact.key);
            self.attempt(fact.key, fact.attempt);
            match &fact.kind {
                FactKind::Started => self.number(0),
                FactKind::Succeeded { .. } => self.number(1),
                FactKind::Failed { retry_at: None, .. } => self.number(2),
                FactKind::Failed { retry_at: Some(due), .. } => {
                    self.number(3);
                    self.due(*due);
                }
                FactKind::Interrupted { .. } => self.number(4),
                FactKind::Expanded { .. } => self.number(5),
                FactKind::Skipped { .. } => self.number(6),
                FactKind::Cancelled => self.number(7),
                FactKind::Cleared => self.number(8),
                FactKind::Called => self.number(9),
                FactKind::Stopped { running } => {
                    self.number(10);
                    self.length(running.len());
                    for index in running {
                        self.number(*index);
                    }
                }
            }
        }
    }

    /// What the replayed state does not say.
    fn ledger(&mut self) {
        let uncalled = self.ledger.entries().iter().filter(|(_, entry)| entry.end.is_some() && !entry.called);
        let uncalled: Vec<_> = uncalled.filter(|_| self.case.limits.calls).map(|(key, _)| *key).collect();
        for key in uncalled {
            self.task_run(key);
        }
        self.number(u32::from(self.ledger.again));
        self.ledger.enough.left_out.iter().for_each(|key| self.task_run(*key));
        self.number(255);
        for (task, width) in &self.ledger.enough.widths {
            self.number(*task);
            self.number(*width);
        }
        self.number(255);
        self.ledger.given_up.iter().for_each(|key| self.task_run(*key));
        self.number(255);
        for (key, entry) in self.ledger.entries().iter().filter(|(_, entry)| entry.end.is_none()) {
            self.task_run(*key);
            self.number(u32::from(entry.attempt > entry.before));
            self.number(u32::from(entry.orphaned));
            self.due(entry.due.unwrap_or(self.now));
            self.number(entry.n_kills);
            if self.case.counts_attempts(*key) {
                self.number(entry.attempt);
            }
            if self.case.limits.can_poison() {
                self.number(entry.deaths);
            }
        }
        self.number(255);
        self.ledger.failed().iter().for_each(|key| self.task_run(*key));
        self.number(255);
        self.number(u32::from(self.ledger.has_ended()));
    }

    /// Every field by name, so that a new one is not forgotten here.
    fn state(&mut self, state: &RunState) {
        let RunState {
            id: _,
            plan: _,
            input: _,
            poison_deaths: _,
            nodes,
            scopes: _,
            n_open,
            n_skipped: _, // Follows from the nodes.
            failures,
            n_persisted: _,
            n_durable: _,
            awaited,
            phase,
            halt,
            given_up,
            attempts_before: _,
            n_calls,
            conclusion: _,
        } = state;
        self.number(*n_calls);
        for key in given_up {
            self.task_run(*key);
        }
        self.number(255);
        self.number(match halt {
            None => 0,
            Some(Halt::Pausing) => 1,
            Some(Halt::Cancelling) => 2,
            Some(Halt::Late(_)) => 3,
        });
        self.number(*n_open);
        self.number(match phase {
            Phase::Replaying => 0,
            Phase::Running => 1,
            Phase::Ending => 2,
            Phase::Ended => 3,
            Phase::Calling => 4,
        });
        self.length(failures.len());
        for (task, failure) in failures {
            self.number(*task);
            self.number(failure.map_index.map_or(255, |index| index));
        }
        (0..).zip(nodes).for_each(|(task, node)| self.node(task, node));
        self.length(awaited.len());
        for awaited in awaited {
            match awaited {
                Awaited::Start(key) => {
                    self.number(0);
                    self.task_run(*key);
                }
                Awaited::Retry(key, due) => {
                    self.number(1);
                    self.task_run(*key);
                    self.due(*due);
                }
                Awaited::Settle(key) => {
                    self.number(2);
                    self.task_run(*key);
                }
                Awaited::End => self.number(3),
                Awaited::Nothing => self.number(4),
                Awaited::Hold => self.number(5),
                Awaited::Empty(task) => {
                    self.number(6);
                    self.number(*task);
                }
                Awaited::Stop(task) => {
                    self.number(7);
                    self.number(*task);
                }
            }
        }
    }

    fn node(&mut self, task: u32, node: &Node) {
        let Node { missing, stage } = node;
        self.number(*missing);
        match stage {
            Stage::Waiting => self.number(0),
            Stage::Skipped(Skip { root, reason }) => {
                self.number(1);
                self.number(*root);
                self.number(u32::from(reason.is_some()));
            }
            Stage::Single(run) => {
                self.number(2);
                self.run(TaskRunKey { task, map_index: None }, run);
            }
            Stage::Map(map) => {
                let Map {
                    form,
                    runs,
                    n_undecided,
                    n_undurable,
                    n_failed,
                    n_skipped: _, // Follows from the task runs.
                    n_items,
                    n_durable_items,
                    is_open,
                    is_stopped,
                    cut_by,
                    has_enough,
                    tally: _, // Its count is that of the successes.
                    gathered: _,
                    values: _,
                } = &**map;
                self.number(3);
                self.number(match form {
                    Form::List => 0,
                    Form::Stream => 1,
                    Form::Tree => 2,
                    Form::Steps => 3,
                });
                self.number(*n_items);
                self.number(*n_durable_items);
                self.number(u32::from(*is_stopped) + 2 * u32::from(*has_enough) + 4 * u32::from(*is_open));
                self.number(cut_by.map_or(255, |task| task));
                self.length(runs.len());
                self.number(*n_undecided);
                self.number(*n_undurable);
                self.number(*n_failed);
                for (index, run) in (0..).zip(runs) {
                    self.run(TaskRunKey { task, map_index: Some(index) }, run);
                }
            }
        }
    }

    fn run(&mut self, key: TaskRunKey, run: &TaskRun) {
        let TaskRun {
            attempt,
            n_failures,
            deaths,
            cautious,
            state,
            called,
            started_at: _,
            ended_at: _,
            failure: _,
        } = run;
        self.number(u32::from(*called));
        match state {
            State::Ready => self.number(0),
            State::Starting => self.number(1),
            State::Running => self.number(2),
            State::Backoff { due } => {
                self.number(3);
                self.due(*due);
            }
            State::Succeeded { .. } => self.number(4),
            State::Failed => self.number(5),
            State::Skipped => self.number(6),
            State::Held { missing } => self.number(7 + u32::from(*missing)),
        }
        if run.has_ended() {
            return;
        }
        self.attempt(key, *attempt);
        self.number(*n_failures);
        self.number(u32::from(*cautious));
        if self.case.limits.can_poison() {
            self.number(*deaths);
        }
    }
}
