//! What can happen next in the world.

use super::case::{Ask, Hand};
use super::worker::Worker;
use super::world::World;
use crate::run::{Awaited, Conclusion, TaskRunKey};
use crate::time::Timestamp;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Owner,
    Zombie,
}

/// One step of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// A ready task run gets a slot; if its start is only noted, the note will be written, or not.
    Dispatch { who: Who, key: TaskRunKey, note: bool },
    /// A body comes to its end.
    Return { who: Who, key: TaskRunKey },
    /// A body is dropped by a worker that shuts down.
    Interrupt { who: Who, key: TaskRunKey },
    /// The writer commits the first `n` of what has gathered, in one batch.
    Write { n: usize },
    /// The commit's answer arrives.
    Answer { who: Who },
    /// A timer fires.
    Due { who: Who, key: TaskRunKey },
    /// Time goes on to the next moment that somebody waits for.
    Tick,
    /// The owner starts nothing more.
    Shutdown,
    /// The owner has shut down; the next one takes the run up.
    Release,
    /// The owner dies; the next one takes the run up.
    Crash,
    /// The owner's lease is lost; the next one takes the run up while it goes on.
    TakeOver,
    /// The zombie has done what it does before its next commit.
    Sleep,
    /// The zombie commits all that has gathered, and should be refused.
    Refuse,
    /// Somebody asks something of the run.
    Ask(Ask),
    /// Somebody asks a paused run to go on.
    Resume,
    /// A run that was let go is taken up.
    Claim,
    /// A callback returns; `None`: the run's own.
    CallReturns { who: Who, call: Option<TaskRunKey> },
}

impl World<'_> {
    /// All that can happen next. The first of it, as many as are returned, leads on without misfortune.
    ///
    /// A zombie's steps touch nobody but itself until it commits, and then the fence; so whatever it does
    /// may as well come at once after the takeover, while it is awake, and only its commit at any time.
    pub(super) fn actions(&self, actions: &mut Vec<Action>) -> usize {
        if let Some(zombie) = self.zombie.as_ref().filter(|zombie| zombie.is_awake) {
            actions.push(Action::Sleep);
            self.actions_of(Who::Zombie, zombie, actions);
            return actions.len();
        }
        let owner = &self.owner;
        if self.is_held {
            actions.push(match self.requested {
                _ if owner.answer.is_some() => Action::Answer { who: Who::Owner },
                Some(Ask::Pause) => Action::Resume,
                _ => Action::Claim,
            });
            let n = actions.len();
            actions.extend(self.zombie.as_ref().map(|_| Action::Refuse));
            return n;
        }
        self.actions_of(Who::Owner, owner, actions);
        if self.requested == Some(Ask::Pause) {
            actions.push(Action::Resume);
        }
        if self.next_moment().is_some() {
            actions.push(Action::Tick);
        }
        if self.store.has_end {
            let n = actions.len();
            actions.extend(self.zombie.as_ref().map(|_| Action::Refuse));
            let has_failed = matches!(self.store.ledger.how_it_ended(), Some(Conclusion::Failed(_)));
            let may_ask = self.n_asks > 0 && self.case.limits.asks.contains(&Ask::Again);
            if has_failed && may_ask && owner.answer.is_none() {
                actions.push(Action::Ask(Ask::Again));
            }
            return n;
        }
        if owner.is_idle() && owner.is_shutting_down {
            actions.push(Action::Release);
        }
        let killer = owner.slots.iter().any(|&(key, attempt)| attempt.is_some() && self.case.kills(key));
        actions.extend(killer.then_some(Action::Crash));
        let n = actions.len();
        actions.extend(self.zombie.as_ref().map(|_| Action::Refuse));
        if self.n_hands > 0 {
            actions.extend(self.case.limits.hands.iter().filter_map(|hand| match hand {
                Hand::Crash => (!killer).then_some(Action::Crash),
                Hand::TakeOver => self.zombie.is_none().then_some(Action::TakeOver),
                Hand::Shutdown => (!owner.is_shutting_down).then_some(Action::Shutdown),
            }));
        }
        if self.n_asks > 0 {
            let may_be_asked = |ask: &&Ask| match ask {
                Ask::Pause => self.requested.is_none(),
                Ask::Cancel | Ask::Deadline => matches!(self.requested, None | Some(Ask::Pause)),
                Ask::GiveUp(task, map_index) => {
                    !self.store.ledger.is_given_up(TaskRunKey { task: *task, map_index: *map_index })
                }
                Ask::Again => false,
            };
            actions.extend(self.case.limits.asks.iter().filter(may_be_asked).map(|ask| Action::Ask(*ask)));
        }
        n
    }

    fn actions_of(&self, who: Who, worker: &Worker, actions: &mut Vec<Action>) {
        if worker.slots.len() < self.case.limits.slots && !worker.is_shutting_down {
            for &key in &worker.ready {
                let cautious = worker.state.run(key).is_some_and(|run| run.cautious);
                let notes = if cautious { &[true][..] } else { self.case.limits.notes };
                actions.extend(notes.iter().map(|&note| Action::Dispatch { who, key, note }));
            }
        }
        for &(key, attempt) in &worker.slots {
            if attempt.is_some() && !self.case.kills(key) {
                actions.push(Action::Return { who, key });
            }
            let is_called_off = worker.all_called_off || worker.called_off.contains(&key);
            if attempt.is_some() && (worker.is_shutting_down || is_called_off) {
                actions.push(Action::Interrupt { who, key });
            }
        }
        if !worker.gathered.is_empty() && worker.answer.is_none() && who == Who::Owner {
            actions.push(Action::Write { n: worker.gathered.len() });
            if worker.gathered.len() > 1 {
                actions.push(Action::Write { n: 1 });
            }
        }
        if worker.answer.is_some() {
            actions.push(Action::Answer { who });
        }
        // Which callback returns first does not matter.
        if let Some(&call) = worker.calls.first().filter(|_| !worker.is_shutting_down) {
            actions.push(Action::CallReturns { who, call });
        }
        for &(key, due) in &worker.timers {
            if due <= self.now && !worker.is_shutting_down {
                actions.push(Action::Due { who, key });
            }
        }
    }

    /// The next time in the future that the owner waits for, or will.
    pub(super) fn next_moment(&self) -> Option<Timestamp> {
        let armed = self.owner.timers.iter().map(|(_, due)| *due);
        let awaited = self.owner.state.awaited.iter().filter_map(|awaited| match awaited {
            Awaited::Retry(_, due) => Some(*due),
            _ => None,
        });
        armed.chain(awaited).filter(|due| *due > self.now && !self.owner.is_shutting_down).min()
    }
}
