//! The world around the state machine: a store, the worker that owns the run, and perhaps one that
//! owned it before and does not know.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use super::action::{Action, Who};
use super::case::{Ask, Case};
use super::ledger::Ledger;
use super::plant::Plant;
use super::rule::{Broken, Checked, Rule, check, name};
use super::store::{Store, fresh, panicked, replay};
use super::worker::{Record, Worker};
use crate::error::FailureKind;
use crate::run::task_run::Stage;
use crate::run::{Clearing, Conclusion, Effect, Event, Fact, FactKind, RunState, TaskRunKey, since_cleared};
use crate::time::Timestamp;

#[derive(Debug)]
pub(super) struct World<'a> {
    pub(super) case: &'a Case,
    pub(super) plant: Option<Plant>,
    /// Look at what happens only, not into the state.
    pub(super) is_blind: bool,
    pub(super) store: Store,
    pub(super) owner: Worker,
    pub(super) zombie: Option<Worker>,
    pub(super) now: Timestamp,
    /// How often the run may still change hands.
    pub(super) n_hands: u8,
    /// How often it went to another worker because one died, lost its lease or shut down.
    pub(super) n_handed: u32,
    /// How often somebody may still ask something of it.
    pub(super) n_asks: u8,
    /// What is asked of it and is not over.
    pub(super) requested: Option<Ask>,
    /// Nobody has it: it is paused, or waits to be taken up.
    pub(super) is_held: bool,
}

impl<'a> World<'a> {
    /// A worker has claimed the run for the first time.
    pub(super) fn new(case: &'a Case, plant: Option<Plant>, is_blind: bool) -> Result<Self, Broken> {
        let store = Store {
            log: Rc::default(),
            last_place: 0,
            last_epoch: 0,
            epoch: 0,
            ledger: Ledger::new(case),
            replayed: Rc::new(fresh(case)),
            has_end: false,
        };
        let owner = Worker::new(fresh(case), 0);
        let now = Timestamp::default();
        let (n_hands, n_asks) = (case.limits.n_hands, case.limits.n_asks);
        let mut world = Self {
            case,
            plant,
            is_blind,
            store,
            owner,
            zombie: None,
            now,
            n_hands,
            n_handed: 0,
            n_asks,
            requested: None,
            is_held: false,
        };
        world.tell(Who::Owner, Event::Begin { epoch: 0 })?;
        Ok(world)
    }

