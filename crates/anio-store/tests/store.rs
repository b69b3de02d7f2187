//! The handle and its threads: gathering, the fall-back to single batches, trying again, closing.
#![expect(clippy::unwrap_used, reason = "what fails stops a test")]

use std::collections::VecDeque;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anio_core::plan::PlanRecord;
use anio_core::run::FactKind;
use anio_core::{Fingerprint, Output, RunId, TaskName, Timestamp, WorkflowName};
use anio_store::backend::{Backend, Watcher};
use anio_store::memory::Memory;
use anio_store::rate::{Reservation, Reserved};
use anio_store::record::{
    Batch, Change, Claim, ClaimedRun, FactRecord, NewRun, NewWorker, Prune, Pruned, Renewal, Reopening,
    Request, Requested, RunOptions, RunQuery, RunRecord, RunStatus, Submission, WorkerId,
};
use anio_store::{Store, StoreError, StoreOptions};
use futures::executor::block_on;
use futures::future::join_all;
use uuid::Uuid;

/// What a planned fault does to a commit.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// The connection is lost before anything is stored.
    Lost,
    /// It is stored, and the answer is lost.
    AnswerLost,
    /// It is not stored, and the answer is lost.
    Unknown,
    Busy,
    /// The disk fails, and what it holds is not known.
    Disk,
}

/// Memory that fails as planned, tells how large its commits were, and waits where it is told to.
struct Flaky {
    memory: Memory,
    faults: Arc<Mutex<VecDeque<Fault>>>,
    commits: Arc<Mutex<Vec<usize>>>,
    gate: Option<mpsc::Receiver<()>>,
    broken: bool,
    /// What the next ones who watch get; where there is none, nothing can be told.
    scripts: Arc<Mutex<VecDeque<Script>>>,
}

impl Flaky {
    fn new(faults: impl IntoIterator<Item = Fault>) -> Self {
        let faults = Arc::new(Mutex::new(faults.into_iter().collect()));
        let (memory, commits, scripts) = (Memory::new(), Arc::default(), Arc::default());
        Self { memory, faults, commits, gate: None, broken: false, scripts }
    }
}

/// A watcher that tells what was written down for it, `None` for an error, and at last that it has ended.
struct Script {
    tells: VecDeque<Option<Change>>,
    ended: mpsc::Sender<()>,
}

impl Watcher for Script {
    fn wait(&mut self, _: Duration) -> Result<Option<Change>, StoreError> {
        match self.tells.pop_front() {
            Some(Some(change)) => Ok(Some(change)),
            Some(None) => Err(StoreError::Disconnected { source: "gone".into() }),
            None => {
                std::thread::sleep(Duration::from_millis(1));
                Ok(None)
            }
        }
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.ended.send(());
    }
}

impl Backend for Flaky {
    fn commit(&mut self, batch: &Batch, number: u64) -> Result<(), StoreError> {
        if let Some(gate) = &self.gate {
            gate.recv().unwrap();
        }
        self.commits.lock().unwrap().push(batch.runs.len() + batch.facts.len());
        let lost = || "gone".into();
        if self.broken {
            return Err(StoreError::Disconnected { source: lost() });
        }
        let fault = self.faults.lock().unwrap().pop_front();
        self.broken = fault.is_some_and(|fault| !matches!(fault, Fault::Busy | Fault::Disk));
        match fault {
            None => self.memory.commit(batch, number),
            Some(Fault::Busy) => Err(StoreError::Busy { source: lost() }),
            Some(Fault::Disk) => Err(StoreError::Disk { source: lost() }),
            Some(Fault::Lost) => Err(StoreError::Disconnected { source: lost() }),
            Some(Fault::Unknown) => Err(StoreError::OutcomeUnknown { source: lost() }),
            Some(Fault::AnswerLost) => {
                self.memory.commit(batch, number)?;
                Err(StoreError::OutcomeUnknown { source: lost() })
            }
        }
    }

    fn reconnect(&mut self) -> Result<(), StoreError> {
        self.broken = false;
        Ok(())
    }

