//! The memory store as one process reaches it: through connections that break, on a server that acts late.

use std::sync::Arc;
use std::time::Duration;

use anio_core::plan::PlanRecord;
use anio_core::{Fingerprint, RunId, WorkflowName};
use anio_store::StoreError;
use anio_store::backend::{Backend, Watcher};
use anio_store::memory::Memory;
use anio_store::rate::{Reservation, Reserved};
use anio_store::record::{
    Batch, Change, Claim, ClaimedRun, FactRecord, NewRun, NewWorker, Prune, Pruned, Renewal, Reopening,
    Request, Requested, RunQuery, RunRecord, Submission, WorkerId,
};

use super::process::Process;
use super::weather::Fate;
use super::world::World;
use crate::Result as Anyhow;
use crate::history::{LeaseDeed, LeaseStep};

type Result<T> = std::result::Result<T, StoreError>;

/// A connection of a process.
pub(super) struct Connection {
    memory: Memory,
    process: Arc<Process>,
    is_broken: bool,
    n_verbs: u64,
}

/// A verb with an argument and a number.
type Verb<A, T> = fn(&mut Memory, &A, u64) -> Result<T>;

impl Connection {
    pub(super) fn new(process: &Arc<Process>) -> Self {
        let memory = process.world.memory.clone();
        Self { memory, process: Arc::clone(process), is_broken: false, n_verbs: 0 }
    }

    fn fate(&mut self, name: &'static str, is_read: bool) -> Fate {
        self.n_verbs += 1;
        let world = &self.process.world;
        let is_out = self.is_broken || self.process.is_cut_off();
        let fate = if is_out { Fate::Cut } else { world.fate(is_read) };
        world.note((self.process.host, name, fate));
        world.count("verbs");
        if let Some(fault) = fault(fate) {
            world.count(fault);
        }
        fate
    }

    fn read<T>(&mut self, name: &'static str, verb: impl FnOnce(&mut Memory) -> Result<T>) -> Result<T> {
        match self.fate(name, true) {
            Fate::Done => verb(&mut self.memory),
            Fate::Busy => Err(busy()),
            _ => Err(self.cut()),
        }
    }

    fn write<A, T>(&mut self, name: &'static str, args: &A, number: u64, verb: Verb<A, T>) -> Result<T>
    where
        A: Clone + Send + 'static,
        T: 'static,
    {
        match self.fate(name, false) {
            Fate::Done => verb(&mut self.memory, args, number),
            Fate::Busy => Err(busy()),
            Fate::Cut => Err(self.cut()),
            Fate::Unheard => Err(self.in_doubt()),
            Fate::Unanswered => {
                // Nobody is told how it went.
                drop(verb(&mut self.memory, args, number));
                Err(self.in_doubt())
            }
            Fate::Late(by) => {
                let (mut memory, args) = (self.memory.clone(), args.clone());
                let (late, world) = (self.process.world.late(), Arc::clone(&self.process.world));
                tokio::spawn(async move {
                    tokio::time::sleep(by).await;
                    let outcome = verb(&mut memory, &args, number).map(drop);
                    world.note(("late", name, outcome.is_ok()));
                    drop(late);
                });
                Err(self.in_doubt())
            }
        }
    }

    fn ledger(&self) -> Leases {
        Leases(Arc::clone(&self.process.world))
    }

    fn cut(&mut self) -> StoreError {
        self.is_broken = true;
        StoreError::Disconnected { source: "the simulation cut it".into() }
    }

    fn in_doubt(&mut self) -> StoreError {
        self.is_broken = true;
        StoreError::OutcomeUnknown { source: "the simulation cut it".into() }
    }
}

/// Writes down what becomes of leases.
#[derive(Clone)]
struct Leases(Arc<World>);

impl Leases {
    fn note(&self, worker: WorkerId, what: LeaseDeed) {
        let at = self.0.now();
        self.0.state().history.leases.push(LeaseStep { at, worker, what });
    }

    /// Takes or renews a lease; it stands from no earlier than before that.
    fn stands<T>(&self, worker: &NewWorker, verb: impl FnOnce() -> Result<T>) -> Result<T> {
        let until = self.0.now().after(worker.lease);
        verb().inspect(|_| self.note(worker.id, LeaseDeed::Stands(until)))
    }

