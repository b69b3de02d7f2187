//! A store in a Postgres database, written by one connection per process and read by others beside it.
//!
//! Every commit is durable when it returns (`synchronous_commit`, see [`Durability`]) and fenced by the
//! worker's row (see `commit`). Times are of the server's clock. No libpq is needed: `connection` makes
//! diesel speak the protocol by way of tokio-postgres, with TLS by rustls.
//!
//! A verb is a file: `commit`, `submit`, `claim`, `lease`, `request`, `rate`, `prune`, `query`; `migrate` makes the
//! tables, `session_lock` sees at once when a worker's process has died, `watch` when somebody has changed
//! something. Postgres 12 or newer.
//!
//! All depends on READ COMMITTED: a statement that had to wait for a row judges the new version of it.
//! Each connection sets that for itself, whatever the default of the database is.
//!
//! Rows are locked in one order, so that no two wait for each other: **workers before runs**.
//!
//! | who | the worker's row | rows of runs |
//! |---|---|---|
//! | `commit` | its own | those that end, are parked or let go |
//! | `claim` | its own, against being buried only | the next ones, past those that are locked |
//! | `renew` | its own | those that are due, past those that are locked |
//! | `bury`, `release` | the dead ones', in the order of their index | all of theirs |
//! | `append` | that of the run's worker, against its commits | one |
//! | `request`, `reopen` | none | one |
//! | `unpark` | none | the parked ones, in the order of their index |
//! | `prune` | none | of those that have ended, past those that are locked |
//! | `submit` | none | none; waits for one who stores a run with the same key |
//! | `reserve` | none | none; one of `anio_rates` alone |
//!
//! So whoever waits for the row of a run waits for one who holds it and needs no more than other runs of the
//! same worker. What a living worker may wait for is held within one statement, and not while this side of the
//! connection has the word: a client that is stopped must not stop a worker. But `claim`, `bury` and `release` are
//! transactions of several statements, and who buries waits for the row of the dead. So the server ends a session
//! that has been silent in the middle of a transaction for 5 s, and undoes what it did.

mod address;
mod claim;
mod commit;
mod connection;
mod error;
mod fact;
mod lease;
mod migrate;
mod prune;
mod query;
mod rate;
mod request;
mod schema;
mod session_lock;
mod submit;
mod submit_in;
mod tls;
mod watch;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use anio_core::plan::PlanRecord;
use anio_core::{Fingerprint, RunId, WorkflowName};

use self::address::Address;
use self::connection::Connection;
use self::error::Inner;
use self::query::Place;
use self::session_lock::{SessionLock, Trust};
use self::watch::{Listener, Teller};
use crate::backend::{Backend, Watcher};
use crate::error::StoreError;
use crate::rate::{Reservation, Reserved};
use crate::record::{
    Batch, Claim, ClaimedRun, Durability, FactRecord, NewRun, NewWorker, Prune, Pruned, Renewal, Reopening,
    Request, Requested, RunQuery, RunRecord, Submission, WorkerId,
};

/// A diesel connection without libpq, for tests that submit runs in transactions of a user's own.
///
/// # Errors
/// As the store, when the server cannot be reached.
#[cfg(feature = "conformance")]
#[doc(hidden)]
pub fn connection_for_tests(
    url: &str,
) -> Result<impl diesel::connection::LoadConnection<Backend = diesel::pg::Pg> + use<>, StoreError> {
    let address = Address::parse(url)?;
    Connection::open(&address).map_err(|error| error::on_connect(&address, error))
}

/// SQL: the server's time at this moment (not at the beginning of the transaction), in microseconds.
const NOW: &str = "(extract(epoch from clock_timestamp()) * 1000000)::bigint";

/// SQL: the server's time at the beginning of the statement, in microseconds: unlike [`NOW`] one value for
/// all rows, which an index can look for.
const THEN: &str = "(extract(epoch from statement_timestamp()) * 1000000)::bigint";

/// How many places among facts are remembered; a follower whose place is forgotten reads from the beginning.
const N_PLACES_MAX: usize = 1024;

