//! What was ever committed, and what the rules say of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::case::Case;
use super::expected::{End, Enough, Outcome};
use super::rule::{Checked, Rule, check, name};
use crate::error::FailureKind;
use crate::run::{Conclusion, Fact, FactKind, RunEnd, TaskRunKey};
use crate::time::Timestamp;

/// What the log says of one task run.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(super) struct Entry {
    /// The last attempt that is told of.
    pub(super) attempt: u32,
    /// It has begun and not ended.
    pub(super) in_flight: bool,
    /// It began under an owner that is gone.
    pub(super) orphaned: bool,
    /// Deaths of workers in a row that found it in flight.
    pub(super) deaths: u32,
    pub(super) n_failures: u32,
    pub(super) end: Option<Ended>,
    /// Executions of a body that kills its worker.
    pub(super) n_kills: u32,
    /// Attempts from before it was done again.
    pub(super) before: u32,
    /// The callback of its end has returned.
    pub(super) called: bool,
    /// When its next attempt is due, after a failure.
    pub(super) due: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Ended {
    Succeeded,
    Failed,
    Poison,
    /// It was given up.
    GivenUp,
    Expanded(u32),
    /// It decided not to run.
    Declined,
    /// It is skipped because its task has enough.
    LeftOut,
}

/// What was ever committed, by task run. Unlike the log it forgets nothing, even where the store does.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    /// What an undisturbed execution makes of the case, where what is poison so far fails as that.
    pub(super) expected: Arc<Outcome>,
    /// In the order of the keys.
    entries: Vec<(TaskRunKey, Entry)>,
    /// The first failed task run of each failed task, in the order of the log.
    failed: Vec<TaskRunKey>,
    end: Option<RunEnd>,
    pub(super) given_up: BTreeSet<TaskRunKey>,
    /// Whether what failed is being done again.
    pub(super) again: bool,
    /// What is known of the tasks that had enough.
    pub(super) enough: Enough,
}

impl Ledger {
    pub(super) fn new(case: &Case) -> Self {
        let expected = Arc::clone(&case.undisturbed);
        let given_up = BTreeSet::new();
        let enough = Enough::default();
        Self { expected, entries: Vec::new(), failed: Vec::new(), end: None, given_up, again: false, enough }
    }

    /// Whether this task run was given up, alone or with its task.
    pub(super) fn is_given_up(&self, key: TaskRunKey) -> bool {
        self.given_up.contains(&key) || self.given_up.contains(&TaskRunKey { map_index: None, ..key })
    }

    /// The run has failed; these task runs are to be done again.
    pub(super) fn reopen(&mut self, case: &Case, cleared: &[Fact]) {
        for fact in cleared {
            let entry = self.entry_mut(fact.key);
            let attempt = entry.attempt;
            *entry = Entry { attempt, before: attempt, ..Entry::default() };
            self.failed.retain(|failed| *failed != fact.key);
            self.given_up.retain(|key| key.task != fact.key.task);
            self.enough.widths.remove(&fact.key.task);
            self.enough.left_out.retain(|key| key.task != fact.key.task);
            for (key, entry) in &mut self.entries {
                if key.task == fact.key.task && entry.end == Some(Ended::LeftOut) {
                    entry.end = None;
                }
            }
        }
        self.end = None;
        self.again = true;
        self.expected = Arc::new(case.outcome(&[], true, &self.enough));
    }

    pub(super) fn how_it_ended(&self) -> Option<&Conclusion> {
        self.end.as_ref().map(|end| &end.how)
    }

    pub(super) fn entries(&self) -> &[(TaskRunKey, Entry)] {
        &self.entries
    }

    pub(super) fn failed(&self) -> &[TaskRunKey] {
        &self.failed
    }

    pub(super) fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    pub(super) fn entry(&self, key: TaskRunKey) -> Option<&Entry> {
        let position = self.entries.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        Some(&self.entries[position].1)
    }

    fn entry_mut(&mut self, key: TaskRunKey) -> &mut Entry {
        let position = self.entries.binary_search_by_key(&key, |(key, _)| *key).unwrap_or_else(|position| {
            self.entries.insert(position, (key, Entry::default()));
            position
        });
        &mut self.entries[position].1
    }

