//! A store in memory, for tests and for runs that need not outlive their process.
//!
//! It keeps every rule that the databases keep: batches happen wholly or not at all, commits are fenced by
//! leases, the dead are buried. Its clock is the machine's, or one that a test moves by hand.
//!
//! `state.rs` holds the runs and their rules, `watch.rs` tells of changes.

mod state;
mod watch;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anio_core::plan::PlanRecord;
use anio_core::{Fingerprint, RunId, Timestamp, WorkflowName};

use self::state::State;
use self::watch::{Changing, Shared, Watch};
use crate::backend::{Backend, Watcher};
use crate::error::StoreError;
use crate::rate::{Reservation, Reserved};
use crate::record::{
    Batch, Claim, ClaimedRun, FactRecord, NewRun, NewWorker, Prune, Pruned, Renewal, Reopening, Request,
    Requested, RunQuery, RunRecord, Submission, WorkerId,
};

/// A store in memory; clones and readers share it.
///
/// ```
/// use std::time::Duration;
/// use anio_store::backend::Backend;
/// use anio_store::memory::Memory;
/// use anio_store::record::{NewWorker, WorkerId};
///
/// let mut memory = Memory::new();
/// let worker = |id| NewWorker { id: WorkerId(id), name: "w".into(), lease: Duration::from_secs(15) };
/// let (a, b) = (worker(uuid::Uuid::from_u128(1)), worker(uuid::Uuid::from_u128(2)));
/// memory.register(&a)?;
/// memory.register(&b)?;
/// memory.advance(Duration::from_secs(16));
/// assert_eq!(memory.renew(&b)?.dead, [a.id]);
/// # Ok::<(), anio_store::StoreError>(())
/// ```
#[derive(Clone, Default)]
pub struct Memory {
    shared: Arc<Shared>,
    n_calls: u64,
}

impl Memory {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store whose time comes from somewhere else: from a simulation, say.
    pub fn with_clock(clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        let memory = Self::new();
        memory.shared.state().set_clock(Box::new(clock));
        memory
    }

    /// Whether this worker still has its lease: nobody has taken it, and it was not given back.
    pub fn has_lease(&self, worker: WorkerId) -> bool {
        self.shared.state().has_lease(worker)
    }

    /// How often something was changed.
    pub fn n_changes(&self) -> u64 {
        self.shared.state().n_changes
    }

    /// Moves the store's clock ahead: leases run out by it, and runs become due.
    pub fn advance(&self, by: Duration) {
        self.shared.state().advance(by);
    }

    /// Looks, and changes nothing that others watch for.
    fn look<T>(&mut self, verb: impl FnOnce(&mut State) -> T) -> T {
        self.n_calls += 1;
        verb(&mut self.shared.state())
    }

    /// Changes something that others may watch for.
    fn change(&mut self) -> Changing<'_> {
        self.n_calls += 1;
        self.shared.change()
    }
}

impl Backend for Memory {
    fn migrate(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn register(&mut self, worker: &NewWorker) -> Result<(), StoreError> {
        self.look(|state| state.register(worker))
    }

    fn commit(&mut self, batch: &Batch, number: u64) -> Result<(), StoreError> {
        self.change().commit(batch, number)
    }

    fn last_commit(&mut self, worker: WorkerId) -> Result<u64, StoreError> {
        self.look(|state| state.last_commit(worker))
    }

    fn submit(&mut self, run: &NewRun, plan: (Fingerprint, &PlanRecord)) -> Result<Submission, StoreError> {
        Ok(self.change().submit(run, plan))
    }

    fn request(&mut self, run: RunId, request: Request) -> Result<Requested, StoreError> {
        Ok(self.change().request(run, request))
    }

    fn append(&mut self, run: RunId, facts: &[FactRecord]) -> Result<Requested, StoreError> {
        Ok(self.change().append(run, facts))
    }

    fn reopen(&mut self, reopening: &Reopening) -> Result<Requested, StoreError> {
        Ok(self.change().reopen(reopening))
    }

    fn prune(&mut self, prune: &Prune) -> Result<Pruned, StoreError> {
        Ok(self.change().prune(prune))
    }

    fn claim(&mut self, claim: &Claim) -> Result<Vec<ClaimedRun>, StoreError> {
        self.change().claim(claim)
    }

    fn renew(&mut self, worker: &NewWorker) -> Result<Renewal, StoreError> {
        self.look(|state| state.renew(worker))
    }

    fn bury(&mut self, dead: &[WorkerId]) -> Result<u64, StoreError> {
        Ok(self.change().bury(dead))
    }

    fn release(&mut self, worker: WorkerId) -> Result<(), StoreError> {
        self.change().end_leases(&[worker]);
        Ok(())
    }

    fn unpark(&mut self, workflows: &[WorkflowName]) -> Result<u64, StoreError> {
        Ok(self.change().unpark(workflows))
    }

    fn reserve(&mut self, reservation: &Reservation) -> Result<Reserved, StoreError> {
        Ok(self.look(|state| state.reserve(reservation)))
    }

    fn run(&mut self, id: RunId) -> Result<Option<RunRecord>, StoreError> {
        Ok(self.look(|state| state.run(id)))
    }

    fn runs(&mut self, query: &RunQuery) -> Result<Vec<RunRecord>, StoreError> {
        Ok(self.look(|state| state.runs(query)))
    }

    fn plan(&mut self, plan: Fingerprint) -> Result<Option<PlanRecord>, StoreError> {
        Ok(self.look(|state| state.plan(plan)))
    }

    fn facts(&mut self, run: RunId) -> Result<Vec<FactRecord>, StoreError> {
        self.facts_from(run, 0)
    }

    fn facts_from(&mut self, run: RunId, n: u64) -> Result<Vec<FactRecord>, StoreError> {
        Ok(self.look(|state| state.facts_from(run, n)))
    }

    fn watcher(&self) -> Result<Option<Box<dyn Watcher>>, StoreError> {
        Ok(Some(Box::new(Watch::new(&self.shared))))
    }

    fn reader(&self) -> Result<Box<dyn Backend>, StoreError> {
        Ok(Box::new(Self { shared: Arc::clone(&self.shared), n_calls: 0 }))
    }

    fn reconnect(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn n_statements(&self) -> u64 {
        self.n_calls
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}