/// What every session of ours sets. The statements are prepared once, some of them while the tables are
/// still empty, and an empty table is best read whole; the plan would stay so as the table grows, until its
/// statistics change. With these, an index is used from the beginning, and its order with it. And who is silent in
/// the middle of a transaction is not waited for.
const SESSION: &str = "
set session characteristics as transaction isolation level read committed;
set idle_in_transaction_session_timeout = '5s';
set enable_seqscan = off;
set enable_hashjoin = off;
set enable_mergejoin = off;
set enable_bitmapscan = off;
set jit = off;";

/// Whoever set something stronger than `on` keeps it.
const FULL: &str = "
select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit') in ('off', 'local')";

const RELAXED: &str = "
set synchronous_commit = off";

/// One connection to a Postgres database, and a second, idle one while it has a worker.
///
/// It blocks the thread that uses it, and must not be used from within an async runtime.
pub struct Postgres {
    connection: Connection,
    address: Address,
    durability: Durability,
    /// Of each worker that is registered here: one, but for tests.
    session_locks: Vec<SessionLock>,
    trust: Trust,
    /// Plans that this connection knows to be stored.
    plans: HashMap<Fingerprint, Arc<PlanRecord>>,
    /// Where the last reading of a run's facts stopped, for those who follow it.
    places: HashMap<RunId, Place>,
    teller: Teller,
    /// Those of connections that are gone.
    n_statements_before: u64,
}

impl Postgres {
    /// Connects to `postgres://user:password@host:port/database`, with the parameters
    ///
    /// - `sslmode`: `disable`; `prefer` (the default) and `require` encrypt without asking who answers;
    ///   `verify-full` wants a certificate for this host from an authority that the system knows, or that
    ///   the file `sslrootcert` names;
    /// - `connect_timeout`: seconds that connecting and logging in may take, 10 by default;
    /// - `answer_timeout`: seconds that the server may take to answer, 60 by default; then the connection counts
    ///   as broken, and what was asked is asked again on another. Migrations may take longer;
    /// - `application_name`: what `pg_stat_activity` shows, `anio` by default;
    /// - `options`: settings of the session, as in `-c search_path=jobs`;
    /// - `host`: the directory of a Unix socket, for a URL that names no host.
    ///
    /// The tables are made by [`Backend::migrate`].
    ///
    /// # Errors
    /// [`StoreError::InvalidUrl`], [`StoreError::Unreachable`], [`StoreError::Refused`], and
    /// [`StoreError::CannotOpen`] for a database that is not there.
    ///
    /// # Panics
    /// Within an async runtime, whose thread it would block.
    pub fn connect(url: &str, durability: Durability) -> Result<Self, StoreError> {
        Self::open(Address::parse(url)?, durability)
    }

    fn open(address: Address, durability: Durability) -> Result<Self, StoreError> {
        Ok(Self {
            connection: open_session(&address, durability)?,
            address,
            durability,
            session_locks: Vec::new(),
            trust: Trust::default(),
            plans: HashMap::new(),
            places: HashMap::new(),
            teller: Teller::default(),
            n_statements_before: 0,
        })
    }

    /// One statement, or several that only read: an error means that nothing was stored.
    fn statement<T>(
        &mut self,
        work: impl FnOnce(&mut Connection) -> Result<T, Inner>,
    ) -> Result<T, StoreError> {
        work(&mut self.connection).map_err(|error| error::of_inner(&self.address, error, error::on_statement))
    }

    /// One statement that is a transaction of its own: without an answer it may be stored or not.
    fn commit_statement<T>(
        &mut self,
        work: impl FnOnce(&mut Connection) -> Result<T, Inner>,
    ) -> Result<T, StoreError> {
        if self.connection.is_closed() {
            // Nothing was sent: better to say so than to leave the caller in doubt.
            return Err(error::closed());
        }
        work(&mut self.connection).map_err(|error| error::of_inner(&self.address, error, error::on_commit))
    }

    fn transaction<T>(
        &mut self,
        work: impl FnOnce(&mut Connection) -> Result<T, Inner>,
    ) -> Result<T, StoreError> {
        self.connection.in_transaction(work).map_err(|error| error::of_transaction(&self.address, error))
    }

