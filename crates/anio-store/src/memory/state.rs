//! The runs, the leases and the plans, and what each verb does with them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anio_core::plan::PlanRecord;
use anio_core::plant::{Plant, is_planted};
use anio_core::{Fingerprint, RunId, Timestamp, WorkflowName};

use crate::error::StoreError;
use crate::rate::{Reservation, Reserved};
use crate::record::{
    Batch, Claim, ClaimedRun, FactRecord, NewRun, NewWorker, News, Prune, Pruned, Renewal, Reopening,
    Request, Requested, RunQuery, RunRecord, RunStatus, Submission, WorkerId,
};
use crate::request::{Step, appended_before};

/// How many runs a list has where nobody says.
const RUNS_DEFAULT: u32 = 100;

#[derive(Default)]
pub(super) struct State {
    runs: BTreeMap<RunId, Run>,
    /// The runs with an idempotency key.
    keys: HashMap<(WorkflowName, String), RunId>,
    workers: BTreeMap<WorkerId, Lease>,
    plans: HashMap<Fingerprint, Arc<PlanRecord>>,
    /// The theoretical arrival times of the rates that workers share.
    rates: HashMap<String, Timestamp>,
    /// In place of the machine's.
    clock: Option<Box<dyn Fn() -> Timestamp + Send + Sync>>,
    /// How far the clock has been moved ahead.
    ahead: Duration,
    /// How often something was changed, for those who watch.
    pub(super) n_changes: u64,
}

struct Run {
    record: RunRecord,
    worker: Option<WorkerId>,
    facts: Vec<FactRecord>,
}

impl Run {
    /// Whether all of these facts are stored already; `false` where there are none.
    fn has_told(&self, facts: &[FactRecord]) -> bool {
        !facts.is_empty() && facts.iter().all(|fact| self.facts.contains(fact))
    }

    /// Takes the run from its worker: back into the queue, or on hold where that was asked.
    fn let_go(&mut self) {
        let paused = self.record.requested == Some(Request::Pause);
        self.record.status = if paused { RunStatus::Paused } else { RunStatus::Queued };
        self.record.requested = self.record.requested.filter(|_| !paused);
        self.worker = None;
    }

    fn move_to(&mut self, status: RunStatus, now: Timestamp) {
        self.record.status = status;
        self.record.requested = None;
        if status == RunStatus::Cancelled {
            self.record.finished_at = Some(now);
            self.record.parked_reason = None;
            self.record.options.due_at = None;
        }
    }
}

struct Lease {
    expires_at: Timestamp,
    lost: bool,
    last_commit: u64,
}

impl State {
    pub(super) fn advance(&mut self, by: Duration) {
        self.ahead += by;
    }

    pub(super) fn set_clock(&mut self, clock: Box<dyn Fn() -> Timestamp + Send + Sync>) {
        self.clock = Some(clock);
    }

    fn now(&self) -> Timestamp {
        let machine = || {
            let machine = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            Timestamp::default().after(machine)
        };
        self.clock.as_ref().map_or_else(machine, |clock| clock()).after(self.ahead)
    }

    pub(super) fn has_lease(&self, worker: WorkerId) -> bool {
        self.workers.get(&worker).is_some_and(|lease| !lease.lost)
    }

    fn standing(&mut self, worker: WorkerId) -> Result<&mut Lease, StoreError> {
        self.workers.get_mut(&worker).filter(|lease| !lease.lost).ok_or(StoreError::LeaseLost)
    }

    fn fence(&mut self, worker: WorkerId) -> Result<&mut Lease, StoreError> {
        let is_open = is_planted(Plant::FenceLeftOut);
        self.workers.get_mut(&worker).filter(|lease| !lease.lost || is_open).ok_or(StoreError::LeaseLost)
    }

    pub(super) fn register(&mut self, worker: &NewWorker) -> Result<(), StoreError> {
        let expires_at = self.now().after(worker.lease);
        let lease =
            self.workers.entry(worker.id).or_insert(Lease { expires_at, lost: false, last_commit: 0 });
        if lease.lost {
            return Err(StoreError::LeaseLost);
        }
        lease.expires_at = expires_at;
        Ok(())
    }