    fn migrate(&mut self) -> Result<(), StoreError> {
        self.memory.migrate()
    }
    fn register(&mut self, worker: &NewWorker) -> Result<(), StoreError> {
        self.memory.register(worker)
    }
    fn last_commit(&mut self, worker: WorkerId) -> Result<u64, StoreError> {
        self.memory.last_commit(worker)
    }
    fn claim(&mut self, claim: &Claim) -> Result<Vec<ClaimedRun>, StoreError> {
        self.memory.claim(claim)
    }
    fn renew(&mut self, worker: &NewWorker) -> Result<Renewal, StoreError> {
        self.memory.renew(worker)
    }
    fn bury(&mut self, dead: &[WorkerId]) -> Result<u64, StoreError> {
        self.memory.bury(dead)
    }
    fn release(&mut self, worker: WorkerId) -> Result<(), StoreError> {
        self.memory.release(worker)
    }
    fn unpark(&mut self, workflows: &[WorkflowName]) -> Result<u64, StoreError> {
        self.memory.unpark(workflows)
    }
    fn reserve(&mut self, reservation: &Reservation) -> Result<Reserved, StoreError> {
        self.memory.reserve(reservation)
    }
    fn run(&mut self, id: RunId) -> Result<Option<RunRecord>, StoreError> {
        self.memory.run(id)
    }
    fn runs(&mut self, query: &RunQuery) -> Result<Vec<RunRecord>, StoreError> {
        self.memory.runs(query)
    }
    fn plan(&mut self, plan: Fingerprint) -> Result<Option<PlanRecord>, StoreError> {
        self.memory.plan(plan)
    }
    fn facts(&mut self, run: RunId) -> Result<Vec<FactRecord>, StoreError> {
        self.memory.facts(run)
    }
    fn submit(&mut self, run: &NewRun, plan: (Fingerprint, &PlanRecord)) -> Result<Submission, StoreError> {
        self.memory.submit(run, plan)
    }
    fn request(&mut self, run: RunId, request: Request) -> Result<Requested, StoreError> {
        self.memory.request(run, request)
    }
    fn append(&mut self, run: RunId, facts: &[FactRecord]) -> Result<Requested, StoreError> {
        self.memory.append(run, facts)
    }
    fn reopen(&mut self, reopening: &Reopening) -> Result<Requested, StoreError> {
        self.memory.reopen(reopening)
    }
    fn prune(&mut self, prune: &Prune) -> Result<Pruned, StoreError> {
        self.memory.prune(prune)
    }
    fn facts_from(&mut self, run: RunId, n: u64) -> Result<Vec<FactRecord>, StoreError> {
        self.memory.facts_from(run, n)
    }
    fn watcher(&self) -> Result<Option<Box<dyn Watcher>>, StoreError> {
        match self.scripts.lock().unwrap().pop_front() {
            Some(script) => Ok(Some(Box::new(script))),
            None => Ok(None),
        }
    }
    fn reader(&self) -> Result<Box<dyn Backend>, StoreError> {
        let scripts = Arc::clone(&self.scripts);
        Ok(Box::new(Self { memory: self.memory.clone(), scripts, ..Self::new([]) }))
    }
    fn n_statements(&self) -> u64 {
        self.memory.n_statements()
    }
}

fn run_id(n: u128) -> RunId {
    RunId::from_uuid(Uuid::from_u128(n))
}

fn worker() -> NewWorker {
    NewWorker { id: WorkerId(Uuid::from_u128(1)), name: "w".to_owned(), lease: Duration::from_secs(60) }
}

fn submission(n: u128) -> Batch {
    let run = NewRun {
        id: run_id(n),
        workflow: WorkflowName::new("a").unwrap(),
        plan: "0".parse().unwrap(),
        input: Output::new(()).unwrap(),
        options: RunOptions::default(),
        submitted_at: Timestamp::from_micros(1),
        claim: true,
    };
    Batch { runs: vec![run], ..Batch::default() }
}

fn fact(n: u32) -> Batch {
    let fact = FactRecord {
        run: run_id(1),
        task: TaskName::new("t").unwrap(),
        map_index: Some(n),
        attempt: 1,
        at: Timestamp::from_micros(i64::from(n)),
        kind: FactKind::Started,
        traceparent: None,
    };
    Batch { worker: Some(worker().id), facts: vec![fact], ..Batch::default() }
}