    fn buried(&self, dead: impl Iterator<Item = WorkerId>) {
        dead.for_each(|dead| self.note(dead, LeaseDeed::Buried));
    }

    fn takes(&self, worker: WorkerId, runs: &[ClaimedRun]) {
        for ClaimedRun { run, .. } in runs {
            self.note(worker, LeaseDeed::Takes(run.id, run.epoch));
        }
    }

    fn takes_new(&self, batch: &Batch, runs: &[RunId]) {
        let Some(worker) = batch.worker else { return };
        for run in runs {
            self.note(worker, LeaseDeed::Takes(*run, 0));
        }
    }
}

/// The runs that a worker submits and has at once.
fn claimed(batch: &Batch) -> impl Iterator<Item = RunId> {
    batch.runs.iter().filter(|run| run.claim && run.options.due_at.is_none()).map(|run| run.id)
}

fn busy() -> StoreError {
    StoreError::Busy { source: "the simulation says so".into() }
}

/// What is counted of a fate.
fn fault(fate: Fate) -> Option<&'static str> {
    match fate {
        Fate::Done => None,
        Fate::Busy => Some("busy"),
        Fate::Cut => Some("cut_before_sent"),
        Fate::Unheard => Some("lost_unheard"),
        Fate::Unanswered => Some("lost_answers"),
        Fate::Late(_) => Some("done_late"),
    }
}

impl Backend for Connection {
    fn migrate(&mut self) -> Result<()> {
        Ok(())
    }

    fn register(&mut self, worker: &NewWorker) -> Result<()> {
        let args = (self.ledger(), worker.clone());
        let taken = self.write("register", &args, 0, |memory, (ledger, worker), _| {
            ledger.stands(worker, || memory.register(worker))
        });
        // It may have it, whatever it was told.
        self.process.has_lease(worker.id);
        taken
    }

    fn commit(&mut self, batch: &Batch, number: u64) -> Result<()> {
        let args = (self.ledger(), batch.clone());
        self.write("commit", &args, number, |memory, (ledger, batch), number| {
            // One that is sent again takes nothing.
            let is_new = |run: &RunId| memory.clone().run(*run).is_ok_and(|run| run.is_none());
            let new: Vec<RunId> = claimed(batch).filter(is_new).collect();
            memory.commit(batch, number).inspect(|()| ledger.takes_new(batch, &new))
        })
    }

    fn last_commit(&mut self, worker: WorkerId) -> Result<u64> {
        self.read("last_commit", |memory| memory.last_commit(worker))
    }

    fn submit(
        &mut self,
        run: &NewRun,
        (fingerprint, plan): (Fingerprint, &PlanRecord),
    ) -> Result<Submission> {
        let args = (run.clone(), fingerprint, plan.clone());
        self.write("submit", &args, 0, |memory, (run, fingerprint, plan), _| {
            memory.submit(run, (*fingerprint, plan))
        })
    }

    fn request(&mut self, run: RunId, request: Request) -> Result<Requested> {
        self.write("request", &(run, request), 0, |memory, (run, request), _| memory.request(*run, *request))
    }

    fn append(&mut self, run: RunId, facts: &[FactRecord]) -> Result<Requested> {
        let args = (run, facts.to_vec());
        self.write("append", &args, 0, |memory, (run, facts), _| memory.append(*run, facts))
    }

    fn reopen(&mut self, reopening: &Reopening) -> Result<Requested> {
        self.write("reopen", reopening, 0, |memory, reopening, _| memory.reopen(reopening))
    }

    fn prune(&mut self, prune: &Prune) -> Result<Pruned> {
        self.write("prune", prune, 0, |memory, prune, _| memory.prune(prune))
    }

    fn claim(&mut self, claim: &Claim) -> Result<Vec<ClaimedRun>> {
        let args = (self.ledger(), claim.clone());
        self.write("claim", &args, 0, |memory, (ledger, claim), _| {
            memory.claim(claim).inspect(|runs| ledger.takes(claim.worker, runs))
        })
    }