    pub(super) fn succeeded(&self, key: TaskRunKey) -> bool {
        self.entry(key).is_some_and(|entry| entry.end == Some(Ended::Succeeded))
    }

    /// Whether all of a task's task runs have succeeded, but for those that it did not need any more.
    pub(super) fn task_succeeded(&self, case: &Case, task: u32) -> bool {
        let planned = case.plan.task(task);
        if !planned.is_dynamic() {
            return self.succeeded(TaskRunKey { task, map_index: None });
        }
        let has_list =
            || !planned.streams || case.before(task).all(|(other, _)| self.task_succeeded(case, other));
        has_list() && self.map_became(case, task, |ended| matches!(ended, Ended::Succeeded | Ended::LeftOut))
    }

    /// Whether all task runs of a task have ended thus, or are left out.
    fn map_became(&self, case: &Case, task: u32, thus: impl Fn(Ended) -> bool) -> bool {
        let is_one = |index: u32| {
            let key = TaskRunKey { task, map_index: Some(index) };
            let ended = self.entry(key).and_then(|entry| entry.end);
            let is_left_out = self.expected.ends.get(&key) == Some(&End::LeftOut);
            ended.map_or(is_left_out && thus(Ended::LeftOut), &thus)
        };
        // That there are none must be recorded, too: the task may still be given up before that.
        let is_empty = || {
            let whole = self.entry(TaskRunKey { task, map_index: None });
            case.plan.task(task).streams || whole.is_some_and(|entry| entry.end == Some(Ended::Expanded(0)))
        };
        let has_stop =
            self.enough.widths.contains_key(&task) || self.enough.left_out.iter().all(|key| key.task != task);
        has_stop
            && self.expected.widths[task as usize]
                .is_some_and(|width| (0..width).all(is_one) && (width > 0 || is_empty()))
    }

    /// Whether all that there is to know of a task is in the log. A task that is skipped because another
    /// did not succeed has no fact: its end is known when those of all that it waits for are.
    fn has_settled(&self, case: &Case, task: u32) -> bool {
        let end = self.entry(TaskRunKey { task, map_index: None }).and_then(|entry| entry.end);
        match end {
            Some(Ended::Succeeded | Ended::Failed | Ended::Poison | Ended::GivenUp | Ended::Declined) => true,
            Some(Ended::Expanded(_) | Ended::LeftOut) | None => {
                let planned = case.plan.task(task);
                let has_list =
                    || !planned.streams || case.before(task).all(|(other, _)| self.has_settled(case, other));
                let is_skipped = || {
                    let mut before = case.before(task);
                    let has_some = planned.streams && self.expected.runs(task);
                    !case.decides(task)
                        && !has_some
                        && case.before(task).all(|(other, _)| self.has_settled(case, other))
                        && before.any(|(other, _)| !self.task_succeeded(case, other))
                };
                (planned.is_dynamic() && has_list() && self.map_became(case, task, |_| true)) || is_skipped()
            }
        }
    }

    /// Whether a task may begin, by what is in the log: all that it waits for has settled, and has
    /// succeeded where it needs that. What takes elements as they come does not wait for their list.
    pub(super) fn may_begin(&self, case: &Case, task: u32) -> Checked {
        self.may_decide(case, task)?;
        let lacks =
            Self::before(case, task).find(|&(other, needs)| needs && !self.task_succeeded(case, other));
        check(lacks.is_none(), Rule::NeedsSuccess, || {
            let whole = TaskRunKey { task, map_index: None };
            format!("{} begins without {lacks:?}", name(case, whole))
        })?;
        check(self.expected.runs(task), Rule::DecidesAlike, || {
            format!("{} begins", name(case, TaskRunKey { task, map_index: None }))
        })
    }

