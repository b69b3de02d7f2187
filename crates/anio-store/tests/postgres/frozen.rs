//! A process that is stopped in the middle of a transaction, as by a debugger, a machine that sleeps, or a network
//! that is cut: what it has locked there must not hold up those who take over from it.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::thread;

use anio_store::backend::Backend;
use anio_store::record::{Batch, Claim, NewWorker};
use anio_testkit::postgres::{Database, test_database};

use crate::support::{
    SLEEPS, WAITS_FOR_A_LOCK, connect, late_worker, n_sessions, new_run, plan, until, worker, workflow,
};

/// Tells the child which database to claim from.
const CLAIM: &str = "ANIO_TEST_CLAIM";

fn claim(worker: &NewWorker) -> Claim {
    Claim { worker: worker.id, workflows: vec![workflow()], limit: 9 }
}

/// Not a test by itself: the process that is stopped while it claims.
#[test]
fn a_process_that_claims() {
    let Ok(url) = std::env::var(CLAIM) else { return };
    let mut backend = connect(&url).unwrap();
    backend.register(&late_worker(1)).unwrap();
    // Past the capture of the test's output.
    std::io::stdout().write_all(b"\nregistered\n").unwrap();
    std::io::stdin().read_line(&mut String::new()).unwrap();
    backend.claim(&claim(&late_worker(1))).unwrap();
}

fn spawn(database: &Database) -> Child {
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "frozen::a_process_that_claims", "--nocapture"])
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
        let lock = format!(
            "select from anio_workers where id = '{}' for update; select pg_sleep(1)",
            late_worker(1).id
        );
        let locking = scope.spawn(move || database.query(&lock).unwrap());
        until(|| n_sessions(database, SLEEPS) == 1);
        process.stdin.take().unwrap().write_all(b"go on\n").unwrap();
        until(|| n_sessions(database, WAITS_FOR_A_LOCK) == 1);
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
    let mut heir = connect(&url).unwrap();
    heir.migrate().unwrap();
    heir.register(&worker(2)).unwrap();
    heir.commit(
        &Batch {
            worker: None,
            plans: vec![(plan().fingerprint(), plan())],
            runs: vec![new_run(1)],
            ..Batch::default()
        },
        0,
    )
    .unwrap();
    let mut process = spawn(&database);
    freeze_in_a_claim(&database, &mut process);

    let buried = heir.bury(&[late_worker(1).id]);
    let claimed = heir.claim(&claim(&worker(2)));
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(buried.is_ok(), "{buried:?}");
    assert_eq!(claimed.unwrap().len(), 1);
}
