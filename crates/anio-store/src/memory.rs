//! A store in memory, for tests and for runs that need not outlive their process.
//!
//! It keeps every rule that the databases keep: batches happen wholly or not at all, commits are fenced by
//! leases, the dead are buried. Its clock is the machine's, or one that a test moves by hand.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anio_core::plan::PlanRecord;
use anio_core::{Fingerprint, RunId, Timestamp, WorkflowName};

use crate::backend::{Backend, Watcher};
use crate::error::StoreError;
use crate::record::{
    Batch, Claim, ClaimedRun, FactRecord, NewRun, NewWorker, Prune, Pruned, Renewal, Reopening, Request,
    Requested, RunQuery, RunRecord, RunStatus, Submission, WorkerId,
};

/// How many runs a list has where nobody says.
const RUNS_DEFAULT: u32 = 100;

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
    shared: Arc<Mutex<State>>,
    n_calls: u64,
}

#[derive(Default)]
struct State {
    runs: BTreeMap<RunId, Run>,
    workers: BTreeMap<WorkerId, Lease>,
    plans: HashMap<Fingerprint, Arc<PlanRecord>>,
    /// How far the clock has been moved ahead of the machine's.
    ahead: Duration,
}

struct Run {
    record: RunRecord,
    worker: Option<WorkerId>,
    facts: Vec<FactRecord>,
}

struct Lease {
    expires_at: Timestamp,
    lost: bool,
    last_commit: u64,
}

impl Memory {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Moves the store's clock ahead: leases run out by it.
    pub fn advance(&self, by: Duration) {
        self.state().ahead += by;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic in the middle of a change is a broken invariant of this file; the state is as it was
        // before the change, because changes are checked before they are made.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call(&mut self) -> MutexGuard<'_, State> {
        self.n_calls += 1;
        self.state()
    }
}

impl State {
    fn now(&self) -> Timestamp {
        let machine = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::default().after(machine + self.ahead)
    }

    fn standing(&mut self, worker: WorkerId) -> Result<&mut Lease, StoreError> {
        self.workers.get_mut(&worker).filter(|lease| !lease.lost).ok_or(StoreError::LeaseLost)
    }

    /// Puts the runs of workers whose lease has ended back into the queue.
    fn end_leases(&mut self, workers: &[WorkerId]) -> u64 {
        for worker in workers {
            if let Some(lease) = self.workers.get_mut(worker) {
                lease.lost = true;
            }
        }
        let mut n_runs = 0;
        for run in self.runs.values_mut() {
            let theirs = run.worker.is_some_and(|worker| workers.contains(&worker));
            if theirs && run.record.status == RunStatus::Running {
                run.record.status = RunStatus::Queued;
                run.record.epoch += 1;
                run.worker = None;
                n_runs += 1;
            }
        }
        n_runs
    }

    fn insert(&mut self, new: &NewRun, worker: Option<WorkerId>) {
        let worker = worker.filter(|_| new.claim);
        let status = if worker.is_some() { RunStatus::Running } else { RunStatus::Queued };
        let record = RunRecord {
            id: new.id,
            workflow: new.workflow.clone(),
            plan: new.plan,
            status,
            input: new.input.clone(),
            options: new.options.clone(),
            requested: None,
            news: 0,
            epoch: 0,
            submitted_at: new.submitted_at,
            started_at: worker.map(|_| new.submitted_at),
            finished_at: None,
            failure: None,
            parked_reason: None,
        };
        self.runs.insert(new.id, Run { record, worker, facts: Vec::new() });
    }

    fn unended(&mut self, run: RunId) -> Option<&mut Run> {
        self.runs.get_mut(&run).filter(|run| run.record.finished_at.is_none())
    }

    /// Why a batch cannot be stored: a run is there already, or twice in it.
    fn check(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut ids: Vec<RunId> = batch.runs.iter().map(|run| run.id).collect();
        ids.sort_unstable();
        let twice = ids.windows(2).any(|pair| pair[0] == pair[1]);
        if twice || ids.iter().any(|id| self.runs.contains_key(id)) {
            return Err(StoreError::Database { source: "a run with this identity is stored already".into() });
        }
        let known = |run: &RunId| self.runs.contains_key(run) || ids.binary_search(run).is_ok();
        if let Some(fact) = batch.facts.iter().find(|fact| !known(&fact.run)) {
            return Err(StoreError::Database { source: format!("run {} is not stored", fact.run).into() });
        }
        Ok(())
    }
}

