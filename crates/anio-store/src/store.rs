//! The handle that the engine holds: asks the threads that own the connections, and waits without blocking.

use std::fmt;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use anio_core::plan::PlanRecord;
use anio_core::{Fingerprint, RunId, WorkflowName};

use crate::backend::Backend;
use crate::changes::{Changes, Watching};
use crate::error::StoreError;
use crate::memory::Memory;
use crate::rate::{Reservation, Reserved};
use crate::record::{
    Batch, Claim, ClaimedRun, Durability, FactRecord, NewRun, NewWorker, Prune, Pruned, Renewal, Reopening,
    Request, Requested, RunQuery, RunRecord, RunStatus, Submission, WorkerId,
};
use crate::schedule::Schedule;
use crate::thread::Thread;
use crate::url::{self, Location};
use crate::writer;

/// How many requests may wait for the thread that writes; more wait for room.
const WRITER_INBOX: usize = 1024;

/// How many requests may wait for the thread that reads.
const READER_INBOX: usize = 256;

/// How a store is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// When a commit counts as durable.
    pub durability: Durability,
    /// How long a call is tried again while the database is busy, full or out of reach, before its error is
    /// handed on; 60 seconds by default.
    pub patience: Duration,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { durability: Durability::Full, patience: Duration::from_secs(60) }
    }
}

/// Makes facts durable and finds runs; clones share the connections.
///
/// Two threads stand behind it, each with a connection of its own: one writes, one reads. What waits while
/// the writer commits is committed together (see [`Store::enqueue`]). When the last clone is dropped, the
/// threads finish what they were asked and end; [`Store::close`] waits for that. A third watches for what
/// others change, while somebody wants to know (see [`Store::changes`]).
///
/// ```
/// use anio_store::record::{Batch, RunQuery};
/// use anio_store::{Store, StoreOptions};
///
/// # futures::executor::block_on(async {
/// let store = Store::open("memory:", StoreOptions::default()).await?;
/// store.commit(Batch::default()).await?;
/// assert!(store.runs(RunQuery::default()).await?.is_empty());
/// store.close().await;
/// # Ok::<(), anio_store::StoreError>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Store {
    writer: Thread,
    reader: Thread,
    notifies: bool,
    watching: Arc<Watching>,
}

impl Store {
    /// Opens the store that a URL names, and brings its tables up to this program's version.
    ///
    /// `sqlite://<path>`, `sqlite:<path>` and a bare path that ends in `.db`, `.sqlite` or `.sqlite3` name a
    /// SQLite file, which is made where there is none; `memory:` and `sqlite::memory:` are memory of this
    /// process that nobody else sees; `postgres://` and `postgresql://` are for the feature `postgres`.
    ///
    /// # Errors
    /// [`StoreError::InvalidUrl`]; those of opening; those of [`Backend::migrate`]. Nothing is changed then.
    pub async fn open(url: &str, options: StoreOptions) -> Result<Self, StoreError> {
        let location = url::parse(url)?;
        Self::start(move || connect(&location, options.durability), options).await
    }

    /// A store over a backend of one's own; its tables are brought up to this program's version.
    ///
    /// # Errors
    /// Those of [`Backend::migrate`] and [`Backend::reader`].
    pub async fn with_backend(backend: Box<dyn Backend>, options: StoreOptions) -> Result<Self, StoreError> {
        Self::start(move || Ok(backend), options).await
    }

    /// A store without threads, for a simulation that holds the time: what its connections do waits by the
    /// schedule. The backend's tables are brought up to this program's version.
    ///
    /// # Errors
    /// Those of [`Backend::migrate`] and [`Backend::reader`].
    pub fn scheduled(
        mut backend: Box<dyn Backend>,
        options: StoreOptions,
        schedule: &Arc<dyn Schedule>,
    ) -> Result<Self, StoreError> {
        backend.migrate()?;
        let reader = backend.reader()?;
        let (notifies, patience) = (reader.notifies(), options.patience);
        let writer = Thread::scheduled(WRITER_INBOX, patience, backend, schedule);
        let reader = Thread::scheduled(READER_INBOX, patience, reader, schedule);
        Ok(Self { writer, reader, notifies, watching: Arc::new(Watching::scheduled(schedule)) })
    }

