//! The verbs that a database must speak.

use anio_core::RunId;

use crate::error::StoreError;
use crate::record::{
    Batch, Claim, ClaimedRun, FactRecord, NewWorker, Renewal, RunQuery, RunRecord, WorkerId,
};

/// One connection to a database that keeps runs. Synchronous: each connection lives on a thread of its own.
///
/// The conformance suite (`conformance`) says in code what each verb must do; memory, SQLite and Postgres
/// all pass it. Every verb is one transaction: it happens wholly or not at all.
pub trait Backend: Send + 'static {
    /// Brings the database's tables up to this program's version, under a lock of its own, so that many
    /// processes may do so at once.
    ///
    /// # Errors
    /// [`StoreError::NewerSchema`] when a newer program made the tables; [`StoreError::ForeignDatabase`]
    /// when a SQLite file belongs to another program. Nothing is changed then.
    fn migrate(&mut self) -> Result<(), StoreError>;

    /// Gives a worker its lease, which holds from now for `worker.lease` by the database's clock, and takes
    /// whatever lock tells others that this process lives.
    ///
    /// # Errors
    /// Those of the database.
    fn register(&mut self, worker: &NewWorker) -> Result<(), StoreError>;

    /// Makes a batch durable. `number` counts the commits of the batch's worker from 1; it is stored in the
    /// same transaction, by the statement that is the fence. A batch whose number is not above the last
    /// one stored is durable already: nothing is stored then, and the outcome is `Ok`, also where the lease
    /// has been lost since. So a commit whose answer was lost can be sent again, even while the server is
    /// still at work on the first. Without a worker the number counts for nothing.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] when the batch's worker no longer holds its lease: nothing was stored.
    /// [`StoreError::OutcomeUnknown`] when the connection broke while the commit was under way.
    fn commit(&mut self, batch: &Batch, number: u64) -> Result<(), StoreError>;

    /// The number of the last commit of a worker that became durable; 0 for none.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] when the worker no longer holds its lease **and** says nothing of its
    /// commits; those of the database.
    fn last_commit(&mut self, worker: WorkerId) -> Result<u64, StoreError>;

    /// Takes queued runs for a worker, by priority, then in the order of submission; they are `running` then.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`].
    fn claim(&mut self, claim: &Claim) -> Result<Vec<ClaimedRun>, StoreError>;

    /// Renews a lease and looks for dead workers and queued runs, in at most two statements.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`].
    fn renew(&mut self, worker: &NewWorker) -> Result<Renewal, StoreError>;

    /// Marks the leases of dead workers lost (each is judged again under a lock on its row) and puts their
    /// runs back into the queue, one epoch further. Returns how many runs.
    ///
    /// # Errors
    /// Those of the database.
    fn bury(&mut self, dead: &[WorkerId]) -> Result<u64, StoreError>;

    /// Gives a lease back: the worker's runs return to the queue, and it can commit nothing more.
    ///
    /// # Errors
    /// Those of the database.
    fn release(&mut self, worker: WorkerId) -> Result<(), StoreError>;

    /// Puts parked runs of these workflows back into the queue: those parked because their workflow was
    /// unknown, or that may go on under a changed program.
    ///
    /// # Errors
    /// Those of the database.
    fn unpark(&mut self, workflows: &[anio_core::WorkflowName]) -> Result<u64, StoreError>;

    /// One run.
    ///
    /// # Errors
    /// Those of the database.
    fn run(&mut self, id: RunId) -> Result<Option<RunRecord>, StoreError>;

    /// Runs, the last submitted first.
    ///
    /// # Errors
    /// Those of the database.
    fn runs(&mut self, query: &RunQuery) -> Result<Vec<RunRecord>, StoreError>;

    /// The facts of a run, in the order in which they were committed.
    ///
    /// # Errors
    /// Those of the database.
    fn facts(&mut self, run: RunId) -> Result<Vec<FactRecord>, StoreError>;

    /// A second connection to the same database, for reading beside the writer.
    ///
    /// # Errors
    /// Those of connecting.
    fn reader(&self) -> Result<Box<dyn Backend>, StoreError>;

    /// Connects again after the connection broke; the worker's lock is taken again where it was held.
    ///
    /// # Errors
    /// Those of connecting.
    fn reconnect(&mut self) -> Result<(), StoreError>;

    /// How many statements this connection has sent, for benchmarks and tests of idleness.
    fn n_statements(&self) -> u64;
}
