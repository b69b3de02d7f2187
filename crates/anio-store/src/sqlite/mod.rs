//! A store in one SQLite file, written by one thread per process and read by others beside it.
//!
//! The file is in WAL mode and every commit is synced to the disk ([`Durability::Full`]). A process that
//! starts on the file of one that has died sees so at once: each worker holds an operating-system lock on a
//! file of its own beside the database (see `lock.rs`), and the lock goes with the process.
//!
//! A verb is a file: commit, submit, request, claim, lease, rate, prune, query, watch; `migrate.rs` makes the
//! tables and `open.rs` refuses files that are not ours before anything is changed in them.

mod claim;
mod commit;
mod error;
mod insert;
mod lease;
mod lock;
mod migrate;
mod open;
mod prune;
mod query;
mod rate;
mod request;
mod schema;
mod submit;
mod transaction;
mod watch;

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use anio_core::plan::PlanRecord;
use anio_core::plant::{Plant, is_planted};
use anio_core::{Fingerprint, RunId, Timestamp, WorkflowName};
use diesel::sqlite::SqliteConnection;

use self::error::Failure;
use self::lock::WorkerLocks;
use self::watch::Watch;
use crate::backend::{Backend, Watcher};
use crate::error::StoreError;
use crate::rate::{Reservation, Reserved};
use crate::record::{
    Batch, Claim, ClaimedRun, Durability, FactRecord, NewRun, NewWorker, Prune, Pruned, Renewal, Reopening,
    Request, Requested, RunQuery, RunRecord, Submission, WorkerId,
};

/// One connection to a SQLite file.
pub struct Sqlite {
    connection: SqliteConnection,
    path: PathBuf,
    durability: Durability,
    locks: WorkerLocks,
    /// Plans that this connection knows to be stored.
    plans: HashSet<Fingerprint>,
    /// SQLite's count of what others have committed, when it was last looked at.
    others: Option<i64>,
    n_statements: Arc<AtomicU64>,
}

impl Sqlite {
    /// Opens a file, or makes it where there is none; its directory must be there.
    ///
    /// The tables are made by [`Backend::migrate`]. A file that is refused is left as it is.
    ///
    /// # Errors
    /// [`StoreError::CannotOpen`], [`StoreError::NotADatabase`], [`StoreError::ForeignDatabase`],
    /// [`StoreError::NewerSchema`], [`StoreError::ReadOnly`], each before anything is changed.
    pub fn open(path: &Path, durability: Durability) -> Result<Self, StoreError> {
        let path = open::check(path)?;
        let n_statements = Arc::new(AtomicU64::new(0));
        let connection = open::connect(&path, durability, open::Access::Write, &n_statements)?;
        let locks = WorkerLocks::beside(&path);
        let plans = HashSet::new();
        Ok(Self { connection, path, durability, locks, plans, others: None, n_statements })
    }

    /// Runs `work` in one transaction that holds the write lock from its beginning: it happens wholly or
    /// not at all.
    fn transaction<T>(
        &mut self,
        work: impl FnOnce(&mut SqliteConnection) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        transaction::immediate(&mut self.connection, work).map_err(Failure::into_error)
    }

    fn database(&self) -> String {
        self.path.display().to_string()
    }
}

impl Backend for Sqlite {
    fn migrate(&mut self) -> Result<(), StoreError> {
        let database = self.database();
        self.transaction(|connection| migrate::migrate(connection, &database))
    }

    fn register(&mut self, worker: &NewWorker) -> Result<(), StoreError> {
        // The lock comes before the row: others look for a lock only where they see a row, and would
        // otherwise find it free.
        self.locks.take(worker.id)?;
        self.transaction(|connection| lease::register(connection, worker, now()))?;
        let standing = query::standing_workers(&mut self.connection)?;
        let left_behind = self.locks.left_behind(&standing);
        if !left_behind.is_empty() {
            // Asked again now that the locks are held: one who wrote its row in between and died must be found
            // by its lock. Whoever holds none writes no row any more.
            let standing = query::standing_workers(&mut self.connection)?;
            self.locks.sweep(left_behind, &standing);
        }
        Ok(())
    }

    fn commit(&mut self, batch: &Batch, number: u64) -> Result<(), StoreError> {
        let Self { connection, plans, .. } = self;
        let new_plans = submit::unknown_plans(batch, plans);
        let commit =
            |connection: &mut SqliteConnection| commit::commit(connection, batch, &new_plans, number);
        let done = if is_planted(Plant::FenceWithoutLock) {
            commit(connection)
        } else {
            transaction::immediate(connection, commit)
        };
        done.map_err(Failure::into_error)?;
        plans.extend(new_plans.iter().map(|(fingerprint, _)| *fingerprint));
        Ok(())
    }

    fn last_commit(&mut self, worker: WorkerId) -> Result<u64, StoreError> {
        commit::last_commit(&mut self.connection, worker).map_err(Failure::into_error)
    }

    fn claim(&mut self, claim: &Claim) -> Result<Vec<ClaimedRun>, StoreError> {
        self.transaction(|connection| claim::claim(connection, claim, now()))
    }

