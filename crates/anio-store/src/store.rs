//! The handle that the engine holds: asks the threads that own the connections, and waits without blocking.

use std::fmt;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anio_core::{RunId, WorkflowName};
use flume::Sender;

use crate::backend::Backend;
use crate::error::StoreError;
use crate::memory::Memory;
use crate::record::{
    Batch, Claim, ClaimedRun, Durability, FactRecord, NewWorker, Renewal, RunQuery, RunRecord, WorkerId,
};
use crate::url::{self, Location};
use crate::writer::{Answer, Call, Connection, Request, Shared};

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
/// threads finish what they were asked and end; [`Store::close`] waits for that.
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
        let reader = Thread::start("anio-reader", READER_INBOX, options.patience, || Some(reader))?;
        Ok(Self { writer, reader })
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
        self.writer.send(Request::Commit(batch, answer)).await?;
        Ok(Pending(pending))
    }

    /// Gives a worker its lease.
    ///
    /// # Errors
    /// Those of [`Backend::register`].
    pub async fn register(&self, worker: NewWorker) -> Result<(), StoreError> {
        self.writer.call(true, move |backend| backend.register(&worker)).await
    }

    /// Renews a lease and looks for dead workers and queued runs.
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

    /// The facts of a run, in the order in which they were committed.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn facts(&self, run: RunId) -> Result<Vec<FactRecord>, StoreError> {
        self.reader.call(true, move |backend| backend.facts(run)).await
    }

    /// How many statements have been sent to the database so far.
    pub fn n_statements(&self) -> u64 {
        let of = |thread: &Thread| thread.shared.n_statements.load(Ordering::Relaxed);
        of(&self.writer) + of(&self.reader)
    }

    /// Finishes what was asked before, closes the connections and ends the threads. What is asked later
    /// meets [`StoreError::Closed`]; closing twice is closing once.
    pub async fn close(&self) {
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

/// A thread that owns a connection.
#[derive(Clone)]
struct Thread {
    inbox: Sender<Request>,
    shared: Arc<Shared>,
    handle: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Thread {
    /// Starts a thread that opens a connection and serves it; where there is none it ends at once.
    fn start(
        name: &str,
        bound: usize,
        patience: Duration,
        open: impl FnOnce() -> Option<Box<dyn Backend>> + Send + 'static,
    ) -> Result<Self, StoreError> {
        let (inbox, requests) = flume::bounded(bound);
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let serve = move || {
            if let Some(backend) = open() {
                Connection::new(backend, patience, theirs).serve(&requests);
            }
        };
        let handle = thread::Builder::new()
            .name(name.to_owned())
            .spawn(serve)
            .map_err(|source| StoreError::Database { source: source.into() })?;
        Ok(Self { inbox, shared, handle: Arc::new(Mutex::new(Some(handle))) })
    }

    async fn send(&self, request: Request) -> Result<(), StoreError> {
        self.inbox.send_async(request).await.map_err(|_| StoreError::Closed)
    }

    async fn call<T, F>(&self, idempotent: bool, verb: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut dyn Backend) -> Result<T, StoreError> + Send + 'static,
    {
        let (answer, wait) = oneshot::async_channel();
        let call = Verb { speak: verb, idempotent, answer: Some(answer) };
        self.send(Request::Call(Box::new(call))).await?;
        wait.await.unwrap_or(Err(StoreError::Closed))
    }

    async fn close(&self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        let handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(handle) = handle else { return };
        handle.thread().unpark();
        let (closed, wait) = oneshot::async_channel();
        if self.send(Request::Close(closed)).await.is_ok() {
            // The connection is closed when the answer comes; the thread ends right after.
            let _ = wait.await;
        }
        // A thread that panicked has told of it on its own.
        let _ = handle.join();
    }
}

struct Verb<T, F> {
    speak: F,
    idempotent: bool,
    answer: Option<Answer<T>>,
}

impl<T, F> Call for Verb<T, F>
where
    T: Send,
    F: FnMut(&mut dyn Backend) -> Result<T, StoreError> + Send,
{
    fn attempt(&mut self, backend: &mut dyn Backend) -> Result<(), StoreError> {
        let value = (self.speak)(backend)?;
        if let Some(answer) = self.answer.take() {
            // One who no longer waits has dropped its end.
            let _ = answer.send(Ok(value));
        }
        Ok(())
    }

    fn is_idempotent(&self) -> bool {
        self.idempotent
    }

    fn fail(self: Box<Self>, error: StoreError) {
        if let Some(answer) = self.answer {
            let _ = answer.send(Err(error));
        }
    }
}
