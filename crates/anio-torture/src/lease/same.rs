//! What makes two states one: leases that nobody knows of any more, and the numbers of workers and leases, which are
//! names and nothing else. So the explorer walks through one state in place of several that look alike.

use super::world::{
    Answer, Call, Lease, LeaseId, N_LEASES, N_WORKERS_MAX, Phase, Session, Set, Worker, World, has, with,
};

impl World {
    /// Brings a state into the form that stands for all that differ from it in names alone.
    pub(super) fn normalize(&mut self, n_workers: usize) {
        self.forget();
        self.sort(n_workers);
        self.rename();
    }

    /// Forgets leases that are lost and that nobody knows of, and of the others that are lost when they would have
    /// run out.
    pub(super) fn forget(&mut self) {
        let standing = (0..N_LEASES).filter(|ix| self.is_standing(*ix)).fold(0, with);
        for worker in &mut self.workers {
            worker.to_bury &= standing;
        }
        for ix in 0..N_LEASES {
            let Some(lease) = &mut self.leases[ix] else { continue };
            if !lease.lost {
                continue;
            }
            *lease = Lease { lost: true, last_commit: lease.last_commit, ..Lease::default() };
            let id = ix as LeaseId;
            let is_known = self.workers.iter().any(|worker| worker.lease == Some(id) || worker.speaks_of(ix))
                || self.sessions.iter().flatten().any(|session| session.lease == id || session.speaks_of(ix))
                || self.runs.iter().any(|run| run.owner == Some(id));
            if !is_known {
                self.leases[ix] = None;
            }
        }
    }

    /// Puts workers, each with its session, into an order that looks at no names; and the sessions of nobody.
    fn sort(&mut self, n_workers: usize) {
        let mut pairs: Vec<(Worker, Option<Session>)> =
            self.workers.into_iter().zip(self.sessions).take(n_workers).collect();
        pairs.sort_by_cached_key(|(worker, session)| {
            let row = worker.lease.and_then(|lease| self.leases[usize::from(lease)]);
            (worker.without_names(), session.map(Session::without_names), row)
        });
        for (ix, (worker, session)) in pairs.into_iter().enumerate() {
            (self.workers[ix], self.sessions[ix]) = (worker, session);
        }
        self.sessions[N_WORKERS_MAX..].sort_by_key(|session| session.map(Session::without_names));
    }

    /// Gives leases new numbers, in the order in which they are spoken of.
    fn rename(&mut self) {
        let spoken_of = (self.workers.iter().filter_map(|worker| worker.lease))
            .chain(self.sessions.iter().flatten().map(|session| session.lease))
            .chain(self.runs.iter().filter_map(|run| run.owner))
            .chain(0..N_LEASES as LeaseId);
        let mut names = [LeaseId::MAX; N_LEASES];
        let mut n_named = 0;
        for lease in spoken_of {
            let name = &mut names[usize::from(lease)];
            if *name == LeaseId::MAX {
                (*name, n_named) = (n_named, n_named + 1);
            }
        }
        let before = self.leases;
        for (ix, name) in names.iter().enumerate() {
            self.leases[usize::from(*name)] = before[ix];
        }
        let one = |lease: LeaseId| names[usize::from(lease)];
        let all = |set: Set| {
            (0..N_LEASES).filter(|ix| has(set, *ix)).fold(0, |new, ix| with(new, usize::from(names[ix])))
        };
        for worker in &mut self.workers {
            worker.lease = worker.lease.map(one);
            worker.to_bury = all(worker.to_bury);
            worker.again = worker.again.map(|call| call.renamed(all));
        }
        for session in self.sessions.iter_mut().flatten() {
            session.lease = one(session.lease);
            session.phase = session.phase_renamed(all);
            session.call = session.call.renamed(all);
        }
        for run in &mut self.runs {
            run.owner = run.owner.map(one);
        }
    }
}

impl Worker {
    fn speaks_of(&self, lease: usize) -> bool {
        self.again.is_some_and(|call| call.speaks_of(lease))
    }

    fn without_names(self) -> Self {
        let again = self.again.map(|call| call.renamed(|_| 0));
        Self { lease: self.lease.map(|_| 0), to_bury: self.to_bury.count_ones() as Set, again, ..self }
    }
}

impl Session {
    fn speaks_of(self, lease: usize) -> bool {
        let is_told = matches!(self.phase, Phase::Answered(Answer::Renewed { dead, .. }) if has(dead, lease));
        is_told || self.call.speaks_of(lease)
    }

    fn without_names(self) -> Self {
        let none = |_| 0;
        Self { lease: 0, call: self.call.renamed(none), phase: self.phase_renamed(none), ..self }
    }

    fn phase_renamed(self, all: impl Fn(Set) -> Set) -> Phase {
        match (self.call, self.phase) {
            (_, Phase::Answered(Answer::Renewed { dead, news })) => {
                Phase::Answered(Answer::Renewed { dead: all(dead), news })
            }
            (Call::Bury { .. }, Phase::Open { locked, runs }) => Phase::Open { locked: all(locked), runs },
            (_, phase) => phase,
        }
    }
}

impl Call {
    fn speaks_of(self, lease: usize) -> bool {
        matches!(self, Self::Bury { dead } if has(dead, lease))
    }

    fn renamed(self, all: impl Fn(Set) -> Set) -> Self {
        match self {
            Self::Bury { dead } => Self::Bury { dead: all(dead) },
            call => call,
        }
    }
}
