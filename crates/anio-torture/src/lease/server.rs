//! What the database does with a call: the SQL of `anio-store/src/postgres`, as far as locks and transactions can
//! tell its parts from one another.
//!
//! A verb of one statement (`register`, `renew`, `commit`) happens at once, as soon as nobody has the row of
//! the lease locked: it judges the row as it is then. `bury` and `claim` are transactions, which stay open while the
//! client has the word; what they change is seen at their end, what they lock is locked from the first step on.
//! `release` is one, too, but locks the row of one lease and nothing before it, so nobody can tell it from a single
//! step. On SQLite every verb is one step, since the whole file is locked.

use super::plant::Plant;
use super::world::News;
use super::world::{
    Answer, Call, Content, Fact, Lease, N_LEASES, N_RUNS_MAX, N_TASKS, Phase, Run, Session, Set, Status,
    Wish, World, has, with,
};

/// Takes the call of a session one step further; `None` while it waits for a lock, or for its client.
pub(super) fn step(world: &World, ix: usize, plant: Option<Plant>) -> Option<World> {
    let session = world.sessions[ix]?;
    let mut next = world.clone();
    let phase = Server { world: &mut next, ix, session, plant }.step()?;
    next.sessions[ix] = Some(Session { phase, ..session });
    Some(next)
}

/// Every run, whichever it is.
const ALL: Set = Set::MAX;

struct Server<'a> {
    world: &'a mut World,
    ix: usize,
    session: Session,
    plant: Option<Plant>,
}