    /// Takes, or looks after, the session lock of a worker; tells whether it is held.
    fn keep_session_lock(&mut self, worker: WorkerId) -> bool {
        let Self { connection, address, session_locks, .. } = self;
        if let Some(lock) = session_locks.iter_mut().find(|lock| lock.worker() == worker) {
            return lock.keep(address, connection);
        }
        let lock = SessionLock::take(address, worker, connection);
        let is_held = lock.is_held();
        session_locks.push(lock);
        is_held
    }

    /// Gives up the session lock of a worker that holds no lease any more.
    fn drop_session_lock(&mut self, worker: WorkerId) {
        for lock in self.session_locks.extract_if(.., |lock| lock.worker() == worker) {
            self.n_statements_before += lock.n_statements();
        }
    }
}

fn open_session(address: &Address, durability: Durability) -> Result<Connection, StoreError> {
    let mut connection = Connection::open(address).map_err(|error| error::on_connect(address, error))?;
    let synchronous_commit = match durability {
        Durability::Full => FULL,
        Durability::Relaxed => RELAXED,
    };
    connection
        .batch(&[SESSION, synchronous_commit].concat())
        .map_err(|error| error::of_diesel(address, error, error::on_statement))?;
    Ok(connection)
}

impl Backend for Postgres {
    fn migrate(&mut self) -> Result<(), StoreError> {
        migrate::migrate(&mut self.connection, &self.address)
    }

    fn register(&mut self, worker: &NewWorker) -> Result<(), StoreError> {
        // The lock comes before the row: others look for a lock only where they see a row, and would
        // otherwise find none.
        let is_held = self.keep_session_lock(worker.id);
        self.commit_statement(|connection| lease::register(connection, worker, is_held))
    }

    fn commit(&mut self, batch: &Batch, number: u64) -> Result<(), StoreError> {
        if self.connection.is_closed() {
            // Nothing was sent: better to say so than to leave the caller in doubt.
            return Err(error::closed());
        }
        let Self { connection, plans, address, teller, .. } = self;
        let new_plans = submit::unknown_plans(batch, |plan| plans.contains_key(plan));
        let tidings = teller.of(batch);
        let is_stored = commit::commit(connection, batch, &new_plans, number, tidings)
            .map_err(|error| error::of_diesel(address, error, error::on_commit))?;
        if !is_stored {
            return Err(StoreError::LeaseLost);
        }
        teller.told(tidings);
        plans.extend(new_plans.into_iter().map(|(plan, record)| (plan, Arc::new(record.clone()))));
        Ok(())
    }

    fn last_commit(&mut self, worker: WorkerId) -> Result<u64, StoreError> {
        let number = self.statement(|connection| Ok(commit::last_commit(connection, worker)?))?;
        number.and_then(|number| u64::try_from(number).ok()).ok_or(StoreError::LeaseLost)
    }

    fn submit(&mut self, run: &NewRun, plan: (Fingerprint, &PlanRecord)) -> Result<Submission, StoreError> {
        let (fingerprint, record) = plan;
        if !self.plans.contains_key(&fingerprint) {
            self.commit_statement(|connection| Ok(submit::plan(connection, fingerprint, record)?))?;
            self.plans.insert(fingerprint, Arc::new(record.clone()));
        }
        self.commit_statement(|connection| submit::run(connection, run))
    }

    fn request(&mut self, run: RunId, request: Request) -> Result<Requested, StoreError> {
        self.commit_statement(|connection| request::request(connection, run, request))
    }

    fn append(&mut self, run: RunId, facts: &[FactRecord]) -> Result<Requested, StoreError> {
        self.commit_statement(|connection| request::append(connection, run, facts))
    }

    fn reopen(&mut self, reopening: &Reopening) -> Result<Requested, StoreError> {
        self.commit_statement(|connection| request::reopen(connection, reopening))
    }

    fn prune(&mut self, prune: &Prune) -> Result<Pruned, StoreError> {
        self.commit_statement(|connection| prune::prune(connection, prune))
    }