    fn renew(&mut self, worker: &NewWorker) -> Result<Renewal> {
        let args = (self.ledger(), worker.clone());
        self.write("renew", &args, 0, |memory, (ledger, worker), _| {
            ledger.stands(worker, || memory.renew(worker)).inspect(|renewal| ledger.0.tempt(&renewal.dead))
        })
    }

    fn bury(&mut self, dead: &[WorkerId]) -> Result<u64> {
        self.process.world.count("burials");
        let args = (self.ledger(), dead.to_vec());
        self.write("bury", &args, 0, |memory, (ledger, dead), _| {
            let alive: Vec<WorkerId> = dead.iter().copied().filter(|dead| memory.has_lease(*dead)).collect();
            let n_runs = memory.bury(dead)?;
            ledger.buried(alive.into_iter().filter(|dead| !memory.has_lease(*dead)));
            Ok(n_runs)
        })
    }

    fn release(&mut self, worker: WorkerId) -> Result<()> {
        let args = (self.ledger(), worker);
        self.write("release", &args, 0, |memory, (ledger, worker), _| {
            memory.release(*worker).inspect(|()| ledger.note(*worker, LeaseDeed::GivenBack))
        })
    }

    fn unpark(&mut self, workflows: &[WorkflowName]) -> Result<u64> {
        let args = workflows.to_vec();
        self.write("unpark", &args, 0, |memory, workflows, _| memory.unpark(workflows))
    }

    fn reserve(&mut self, reservation: &Reservation) -> Result<Reserved> {
        self.write("reserve", reservation, 0, |memory, reservation, _| memory.reserve(reservation))
    }

    fn run(&mut self, id: RunId) -> Result<Option<RunRecord>> {
        self.read("run", |memory| memory.run(id))
    }

    fn runs(&mut self, query: &RunQuery) -> Result<Vec<RunRecord>> {
        self.read("runs", |memory| memory.runs(query))
    }

    fn plan(&mut self, plan: Fingerprint) -> Result<Option<PlanRecord>> {
        self.read("plan", |memory| memory.plan(plan))
    }

    fn facts(&mut self, run: RunId) -> Result<Vec<FactRecord>> {
        self.read("facts", |memory| memory.facts(run))
    }

    fn facts_from(&mut self, run: RunId, n: u64) -> Result<Vec<FactRecord>> {
        self.read("facts", |memory| memory.facts_from(run, n))
    }

    fn watcher(&self) -> Result<Option<Box<dyn Watcher>>> {
        let (process, n_seen) = (Arc::clone(&self.process), self.memory.n_changes());
        Ok(Some(Box::new(Looks { process, n_seen })))
    }

    fn notifies(&self) -> bool {
        self.process.world.script.notifies
    }

    fn reader(&self) -> Result<Box<dyn Backend>> {
        Ok(Box::new(Self::new(&self.process)))
    }

    fn reconnect(&mut self) -> Result<()> {
        if self.process.is_cut_off() {
            let source = "the simulation cut it off".into();
            return Err(StoreError::Unreachable { database: "simulated".to_owned(), source });
        }
        self.is_broken = false;
        Ok(())
    }

    fn n_statements(&self) -> u64 {
        self.n_verbs
    }
}

/// Sees changes when it looks.
struct Looks {
    process: Arc<Process>,
    n_seen: u64,
}

impl Watcher for Looks {
    fn wait(&mut self, _: Duration) -> Result<Option<Change>> {
        if self.process.is_dead() || self.process.is_cut_off() {
            return Ok(None);
        }
        let n_changes = self.process.world.memory.n_changes();
        let is_new = std::mem::replace(&mut self.n_seen, n_changes) != n_changes;
        Ok(is_new.then_some(Change::Any))
    }
}

/// All runs with their facts, as they are stored.
pub(super) fn read_runs(memory: &Memory) -> Anyhow<Vec<crate::history::StoredRun>> {
    let mut memory = memory.clone();
    let mut runs = Vec::new();
    for record in memory.runs(&RunQuery { limit: u32::MAX, ..RunQuery::default() })? {
        let facts = memory.facts(record.id)?;
        runs.push(crate::history::StoredRun::new(record, facts)?);
    }
    Ok(runs)
}