fn options(patience: Duration) -> StoreOptions {
    StoreOptions { patience, ..StoreOptions::default() }
}

async fn store(backend: Flaky, patience: Duration) -> Store {
    let store = Store::with_backend(Box::new(backend), options(patience)).await.unwrap();
    store.register(worker()).await.unwrap();
    store
}

const PATIENT: Duration = Duration::from_secs(30);

#[test]
fn batches_that_wait_share_a_commit_and_keep_their_order() {
    block_on(async {
        let (open, gate) = mpsc::channel();
        let backend = Flaky { gate: Some(gate), ..Flaky::new([]) };
        let commits = Arc::clone(&backend.commits);
        let store = store(backend, PATIENT).await;
        let mut pending = vec![store.enqueue(submission(1)).await.unwrap()];
        for n in 0..100 {
            pending.push(store.enqueue(fact(n)).await.unwrap());
        }
        pending.push(store.enqueue(submission(2)).await.unwrap());
        for _ in 0..200 {
            open.send(()).unwrap();
        }
        for outcome in join_all(pending).await {
            outcome.unwrap();
        }
        let commits = commits.lock().unwrap().clone();
        assert!(commits.len() <= 2 && commits.iter().sum::<usize>() == 102, "{commits:?}");
        let facts = store.facts(run_id(1)).await.unwrap();
        assert!(facts.iter().map(|fact| fact.map_index).eq((0..100).map(Some)), "{facts:?}");
        // A client's run is nobody's, also where it shared a worker's commit.
        assert_eq!(store.run(run_id(2)).await.unwrap().unwrap().status, RunStatus::Queued);
        store.close().await;
    });
}

#[test]
fn only_the_guilty_batch_fails() {
    block_on(async {
        let (open, gate) = mpsc::channel();
        let store = store(Flaky { gate: Some(gate), ..Flaky::new([]) }, PATIENT).await;
        let mut pending = Vec::new();
        let stranger = Batch { worker: Some(WorkerId(Uuid::from_u128(9))), ..fact(7) };
        for batch in [submission(5), submission(1), fact(1), submission(5), fact(2), stranger, fact(3)] {
            pending.push(store.enqueue(batch).await.unwrap());
        }
        for _ in 0..50 {
            open.send(()).unwrap();
        }
        let outcomes = join_all(pending).await;
        let failed: Vec<usize> = (0..7).filter(|n| outcomes[*n].is_err()).collect();
        assert_eq!(failed, [3, 5], "{outcomes:?}");
        assert!(matches!(outcomes[5], Err(StoreError::LeaseLost)));
        let facts = store.facts(run_id(1)).await.unwrap();
        assert!(facts.iter().map(|fact| fact.map_index).eq([1, 2, 3].map(Some)), "{facts:?}");
    });
}

#[test]
fn what_a_failing_disk_refuses_is_not_tried_again() {
    block_on(async {
        let (open, gate) = mpsc::channel();
        let backend = Flaky { gate: Some(gate), ..Flaky::new([]) };
        let (planned, commits) = (Arc::clone(&backend.faults), Arc::clone(&backend.commits));
        let store = store(backend, PATIENT).await;
        open.send(()).unwrap();
        store.commit(submission(1)).await.unwrap();
        planned.lock().unwrap().extend([Fault::Disk, Fault::Disk]);
        let mut pending = Vec::new();
        for n in 0..3 {
            pending.push(store.enqueue(fact(n)).await.unwrap());
        }
        for _ in 0..50 {
            open.send(()).unwrap();
        }
        let outcomes = join_all(pending).await;
        let n_sent = commits.lock().unwrap().len() - 1;
        // One commit with all, or two: each was sent once.
        let n_refused = outcomes.iter().filter(|done| matches!(done, Err(StoreError::Disk { .. }))).count();
        assert!(n_sent <= 2 && n_refused == 3, "{n_sent} commits: {outcomes:?}");
    });
}

