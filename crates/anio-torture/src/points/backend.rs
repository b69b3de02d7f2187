//! A backend around another one, that counts the calls of each verb and does harm at one of them.
//!
//! The process is killed by SIGKILL from itself, so that nothing is flushed and no destructor runs.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anio_core::plan::PlanRecord;
use anio_core::{Fingerprint, RunId, WorkflowName};
use anio_store::backend::{Backend, Watcher};
use anio_store::postgres::Postgres;
use anio_store::rate::{Reservation, Reserved};
use anio_store::record::{
    Batch, Claim, ClaimedRun, FactRecord, NewRun, NewWorker, Prune, Pruned, Renewal, Reopening, Request,
    Requested, RunQuery, RunRecord, Submission, WorkerId,
};
use anio_store::sqlite::Sqlite;
use anio_store::{Durability, StoreError};
use rustix::process::{Signal, getpid, kill_process};

use super::point::{Harm, Point, Verb};

/// What one process is to suffer, and what it has done so far.
#[derive(Debug)]
pub struct Fated {
    point: Option<Point>,
    counts: [AtomicU64; Verb::ALL.len()],
}

impl Fated {
    /// A process that is harmed at a point, or at none.
    pub fn new(point: Option<Point>) -> Arc<Self> {
        Arc::new(Self { point, counts: Default::default() })
    }

    /// How often each verb was called.
    pub fn counts(&self) -> impl Iterator<Item = (Verb, u64)> {
        let count = |verb: Verb| (verb, self.counts[verb as usize].load(Ordering::Relaxed));
        Verb::ALL.into_iter().map(count)
    }

    fn pass(&self, verb: Verb) -> Option<Harm> {
        let n = 1 + self.counts[verb as usize].fetch_add(1, Ordering::Relaxed);
        self.point.filter(|point| point.verb == verb && point.n == n).map(|point| point.harm)
    }
}

/// A backend that does harm at one point.
#[expect(missing_debug_implementations, reason = "a backend has none")]
pub struct Pointed {
    inner: Box<dyn Backend>,
    fated: Arc<Fated>,
}

impl Pointed {
    /// Connects to the database of this URL: of Postgres, else a SQLite file.
    ///
    /// # Errors
    /// Those of connecting.
    pub fn connect(url: &str, fated: Arc<Fated>) -> Result<Self, StoreError> {
        let inner: Box<dyn Backend> = match url.strip_prefix("sqlite://") {
            Some(path) => Box::new(Sqlite::open(Path::new(path), Durability::Full)?),
            None => Box::new(Postgres::connect(url, Durability::Full)?),
        };
        Ok(Self { inner, fated })
    }

    fn pass<T>(
        &mut self,
        verb: Verb,
        speak: impl FnOnce(&mut dyn Backend) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let harm = self.fated.pass(verb);
        match harm {
            Some(Harm::KillBefore) => die(),
            Some(Harm::LoseQuestion) => return Err(unknown()),
            _ => {}
        }
        let answer = speak(&mut *self.inner);
        match harm {
            Some(Harm::KillAfter) => die(),
            Some(Harm::LoseAnswer) if answer.is_ok() => Err(unknown()),
            _ => answer,
        }
    }
}

fn unknown() -> StoreError {
    StoreError::OutcomeUnknown { source: "the connection was cut by the test".into() }
}

fn die() -> ! {
    loop {
        kill_process(getpid(), Signal::KILL).expect("a process may kill itself");
        std::thread::park_timeout(Duration::from_secs(1));
    }
}

impl Backend for Pointed {
    fn migrate(&mut self) -> Result<(), StoreError> {
        self.pass(Verb::Migrate, Backend::migrate)
    }

    fn register(&mut self, worker: &NewWorker) -> Result<(), StoreError> {
        self.pass(Verb::Register, |inner| inner.register(worker))
    }

    fn commit(&mut self, batch: &Batch, number: u64) -> Result<(), StoreError> {
        self.pass(Verb::Commit, |inner| inner.commit(batch, number))
    }

    fn last_commit(&mut self, worker: WorkerId) -> Result<u64, StoreError> {
        self.inner.last_commit(worker)
    }

    fn submit(&mut self, run: &NewRun, plan: (Fingerprint, &PlanRecord)) -> Result<Submission, StoreError> {
        self.pass(Verb::Submit, |inner| inner.submit(run, plan))
    }

    fn request(&mut self, run: RunId, request: Request) -> Result<Requested, StoreError> {
        self.pass(Verb::Request, |inner| inner.request(run, request))
    }

    fn append(&mut self, run: RunId, facts: &[FactRecord]) -> Result<Requested, StoreError> {
        self.pass(Verb::Append, |inner| inner.append(run, facts))
    }

    fn reopen(&mut self, reopening: &Reopening) -> Result<Requested, StoreError> {
        self.pass(Verb::Reopen, |inner| inner.reopen(reopening))
    }

    fn prune(&mut self, prune: &Prune) -> Result<Pruned, StoreError> {
        self.pass(Verb::Prune, |inner| inner.prune(prune))
    }

    fn claim(&mut self, claim: &Claim) -> Result<Vec<ClaimedRun>, StoreError> {
        self.pass(Verb::Claim, |inner| inner.claim(claim))
    }

    fn renew(&mut self, worker: &NewWorker) -> Result<Renewal, StoreError> {
        self.pass(Verb::Renew, |inner| inner.renew(worker))
    }

    fn bury(&mut self, dead: &[WorkerId]) -> Result<u64, StoreError> {
        self.pass(Verb::Bury, |inner| inner.bury(dead))
    }

    fn release(&mut self, worker: WorkerId) -> Result<(), StoreError> {
        self.pass(Verb::Release, |inner| inner.release(worker))
    }

    fn unpark(&mut self, workflows: &[WorkflowName]) -> Result<u64, StoreError> {
        self.pass(Verb::Unpark, |inner| inner.unpark(workflows))
    }

    fn reserve(&mut self, reservation: &Reservation) -> Result<Reserved, StoreError> {
        self.pass(Verb::Reserve, |inner| inner.reserve(reservation))
    }

    fn run(&mut self, id: RunId) -> Result<Option<RunRecord>, StoreError> {
        self.inner.run(id)
    }

    fn runs(&mut self, query: &RunQuery) -> Result<Vec<RunRecord>, StoreError> {
        self.inner.runs(query)
    }

    fn plan(&mut self, plan: Fingerprint) -> Result<Option<PlanRecord>, StoreError> {
        self.inner.plan(plan)
    }

    fn facts(&mut self, run: RunId) -> Result<Vec<FactRecord>, StoreError> {
        self.inner.facts(run)
    }

    fn facts_from(&mut self, run: RunId, n: u64) -> Result<Vec<FactRecord>, StoreError> {
        self.inner.facts_from(run, n)
    }

    fn watcher(&self) -> Result<Option<Box<dyn Watcher>>, StoreError> {
        self.inner.watcher()
    }

    fn notifies(&self) -> bool {
        self.inner.notifies()
    }

    fn changed_by_others(&mut self) -> Result<bool, StoreError> {
        self.inner.changed_by_others()
    }

    fn reader(&self) -> Result<Box<dyn Backend>, StoreError> {
        self.inner.reader()
    }

    fn reconnect(&mut self) -> Result<(), StoreError> {
        self.inner.reconnect()
    }

    fn n_statements(&self) -> u64 {
        self.inner.n_statements()
    }
}