impl Backend for Memory {
    fn migrate(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn register(&mut self, worker: &NewWorker) -> Result<(), StoreError> {
        let mut state = self.call();
        let expires_at = state.now().after(worker.lease);
        let lease =
            state.workers.entry(worker.id).or_insert(Lease { expires_at, lost: false, last_commit: 0 });
        if lease.lost {
            return Err(StoreError::LeaseLost);
        }
        lease.expires_at = expires_at;
        Ok(())
    }

    fn commit(&mut self, batch: &Batch, number: u64) -> Result<(), StoreError> {
        let mut state = self.call();
        if let Some(worker) = batch.worker {
            if state.workers.get(&worker).is_some_and(|lease| lease.last_commit >= number) {
                return Ok(());
            }
            state.standing(worker)?;
        }
        state.check(batch)?;
        if let Some(worker) = batch.worker {
            state.standing(worker)?.last_commit = number;
        }
        for (fingerprint, record) in &batch.plans {
            state.plans.entry(*fingerprint).or_insert_with(|| Arc::new(record.clone()));
        }
        batch.runs.iter().for_each(|run| state.insert(run, batch.worker));
        for fact in &batch.facts {
            let run = state.runs.get_mut(&fact.run).expect("`check` has found the run of every fact");
            run.facts.push(fact.clone());
        }
        for end in &batch.ends {
            let Some(run) = state.unended(end.run) else { continue };
            run.record.status = end.status;
            run.record.failure.clone_from(&end.failure);
            run.record.finished_at = Some(end.at);
        }
        for park in &batch.parks {
            let Some(run) = state.unended(park.run) else { continue };
            run.record.status = RunStatus::Parked;
            run.record.parked_reason = Some(park.reason.clone());
            run.worker = None;
        }
        Ok(())
    }

    fn last_commit(&mut self, worker: WorkerId) -> Result<u64, StoreError> {
        let state = self.call();
        state.workers.get(&worker).map(|lease| lease.last_commit).ok_or(StoreError::LeaseLost)
    }

    fn claim(&mut self, claim: &Claim) -> Result<Vec<ClaimedRun>, StoreError> {
        let mut state = self.call();
        state.standing(claim.worker)?;
        let now = state.now();
        let State { runs, plans, .. } = &mut *state;
        let mut queued: Vec<&mut Run> = runs
            .values_mut()
            .filter(|run| run.record.status == RunStatus::Queued)
            .filter(|run| claim.workflows.contains(&run.record.workflow))
            .collect();
        // Stable: runs of one priority stay in the order of their identities.
        queued.sort_by_key(|run| std::cmp::Reverse(run.record.options.priority));
        let take = |run: &mut Run| {
            run.record.status = RunStatus::Running;
            run.record.started_at.get_or_insert(now);
            run.worker = Some(claim.worker);
            ClaimedRun {
                run: run.record.clone(),
                facts: run.facts.clone(),
                plan: plans.get(&run.record.plan).cloned(),
            }
        };
        Ok(queued.into_iter().take(claim.limit as usize).map(take).collect())
    }

    fn renew(&mut self, worker: &NewWorker) -> Result<Renewal, StoreError> {
        let mut state = self.call();
        let now = state.now();
        state.standing(worker.id)?.expires_at = now.after(worker.lease);
        let dead = state
            .workers
            .iter()
            .filter(|(id, lease)| **id != worker.id && !lease.lost && lease.expires_at <= now)
            .map(|(id, _)| *id)
            .collect();
        let queued = state.runs.values().any(|run| run.record.status == RunStatus::Queued);
        Ok(Renewal { dead, queued, ..Renewal::default() })
    }

    fn bury(&mut self, dead: &[WorkerId]) -> Result<u64, StoreError> {
        let mut state = self.call();
        let now = state.now();
        let is_dead =
            |id: &WorkerId| state.workers.get(id).is_some_and(|lease| !lease.lost && lease.expires_at <= now);
        let dead: Vec<WorkerId> = dead.iter().copied().filter(is_dead).collect();
        Ok(state.end_leases(&dead))
    }

    fn release(&mut self, worker: WorkerId) -> Result<(), StoreError> {
        self.call().end_leases(&[worker]);
        Ok(())
    }

    fn unpark(&mut self, workflows: &[WorkflowName]) -> Result<u64, StoreError> {
        let mut n_runs = 0;
        for run in self.call().runs.values_mut() {
            if run.record.status == RunStatus::Parked && workflows.contains(&run.record.workflow) {
                run.record.status = RunStatus::Queued;
                run.record.parked_reason = None;
                n_runs += 1;
            }
        }
        Ok(n_runs)
    }

    fn run(&mut self, id: RunId) -> Result<Option<RunRecord>, StoreError> {
        Ok(self.call().runs.get(&id).map(|run| run.record.clone()))
    }

    fn runs(&mut self, query: &RunQuery) -> Result<Vec<RunRecord>, StoreError> {
        let limit = if query.limit == 0 { RUNS_DEFAULT } else { query.limit };
        let matches = |run: &&RunRecord| {
            query.workflow.as_deref().is_none_or(|workflow| run.workflow == *workflow)
                && (query.statuses.is_empty() || query.statuses.contains(&run.status))
                && query.before.is_none_or(|before| run.id < before)
        };
        let state = self.call();
        let runs = state.runs.values().rev().map(|run| &run.record);
        Ok(runs.filter(matches).take(limit as usize).cloned().collect())
    }

    fn facts(&mut self, run: RunId) -> Result<Vec<FactRecord>, StoreError> {
        Ok(self.call().runs.get(&run).map(|run| run.facts.clone()).unwrap_or_default())
    }

    fn submit(&mut self, _: &NewRun, _: (Fingerprint, &PlanRecord)) -> Result<Submission, StoreError> {
        todo!("in memory")
    }

    fn request(&mut self, _: RunId, _: Request) -> Result<Requested, StoreError> {
        todo!("in memory")
    }

    fn append(&mut self, _: RunId, _: &[FactRecord]) -> Result<Requested, StoreError> {
        todo!("in memory")
    }

    fn reopen(&mut self, _: &Reopening) -> Result<Requested, StoreError> {
        todo!("in memory")
    }

    fn prune(&mut self, _: &Prune) -> Result<Pruned, StoreError> {
        todo!("in memory")
    }

    fn facts_from(&mut self, _: RunId, _: u64) -> Result<Vec<FactRecord>, StoreError> {
        todo!("in memory")
    }

    fn watcher(&self) -> Result<Option<Box<dyn Watcher>>, StoreError> {
        todo!("in memory")
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
