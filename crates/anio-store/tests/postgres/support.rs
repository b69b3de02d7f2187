//! Workers, runs and batches to try things with, and ways to look on while others wait.

use std::thread;
use std::time::{Duration, Instant};

use anio_core::plan::PlanRecord;
use anio_core::run::FactKind;
use anio_core::{Output, RunId, TaskName, Timestamp, WorkflowName};
use anio_store::backend::Backend;
use anio_store::postgres::Postgres;
use anio_store::record::{Batch, FactRecord, NewRun, NewWorker, RunOptions, WorkerId};
use anio_store::{Durability, StoreError};
use anio_testkit::postgres::Database;
use uuid::Uuid;

/// A lease that does not run out here.
pub(crate) const LONG: Duration = Duration::from_secs(3600);

/// Nothing here takes longer, unless it never comes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn connect(url: &str) -> Result<Postgres, StoreError> {
    Postgres::connect(url, Durability::Full)
}

/// A connection to a database, which has its tables then.
pub(crate) fn open(database: &Database) -> Postgres {
    let mut backend = connect(&database.url()).unwrap();
    backend.migrate().unwrap();
    backend
}

pub(crate) fn worker(n: u128) -> NewWorker {
    let id = WorkerId(Uuid::from_u128((7 << 76) + (8 << 60) + n));
    NewWorker { id, name: "test".to_owned(), lease: LONG }
}

/// A worker whose lease has run out as soon as it has it.
pub(crate) fn late_worker(n: u128) -> NewWorker {
    NewWorker { lease: Duration::ZERO, ..worker(n) }
}

pub(crate) fn run_id(n: u128) -> RunId {
    RunId::from_uuid(Uuid::from_u128((1 << 96) + (7 << 76) + (8 << 60) + n))
}

pub(crate) fn workflow() -> WorkflowName {
    WorkflowName::new("a").unwrap()
}

pub(crate) fn plan() -> PlanRecord {
    PlanRecord { workflow: workflow(), tasks: Vec::new() }
}

/// A run that nobody has yet.
pub(crate) fn new_run(n: u128) -> NewRun {
    NewRun {
        id: run_id(n),
        workflow: workflow(),
        plan: plan().fingerprint(),
        input: Output::from_json("null").unwrap(),
        options: RunOptions::default(),
        submitted_at: Timestamp::from_micros(1),
        claim: false,
    }
}

/// A batch of a worker with a run that it has.
pub(crate) fn with_run(worker: &NewWorker, n: u128) -> Batch {
    let plans = vec![(plan().fingerprint(), plan())];
    let runs = vec![NewRun { claim: true, ..new_run(n) }];
    Batch { worker: Some(worker.id), plans, runs, ..Batch::default() }
}

pub(crate) fn fact(run: u128, task: &str, kind: FactKind) -> FactRecord {
    let (task, at) = (TaskName::new(task).unwrap(), Timestamp::from_micros(2));
    FactRecord { run: run_id(run), task, map_index: None, attempt: 1, at, kind, traceparent: None }
}

/// A batch of a worker with the start of a task.
pub(crate) fn with_fact(worker: &NewWorker, run: u128, task: &str) -> Batch {
    let facts = vec![fact(run, task, FactKind::Started)];
    Batch { worker: Some(worker.id), facts, ..Batch::default() }
}

/// Asks again and again, for as long as patience lasts.
pub(crate) fn until(mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "waited in vain");
        thread::sleep(Duration::from_millis(2));
    }
}

/// How many sessions of the database are such.
pub(crate) fn n_sessions(database: &Database, which: &str) -> usize {
    let sql = format!("select from pg_stat_activity where datname = current_database() and {which}");
    database.query(&sql).unwrap().len()
}

/// That a session waits for a lock.
pub(crate) const WAITS_FOR_A_LOCK: &str = "wait_event_type = 'Lock'";

/// That a session is in `pg_sleep`.
pub(crate) const SLEEPS: &str = "wait_event = 'PgSleep'";

/// Runs SQL in a transaction of its own, and `work` while that holds its locks: for as long as `work` waits for one,
/// and a little longer.
pub(crate) fn while_locked<T: Send>(database: &Database, sql: &str, work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let locking = scope.spawn(move || database.query(&format!("{sql}; select pg_sleep(1)")).unwrap());
        until(|| n_sessions(database, SLEEPS) == 1);
        let outcome = work();
        locking.join().unwrap();
        outcome
    })
}