    pub(super) fn last_commit(&self, worker: WorkerId) -> Result<u64, StoreError> {
        self.workers.get(&worker).map(|lease| lease.last_commit).ok_or(StoreError::LeaseLost)
    }

    /// Puts the runs of workers whose lease has ended back into the queue.
    pub(super) fn end_leases(&mut self, workers: &[WorkerId]) -> u64 {
        for worker in workers {
            if let Some(lease) = self.workers.get_mut(worker) {
                lease.lost = true;
            }
        }
        let mut n_runs = 0;
        for run in self.runs.values_mut() {
            let theirs = run.worker.is_some_and(|worker| workers.contains(&worker));
            if theirs && run.record.status == RunStatus::Running {
                run.let_go();
                run.record.epoch += u32::from(!is_planted(Plant::EpochNotRaised));
                n_runs += 1;
            }
        }
        n_runs
    }

    pub(super) fn bury(&mut self, dead: &[WorkerId]) -> u64 {
        let now = self.now();
        let has_run_out = |lease: &Lease| lease.expires_at <= now || is_planted(Plant::RescueByTimeAlone);
        let is_dead =
            |id: &WorkerId| self.workers.get(id).is_some_and(|lease| !lease.lost && has_run_out(lease));
        let dead: Vec<WorkerId> = dead.iter().copied().filter(is_dead).collect();
        self.end_leases(&dead)
    }

    pub(super) fn commit(&mut self, batch: &Batch, number: u64) -> Result<(), StoreError> {
        if let Some(worker) = batch.worker {
            let is_stored = self.workers.get(&worker).is_some_and(|lease| lease.last_commit >= number);
            if is_stored && !is_planted(Plant::FactsWrittenTwice) {
                return Ok(());
            }
            self.fence(worker)?;
        }
        self.check(batch)?;
        if let Some(worker) = batch.worker {
            self.fence(worker)?.last_commit = number;
        }
        batch.plans.iter().for_each(|(fingerprint, record)| self.insert_plan(*fingerprint, record));
        batch.runs.iter().for_each(|run| self.insert(run, batch.worker));
        for fact in &batch.facts {
            let run = self.runs.get_mut(&fact.run).expect("`check` has found the run of every fact");
            run.facts.push(fact.clone());
        }
        for end in &batch.ends {
            let Some(run) = self.unended(end.run) else { continue };
            run.record.status = end.status;
            run.record.failure.clone_from(&end.failure);
            run.record.finished_at = Some(end.at);
            run.record.requested = None;
        }
        for park in &batch.parks {
            let Some(run) = self.unended(park.run) else { continue };
            run.record.status = RunStatus::Parked;
            run.record.parked_reason = Some(park.reason.clone());
            run.worker = None;
        }
        for hold in &batch.holds {
            let theirs =
                |run: &&mut Run| run.record.status == RunStatus::Running && run.worker == batch.worker;
            let Some(run) = self.runs.get_mut(hold).filter(theirs) else { continue };
            run.let_go();
            run.record.epoch += 1;
        }
        Ok(())
    }

    /// Why a batch cannot be stored: a run is there already, or twice in it.
    fn check(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut ids: Vec<RunId> = batch.runs.iter().map(|run| run.id).collect();
        ids.sort_unstable();
        let twice = ids.windows(2).any(|pair| pair[0] == pair[1]);
        if twice || ids.iter().any(|id| self.runs.contains_key(id)) {
            return Err(StoreError::Database { source: "a run with this identity is stored already".into() });
        }
        let mut keys: Vec<_> = batch.runs.iter().filter_map(key).collect();
        keys.sort_unstable();
        let twice = keys.windows(2).any(|pair| pair[0] == pair[1]);
        if twice || keys.iter().any(|key| self.keys.contains_key(key)) {
            return Err(StoreError::Database { source: "a run with this key is stored already".into() });
        }
        let known = |run: &RunId| self.runs.contains_key(run) || ids.binary_search(run).is_ok();
        if let Some(fact) = batch.facts.iter().find(|fact| !known(&fact.run)) {
            return Err(StoreError::Database { source: format!("run {} is not stored", fact.run).into() });
        }
        Ok(())
    }

    fn insert_plan(&mut self, fingerprint: Fingerprint, record: &PlanRecord) {
        self.plans.entry(fingerprint).or_insert_with(|| Arc::new(record.clone()));
    }