#[test]
fn a_commit_is_stored_once_whatever_becomes_of_the_connection() {
    use Fault::{AnswerLost, Busy, Lost, Unknown};
    for faults in [
        vec![Lost],
        vec![AnswerLost],
        vec![Unknown],
        vec![Busy, Busy],
        vec![Unknown, AnswerLost],
        vec![Busy, Unknown, Lost, AnswerLost],
    ] {
        block_on(async {
            let backend = Flaky::new([]);
            let planned = Arc::clone(&backend.faults);
            let store = store(backend, PATIENT).await;
            planned.lock().unwrap().extend(faults.clone());
            store.commit(submission(1)).await.unwrap();
            planned.lock().unwrap().extend(faults.clone());
            store.commit(fact(1)).await.unwrap();
            store.commit(fact(2)).await.unwrap();
            let facts = store.facts(run_id(1)).await.unwrap();
            assert_eq!(facts.len(), 2, "{faults:?}");
        });
    }
}

#[test]
fn patience_ends_with_the_first_doubt() {
    block_on(async {
        for (fault, unknown) in [(Fault::Unknown, true), (Fault::Lost, false)] {
            let faults = [fault].into_iter().chain([Fault::Lost; 20]);
            let store = store(Flaky::new(faults), Duration::from_millis(30)).await;
            let error = store.commit(submission(1)).await.unwrap_err();
            assert_eq!(matches!(error, StoreError::OutcomeUnknown { .. }), unknown, "{error:?}");
        }
    });
}

#[test]
fn closing_finishes_what_was_asked_before() {
    block_on(async {
        let memory = Memory::new();
        let store = Store::with_backend(Box::new(memory.clone()), options(PATIENT)).await.unwrap();
        let pending = store.enqueue(submission(1)).await.unwrap();
        store.close().await;
        pending.await.unwrap();
        assert!(memory.reader().unwrap().run(run_id(1)).unwrap().is_some());
        assert!(matches!(store.commit(submission(2)).await, Err(StoreError::Closed)));
        assert!(matches!(store.run(run_id(1)).await, Err(StoreError::Closed)));
        store.close().await;
    });
}

#[test]
fn closing_does_not_wait_for_a_database_that_is_gone() {
    block_on(async {
        let store = store(Flaky::new([Fault::Lost; 1000]), Duration::from_secs(3600)).await;
        let pending = store.enqueue(submission(1)).await.unwrap();
        store.close().await;
        assert!(matches!(pending.await, Err(StoreError::Disconnected { .. })));
    });
}

fn plan() -> (Fingerprint, PlanRecord) {
    let record = PlanRecord { workflow: WorkflowName::new("a").unwrap(), tasks: Vec::new() };
    ("0".parse().unwrap(), record)
}

/// A run with this key and this input.
fn keyed(n: u128, key: &str, input: &str) -> NewRun {
    let run = submission(n).runs.pop().unwrap();
    let options = RunOptions { idempotency_key: Some(key.to_owned()), ..RunOptions::default() };
    NewRun { input: Output::from_json(input).unwrap(), options, ..run }
}