    /// Whether a task run may begin: its task, and others of the task that it rests on are in the log.
    pub(super) fn run_may_begin(&self, case: &Case, key: TaskRunKey) -> Checked {
        self.may_begin(case, key.task)?;
        let planned = case.plan.task(key.task);
        let Some(index) = key.map_index else { return Ok(()) };
        let run = |task, index| TaskRunKey { task, map_index: Some(index) };
        let rests_on: Vec<TaskRunKey> = if planned.definition.steps {
            index.checked_sub(1).map(|before| run(key.task, before)).into_iter().collect()
        } else if planned.streams {
            planned.mapped_over().map(|(list, _)| run(list, index)).into_iter().collect()
        } else if planned.reduces().is_some() {
            let n = self.expected.widths[key.task as usize].unwrap_or_default();
            let two = [2 * index + 1, 2 * index + 2].into_iter();
            two.filter(|node| *node < n).map(|node| run(key.task, node)).collect()
        } else {
            Vec::new()
        };
        let missing = rests_on.into_iter().find(|other| !self.succeeded(*other));
        check(missing.is_none(), Rule::DurableFirst, || {
            format!("{} begins before {}", name(case, key), name(case, missing.unwrap_or(key)))
        })
    }

    /// How many task runs of a task may begin by what is in the log, so that those before may have.
    pub(super) fn n_may_begin(&self, case: &Case, task: u32) -> u32 {
        let planned = case.plan.task(task);
        if !planned.streams && !planned.definition.steps {
            return u8::MAX.into();
        }
        let run = |index| TaskRunKey { task, map_index: Some(index) };
        let n_max = u32::from(u8::MAX);
        (0..n_max).take_while(|index| self.run_may_begin(case, run(*index)).is_ok()).count() as u32
    }