    async fn start(
        connect: impl FnOnce() -> Result<Box<dyn Backend>, StoreError> + Send + 'static,
        options: StoreOptions,
    ) -> Result<Self, StoreError> {
        let (opened, wait) = oneshot::async_channel();
        let open = move || {
            let outcome = connect().and_then(|mut backend| {
                backend.migrate()?;
                let reader = backend.reader()?;
                Ok((backend, reader))
            });
            match outcome {
                Ok((writer, reader)) => {
                    let _ = opened.send(Ok(reader));
                    Some(writer)
                }
                Err(error) => {
                    let _ = opened.send(Err(error));
                    None
                }
            }
        };
        let writer = Thread::start("anio-writer", WRITER_INBOX, options.patience, open)?;
        let reader = wait.await.map_err(|_| StoreError::Closed)??;
        let notifies = reader.notifies();
        let reader = Thread::start("anio-reader", READER_INBOX, options.patience, || Some(reader))?;
        Ok(Self { writer, reader, notifies, watching: Arc::default() })
    }

    /// Makes a batch durable: it is when this returns.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] when the batch's worker no longer holds its lease: nothing was stored.
    /// [`StoreError::OutcomeUnknown`] when the connection broke and did not come back in time.
    ///
    /// # Cancel safety
    /// Dropped before it was sent, nothing is stored; dropped later, the batch is stored all the same.
    pub async fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        self.enqueue(batch).await?.await
    }

    /// Hands a batch over, waiting only for room; what comes back tells when it is durable, and may be
    /// dropped by one who does not care. Batches that are handed over one after the other are committed in
    /// that order, together with whatever else waits.
    ///
    /// # Errors
    /// [`StoreError::Closed`].
    ///
    /// # Cancel safety
    /// Dropped before it returns, nothing is stored.
    pub async fn enqueue(&self, batch: Batch) -> Result<Pending, StoreError> {
        let (answer, pending) = oneshot::async_channel();
        self.writer.send(writer::Request::Commit(batch, answer)).await?;
        Ok(Pending(pending))
    }

    /// Stores one new run that nobody has yet, and its plan; it is durable when this returns. With an
    /// idempotency key that a run of its workflow has already, nothing is stored and that run comes back.
    ///
    /// # Errors
    /// [`StoreError::InvalidOption`] for a key, a tag or a traceparent over its limits, and
    /// [`StoreError::IdempotencyConflict`] when the run with its key has another input (the two are compared
    /// as JSON values): nothing was stored. [`StoreError::OutcomeUnknown`] when the connection broke and did
    /// not come back in time.
    ///
    /// # Cancel safety
    /// Dropped before it was sent, nothing is stored; dropped later, the run is stored all the same.
    pub async fn submit(
        &self,
        run: NewRun,
        plan: (Fingerprint, PlanRecord),
    ) -> Result<Submission, StoreError> {
        run.options.check(&run.workflow)?;
        let run = Arc::new(run);
        let theirs = Arc::clone(&run);
        let submit = move |backend: &mut dyn Backend| backend.submit(&theirs, (plan.0, &plan.1));
        self.writer.call(true, submit).await?.checked(&run)
    }

    /// Asks something of a run: see the table of [`Backend::request`].
    ///
    /// # Errors
    /// Those of the database. [`StoreError::OutcomeUnknown`] when the connection broke and did not come back in
    /// time; otherwise it is asked again. Asked twice because the first answer was lost, a pause or a resume
    /// also undoes what somebody else asked between the two.
    ///
    /// # Cancel safety
    /// Dropped before it was sent, nothing is asked; dropped later, it is asked all the same.
    pub async fn request(&self, run: RunId, request: Request) -> Result<Requested, StoreError> {
        let mut in_doubt = false;
        let ask = move |backend: &mut dyn Backend| {
            // To ask a second time would be more than was asked.
            if in_doubt && request == Request::Cancel {
                let found = backend.run(run)?.and_then(|found| found.requested);
                if found == Some(request) {
                    return Ok(Requested::Sent);
                }
            }
            let outcome = backend.request(run, request);
            in_doubt |= matches!(outcome, Err(StoreError::OutcomeUnknown { .. }));
            match outcome {
                // It was held when it was first asked to go on, and it is not any more.
                Ok(Requested::Refused(status)) if in_doubt && request == Request::Resume => {
                    Ok(if status == RunStatus::Running { Requested::Sent } else { Requested::Done(status) })
                }
                outcome => outcome,
            }
        };
        self.writer.call(true, ask).await
    }

    /// Adds facts that somebody else than its worker has to tell of a run; see [`Backend::append`].
    ///
    /// # Errors
    /// Those of the database. [`StoreError::OutcomeUnknown`] when the connection broke and did not come back in
    /// time: the facts may be stored or not.
    ///
    /// # Cancel safety
    /// Dropped before it was sent, nothing is stored; dropped later, the facts are stored all the same.
    pub async fn append(&self, run: RunId, facts: Vec<FactRecord>) -> Result<Requested, StoreError> {
        self.writer.call(true, move |backend| backend.append(run, &facts)).await
    }

    /// Lets a run go on that has succeeded or failed; see [`Backend::reopen`].
    ///
    /// # Errors
    /// Those of the database. [`StoreError::OutcomeUnknown`] when the connection broke and did not come back in
    /// time: it was reopened where its epoch has become higher.
    ///
    /// # Cancel safety
    /// Dropped before it was sent, nothing is changed; dropped later, the run is reopened all the same.
    pub async fn reopen(&self, reopening: Reopening) -> Result<Requested, StoreError> {
        let mut in_doubt = false;
        let reopen = move |backend: &mut dyn Backend| {
            let outcome = backend.reopen(&reopening);
            in_doubt |= matches!(outcome, Err(StoreError::OutcomeUnknown { .. }));
            match outcome {
                // Without a fact only the epoch tells; and one such reopening is like another.
                Ok(Requested::Refused(_)) if in_doubt && reopening.facts.is_empty() => {
                    let epoch = backend.run(reopening.run)?.map(|run| run.epoch);
                    Ok(if epoch > Some(reopening.epoch) {
                        Requested::Done(RunStatus::Queued)
                    } else {
                        outcome?
                    })
                }
                outcome => outcome,
            }
        };
        self.writer.call(true, reopen).await
    }

    /// One step of deleting runs that have ended; see [`Backend::prune`]. The next step begins where this one
    /// stopped ([`Pruned::next`]); commits go on between the two.
    ///
    /// # Errors
    /// Those of the database.
    ///
    /// # Cancel safety
    /// Dropped before it was sent, nothing is deleted; dropped later, the step is done all the same.
    pub async fn prune(&self, prune: Prune) -> Result<Pruned, StoreError> {
        self.writer.call(true, move |backend| backend.prune(&prune)).await
    }

    /// Gives a worker its lease.
    ///
    /// # Errors
    /// Those of [`Backend::register`].
    pub async fn register(&self, worker: NewWorker) -> Result<(), StoreError> {
        self.writer.call(true, move |backend| backend.register(&worker)).await
    }

    /// Renews a lease and looks for dead workers, queued runs and news of this worker's runs.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`].
    pub async fn renew(&self, worker: NewWorker) -> Result<Renewal, StoreError> {
        self.writer.call(true, move |backend| backend.renew(&worker)).await
    }

    /// Takes queued runs for a worker, by priority, then in the order of submission.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`]. [`StoreError::OutcomeUnknown`] when the connection broke: then the worker
    /// may own runs that it does not know of; let it release its lease and register anew.
    ///
    /// # Cancel safety
    /// Not cancel safe: runs may have been taken that nobody is told of.
    pub async fn claim(&self, claim: Claim) -> Result<Vec<ClaimedRun>, StoreError> {
        self.writer.call(false, move |backend| backend.claim(&claim)).await
    }

    /// Takes the leases of dead workers, and puts their runs back into the queue; returns how many runs.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn bury(&self, dead: Vec<WorkerId>) -> Result<u64, StoreError> {
        self.writer.call(true, move |backend| backend.bury(&dead)).await
    }

    /// Gives a lease back: the worker's runs return to the queue.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn release(&self, worker: WorkerId) -> Result<(), StoreError> {
        self.writer.call(true, move |backend| backend.release(worker)).await
    }

    /// Puts parked runs of these workflows back into the queue; returns how many.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn unpark(&self, workflows: Vec<WorkflowName>) -> Result<u64, StoreError> {
        self.writer.call(true, move |backend| backend.unpark(&workflows)).await
    }

    /// Reserves starts under a rate that all workers of the database share; see [`Backend::reserve`].
    ///
    /// # Errors
    /// Those of the database.
    ///
    /// # Cancel safety
    /// Dropped before it was sent, nothing is reserved; dropped later, what was reserved never starts.
    ///
    /// ```
    /// use std::time::Duration;
    /// use anio_store::rate::Reservation;
    /// use anio_store::{Store, StoreOptions};
    ///
    /// # futures::executor::block_on(async {
    /// let store = Store::open("memory:", StoreOptions::default()).await?;
    /// let interval = Duration::from_secs(60);
    /// let one = Reservation { name: "api".to_owned(), n: 1, interval, burst: 1 };
    /// let (first, second) = (store.reserve(one.clone()).await?, store.reserve(one).await?);
    /// assert_eq!(first.wait(), Duration::ZERO);
    /// assert_eq!(second.at.since(first.at), interval);
    /// # Ok::<(), anio_store::StoreError>(())
    /// # }).unwrap();
    /// ```
    pub async fn reserve(&self, reservation: Reservation) -> Result<Reserved, StoreError> {
        self.writer.call(true, move |backend| backend.reserve(&reservation)).await
    }

    /// One run.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn run(&self, id: RunId) -> Result<Option<RunRecord>, StoreError> {
        self.reader.call(true, move |backend| backend.run(id)).await
    }

    /// Runs, the last submitted first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn runs(&self, query: RunQuery) -> Result<Vec<RunRecord>, StoreError> {
        self.reader.call(true, move |backend| backend.runs(&query)).await
    }

    /// What is stored of a plan that a run is or was pinned to.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn plan(&self, plan: Fingerprint) -> Result<Option<PlanRecord>, StoreError> {
        self.reader.call(true, move |backend| backend.plan(plan)).await
    }

    /// The facts of a run, in the order in which they were committed.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn facts(&self, run: RunId) -> Result<Vec<FactRecord>, StoreError> {
        self.reader.call(true, move |backend| backend.facts(run)).await
    }

    /// The facts of a run from the `n`-th on (the first is 0), in the order in which they were committed.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn facts_from(&self, run: RunId, n: u64) -> Result<Vec<FactRecord>, StoreError> {
        self.reader.call(true, move |backend| backend.facts_from(run, n)).await
    }

    /// Tells from now on when anybody has changed the database: another process, or this one. The first call
    /// starts a thread with a connection of its own; it ends within a second after the last of these was
    /// dropped, or the store closed.
    ///
    /// A change in a SQLite file is told 250 ms later at the most (the file is looked at a few times a second
    /// while somebody waits), in Postgres and in memory at once.
    ///
    /// # Errors
    /// Those of connecting.
    ///
    /// # Cancel safety
    /// Cancel safe.
    ///
    /// ```
    /// use anio_store::record::Batch;
    /// use anio_store::{Store, StoreOptions};
    ///
    /// # futures::executor::block_on(async {
    /// let store = Store::open("memory:", StoreOptions::default()).await?;
    /// let mut changes = store.changes().await?;
    /// store.commit(Batch::default()).await?;
    /// assert!(changes.changed().await.is_some());
    /// store.close().await;
    /// assert!(changes.changed().await.is_none());
    /// # Ok::<(), anio_store::StoreError>(())
    /// # }).unwrap();
    /// ```
    pub async fn changes(&self) -> Result<Changes, StoreError> {
        if let Some(changes) = self.watching.join() {
            return Ok(changes);
        }
        let watcher = self.reader.call(true, |backend| backend.watcher()).await?;
        self.watching.start(watcher)
    }

    /// Whether the database itself tells of changes (Postgres does), so that [`Store::changes`] costs next to
    /// nothing; a SQLite file has to be looked at.
    pub fn notifies(&self) -> bool {
        self.notifies
    }

    /// Whether another connection has committed anything since this was last asked; `false` where the database
    /// notifies, or cannot tell for next to nothing.
    ///
    /// # Errors
    /// Those of [`Backend::changed_by_others`].
    pub async fn changed_by_others(&self) -> Result<bool, StoreError> {
        self.writer.call(true, Backend::changed_by_others).await
    }

    /// How many statements have been sent to the database so far.
    pub fn n_statements(&self) -> u64 {
        let of = |thread: &Thread| thread.shared.n_statements.load(Ordering::Relaxed);
        of(&self.writer) + of(&self.reader)
    }

    /// Finishes what was asked before, closes the connections and ends the threads. What is asked later
    /// meets [`StoreError::Closed`]; closing twice is closing once.
    pub async fn close(&self) {
        self.watching.close();
        self.writer.close().await;
        self.reader.close().await;
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("n_statements", &self.n_statements()).finish_non_exhaustive()
    }
}

