//! The verbs that a database must speak.

use std::time::Duration;

use anio_core::plan::PlanRecord;
use anio_core::{Fingerprint, RunId};

use crate::error::StoreError;
use crate::rate::{Reservation, Reserved};
use crate::record::{
    Batch, Change, Claim, ClaimedRun, FactRecord, NewRun, NewWorker, Prune, Pruned, Renewal, Reopening,
    Request, Requested, RunQuery, RunRecord, Submission, WorkerId,
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

    /// Stores one new run that nobody has yet, and its plan; `run.claim` counts for nothing. Where there is
    /// a run of its workflow with its idempotency key, nothing is stored and that run comes back, also when
    /// it is being submitted by another process at the same time. Sent again after its answer was lost, a
    /// run that is stored under the same identity counts as new.
    ///
    /// # Errors
    /// Those of the database.
    fn submit(&mut self, run: &NewRun, plan: (Fingerprint, &PlanRecord)) -> Result<Submission, StoreError>;

    /// Asks something of a run, as the row of the run is locked:
    ///
    /// | state | pause | resume | cancel |
    /// |---|---|---|---|
    /// | queued, and nobody ever had it | paused | refused | cancelled |
    /// | queued, and somebody had it | paused, or refused where cancelling was asked | refused | sent, or cancelled where that was asked |
    /// | paused | done | queued | cancelled |
    /// | parked | refused | refused | cancelled |
    /// | running | sent, or refused where cancelling was asked | sent where pausing was asked, else refused | sent |
    /// | succeeded, failed | refused | refused | refused |
    /// | cancelled | refused | refused | done |
    ///
    /// What is sent is in `requested` (resuming empties it) and raises `news` by one. Cancelled at once, a
    /// run has ended: it has its `finished_at`, and nothing is requested of it. A run that somebody had may have
    /// callbacks that a crash left to be called, so it is left to whoever claims it; asked a second time, for want of
    /// somebody who does, it is cancelled at once. A run that is paused keeps the time that it is due at; one that is cancelled is due no more, and parked no more.
    ///
    /// # Errors
    /// Those of the database.
    fn request(&mut self, run: RunId, request: Request) -> Result<Requested, StoreError>;

    /// Adds facts that somebody else than its worker has to tell of a run ([`Cancelled`] is such), and
    /// raises its `news` by one. [`Requested::Sent`] when the run is `running`, [`Requested::Done`] when it
    /// waits (whoever claims it reads them), [`Requested::Refused`] when it has ended: nothing is stored.
    /// Sent again after its answer was lost (all of the facts are there, with their times), it stores nothing
    /// a second time, also where the run has ended since.
    ///
    /// [`Cancelled`]: anio_core::run::FactKind::Cancelled
    ///
    /// # Errors
    /// Those of the database.
    fn append(&mut self, run: RunId, facts: &[FactRecord]) -> Result<Requested, StoreError>;

    /// Lets a run go on that has `succeeded` or `failed`: stores the facts and makes it `queued`, one epoch
    /// further, without end, failure and deadline. [`Requested::Refused`] when it is in another state, or
    /// its epoch is another: nothing is stored. [`Requested::Done`] otherwise; also when it is sent again after
    /// its answer was lost, which shows in a higher epoch and in its facts, all of which are there with their
    /// times.
    ///
    /// # Errors
    /// Those of the database.
    fn reopen(&mut self, reopening: &Reopening) -> Result<Requested, StoreError>;

    /// One step of deleting runs that have ended, with all that is stored of them, in a transaction of a
    /// few milliseconds. Between two steps, and after a crash between them, a run is there wholly or is not
    /// to be seen: to every verb it is unknown, and its idempotency key is free. A run of which a part is
    /// gone is gone on with first, whatever is asked for. Each step looks at a bounded number of runs, so one
    /// may delete nothing and have a next all the same.
    ///
    /// # Errors
    /// Those of the database.
    fn prune(&mut self, prune: &Prune) -> Result<Pruned, StoreError>;

    /// Takes queued runs that are due for a worker, by priority, then in the order of submission; they are
    /// `running` then. What is requested of a run stays so: the worker learns of it from the record.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`].
    fn claim(&mut self, claim: &Claim) -> Result<Vec<ClaimedRun>, StoreError>;

    /// Renews a lease and looks for dead workers, queued runs, and news of this worker's runs, in at most
    /// two statements; two more where runs have become due, which are in the queue then.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`].
    fn renew(&mut self, worker: &NewWorker) -> Result<Renewal, StoreError>;

    /// Marks the leases of dead workers lost (each is judged again under a lock on its row) and puts their
    /// runs back into the queue, one epoch further; those of which pausing was asked are `paused` instead.
    /// Returns how many runs.
    ///
    /// # Errors
    /// Those of the database.
    fn bury(&mut self, dead: &[WorkerId]) -> Result<u64, StoreError>;

    /// Gives a lease back: the worker's runs return to the queue as by [`Backend::bury`], and it can commit
    /// nothing more.
    ///
    /// # Errors
    /// Those of the database.
    fn release(&mut self, worker: WorkerId) -> Result<(), StoreError>;

    /// Puts parked runs of these workflows back into the queue: those parked because their workflow was
    /// unknown, or that may go on under a changed program; those of which pausing was asked are `paused`
    /// instead. Returns how many runs.
    ///
    /// # Errors
    /// Those of the database.
    fn unpark(&mut self, workflows: &[anio_core::WorkflowName]) -> Result<u64, StoreError>;

    /// Reserves starts under a rate that all workers of the database share, by the database's clock: all that are
    /// asked for, to start together from an instant that is told, or none. Of what all connections have reserved
    /// under one name, no more may start within any time than its burst and what its rate allows of that time;
    /// also after a restart, since what was reserved is as durable as a commit. Sent again after its answer was
    /// lost it reserves a second time, and what was reserved first never starts.
    ///
    /// # Errors
    /// Those of the database.
    fn reserve(&mut self, reservation: &Reservation) -> Result<Reserved, StoreError>;

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

    /// What is stored of a plan.
    ///
    /// # Errors
    /// Those of the database.
    fn plan(&mut self, plan: Fingerprint) -> Result<Option<PlanRecord>, StoreError>;

    /// The facts of a run, in the order in which they were committed.
    ///
    /// # Errors
    /// Those of the database.
    fn facts(&mut self, run: RunId) -> Result<Vec<FactRecord>, StoreError>;

    /// The facts of a run from the `n`-th on (the first is 0), in the order in which they were committed.
    ///
    /// # Errors
    /// Those of the database.
    fn facts_from(&mut self, run: RunId, n: u64) -> Result<Vec<FactRecord>, StoreError>;

    /// What tells when another connection has changed the database; `None` where nothing can be told.
    ///
    /// # Errors
    /// Those of connecting.
    fn watcher(&self) -> Result<Option<Box<dyn Watcher>>, StoreError>;

    /// Whether the database itself tells of changes, so that to be told of them costs next to nothing.
    fn notifies(&self) -> bool {
        false
    }

    /// Whether another connection has committed anything since this was last asked. The first time it says yes,
    /// and it may say yes where nothing was committed. For backends that do not notify and can tell without a look
    /// at the disk; others always say no.
    ///
    /// # Errors
    /// Those of the database.
    fn changed_by_others(&mut self) -> Result<bool, StoreError> {
        Ok(false)
    }

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

/// Waits for changes that others make. Lives on a thread of its own.
pub trait Watcher: Send + 'static {
    /// Waits until another connection may have changed something, at most for `timeout`; `None` when that
    /// has passed. It may tell of changes that were none. After an error (the connection broke) the next
    /// call connects again, and tells [`Change::Any`] then, because changes may have been missed.
    ///
    /// # Errors
    /// Those of the database.
    fn wait(&mut self, timeout: Duration) -> Result<Option<Change>, StoreError>;
}
