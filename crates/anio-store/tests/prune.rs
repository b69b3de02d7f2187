//! What pruning does to a SQLite file: bounded steps, and room that is used again.
#![cfg(feature = "sqlite")]
#![expect(clippy::unwrap_used, reason = "what fails stops a test")]

use std::path::Path;
use std::time::Duration;

use anio_core::run::FactKind;
use anio_core::{Output, RunId, TaskName, Timestamp, WorkflowName};
use anio_store::Durability;
use anio_store::backend::Backend;
use anio_store::record::{
    Batch, EndRecord, FactRecord, NewRun, NewWorker, Prune, Pruned, RunOptions, RunStatus, WorkerId,
};
use anio_store::sqlite::Sqlite;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use uuid::Uuid;

/// Later than any run of these tests has ended.
const LATER: Timestamp = Timestamp::from_micros(1_790_000_000_000_000);

fn run_id(n: u128) -> RunId {
    RunId::from_uuid(Uuid::from_u128((0x0190_7000 << 96) + n))
}

fn worker(n: u128) -> NewWorker {
    NewWorker { id: WorkerId(Uuid::from_u128(n)), name: n.to_string(), lease: Duration::from_secs(3600) }
}

fn open(file: &Path) -> Sqlite {
    let mut sqlite = Sqlite::open(file, Durability::Relaxed).unwrap();
    sqlite.migrate().unwrap();
    sqlite.register(&worker(1)).unwrap();
    sqlite
}

fn run(n: u128) -> NewRun {
    NewRun {
        id: run_id(n),
        workflow: WorkflowName::new("a").unwrap(),
        plan: "0".parse().unwrap(),
        input: Output::new(()).unwrap(),
        options: RunOptions { tags: vec![(n % 7).to_string()], ..RunOptions::default() },
        submitted_at: Timestamp::from_micros(1),
        claim: true,
    }
}

fn fact(n: u128, output: &Output) -> FactRecord {
    let at = Timestamp::from_micros(2);
    FactRecord {
        run: run_id(n),
        task: TaskName::new("transform").unwrap(),
        map_index: None,
        attempt: 1,
        at,
        kind: FactKind::Succeeded { started_at: at, output: output.clone(), writes: None },
        traceparent: None,
    }
}

fn end(n: u128) -> EndRecord {
    EndRecord { run: run_id(n), status: RunStatus::Succeeded, failure: None, at: Timestamp::from_micros(3) }
}

/// Runs that have ended, with as many facts each.
fn ended(runs: impl Iterator<Item = u128> + Clone, n_facts: usize, output: &Output) -> Batch {
    Batch {
        worker: Some(worker(1).id),
        runs: runs.clone().map(run).collect(),
        facts: runs.clone().flat_map(|n| vec![fact(n, output); n_facts]).collect(),
        ends: runs.map(end).collect(),
        ..Batch::default()
    }
}

fn step(after: Option<RunId>, n_rows_max: u32) -> Prune {
    Prune { finished_before: LATER, statuses: Vec::new(), after, n_rows_max }
}

/// All steps until nothing is left, each held to `check`.
fn prune(sqlite: &mut Sqlite, n_rows_max: u32, mut check: impl FnMut(&Pruned)) -> Pruned {
    let (mut all, mut after) = (Pruned::default(), None);
    loop {
        let pruned = sqlite.prune(&step(after, n_rows_max)).unwrap();
        check(&pruned);
        all.n_runs += pruned.n_runs;
        all.n_facts += pruned.n_facts;
        if pruned.next.is_none() {
            return all;
        }
        after = pruned.next;
    }
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    n: i64,
}

fn number(file: &Path, sql: &str) -> i64 {
    let mut connection = SqliteConnection::establish(file.to_str().unwrap()).unwrap();
    diesel::sql_query(sql).get_result::<Number>(&mut connection).unwrap().n
}