    /// The tasks whose ends a task waits for before it begins.
    fn before(case: &Case, task: u32) -> impl Iterator<Item = (u32, bool)> + use<'_> {
        let planned = case.plan.task(task);
        let steps = planned.mapped_over().filter(|_| planned.streams).map(|(list, _)| list);
        case.before(task).filter(move |(other, _)| Some(*other) != steps)
    }

    fn may_decide(&self, case: &Case, task: u32) -> Checked {
        let settled = Self::before(case, task).all(|(other, _)| self.has_settled(case, other));
        check(settled, Rule::DurableFirst, || name(case, TaskRunKey { task, map_index: None }))
    }

    /// An owner asks to have a fact made durable.
    pub(super) fn may_tell(&self, case: &Case, fact: &Fact) -> Checked {
        match &fact.kind {
            FactKind::Called => return Ok(()),
            FactKind::Failed { failure, .. } if failure.kind == FailureKind::Cancelled => {
                return self.may_decide(case, fact.key.task);
            }
            FactKind::Skipped { .. } if fact.key.map_index.is_some() => return Ok(()),
            FactKind::Skipped { .. } if fact.attempt == 0 => {}
            FactKind::Stopped { .. } => return self.may_begin(case, fact.key.task),
            _ => return self.run_may_begin(case, fact.key),
        }
        self.may_decide(case, fact.key.task)?;
        let expected = self.expected.ends.get(&fact.key);
        check(expected == Some(&End::Declined), Rule::DecidesAlike, || {
            format!("{} is to be skipped", name(case, fact.key))
        })
    }

    /// Another owner takes over; where the one before died, what it had in flight may have killed it.
    pub(super) fn hand_over(&mut self, died: bool) {
        for (_, entry) in &mut self.entries {
            entry.deaths += u32::from(entry.in_flight && !entry.orphaned && died);
            entry.orphaned = entry.in_flight;
        }
    }

    pub(super) fn count_kill(&mut self, case: &Case, key: TaskRunKey) -> Checked {
        let entry = self.entry_mut(key);
        entry.n_kills += 1;
        let (n_kills, bound) = (entry.n_kills, case.limits.poison_deaths.saturating_add(1));
        // The first execution may have been too short to leave a trace.
        check(n_kills <= bound, Rule::PoisonEnds, || format!("{} killed {n_kills} workers", name(case, key)))
    }

    /// A fact was committed.
    pub(super) fn take(&mut self, case: &Case, fact: &Fact) -> Checked {
        let (key, attempt) = (fact.key, fact.attempt);
        let told = || format!("{:?} of attempt {attempt} of {}", fact.kind, name(case, key));
        check(self.end.is_none(), Rule::EndIsLast, told)?;
        let is_element = |(other, entry): &(TaskRunKey, Entry)| {
            other.task == key.task && *other != key && (entry.attempt > entry.before || entry.end.is_some())
        };
        let has_elements = self.entries.iter().any(is_element);
        let expected = Arc::clone(&self.expected);
        let is_given_up = self.is_given_up(key);
        let entry = self.entry_mut(key);
        if fact.kind == FactKind::Called {
            let is_due = entry.end.is_some() && !std::mem::replace(&mut entry.called, true);
            return check(is_due && entry.attempt == attempt, Rule::CalledBack, told);
        }
        if let FactKind::Stopped { running } = &fact.kind {
            return self.take_stop(case, key.task, running);
        }
        if matches!(fact.kind, FactKind::Skipped { .. }) && key.map_index.is_some() {
            check(entry.end.is_none(), Rule::FactOnce, told)?;
            check(attempt == entry.attempt || attempt == entry.attempt + 1, Rule::AttemptsCountUp, told)?;
            (entry.end, entry.attempt, entry.in_flight) = (Some(Ended::LeftOut), attempt, false);
            check(self.enough.widths.contains_key(&key.task), Rule::EnoughIsEnough, told)?;
            self.enough.left_out.insert(key);
            self.expected = Arc::new(case.outcome(&self.poison(), self.again, &self.enough));
            return Ok(());
        }
        check(entry.end != Some(Ended::Declined), Rule::DecidesOnce, told)?;
        if matches!(fact.kind, FactKind::Skipped { .. }) && attempt == 0 {
            let is_blank = entry.end.is_none() && entry.attempt == entry.before && !has_elements;
            entry.end = Some(Ended::Declined);
            check(is_blank, Rule::DecidesOnce, told)?;
            return check(attempt == 0, Rule::AttemptsCountUp, told);
        }
        check(entry.end.is_none() || attempt <= entry.attempt, Rule::NoSecondSuccess, told)?;
        check(entry.end.is_none(), Rule::FactOnce, told)?;
        if let FactKind::Expanded { n } = fact.kind {
            entry.end = Some(Ended::Expanded(n));
            return check(attempt == 0, Rule::AttemptsCountUp, told);
        }
        let begins = fact.kind == FactKind::Started;
        let poison =
            matches!(&fact.kind, FactKind::Failed { failure, .. } if failure.kind == FailureKind::Poison);
        let given_up =
            matches!(&fact.kind, FactKind::Failed { failure, .. } if failure.kind == FailureKind::Cancelled);
        let goes_on = entry.in_flight && !begins && entry.orphaned == poison;
        check(attempt != entry.attempt || goes_on, Rule::FactOnce, told)?;
        let next = if goes_on { entry.attempt } else { entry.attempt + 1 };
        check(attempt == next, Rule::AttemptsCountUp, told)?;
        entry.attempt = attempt;
        entry.in_flight = begins;
        entry.orphaned = false;
        let deaths = if begins { entry.deaths } else { std::mem::take(&mut entry.deaths) };
        match &fact.kind {
            FactKind::Succeeded { output, .. } => {
                entry.end = Some(Ended::Succeeded);
                check(expected.output(key) == Some(output), Rule::SameOutcome, told)?;
                let n = self.n_succeeded(key.task) as u32;
                let is_late = case.until(key.task).is_some_and(|enough| n > enough);
                check(!is_late || self.enough.widths.contains_key(&key.task), Rule::EnoughIsEnough, told)
            }
            FactKind::Failed { retry_at, failure, .. } => {
                let has_stopped = self.enough.widths.contains_key(&key.task);
                check(!has_stopped, Rule::EnoughIsEnough, told)?;
                let entry = self.entry_mut(key);
                entry.n_failures += 1;
                entry.due = *retry_at;
                let n_failures = entry.n_failures;
                if retry_at.is_none() {
                    entry.end = Some(match failure.kind {
                        FailureKind::Poison => Ended::Poison,
                        FailureKind::Cancelled => Ended::GivenUp,
                        // It failed by itself, and might have been tried again.
                        kind if is_given_up
                            && kind != FailureKind::Data
                            && n_failures < case.attempts(key) =>
                        {
                            Ended::GivenUp
                        }
                        _ => Ended::Failed,
                    });
                    if self.failed.iter().all(|failed| failed.task != key.task) {
                        self.failed.push(key);
                    }
                    if poison || is_given_up {
                        self.expected = Arc::new(case.outcome(&self.poison(), self.again, &self.enough));
                    }
                }
                check(!poison || deaths >= case.limits.poison_deaths, Rule::PoisonEnds, told)?;
                check(!given_up || is_given_up, Rule::GivenUpForGood, told)?;
                let is_data = failure.kind == FailureKind::Data;
                // The fact may be older than the giving up.
                let is_last = poison || is_data || n_failures == case.attempts(key);
                let last = is_last || (is_given_up && retry_at.is_none());
                check(retry_at.is_none() == last, Rule::PolicyHolds, told)
            }
            FactKind::Interrupted { .. } => {
                entry.n_kills = 0;
                Ok(())
            }
            FactKind::Skipped { .. } => {
                entry.end = Some(Ended::Declined);
                check(expected.ends.get(&key) == Some(&End::Refused), Rule::SameOutcome, told)
            }
            FactKind::Started
            | FactKind::Expanded { .. }
            | FactKind::Stopped { .. }
            | FactKind::Cancelled
            | FactKind::Cleared
            | FactKind::Called => Ok(()),
        }
    }

    fn n_succeeded(&self, task: u32) -> usize {
        let succeeded = |(key, entry): &&(TaskRunKey, Entry)| {
            key.task == task && key.map_index.is_some() && entry.end == Some(Ended::Succeeded)
        };
        self.entries.iter().filter(succeeded).count()
    }

    /// How many elements the steps of a task have given.
    fn n_items(&self, steps: u32) -> u32 {
        let gives = |index: &u32| {
            let step = TaskRunKey { task: steps, map_index: Some(*index) };
            self.succeeded(step) && self.expected.output(step).is_some_and(|item| !item.is_null())
        };
        (0..u32::from(u8::MAX)).take_while(gives).count() as u32
    }

    /// A task has enough: but for these, what has not ended by now is left out.
    fn take_stop(&mut self, case: &Case, task: u32, running: &[u32]) -> Checked {
        let told = || format!("{} stops", name(case, TaskRunKey { task, map_index: None }));
        let run = |index| TaskRunKey { task, map_index: Some(index) };
        let n_succeeded = self.n_succeeded(task) as u32;
        check(!self.enough.widths.contains_key(&task), Rule::FactOnce, told)?;
        let planned = case.plan.task(task);
        let width = if case.steps(task).is_some() {
            let takers = case.plan.dependants(task).iter();
            let all_have = takers.clone().all(|taker| self.enough.widths.contains_key(taker));
            check(all_have && takers.len() > 0, Rule::EnoughIsEnough, told)?;
            n_succeeded + 1 // The step after the last was there, whatever came of it.
        } else {
            let is_enough = case.until(task).is_some_and(|enough| n_succeeded >= enough);
            check(is_enough, Rule::EnoughIsEnough, told)?;
            match planned.mapped_over().filter(|_| planned.streams) {
                Some((list, _)) => self.n_items(list),
                None => self.expected.widths[task as usize].unwrap_or_default(),
            }
        };
        self.enough.widths.insert(task, width);
        let is_open = |index: &u32| self.entry(run(*index)).is_none_or(|entry| entry.end.is_none());
        let left_out = (0..width).filter(|index| is_open(index) && !running.contains(index)).map(run);
        let left_out: Vec<_> = left_out.collect();
        self.enough.left_out.extend(left_out);
        self.expected = Arc::new(case.outcome(&self.poison(), self.again, &self.enough));
        Ok(())
    }

    /// The run's end was committed.
    pub(super) fn take_end(&mut self, case: &Case, end: &RunEnd) -> Checked {
        check(self.end.is_none(), Rule::EndIsLast, || format!("{end:?}"))?;
        self.end = Some(end.clone());
        let is_uncalled = |(_, entry): &&(TaskRunKey, Entry)| {
            let calls =
                matches!(entry.end, Some(Ended::Succeeded | Ended::Failed | Ended::Poison | Ended::GivenUp));
            case.limits.calls && calls && !entry.called
        };
        let uncalled = self.entries.iter().find(is_uncalled);
        check(uncalled.is_none(), Rule::CalledBack, || format!("{uncalled:?} is not called back"))?;
        let is_late =
            matches!(&end.how, Conclusion::Failed(failure) if failure.failure.kind == FailureKind::Timeout);
        if is_late || end.how == Conclusion::Cancelled {
            return Ok(()); // Whether that was asked for was checked when it was decided.
        }
        for (&key, expected) in &self.expected.ends {
            let ended = self.entry(key).and_then(|entry| entry.end);
            let how = || format!("{} is {ended:?} where {expected:?} was expected", name(case, key));
            let (settled, agrees) = match expected {
                End::Succeeded(_) => (ended.is_some(), ended == Some(Ended::Succeeded)),
                End::Failed => {
                    (ended.is_some(), matches!(ended, Some(Ended::Failed | Ended::Poison | Ended::GivenUp)))
                }
                End::LeftOut => (true, matches!(ended, None | Some(Ended::LeftOut))),
                End::Skipped => (
                    true,
                    self.entry(key).is_none_or(|entry| ended.is_none() && entry.attempt == entry.before),
                ),
                End::Declined | End::Refused => (ended.is_some(), ended == Some(Ended::Declined)),
            };
            check(settled, Rule::EndIsLast, how)?;
            check(agrees, Rule::SameOutcome, how)?;
        }
        let is_handled =
            |key: &TaskRunKey| case.handlers(key.task).any(|handler| self.task_succeeded(case, handler));
        let first = self.failed.iter().find(|key| !is_handled(key));
        let first = first.map(|key| (case.plan.task(key.task).name.as_str(), key.map_index));
        let named = end.how.failure().map(|failure| (failure.task.as_str(), failure.map_index));
        check(named == first, Rule::HandledOnly, || format!("{named:?} is named instead of {first:?}"))
    }

    fn poison(&self) -> Vec<TaskRunKey> {
        let is_poison = |entry: &Entry| matches!(entry.end, Some(Ended::Poison | Ended::GivenUp));
        let poison = self.entries.iter().filter(|(_, entry)| is_poison(entry));
        poison.map(|(key, _)| *key).collect()
    }

    /// The owner of the run starts a body; a cautious start is in the log.
    pub(super) fn may_start(
        &self,
        case: &Case,
        key: TaskRunKey,
        attempt: u32,
        cautious: bool,
        now: Timestamp,
    ) -> Checked {
        let told = || format!("attempt {attempt} of {}", name(case, key));
        self.run_may_begin(case, key)?;
        check(!self.enough.widths.contains_key(&key.task), Rule::EnoughIsEnough, told)?;
        let whole = self.entry(TaskRunKey { map_index: None, ..key });
        let declined = whole.is_some_and(|entry| entry.end == Some(Ended::Declined));
        check(!declined, Rule::DecidesOnce, told)?;
        let blank = Entry::default();
        let entry = self.entry(key).unwrap_or(&blank);
        check(entry.end.is_none(), Rule::NoSecondSuccess, told)?;
        check(!self.is_given_up(key), Rule::GivenUpForGood, told)?;
        check(entry.deaths < case.limits.poison_deaths, Rule::PoisonEnds, told)?;
        check(entry.due.is_none_or(|due| due <= now), Rule::WaitsItsTime, told)?;
        let recorded = entry.in_flight && !entry.orphaned && entry.attempt == attempt;
        check(recorded || !cautious, Rule::CautiousStart, told)?;
        check(recorded || entry.attempt + 1 == attempt, Rule::AttemptsCountUp, told)?;
        let mapped = case.plan.task(key.task).is_dynamic();
        check(mapped == key.map_index.is_some(), Rule::SameOutcome, told)
    }
}
