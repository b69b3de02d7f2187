//! The state that the explorer walks through: what the database holds, what is under way between it and the
//! workers, and what each worker believes.
//!
//! It is small on purpose: two runs of a chain of tasks, up to three processes, and no times: a lease stands or has
//! run out. That is more than a clock allows, since leases may run out in any order and at any moment, so what
//! holds here holds with every clock that only moves forward.

/// How many processes there may be, and sessions: one of each process, and those whose client is gone.
pub(super) const N_WORKERS_MAX: usize = 3;
pub(super) const N_SESSIONS: usize = N_WORKERS_MAX + 2;
/// How many leases there are at one time that anybody still knows of, runs, and facts that a run may come to have.
pub(super) const N_LEASES: usize = 8;
pub(super) const N_RUNS_MAX: usize = 2;
pub(super) const N_FACTS: usize = 4;

/// The tasks of each run; the last one's success ends it.
pub(super) const N_TASKS: u8 = 2;

pub(super) type LeaseId = u8;
/// A set of runs or leases, one bit for each.
pub(super) type Set = u8;

pub(super) fn has(set: Set, ix: usize) -> bool {
    set & (1 << ix) != 0
}

pub(super) fn with(set: Set, ix: usize) -> Set {
    set | (1 << ix)
}

/// A row of `anio_workers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) struct Lease {
    pub(super) lost: bool,
    /// `expires_at` is past. A renewal makes it stand again, as long as nobody has marked it lost.
    pub(super) run_out: bool,
    pub(super) last_commit: u8,
    /// The row says that its worker holds a session lock.
    pub(super) says_locked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) enum Status {
    #[default]
    Queued,
    Running,
    Paused,
    Succeeded,
    Cancelled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Wish {
    Pause,
    Cancel,
}

/// A row of `anio_attempts`: this task succeeded. Who stored it and under which epoch is no column, but what the
/// rules are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Fact {
    pub(super) task: u8,
    pub(super) epoch: u8,
}

/// A row of `anio_runs`, with its facts in the order in which they were stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) struct Run {
    pub(super) status: Status,
    pub(super) owner: Option<LeaseId>,
    pub(super) epoch: u8,
    pub(super) requested: Option<Wish>,
    pub(super) facts: [Option<Fact>; N_FACTS],
    /// For the rules: the epoch under which it was claimed last.
    pub(super) claimed_under: Option<u8>,
}

impl Run {
    pub(super) fn was_taken_over(&self) -> bool {
        let mut facts = self.facts.iter().flatten();
        let first = facts.next().map(|fact| fact.epoch);
        facts.any(|fact| Some(fact.epoch) > first)
    }

    pub(super) fn has_ended(&self) -> bool {
        matches!(self.status, Status::Succeeded | Status::Cancelled)
    }

    /// What a worker reads that claims it: the first task that is not done.
    pub(super) fn next_task(&self) -> u8 {
        self.facts.iter().flatten().map(|fact| fact.task + 1).max().unwrap_or(0)
    }
}

/// What a commit carries; one run each, since a batch of several is one transaction all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Content {
    /// This task succeeded; the last one ends the run.
    Fact { task: u8 },
    /// The worker lets go of a run that was to be paused.
    Hold,
    /// The worker has cancelled the run.
    Cancelled,
}

/// A verb of the store, as one lease speaks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Call {
    Register { says_locked: bool },
    Renew { says_locked: bool },
    Bury { dead: Set },
    Claim,
    Commit { number: u8, run: u8, epoch: u8, content: Content },
    Release,
}

/// How far the server is with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Phase {
    Sent,
    /// A burial has begun its statement, and seen these runs; then it waits for locks. Only where that matters.
    Looked {
        runs: Set,
    },
    /// A commit has read that the lease stands, without a lock. Only where that is planted.
    Read,
    /// A transaction is open: the leases that a burial takes, or the runs that a claim takes, are locked until it
    /// ends. It changes these runs then, where they are its own.
    Open {
        locked: Set,
        runs: Set,
    },
    Answered(Answer),
}

/// What a renewal tells of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum News {
    /// It is not this worker's.
    None,
    /// What is requested of it.
    Of(Option<Wish>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Answer {
    Done,
    /// A commit that was stored before.
    StoredBefore,
    LeaseLost,
    Renewed {
        dead: Set,
        news: [News; N_RUNS_MAX],
    },
    /// The epoch and the next task of each run.
    Claimed([Option<(u8, u8)>; N_RUNS_MAX]),
}

/// A call between a worker and the server, on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Session {
    pub(super) lease: LeaseId,
    pub(super) call: Call,
    pub(super) phase: Phase,
    /// Its connection broke before the end of its transaction was sent: it will be undone.
    pub(super) is_doomed: bool,
}