#[test]
fn one_key_with_one_input_is_one_run_and_with_another_an_error() {
    block_on(async {
        let store = Store::open("memory:", options(PATIENT)).await.unwrap();
        let new = store.submit(keyed(1, "k", r#"{"a": 1, "b": 2}"#), plan()).await.unwrap();
        assert!(matches!(new, Submission::New));
        let known = store.submit(keyed(2, "k", r#"{"b":2,"a":1}"#), plan()).await.unwrap();
        assert!(matches!(known, Submission::Known(run) if run.id == run_id(1)));
        let error = store.submit(keyed(3, "k", r#"{"a":1}"#), plan()).await.unwrap_err();
        let StoreError::IdempotencyConflict { workflow, key, run } = &error else { panic!("{error:?}") };
        assert_eq!((workflow.as_str(), key.as_str(), *run), ("a", "k", run_id(1)));
        assert_eq!(store.runs(RunQuery::default()).await.unwrap().len(), 1);
    });
}

#[test]
fn what_is_over_a_limit_is_not_stored() {
    block_on(async {
        let store = Store::open("memory:", options(PATIENT)).await.unwrap();
        let error = store.submit(keyed(1, &"k".repeat(256), "1"), plan()).await.unwrap_err();
        assert!(matches!(error, StoreError::InvalidOption { option: "idempotency_key", .. }), "{error:?}");
        assert!(store.runs(RunQuery::default()).await.unwrap().is_empty());
    });
}

#[test]
fn a_run_is_controlled_and_deleted_through_the_handle() {
    block_on(async {
        let store = Store::open("memory:", options(PATIENT)).await.unwrap();
        store.commit(submission(1)).await.unwrap();
        let given_up = || fact(1).facts;
        assert_eq!(store.append(run_id(1), given_up()).await.unwrap(), Requested::Done(RunStatus::Queued));
        let request = |request| store.request(run_id(1), request);
        assert_eq!(request(Request::Pause).await.unwrap(), Requested::Done(RunStatus::Paused));
        assert_eq!(request(Request::Resume).await.unwrap(), Requested::Done(RunStatus::Queued));
        assert_eq!(request(Request::Cancel).await.unwrap(), Requested::Done(RunStatus::Cancelled));
        let reopening = Reopening { run: run_id(1), epoch: 0, facts: given_up() };
        let refused = Requested::Refused(RunStatus::Cancelled);
        assert_eq!(store.reopen(reopening).await.unwrap(), refused);
        assert_eq!(store.facts_from(run_id(1), 0).await.unwrap(), given_up());
        assert_eq!(store.facts_from(run_id(1), 1).await.unwrap(), []);
        let finished_before = Timestamp::from_micros(i64::MAX);
        let prune = Prune { finished_before, statuses: Vec::new(), after: None, n_rows_max: 10 };
        assert_eq!(store.prune(prune).await.unwrap(), Pruned { n_runs: 1, n_facts: 1, next: None });
        assert!(store.run(run_id(1)).await.unwrap().is_none());
    });
}

#[test]
fn what_a_watcher_tells_is_told_also_after_an_error() {
    block_on(async {
        let backend = Flaky::new([]);
        let (ended, _ended) = mpsc::channel();
        let tells = [None, None, Some(Change::Facts)].into();
        backend.scripts.lock().unwrap().push_back(Script { tells, ended });
        let store = store(backend, PATIENT).await;
        let mut changes = store.changes().await.unwrap();
        assert_eq!(changes.changed().await, Some(Change::Facts));
    });
}

#[test]
fn the_watcher_ends_with_the_last_who_wants_to_know_and_another_may_begin() {
    block_on(async {
        let backend = Flaky::new([]);
        let (ended, wait_for_end) = mpsc::channel();
        for change in [Change::Runs, Change::Facts] {
            let script = Script { tells: [Some(change)].into(), ended: ended.clone() };
            backend.scripts.lock().unwrap().push_back(script);
        }
        let store = store(backend, PATIENT).await;
        let mut first = store.changes().await.unwrap();
        let second = store.changes().await.unwrap();
        assert_eq!(first.changed().await, Some(Change::Runs));
        drop(first);
        assert_eq!(wait_for_end.try_recv(), Err(mpsc::TryRecvError::Empty));
        drop(second);
        wait_for_end.recv_timeout(Duration::from_secs(60)).unwrap();
        let mut again = store.changes().await.unwrap();
        assert_eq!(again.changed().await, Some(Change::Facts));
        store.close().await;
        wait_for_end.recv_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!(again.changed().await, None);
    });
}

#[test]
fn nothing_is_told_where_nothing_can_be() {
    block_on(async {
        let store = store(Flaky::new([]), PATIENT).await;
        assert_eq!(store.changes().await.unwrap().changed().await, None);
    });
}

#[test]
fn statements_are_counted_on_both_connections() {
    block_on(async {
        let store = Store::open("memory:", options(PATIENT)).await.unwrap();
        store.register(worker()).await.unwrap();
        store.renew(worker()).await.unwrap();
        store.runs(RunQuery::default()).await.unwrap();
        store.close().await;
        // In memory each verb counts as one.
        assert_eq!(store.n_statements(), 3);
    });
}

#[cfg(not(feature = "postgres"))]
#[test]
fn a_url_of_a_feature_that_is_off_names_the_feature() {
    let error = block_on(Store::open("postgres://u:s3cret@h/d", StoreOptions::default())).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("\"postgres\"") && text.contains("u:***@h") && !text.contains("s3cret"), "{text}");
}