#[test]
fn a_file_whose_old_runs_are_pruned_grows_no_further() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.db");
    let mut sqlite = open(&file);
    let n_pages = || number(&file, "select page_count as n from pragma_page_count");
    let (n_runs, n_facts, output) = (2000_u128, 3, Output::new("x".repeat(50)).unwrap());
    let mut commit = 0;
    let mut add_runs = |sqlite: &mut Sqlite, from: u128| {
        for first in (from..from + n_runs).step_by(500) {
            commit += 1;
            sqlite.commit(&ended(first..first + 500, n_facts, &output), commit).unwrap();
        }
    };
    add_runs(&mut sqlite, 0);
    let before = n_pages();
    for round in 1..=2 {
        let all = prune(&mut sqlite, Prune::N_ROWS_DEFAULT, |_| {});
        assert_eq!((all.n_runs, all.n_facts), (2000, 6000));
        let sql = "select (select count(*) from anio_runs) + (select count(*) from anio_attempts)
                       + (select count(*) from anio_tags) as n";
        assert_eq!(number(&file, sql), 0);
        add_runs(&mut sqlite, n_runs * round);
        assert!(n_pages() <= before, "{} pages, {before} before", n_pages());
    }
}

#[test]
fn a_step_deletes_no_more_rows_than_it_may() {
    let directory = tempfile::tempdir().unwrap();
    let mut sqlite = open(&directory.path().join("a.db"));
    let output = Output::new(1).unwrap();
    sqlite.commit(&ended(0..40, 4, &output), 1).unwrap();
    sqlite.commit(&ended(40..41, 500, &output), 2).unwrap();
    for n_rows_max in [0, 1, 3, 50] {
        sqlite.commit(&ended(100..110, 4, &output), u64::from(n_rows_max) + 10).unwrap();
        let bound = u64::from(n_rows_max.max(1));
        let all = prune(&mut sqlite, n_rows_max, |pruned| {
            assert!(pruned.n_runs + pruned.n_facts <= bound, "{pruned:?}, at most {bound}");
        });
        assert!(all.n_runs >= 10 && all.n_facts >= 40, "{all:?}");
    }
}

#[test]
fn a_step_deletes_long_outputs_one_by_one() {
    let directory = tempfile::tempdir().unwrap();
    let mut sqlite = open(&directory.path().join("a.db"));
    sqlite.commit(&ended(0..1, 5, &Output::new("x".repeat(10 << 20)).unwrap()), 1).unwrap();
    let all = prune(&mut sqlite, 1000, |pruned| assert!(pruned.n_facts <= 2, "{pruned:?}"));
    assert_eq!((all.n_runs, all.n_facts), (1, 5));
}

#[test]
fn a_step_looks_at_a_bounded_number_of_runs() {
    let directory = tempfile::tempdir().unwrap();
    let mut sqlite = open(&directory.path().join("a.db"));
    let unended =
        Batch { worker: Some(worker(1).id), runs: (0..5000).map(run).collect(), ..Batch::default() };
    sqlite.commit(&unended, 1).unwrap();
    sqlite.commit(&ended(5000..5001, 1, &Output::new(1).unwrap()), 2).unwrap();
    let mut n_steps = 0;
    let all = prune(&mut sqlite, 1000, |_| n_steps += 1);
    assert_eq!((all.n_runs, n_steps > 1), (1, true), "{n_steps} steps");
}

#[test]
fn the_last_step_forgets_the_workers_that_are_long_gone() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.db");
    let mut sqlite = open(&file);
    for n in 2..=3 {
        sqlite.register(&worker(n)).unwrap();
        sqlite.release(worker(n).id).unwrap();
    }
    let long_gone = format!("update anio_workers set lost_at = 1 where id = '{}'", worker(2).id);
    let mut connection = SqliteConnection::establish(file.to_str().unwrap()).unwrap();
    connection.batch_execute(&long_gone).unwrap();
    prune(&mut sqlite, 10, |_| {});
    // The third may still come back and ask what became of its last commit.
    assert!(sqlite.last_commit(worker(2).id).is_err());
    assert_eq!(sqlite.last_commit(worker(3).id).unwrap(), 0);
    sqlite.renew(&worker(1)).unwrap();
}