    fn renew(&mut self, worker: &NewWorker) -> Result<Renewal, StoreError> {
        let now = now();
        let seen = lease::renew(&mut self.connection, worker, now).map_err(Failure::into_error)?;
        let dead = seen
            .others
            .into_iter()
            .filter(|(id, expires_at)| *expires_at <= now || self.locks.is_free(*id))
            .map(|(id, _)| id)
            .collect();
        Ok(Renewal { dead, queued: seen.queued, next_due: seen.next_due, news: seen.news })
    }

    fn bury(&mut self, dead: &[WorkerId]) -> Result<u64, StoreError> {
        let Self { connection, locks, .. } = self;
        let (n_runs, buried) =
            transaction::immediate(connection, |connection| lease::bury(connection, dead, locks, now()))
                .map_err(Failure::into_error)?;
        for worker in buried {
            locks.remove(worker);
        }
        Ok(n_runs)
    }

    fn release(&mut self, worker: WorkerId) -> Result<(), StoreError> {
        self.transaction(|connection| lease::release(connection, worker, now()))?;
        self.locks.remove(worker);
        Ok(())
    }

    fn unpark(&mut self, workflows: &[WorkflowName]) -> Result<u64, StoreError> {
        claim::unpark(&mut self.connection, workflows).map_err(Failure::into_error)
    }

    fn reserve(&mut self, reservation: &Reservation) -> Result<Reserved, StoreError> {
        self.transaction(|connection| rate::reserve(connection, reservation))
    }

    fn run(&mut self, id: RunId) -> Result<Option<RunRecord>, StoreError> {
        query::run(&mut self.connection, id).map_err(Failure::into_error)
    }

    fn runs(&mut self, query: &RunQuery) -> Result<Vec<RunRecord>, StoreError> {
        query::runs(&mut self.connection, query).map_err(Failure::into_error)
    }

    fn plan(&mut self, plan: Fingerprint) -> Result<Option<PlanRecord>, StoreError> {
        query::plan(&mut self.connection, plan).map_err(Failure::into_error)
    }

    fn facts(&mut self, run: RunId) -> Result<Vec<FactRecord>, StoreError> {
        self.facts_from(run, 0)
    }

    fn submit(&mut self, run: &NewRun, plan: (Fingerprint, &PlanRecord)) -> Result<Submission, StoreError> {
        self.transaction(|connection| submit::submit(connection, run, plan))
    }

    fn request(&mut self, run: RunId, request: Request) -> Result<Requested, StoreError> {
        self.transaction(|connection| request::request(connection, run, request, now()))
    }

    fn append(&mut self, run: RunId, facts: &[FactRecord]) -> Result<Requested, StoreError> {
        self.transaction(|connection| request::append(connection, run, facts))
    }

    fn reopen(&mut self, reopening: &Reopening) -> Result<Requested, StoreError> {
        self.transaction(|connection| request::reopen(connection, reopening))
    }

    fn prune(&mut self, prune: &Prune) -> Result<Pruned, StoreError> {
        self.transaction(|connection| prune::prune(connection, prune, now()))
    }

    fn facts_from(&mut self, run: RunId, n: u64) -> Result<Vec<FactRecord>, StoreError> {
        query::facts_from(&mut self.connection, run, n).map_err(Failure::into_error)
    }

    fn watcher(&self) -> Result<Option<Box<dyn Watcher>>, StoreError> {
        Ok(Some(Box::new(Watch::new(self.path.clone())?)))
    }

    fn changed_by_others(&mut self) -> Result<bool, StoreError> {
        // Asked of the connection that writes, it leaves this one's commits out.
        let count = watch::version(&mut self.connection)?;
        Ok(self.others.replace(count) != Some(count))
    }

    fn reader(&self) -> Result<Box<dyn Backend>, StoreError> {
        let n_statements = Arc::new(AtomicU64::new(0));
        let connection = open::connect(&self.path, self.durability, open::Access::Read, &n_statements)?;
        Ok(Box::new(Self {
            connection,
            path: self.path.clone(),
            durability: self.durability,
            locks: WorkerLocks::beside(&self.path),
            plans: HashSet::new(),
            others: None,
            n_statements,
        }))
    }

    fn reconnect(&mut self) -> Result<(), StoreError> {
        // The locks are files of their own and have stayed.
        self.connection =
            open::connect(&self.path, self.durability, open::Access::Write, &self.n_statements)?;
        self.plans.clear();
        self.others = None;
        Ok(())
    }

    fn n_statements(&self) -> u64 {
        self.n_statements.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqlite")
            .field("path", &self.path)
            .field("durability", &self.durability)
            .finish_non_exhaustive()
    }
}

/// The time by the database's clock: SQLite has none but that of the machine.
fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}

/// Texts as a JSON list, which `json_each` turns into rows.
fn json_list(items: impl IntoIterator<Item = impl fmt::Display>) -> String {
    let texts: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    crate::row::to_json(&texts)
}