impl Server<'_> {
    fn step(&mut self) -> Option<Phase> {
        let Session { lease, call, phase, .. } = self.session;
        let row = usize::from(lease);
        match (call, phase) {
            (_, Phase::Answered(_)) => None,
            (Call::Register { says_locked }, _) => Some(self.register(says_locked)),
            (Call::Claim, Phase::Sent) if self.world.is_locked_for_change(row, self.ix) => None,
            (Call::Claim, Phase::Sent) => Some(self.claim()),
            (Call::Claim, Phase::Open { locked, .. }) => Some(self.take(locked)),
            (Call::Bury { .. }, Phase::Sent) if self.plant == Some(Plant::PutBackInOneStatement) => {
                Some(Phase::Looked { runs: self.running_of_the_dead() })
            }
            (Call::Bury { dead }, Phase::Looked { runs }) => self.bury(dead, runs),
            (Call::Bury { dead }, Phase::Sent) => self.bury(dead, ALL),
            (Call::Bury { .. }, Phase::Open { locked, runs }) => Some(self.end_leases(locked, runs)),
            (Call::Commit { .. }, Phase::Sent) if self.plant == Some(Plant::FenceWithoutLock) => {
                Some(self.read())
            }
            (Call::Commit { run, epoch, content, .. }, Phase::Read) => self.store(run, epoch, content),
            _ if self.world.is_locked(row, self.ix) => None,
            (Call::Renew { says_locked }, _) => Some(self.renew(says_locked)),
            (Call::Commit { number, run, epoch, content }, _) => self.commit(number, run, epoch, content),
            (Call::Release, _) => Some(self.release()),
            (Call::Claim | Call::Bury { .. }, _) => None,
        }
    }

    fn lease(&mut self) -> &mut Lease {
        self.world.leases[usize::from(self.session.lease)].get_or_insert_default()
    }

    fn register(&mut self, says_locked: bool) -> Phase {
        let lease = self.lease();
        if lease.lost {
            return Phase::Answered(Answer::LeaseLost);
        }
        (lease.run_out, lease.says_locked) = (false, says_locked);
        Phase::Answered(Answer::Done)
    }

    /// One statement: the row, and a look at the others without a lock.
    fn renew(&mut self, says_locked: bool) -> Phase {
        if self.register(says_locked) == Phase::Answered(Answer::LeaseLost) {
            return Phase::Answered(Answer::LeaseLost);
        }
        let me = self.session.lease;
        let others = (0..N_LEASES).filter(|ix| *ix != usize::from(me) && self.world.is_standing(*ix));
        let dead = others.filter(|ix| self.is_dead(*ix)).fold(0, with);
        let news = self.world.runs.map(|run| {
            let is_mine = run.status == Status::Running && run.owner == Some(me);
            if is_mine { News::Of(run.requested) } else { News::None }
        });
        Phase::Answered(Answer::Renewed { dead, news })
    }

    fn is_dead(&self, lease: usize) -> bool {
        match self.plant {
            Some(Plant::SessionLockAlone) => {
                self.world.leases[lease].is_some_and(|row| row.says_locked) && !self.world.is_lock_held(lease)
            }
            _ => self.world.is_dead(lease),
        }
    }

    // ------ claim: a transaction ------

    fn claim(&mut self) -> Phase {
        if self.lease().lost && self.plant != Some(Plant::ClaimWithoutFence) {
            return Phase::Answered(Answer::LeaseLost);
        }
        let skips = |run: usize| {
            self.plant != Some(Plant::ClaimWithoutLock) && self.world.is_run_locked(run, self.ix)
        };
        let queued = (0..N_RUNS_MAX).filter(|run| self.world.runs[*run].status == Status::Queued);
        match queued.filter(|run| !skips(*run)).fold(0, with) {
            0 => Phase::Answered(Answer::Claimed([None; N_RUNS_MAX])),
            locked => Phase::Open { locked, runs: locked },
        }
    }

    fn take(&mut self, taken: Set) -> Phase {
        let me = self.session.lease;
        let mut claimed = [None; N_RUNS_MAX];
        for (ix, run) in self.world.runs.iter_mut().enumerate().filter(|(ix, _)| has(taken, *ix)) {
            run.status = Status::Running;
            run.owner = Some(me);
            self.world.wrongs.epoch_claimed_twice |= run.claimed_under == Some(run.epoch);
            run.claimed_under = Some(run.epoch);
            claimed[ix] = Some((run.epoch, run.next_task()));
        }
        self.world.wrongs.lost_lease_commits |= !self.world.is_standing(usize::from(me));
        Phase::Answered(Answer::Claimed(claimed))
    }

    // ------ bury: a transaction; release ------

    /// Waits for the rows of the dead and judges each again.
    fn bury(&mut self, dead: Set, runs: Set) -> Option<Phase> {
        if self.plant == Some(Plant::RescueWithoutBurial) {
            return Some(Phase::Open { locked: dead, runs });
        }
        let standing = (0..N_LEASES).filter(|ix| has(dead, *ix) && self.world.is_standing(*ix));
        let standing = standing.collect::<Vec<_>>().into_iter();
        let is_waiting = standing.clone().any(|ix| self.world.is_locked(ix, self.ix));
        if is_waiting {
            return None;
        }
        let judges = self.plant != Some(Plant::BuryWithoutJudging);
        let buried = standing.filter(|ix| !judges || self.is_dead(*ix)).collect::<Vec<_>>();
        self.world.wrongs.standing_lease_buried |= buried.iter().any(|ix| !self.world.is_dead(*ix));
        Some(match buried.into_iter().fold(0, with) {
            0 => Phase::Answered(Answer::Done),
            locked => Phase::Open { locked, runs },
        })
    }

    fn running_of_the_dead(&self) -> Set {
        let Call::Bury { dead } = self.session.call else { return 0 };
        let runs = self.world.runs.iter().enumerate();
        let of_dead = |run: &Run| run.owner.is_some_and(|owner| has(dead, usize::from(owner)));
        runs.filter(|(_, run)| run.status == Status::Running && of_dead(run)).map(|(ix, _)| ix).fold(0, with)
    }

    fn end_leases(&mut self, leases: Set, runs: Set) -> Phase {
        let ends = self.plant != Some(Plant::RescueWithoutBurial);
        for (ix, lease) in self.world.leases.iter_mut().enumerate() {
            if let Some(lease) = lease {
                lease.lost |= ends && has(leases, ix);
            }
        }
        for ix in (0..N_RUNS_MAX).filter(|ix| has(runs, *ix)) {
            if self.world.runs[ix].owner.is_some_and(|owner| has(leases, usize::from(owner))) {
                self.put_back(ix);
            }
        }
        Phase::Answered(Answer::Done)
    }

    fn release(&mut self) -> Phase {
        let me = self.session.lease;
        self.lease().lost = true;
        for ix in 0..N_RUNS_MAX {
            if self.world.runs[ix].owner == Some(me) && self.plant != Some(Plant::ReleaseKeepsRuns) {
                self.put_back(ix);
            }
        }
        Phase::Answered(Answer::Done)
    }

    fn put_back(&mut self, ix: usize) {
        let run = &mut self.world.runs[ix];
        if run.status == Status::Running {
            let_go(run, self.plant != Some(Plant::EpochNotRaised));
        }
    }

    // ------ commit: one statement ------

    /// The fence, with the lock on the row.
    fn commit(&mut self, number: u8, run: u8, epoch: u8, content: Content) -> Option<Phase> {
        let (asks, counts) =
            (self.plant != Some(Plant::NoFence), self.plant != Some(Plant::ResendWithoutNumber));
        let lease = *self.lease();
        if counts && lease.last_commit >= number {
            return Some(Phase::Answered(Answer::StoredBefore));
        }
        if asks && lease.lost {
            return Some(Phase::Answered(Answer::LeaseLost));
        }
        self.store(run, epoch, content)
    }

    /// The fence without it.
    fn read(&mut self) -> Phase {
        let Call::Commit { number, .. } = self.session.call else { return Phase::Sent };
        let lease = *self.lease();
        match (lease.last_commit >= number, lease.lost) {
            (true, _) => Phase::Answered(Answer::StoredBefore),
            (false, true) => Phase::Answered(Answer::LeaseLost),
            (false, false) => Phase::Read,
        }
    }

    fn store(&mut self, run: u8, epoch: u8, content: Content) -> Option<Phase> {
        let Call::Commit { number, .. } = self.session.call else { return None };
        let (me, plant) = (self.session.lease, self.plant);
        self.lease().last_commit = number;
        let is_lost = self.lease().lost;
        let row = &mut self.world.runs[usize::from(run)];
        let is_its_epoch = row.epoch == epoch;
        let is_mine = row.owner == Some(me) && row.status == Status::Running;
        let stores = match content {
            Content::Fact { task } => {
                let free = row.facts.iter_mut().find(|fact| fact.is_none());
                // One more than there are tasks and a repetition: the rules have been broken long before.
                *free? = Some(Fact { task, epoch });
                if task + 1 == N_TASKS && !row.has_ended() {
                    end(row, Status::Succeeded);
                }
                true
            }
            Content::Cancelled => {
                if !row.has_ended() {
                    end(row, Status::Cancelled);
                }
                true
            }
            Content::Hold => {
                if is_mine {
                    let_go(row, plant != Some(Plant::EpochNotRaisedByHold));
                }
                is_mine
            }
        };
        let is_of_another = stores && !(is_mine && is_its_epoch);
        self.world.wrongs.lost_lease_commits |= is_lost;
        self.world.wrongs.stranger_commits |= is_of_another;
        Some(Phase::Answered(Answer::Done))
    }
}

/// Ends a run. Its row goes on to name its last owner, which makes no difference here.
fn end(run: &mut Run, status: Status) {
    (run.status, run.requested, run.owner) = (status, None, None);
}

/// Puts a run back: into the queue, or on hold where that was asked.
fn let_go(run: &mut Run, raises: bool) {
    run.status = if run.requested == Some(Wish::Pause) { Status::Paused } else { Status::Queued };
    run.requested = run.requested.filter(|wish| *wish != Wish::Pause);
    run.owner = None;
    run.epoch += u8::from(raises);
}
