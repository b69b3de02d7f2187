//! A process that is stopped in the middle of a transaction, as by a debugger, a machine that sleeps, or a network
//! that is cut: what it has locked there must not hold up those who take over from it.

#![cfg(all(feature = "postgres", unix))]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anio_core::plan::PlanRecord;
use anio_core::{Output, RunId, Timestamp, WorkflowName};
use anio_store::Durability;
use anio_store::backend::Backend;
use anio_store::postgres::Postgres;
use anio_store::record::{Batch, Claim, NewRun, NewWorker, RunOptions, WorkerId};
use anio_testkit::postgres::{Database, test_database};
use uuid::Uuid;

const LONG: Duration = Duration::from_secs(3600);

/// Nothing here takes longer, unless it never comes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Tells the child which database to claim from.
const CLAIM: &str = "ANIO_TEST_CLAIM";

fn worker(n: u128) -> NewWorker {
    let id = WorkerId(Uuid::from_u128((7 << 76) + (8 << 60) + n));
    NewWorker { id, name: "test".to_owned(), lease: if n == 1 { Duration::ZERO } else { LONG } }
}

fn claim(worker: &NewWorker) -> Claim {
    Claim { worker: worker.id, workflows: vec![WorkflowName::new("a").unwrap()], limit: 9 }
}

fn with_queued_run() -> Batch {
    let plan = PlanRecord { workflow: WorkflowName::new("a").unwrap(), tasks: Vec::new() };
    let run = NewRun {
        id: RunId::from_uuid(Uuid::from_u128((1 << 96) + (7 << 76) + (8 << 60))),
        workflow: plan.workflow.clone(),
        plan: plan.fingerprint(),
        input: Output::from_json("null").unwrap(),
        options: RunOptions::default(),
        submitted_at: Timestamp::from_micros(1),
        claim: false,
    };
    Batch { plans: vec![(plan.fingerprint(), plan)], runs: vec![run], ..Batch::default() }
}

/// Asks again and again, for as long as patience lasts.
fn until(mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "waited in vain");
        thread::sleep(Duration::from_millis(2));
    }
}

fn n_sessions(database: &Database, which: &str) -> usize {
    let sql = format!("select from pg_stat_activity where datname = current_database() and {which}");
    database.query(&sql).unwrap().len()
}

/// Not a test by itself: the process that is stopped while it claims.
#[test]
fn a_process_that_claims() {
    let Ok(url) = std::env::var(CLAIM) else { return };
    let mut backend = Postgres::connect(&url, Durability::Full).unwrap();
    backend.register(&worker(1)).unwrap();
    // Past the capture of the test's output.
    std::io::stdout().write_all(b"\nregistered\n").unwrap();
    std::io::stdin().read_line(&mut String::new()).unwrap();
    backend.claim(&claim(&worker(1))).unwrap();
}

fn spawn(database: &Database) -> Child {
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_process_that_claims", "--nocapture"])
        .env(CLAIM, database.url())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "registered"));
    process
}

/// Stops the process while the server is at the first statement of its claim, which waits for a lock: so its
/// transaction is open when the server is done, and nobody goes on with it.
fn freeze_in_a_claim(database: &Database, process: &mut Child) {
    thread::scope(|scope| {
        let lock =
            format!("select from anio_workers where id = '{}' for update; select pg_sleep(1)", worker(1).id);
        let locking = scope.spawn(move || database.query(&lock).unwrap());
        until(|| n_sessions(database, "wait_event = 'PgSleep'") == 1);
        process.stdin.take().unwrap().write_all(b"go on\n").unwrap();
        until(|| n_sessions(database, "wait_event_type = 'Lock'") == 1);
        let stopped = Command::new("kill").args(["-STOP", &process.id().to_string()]).status().unwrap();
        assert!(stopped.success());
        locking.join().unwrap();
    });
    until(|| n_sessions(database, "state = 'idle in transaction'") == 1);
}

#[test]
fn a_worker_that_is_frozen_in_a_claim_can_be_buried_and_its_runs_go_on() {
    let Some(database) = test_database() else { return };
    // A lock that is not let go within this time makes the test fail, where it would hang.
    let url = format!("{}?options=-c%20lock_timeout%3D20000", database.url());
    let mut heir = Postgres::connect(&url, Durability::Full).unwrap();
    heir.migrate().unwrap();
    heir.register(&worker(2)).unwrap();
    heir.commit(&with_queued_run(), 0).unwrap();
    let mut process = spawn(&database);
    freeze_in_a_claim(&database, &mut process);

    let buried = heir.bury(&[worker(1).id]);
    let claimed = heir.claim(&claim(&worker(2)));
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(buried.is_ok(), "{buried:?}");
    assert_eq!(claimed.unwrap().len(), 1);
}