    fn insert(&mut self, new: &NewRun, worker: Option<WorkerId>) {
        let worker = worker.filter(|_| new.claim && new.options.due_at.is_none());
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
        if let Some(key) = key(new) {
            self.keys.insert(key, new.id);
        }
        self.runs.insert(new.id, Run { record, worker, facts: Vec::new() });
    }

    fn unended(&mut self, run: RunId) -> Option<&mut Run> {
        let may_end = |run: &Run| run.record.finished_at.is_none() || is_planted(Plant::EndOverwritten);
        self.runs.get_mut(&run).filter(|run| may_end(run))
    }

    pub(super) fn submit(
        &mut self,
        new: &NewRun,
        (fingerprint, plan): (Fingerprint, &PlanRecord),
    ) -> Submission {
        let known = key(new).and_then(|key| self.keys.get(&key)).filter(|id| **id != new.id);
        if let Some(run) = known.and_then(|id| self.runs.get(id)) {
            if is_planted(Plant::KeyNotLookedUp) {
                return Submission::New;
            }
            return Submission::Known(Box::new(run.record.clone()));
        }
        if !self.runs.contains_key(&new.id) {
            self.insert_plan(fingerprint, plan);
            self.insert(new, None);
        }
        Submission::New
    }

    pub(super) fn request(&mut self, run: RunId, request: Request) -> Requested {
        let now = self.now();
        let Some(run) = self.runs.get_mut(&run) else { return Requested::UnknownRun };
        let record = &run.record;
        let step = Step::of(record.status, record.epoch > 0, record.requested, request);
        match step {
            Step::Nothing(_) => {}
            Step::Move(status) => run.move_to(status, now),
            Step::Send(requested) => {
                run.record.requested = requested;
                run.record.news += 1;
            }
        }
        step.answer()
    }

    pub(super) fn append(&mut self, run: RunId, facts: &[FactRecord]) -> Requested {
        let Some(run) = self.runs.get_mut(&run) else { return Requested::UnknownRun };
        let status = run.record.status;
        if run.has_told(facts) {
            return appended_before(status);
        }
        if status.is_terminal() {
            return Requested::Refused(status);
        }
        run.facts.extend_from_slice(facts);
        run.record.news += 1;
        if status == RunStatus::Running { Requested::Sent } else { Requested::Done(status) }
    }

    pub(super) fn reopen(&mut self, reopening: &Reopening) -> Requested {
        let Some(run) = self.runs.get_mut(&reopening.run) else { return Requested::UnknownRun };
        let record = &run.record;
        let is_open = !matches!(record.status, RunStatus::Succeeded | RunStatus::Failed);
        if is_open || record.epoch != reopening.epoch {
            let is_known = record.epoch > reopening.epoch && run.has_told(&reopening.facts);
            return if is_known {
                Requested::Done(RunStatus::Queued)
            } else {
                Requested::Refused(record.status)
            };
        }
        let record = &mut run.record;
        record.status = RunStatus::Queued;
        record.epoch += 1;
        record.finished_at = None;
        record.failure = None;
        record.options.deadline = None;
        run.worker = None;
        run.facts.extend_from_slice(&reopening.facts);
        Requested::Done(RunStatus::Queued)
    }

    pub(super) fn prune(&mut self, prune: &Prune) -> Pruned {
        let after = |id: &RunId| prune.after.is_none_or(|after| *id > after);
        let is_due = |record: &RunRecord| {
            record.finished_at.is_some_and(|at| at < prune.finished_before)
                && (prune.statuses.is_empty() || prune.statuses.contains(&record.status))
        };
        let mut pruned = Pruned::default();
        let doomed: Vec<RunId> = self
            .runs
            .iter()
            .filter(|(id, run)| after(id) && is_due(&run.record))
            .map(|(id, _)| *id)
            .collect();
        for id in doomed {
            if pruned.n_runs + pruned.n_facts >= u64::from(prune.n_rows_max) {
                return pruned;
            }
            let run = self.runs.remove(&id).expect("it was just found");
            if let Some(key) = run.record.options.idempotency_key {
                self.keys.remove(&(run.record.workflow, key));
            }
            pruned.n_runs += 1;
            pruned.n_facts += run.facts.len() as u64;
            pruned.next = Some(id);
        }
        Pruned { next: None, ..pruned }
    }