    pub(super) fn fork(&self) -> Self {
        Self {
            store: self.store.fork(),
            owner: self.owner.fork(),
            zombie: self.zombie.as_ref().map(Worker::fork),
            ..*self
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.store.has_end
    }

    pub(super) fn perform(&mut self, action: Action) -> Checked {
        match action {
            Action::Dispatch { who, key, note } => {
                let worker = self.worker(who);
                worker.ready.retain(|ready| *ready != key);
                worker.slots.push((key, None));
                worker.notes = note;
                let (n_produced, n_slots) = (worker.n_produced, worker.slots.len());
                self.tell(who, Event::Dispatched { key })?;
                let worker = self.worker(who);
                let started = worker.slots.last().is_some_and(|(_, attempt)| attempt.is_some());
                let heard = worker.slots.len() == n_slots && (started || worker.n_produced > n_produced);
                let heard = heard
                    || self.store.ledger.is_given_up(key)
                    || self.worker(who).state.is_stopped(key.task);
                check(heard, Rule::AskedOnce, || {
                    format!("{} was ready and does not start", name(self.case, key))
                })
            }
            Action::Return { who, key } => self.give_back(who, key),
            Action::Interrupt { who, key } => {
                let attempt = self.worker(who).leave(key);
                if self.plant == Some(Plant::DropsInterruptions) {
                    return Ok(());
                }
                self.tell(who, Event::Interrupted { key, attempt })
            }
            Action::Write { n } => self.write(Who::Owner, n),
            Action::Refuse => {
                let n = self.worker(Who::Zombie).gathered.len();
                self.write(Who::Zombie, n)
            }
            Action::Sleep => {
                self.zombie = self.zombie.take().filter(|zombie| !zombie.gathered.is_empty());
                self.zombie.iter_mut().for_each(|zombie| zombie.is_awake = false);
                Ok(())
            }
            Action::Answer { who } => {
                let n = self.worker(who).answer.take().expect("an answer is there");
                self.tell(who, Event::Committed { n })?;
                if self.plant == Some(Plant::DecidesBySkipsAtOnce) {
                    self.decide(who, |state, task| {
                        matches!(state.nodes[task as usize].stage, Stage::Skipped(_))
                    })?;
                }
                if who == Who::Owner { self.compare() } else { Ok(()) }
            }
            Action::Due { who, key } => {
                self.worker(who).timers.retain(|(timer, _)| *timer != key);
                self.tell(who, Event::Due { key })
            }
            Action::Tick => {
                self.now = self.next_moment().expect("somebody waits");
                Ok(())
            }
            Action::Shutdown => {
                self.n_hands -= 1;
                self.owner.is_shutting_down = true;
                Ok(())
            }
            Action::Release => self.hand_over(false).map(drop),
            Action::Crash => {
                self.n_hands = self.n_hands.saturating_sub(1);
                if self.plant == Some(Plant::LosesTheLastFact) {
                    Rc::make_mut(&mut self.store.log).pop();
                }
                self.hand_over(true).map(drop)
            }
            Action::TakeOver => {
                self.n_hands -= 1;
                self.zombie = Some(self.hand_over(true)?);
                Ok(())
            }
            Action::Ask(ask) => {
                self.n_asks -= 1;
                self.ask(ask)
            }
            Action::Resume => {
                self.requested = None;
                if self.is_held { Ok(()) } else { self.tell(Who::Owner, Event::Resume) }
            }
            Action::Claim => self.take_up().map(drop),
            Action::CallReturns { who, call } => {
                self.worker(who).calls.retain(|other| *other != call);
                self.tell(who, call.map_or(Event::RunCalled, |key| Event::Called { key }))
            }
        }
    }

    /// The owner dies, loses its lease or lets go; a paused run then waits for somebody to ask that it go on.
    fn hand_over(&mut self, died: bool) -> Result<Worker, Broken> {
        self.store.ledger.hand_over(died);
        self.n_handed += 1;
        if self.requested == Some(Ask::Pause) {
            self.is_held = true;
            self.store.epoch += 1;
            return Ok(std::mem::replace(&mut self.owner, Worker::new(fresh(self.case), self.store.epoch)));
        }
        self.take_up()
    }

    fn ask(&mut self, ask: Ask) -> Checked {
        if !matches!(ask, Ask::GiveUp(..) | Ask::Again) {
            self.requested = Some(ask);
        }
        match ask {
            Ask::GiveUp(task, map_index) => {
                let key = TaskRunKey { task, map_index };
                self.store.ledger.given_up.insert(key);
                let fact = Fact { key, attempt: 0, at: self.now, kind: FactKind::Cancelled };
                self.store.append(&[fact]);
                if self.plant == Some(Plant::LosesAGivingUp) {
                    return Ok(());
                }
                self.tell(Who::Owner, Event::CancelTask { key })
            }
            Ask::Again => {
                let mut ended = self.store.replayed.fork();
                self.store.ledger.how_it_ended().into_iter().for_each(|how| ended.conclude(how.clone()));
                let cleared = ended.clearing(&Clearing::Failed, self.now);
                let cleared =
                    cleared.map_err(|error| Broken { rule: Rule::RunEnds, how: error.to_string() })?;
                self.store.ledger.reopen(self.case, &cleared);
                self.store.append(&cleared);
                self.store.has_end = false;
                self.store.reread(self.case)?;
                self.requested = None;
                self.hand_over(false).map(drop)
            }
            Ask::Pause | Ask::Cancel | Ask::Deadline => self.tell_requested(),
        }
    }

    /// Tells the owner what is asked of its run.
    fn tell_requested(&mut self) -> Checked {
        let event = match self.requested {
            Some(Ask::Pause) => Event::Pause,
            Some(Ask::Cancel) => Event::Cancel,
            Some(Ask::Deadline) => Event::Deadline { deadline: self.now },
            Some(Ask::GiveUp(..) | Ask::Again) | None => return Ok(()),
        };
        self.tell(Who::Owner, event)?;
        if self.plant == Some(Plant::ForgetsTheHalt) {
            self.owner.state.halt = None;
        }
        Ok(())
    }

    fn worker(&mut self, who: Who) -> &mut Worker {
        match who {
            Who::Owner => &mut self.owner,
            Who::Zombie => self.zombie.as_mut().expect("a zombie acts"),
        }
    }

    fn give_back(&mut self, who: Who, key: TaskRunKey) -> Checked {
        let (case, again) = (self.case, self.store.ledger.again);
        let worker = self.worker(who);
        let attempt = worker.leave(key);
        let result = case.body(&worker.state, key, attempt, again);
        if let Ok(returned) = &result {
            let expected = self.store.ledger.expected.output(key);
            check(Some(&returned.output) == expected, Rule::SameOutcome, || {
                format!("{} returned {:?}", name(case, key), returned.output)
            })?;
        }
        let again = Event::Returned { key, attempt, result };
        self.tell(who, again.clone())?;
        if self.plant == Some(Plant::ReleasesOnReturn) {
            let (now, mut effects) = (self.now, Vec::new());
            self.worker(who).state.settled(key, now, &mut effects);
            effects.into_iter().try_for_each(|effect| self.follow(who, effect))?;
        }
        if self.plant == Some(Plant::DecidesOnReturn) {
            self.decide(who, |_, task| task == key.task)?;
        }
        // A call that answers twice, or a timer that is late, changes nothing.
        let late = [again, Event::Interrupted { key, attempt }, Event::Due { key }];
        let (now, worker) = (self.now, self.worker(who));
        for event in late {
            let effects = apply(&mut worker.state, now, event.clone())?;
            check(effects.is_empty(), Rule::AskedOnce, || format!("{event:?} led to {effects:?}"))?;
        }
        Ok(())
    }

    /// A planted bug: those decide who wait for none but tasks of which this is true.
    fn decide(&mut self, who: Who, settled: impl Fn(&RunState, u32) -> bool) -> Checked {
        let (case, now, mut effects) = (self.case, self.now, Vec::new());
        let state = &mut self.worker(who).state;
        for task in (0..case.plan.n_tasks() as u32).filter(|task| case.decides(*task)) {
            let is_waiting = matches!(state.nodes[task as usize].stage, Stage::Waiting);
            if is_waiting && case.before(task).all(|(other, _)| settled(state, other)) {
                state.start(task, now, &mut effects);
            }
        }
        effects.into_iter().try_for_each(|effect| self.follow(who, effect))
    }

    fn write(&mut self, who: Who, n: usize) -> Checked {
        let (case, plant) = (self.case, self.plant);
        let worker = match who {
            Who::Owner => &mut self.owner,
            Who::Zombie => self.zombie.as_mut().expect("a zombie acts"),
        };
        if worker.epoch != self.store.epoch && plant != Some(Plant::NoFence) {
            self.zombie = None;
            return Ok(());
        }
        let mut batch: Vec<_> = worker.gathered.drain(..n).collect();
        let has_end = matches!(batch.last(), Some((_, Record::End(_) | Record::Hold)));
        if plant == Some(Plant::ReordersABatch) && !has_end {
            batch.reverse();
        }
        let n_before = worker.n_written;
        for (place, record) in batch {
            self.store.take(case, worker.epoch, place, &record, plant)?;
            self.is_held |= matches!(record, Record::Hold);
            let counts = !matches!(record, Record::Note(_)) || plant == Some(Plant::CountsNotes);
            worker.n_written += u64::from(counts);
        }
        if worker.n_written > n_before {
            worker.answer = Some(worker.n_written);
        }
        self.compare()
    }

    /// The next owner takes the run up; the one before is handed back.
    fn take_up(&mut self) -> Result<Worker, Broken> {
        self.store.epoch += 1;
        let mut state = fresh(self.case);
        let forgotten = usize::from(self.plant == Some(Plant::ForgetsTheFirstFact));
        let log: Vec<Fact> = self.store.log.iter().map(|fact| Fact::clone(fact)).collect();
        let counts = if self.plant == Some(Plant::ReadsWhatWasCleared) {
            log.iter().collect()
        } else {
            since_cleared(&log)
        };
        for fact in counts.into_iter().skip(forgotten) {
            let is_forgotten = match fact.kind {
                FactKind::Cancelled => self.plant == Some(Plant::ForgetsWhoWasGivenUp),
                FactKind::Called => self.plant == Some(Plant::ForgetsCalls),
                FactKind::Started => self.plant == Some(Plant::CountsAnew),
                FactKind::Skipped { .. } => self.plant == Some(Plant::ForgetsDecisions),
                FactKind::Stopped { .. } => self.plant == Some(Plant::ForgetsStops),
                _ => false,
            };
            if is_forgotten {
                continue;
            }
            replay(&mut state, fact)?;
        }
        state.misremember(self.plant);
        let mut owner = Worker::new(state, self.store.epoch);
        let tasks = 0..self.case.plan.n_tasks() as u32;
        let ledger = &self.store.ledger;
        let is_resumed = self.n_handed > 0;
        let ready = |task: &u32| is_resumed && ledger.may_begin(self.case, *task).is_ok();
        owner.resumed = tasks.filter(ready).map(|task| (task, ledger.n_may_begin(self.case, task))).collect();
        let before = std::mem::replace(&mut self.owner, owner);
        self.is_held = false;
        if self.plant != Some(Plant::ForgetsRequests) {
            self.tell_requested()?;
        }
        self.tell(Who::Owner, Event::Begin { epoch: self.n_handed })?;
        if self.plant == Some(Plant::NeverCautious) {
            self.owner.state.misremember(self.plant);
        }
        if self.plant == Some(Plant::ForgetsTimersOnResume) {
            self.owner.timers.clear();
        }
        self.compare()?;
        Ok(before)
    }

    fn tell(&mut self, who: Who, event: Event) -> Checked {
        let now = self.now;
        let effects = apply(&mut self.worker(who).state, now, event)?;
        for effect in effects {
            self.follow(who, effect)?;
        }
        Ok(())
    }

    fn follow(&mut self, who: Who, effect: Effect) -> Checked {
        let (case, plant) = (self.case, self.plant);
        let worker = self.worker(who);
        match effect {
            Effect::Ready(key) => {
                let known = worker.ready.contains(&key) || worker.slots.iter().any(|(slot, _)| *slot == key);
                check(!known, Rule::AskedOnce, || format!("{} is ready twice", name(case, key)))?;
                worker.ready.push(key);
                worker.ready.sort_unstable();
                Ok(())
            }
            Effect::Execute { key, attempt } => self.execute(who, key, attempt),
            Effect::Persist(fact) => {
                self.store.ledger.may_tell(case, &fact)?;
                let worker = self.worker(who);
                let start = (fact.kind == FactKind::Started).then_some((fact.key, fact.attempt));
                worker.gather(Record::Fact(Rc::new(fact)));
                if plant == Some(Plant::AnswersEarly) {
                    worker.answer = Some(worker.state.n_persisted());
                }
                match start {
                    Some((key, attempt)) if plant == Some(Plant::StartsUnrecorded) => {
                        self.execute(who, key, attempt)
                    }
                    _ => Ok(()),
                }
            }
            Effect::Note(fact) => {
                if worker.notes {
                    worker.gather(Record::Note(Rc::new(fact)));
                }
                Ok(())
            }
            Effect::Arm { key, at } => {
                let known = worker.timers.iter().any(|(timer, _)| *timer == key);
                check(!known, Rule::AskedOnce, || format!("{} has two timers", name(case, key)))?;
                worker.timers.push((key, at));
                worker.timers.sort_unstable_by_key(|(key, _)| *key);
                Ok(())
            }
            Effect::End(mut end) => {
                let requested = self.requested.filter(|_| who == Who::Owner);
                let how = format!("{end:?}");
                let as_asked = match (&end.how, requested) {
                    (Conclusion::Cancelled, asked) => asked == Some(Ask::Cancel),
                    (Conclusion::Failed(failure), Some(Ask::Deadline)) => {
                        failure.failure.kind == FailureKind::Timeout
                    }
                    (_, asked) => !matches!(asked, Some(Ask::Cancel | Ask::Deadline)),
                };
                // A zombie does not know what is asked; its end is refused. A run whose own callback was
                // called ends as that was told.
                let is_excused = who == Who::Zombie || self.case.limits.calls;
                check(as_asked || is_excused, Rule::EndsAsAsked, || how)?;
                let worker = self.worker(who);
                let first = worker.state.failures.first();
                match plant {
                    Some(Plant::HandlesNothing) => {
                        let failure = first.map(|(_, failure)| failure.clone());
                        end.how = failure.map_or(Conclusion::Succeeded, Conclusion::Failed);
                    }
                    Some(Plant::HandlesByTelling)
                        if first.is_none_or(|(task, _)| case.handlers(*task).next().is_some()) =>
                    {
                        end.how = Conclusion::Succeeded;
                    }
                    _ => {}
                }
                worker.gather(Record::End(Rc::new(end)));
                if plant == Some(Plant::AnswersTheEndEarly) {
                    worker.answer = Some(worker.state.n_persisted());
                }
                Ok(())
            }
            Effect::Withdraw => {
                if plant != Some(Plant::ForgetsTheHalt) {
                    worker.ready.clear();
                }
                Ok(())
            }
            Effect::Vacate(key) => {
                let slot = worker.slots.iter().position(|(slot, attempt)| *slot == key && attempt.is_none());
                check(slot.is_some(), Rule::AskedOnce, || format!("{} has no slot", name(case, key)))?;
                slot.map(|slot| worker.slots.remove(slot));
                Ok(())
            }
            Effect::CallOff(None) => {
                worker.all_called_off = true;
                Ok(())
            }
            Effect::CallOff(Some(key)) => {
                worker.called_off.push(key);
                Ok(())
            }
            Effect::Call(key) => {
                worker.calls.push(Some(key));
                let entry = self.store.ledger.entry(key);
                let is_due = entry.is_some_and(|entry| entry.end.is_some() && !entry.called);
                check(is_due || who == Who::Zombie, Rule::CalledBack, || {
                    format!("{} is called", name(case, key))
                })
            }
            Effect::CallRun => {
                worker.calls.push(None);
                let all_durable = worker.gathered.is_empty() && worker.answer.is_none();
                check(all_durable, Rule::CalledBack, || "the run is called".to_owned())
            }
            Effect::Hold => {
                let is_quiet =
                    worker.slots.is_empty() && worker.gathered.is_empty() && worker.calls.is_empty();
                worker.gather(Record::Hold);
                let is_asked = self.requested == Some(Ask::Pause) || who == Who::Zombie;
                check(is_quiet && is_asked, Rule::LetGoQuietly, || format!("quiet: {is_quiet}"))
            }
            Effect::Held => check(self.is_held, Rule::AcknowledgedIsDurable, || {
                "the run was told to be let go".to_owned()
            }),
            Effect::Ended => check(self.store.ledger.has_ended(), Rule::AcknowledgedIsDurable, || {
                "the run was told to have ended".to_owned()
            }),
        }
    }

    fn execute(&mut self, who: Who, key: TaskRunKey, attempt: u32) -> Checked {
        let (case, now) = (self.case, self.now);
        let told = || format!("attempt {attempt} of {}", name(case, key));
        let worker = self.worker(who);
        let slot = worker.slots.iter_mut().find(|(slot, attempt)| *slot == key && attempt.is_none());
        let held = slot.map(|slot| slot.1 = Some(attempt)).is_some();
        check(held, Rule::AskedOnce, || format!("{} has no slot", told()))?;
        let before = worker.executed.iter_mut().find(|(executed, _)| *executed == key);
        let is_first = before.is_none();
        let grows = before.is_none_or(|before| std::mem::replace(&mut before.1, attempt) < attempt);
        check(grows, Rule::AskedOnce, told)?;
        if is_first {
            worker.executed.push((key, attempt));
            worker.executed.sort_unstable();
        }
        let index = key.map_index.unwrap_or_default();
        let cautious = is_first && worker.resumed.iter().any(|(task, n)| *task == key.task && index < *n);
        let is_halted = self.requested.is_some() && who == Who::Owner;
        check(!is_halted, Rule::HaltedStartsNothing, told)?;
        let ledger = &mut self.store.ledger;
        if who == Who::Zombie {
            // What it does that the owner has done too cannot be helped; what it rests on must be there.
            return ledger.run_may_begin(case, key);
        }
        ledger.may_start(case, key, attempt, cautious, now)?;
        if case.kills(key) { ledger.count_kill(case, key) } else { Ok(()) }
    }
}

fn apply(state: &mut RunState, at: Timestamp, event: Event) -> Result<Vec<Effect>, Broken> {
    let mut effects = Vec::new();
    catch_unwind(AssertUnwindSafe(|| state.apply(at, event, &mut effects))).map_err(|_| panicked())?;
    Ok(effects)
}