    fn claim(&mut self, claim: &Claim) -> Result<Vec<ClaimedRun>, StoreError> {
        let Self { connection, plans, address, .. } = self;
        connection
            .in_transaction(|connection| claim::claim(connection, claim, plans))
            .map_err(|error| error::of_transaction(address, error))
    }

    fn renew(&mut self, worker: &NewWorker) -> Result<Renewal, StoreError> {
        let is_held = self.keep_session_lock(worker.id);
        let trusts_locks = self.trust.stands();
        let renewed = self.statement(|connection| lease::renew(connection, worker, is_held, trusts_locks));
        if matches!(renewed, Err(StoreError::LeaseLost)) {
            self.drop_session_lock(worker.id);
        }
        renewed
    }

    fn bury(&mut self, dead: &[WorkerId]) -> Result<u64, StoreError> {
        let trusts_locks = self.trust.stands();
        self.transaction(|connection| lease::bury(connection, dead, trusts_locks))
    }

    fn release(&mut self, worker: WorkerId) -> Result<(), StoreError> {
        self.transaction(|connection| lease::release(connection, worker))?;
        self.drop_session_lock(worker);
        Ok(())
    }

    fn unpark(&mut self, workflows: &[WorkflowName]) -> Result<u64, StoreError> {
        self.commit_statement(|connection| Ok(claim::unpark(connection, workflows)?))
    }

    fn reserve(&mut self, reservation: &Reservation) -> Result<Reserved, StoreError> {
        self.commit_statement(|connection| rate::reserve(connection, reservation))
    }

    fn run(&mut self, id: RunId) -> Result<Option<RunRecord>, StoreError> {
        self.statement(|connection| query::run(connection, id))
    }

    fn runs(&mut self, query: &RunQuery) -> Result<Vec<RunRecord>, StoreError> {
        self.statement(|connection| query::runs(connection, query))
    }

    fn notifies(&self) -> bool {
        true
    }

    fn plan(&mut self, plan: Fingerprint) -> Result<Option<PlanRecord>, StoreError> {
        self.statement(|connection| query::plan(connection, plan))
    }

    fn facts(&mut self, run: RunId) -> Result<Vec<FactRecord>, StoreError> {
        let read = self.statement(|connection| query::facts_from(connection, run, 0, Place::START));
        read.map(|(facts, _)| facts)
    }

    fn facts_from(&mut self, run: RunId, n: u64) -> Result<Vec<FactRecord>, StoreError> {
        let known = self.places.get(&run).copied().filter(|place| place.n <= n).unwrap_or(Place::START);
        let (facts, behind) = self.statement(|connection| query::facts_from(connection, run, n, known))?;
        if self.places.len() >= N_PLACES_MAX {
            self.places.clear();
        }
        self.places.insert(run, behind);
        Ok(facts)
    }

    fn watcher(&self) -> Result<Option<Box<dyn Watcher>>, StoreError> {
        match Listener::open(self.address.clone()) {
            Ok(listener) => Ok(Some(Box::new(listener))),
            // A standby is told nothing.
            Err(StoreError::ReadOnly { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn reader(&self) -> Result<Box<dyn Backend>, StoreError> {
        Ok(Box::new(Self::open(self.address.clone(), self.durability)?))
    }

    fn reconnect(&mut self) -> Result<(), StoreError> {
        let connection = open_session(&self.address, self.durability)?;
        self.n_statements_before += self.connection.n_statements();
        self.connection = connection;
        // Whatever was in doubt when the connection broke may not be there.
        self.plans.clear();
        self.places.clear();
        self.trust.reconnected();
        let workers: Vec<WorkerId> = self.session_locks.iter().map(SessionLock::worker).collect();
        for worker in workers {
            self.keep_session_lock(worker);
        }
        Ok(())
    }

    fn n_statements(&self) -> u64 {
        let of_locks: u64 = self.session_locks.iter().map(SessionLock::n_statements).sum();
        self.n_statements_before + self.connection.n_statements() + of_locks
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres")
            .field("address", &self.address)
            .field("durability", &self.durability)
            .finish_non_exhaustive()
    }
}

/// Words for people, without the one character that Postgres does not store.
fn storable(text: &str) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text.to_owned() }
}