    /// Puts runs whose time has come into the queue.
    fn promote(&mut self) {
        let now = self.now();
        for run in self.runs.values_mut() {
            run.record.options.due_at = run.record.options.due_at.filter(|due_at| *due_at > now);
        }
    }

    pub(super) fn claim(&mut self, claim: &Claim) -> Result<Vec<ClaimedRun>, StoreError> {
        if !is_planted(Plant::ClaimWithoutLease) {
            self.standing(claim.worker)?;
        }
        self.promote();
        let now = self.now();
        let Self { runs, plans, .. } = self;
        let mut queued: Vec<&mut Run> = runs
            .values_mut()
            .filter(|run| is_queued(&run.record))
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

    pub(super) fn renew(&mut self, worker: &NewWorker) -> Result<Renewal, StoreError> {
        let now = self.now();
        self.standing(worker.id)?.expires_at = now.after(worker.lease);
        self.promote();
        let dead = self
            .workers
            .iter()
            .filter(|(id, lease)| **id != worker.id && !lease.lost && lease.expires_at <= now)
            .map(|(id, _)| *id)
            .collect();
        let records = || self.runs.values().map(|run| &run.record);
        let waiting = records().filter(|record| record.status == RunStatus::Queued);
        let theirs = self.runs.values().filter(|run| {
            run.worker == Some(worker.id) && run.record.status == RunStatus::Running && run.record.news > 0
        });
        let news =
            |run: &Run| News { run: run.record.id, requested: run.record.requested, n: run.record.news };
        Ok(Renewal {
            dead,
            queued: records().any(is_queued),
            next_due: waiting.filter_map(|record| record.options.due_at).min(),
            news: theirs.map(news).collect(),
        })
    }

    pub(super) fn unpark(&mut self, workflows: &[WorkflowName]) -> u64 {
        let mut n_runs = 0;
        for run in self.runs.values_mut() {
            if run.record.status == RunStatus::Parked && workflows.contains(&run.record.workflow) {
                run.let_go();
                run.record.parked_reason = None;
                n_runs += 1;
            }
        }
        n_runs
    }

    pub(super) fn reserve(&mut self, reservation: &Reservation) -> Reserved {
        let tat = self.rates.get(&reservation.name).copied();
        let (tat, reserved) = reservation.made(tat, self.now());
        self.rates.insert(reservation.name.clone(), tat);
        reserved
    }

    pub(super) fn run(&self, id: RunId) -> Option<RunRecord> {
        self.runs.get(&id).map(|run| run.record.clone())
    }

    pub(super) fn runs(&self, query: &RunQuery) -> Vec<RunRecord> {
        let limit = if query.limit == 0 { RUNS_DEFAULT } else { query.limit };
        let matches = |run: &&RunRecord| {
            query.workflow.as_deref().is_none_or(|workflow| run.workflow == *workflow)
                && (query.statuses.is_empty() || query.statuses.contains(&run.status))
                && query.tag.as_ref().is_none_or(|tag| run.options.tags.contains(tag))
                && query.submitted_from.is_none_or(|from| run.submitted_at >= from)
                && query.submitted_until.is_none_or(|until| run.submitted_at < until)
                && query.before.is_none_or(|before| run.id < before)
        };
        let runs = self.runs.values().rev().map(|run| &run.record);
        runs.filter(matches).take(limit as usize).cloned().collect()
    }

    pub(super) fn plan(&self, plan: Fingerprint) -> Option<PlanRecord> {
        self.plans.get(&plan).map(|record| PlanRecord::clone(record))
    }

    pub(super) fn facts_from(&self, run: RunId, n: u64) -> Vec<FactRecord> {
        let facts = self.runs.get(&run).map(|run| run.facts.as_slice()).unwrap_or_default();
        facts.iter().skip(usize::try_from(n).unwrap_or(usize::MAX)).cloned().collect()
    }
}

fn key(run: &NewRun) -> Option<(WorkflowName, String)> {
    Some((run.workflow.clone(), run.options.idempotency_key.clone()?))
}

/// Whether a run can be claimed.
fn is_queued(record: &RunRecord) -> bool {
    record.status == RunStatus::Queued && record.options.due_at.is_none()
}