/// A run as a worker holds it in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Held {
    pub(super) epoch: u8,
    /// The next task, all before it being durable as far as this worker was told.
    pub(super) task: u8,
    pub(super) wish: Option<Wish>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) enum Life {
    #[default]
    Up,
    /// Stopped in the middle of whatever it was at: SIGSTOP, a machine that sleeps, a network that is cut.
    Frozen,
    Down,
}

/// A process. What it believes is under the lease that it believes to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) struct Worker {
    pub(super) life: Life,
    pub(super) lease: Option<LeaseId>,
    pub(super) is_registered: bool,
    pub(super) holds_session_lock: bool,
    /// The number of its last commit.
    pub(super) number: u8,
    pub(super) held: [Option<Held>; N_RUNS_MAX],
    /// Whom its last renewal found dead.
    pub(super) to_bury: Set,
    /// A call whose connection broke, to be sent again.
    pub(super) again: Option<Call>,
    /// It releases its lease in order to end.
    pub(super) is_stopping: bool,
}

/// What is broken as soon as it happens, and cannot be seen in the rows later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[expect(clippy::struct_excessive_bools, reason = "a set of flags, one for each rule")]
pub(super) struct Wrongs {
    /// Something was stored under a lease that was lost.
    pub(super) lost_lease_commits: bool,
    /// Something was stored of a run that another owned, or under another epoch.
    pub(super) stranger_commits: bool,
    /// One epoch of a run was claimed twice.
    pub(super) epoch_claimed_twice: bool,
    /// A lease was taken that stood, of a worker whose lock was held.
    pub(super) standing_lease_buried: bool,
    /// A worker was told that something is stored which is not.
    pub(super) acknowledged_in_vain: bool,
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct World {
    pub(super) leases: [Option<Lease>; N_LEASES],
    pub(super) runs: [Run; N_RUNS_MAX],
    pub(super) workers: [Worker; N_WORKERS_MAX],
    /// The first are those of the workers.
    pub(super) sessions: [Option<Session>; N_SESSIONS],
    /// How many leases may still be given, and how many failures and requests may still come.
    pub(super) n_leases: u8,
    pub(super) n_faults: u8,
    pub(super) n_requests: u8,
    pub(super) wrongs: Wrongs,
}

impl World {
    /// Whether the process that took a lease still holds the session lock of it.
    pub(super) fn is_lock_held(&self, lease: usize) -> bool {
        self.workers.iter().any(|worker| worker.holds_session_lock && worker.lease == Some(lease as LeaseId))
    }

    /// What the SQL calls dead: the lease has run out, or the lock is gone that the row speaks of.
    pub(super) fn is_dead(&self, lease: usize) -> bool {
        self.leases[lease].is_some_and(|row| row.run_out || row.says_locked && !self.is_lock_held(lease))
    }

    /// Whether a transaction of another session has the row of a lease locked so that it cannot be changed.
    pub(super) fn is_locked(&self, lease: usize, but: usize) -> bool {
        self.others(but).any(|session| match (session.call, session.phase) {
            (Call::Bury { .. }, Phase::Open { locked, .. }) => has(locked, lease),
            (Call::Claim, Phase::Open { .. }) => usize::from(session.lease) == lease,
            _ => false,
        })
    }

    /// Whether it is locked so that it cannot even be locked `for share`.
    pub(super) fn is_locked_for_change(&self, lease: usize, but: usize) -> bool {
        self.others(but).any(|session| {
            matches!((session.call, session.phase),
                (Call::Bury { .. }, Phase::Open { locked, .. }) if has(locked, lease))
        })
    }

    /// Whether a claim has the row of a run locked.
    pub(super) fn is_run_locked(&self, run: usize, but: usize) -> bool {
        self.others(but).any(|session| {
            matches!((session.call, session.phase), (Call::Claim, Phase::Open { locked, .. }) if has(locked, run))
        })
    }

    pub(super) fn is_standing(&self, lease: usize) -> bool {
        self.leases[lease].is_some_and(|lease| !lease.lost)
    }

    fn others(&self, but: usize) -> impl Iterator<Item = &Session> {
        let others = self.sessions.iter().enumerate().filter(move |(ix, _)| *ix != but);
        others.filter_map(|(_, session)| session.as_ref())
    }
}