/// A batch that was handed over; becomes ready when the batch is durable.
#[derive(Debug)]
#[must_use = "await it to know that the batch is durable, or drop it on purpose"]
pub struct Pending(oneshot::AsyncReceiver<Result<(), StoreError>>);

impl Future for Pending {
    type Output = Result<(), StoreError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|answer| answer.unwrap_or(Err(StoreError::Closed)))
    }
}

fn connect(location: &Location, durability: Durability) -> Result<Box<dyn Backend>, StoreError> {
    match location {
        Location::Memory => Ok(Box::new(Memory::new())),
        Location::Sqlite(path) => connect_sqlite(path, durability),
        Location::Postgres(url) => connect_postgres(url, durability),
    }
}

#[cfg(feature = "sqlite")]
fn connect_sqlite(path: &Path, durability: Durability) -> Result<Box<dyn Backend>, StoreError> {
    Ok(Box::new(crate::sqlite::Sqlite::open(path, durability)?))
}

#[cfg(not(feature = "sqlite"))]
fn connect_sqlite(path: &Path, _: Durability) -> Result<Box<dyn Backend>, StoreError> {
    Err(without_feature("sqlite", &path.display().to_string()))
}

#[cfg(feature = "postgres")]
fn connect_postgres(url: &str, durability: Durability) -> Result<Box<dyn Backend>, StoreError> {
    Ok(Box::new(crate::postgres::Postgres::connect(url, durability)?))
}

#[cfg(not(feature = "postgres"))]
fn connect_postgres(url: &str, _: Durability) -> Result<Box<dyn Backend>, StoreError> {
    Err(without_feature("postgres", url))
}

#[cfg(not(all(feature = "sqlite", feature = "postgres")))]
fn without_feature(feature: &str, url: &str) -> StoreError {
    StoreError::InvalidUrl {
        url: url::without_password(url),
        problem: format!("this program was built without it; enable the cargo feature {feature:?} of anio"),
    }
}
