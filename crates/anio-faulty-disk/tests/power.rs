//! A program of its own on the faulty disk, killed by it: what SQLite had synced is there, and nothing else.
//!
//! Called with a plan it is that program: it commits rows one by one and tells of each. Called without, it is
//! the test.

#![expect(clippy::unwrap_used, reason = "what fails stops a test")]
#![expect(clippy::print_stdout, reason = "the program tells the test what it did")]

use std::path::{Path, PathBuf};
use std::process::Command;

use anio_faulty_disk::{Cache, Plan, What};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::SqliteConnection;

const VARIABLE: &str = "ANIO_FAULTY_DISK_TEST";
const ROWS: i64 = 20;

#[derive(QueryableByName)]
struct Rows {
    #[diesel(sql_type = BigInt)]
    n: i64,
    #[diesel(sql_type = Text)]
    check: String,
}

fn main() {
    if let Ok(words) = std::env::var(VARIABLE) {
        return program(&words);
    }
    // SQLite waits for the disk at each commit, in the log and where there is none.
    for journal in ["wal", "delete"] {
        what_was_synced_survives(journal, Cache::Kept, "full");
        what_was_synced_survives(journal, Cache::Lost, "full");
        for seed in 0..3 {
            what_was_synced_survives(journal, Cache::Torn { seed }, "full");
        }
    }
    what_was_not_synced_is_lost();
}

/// Says how many rows are committed, after each commit, until the disk kills it.
fn program(words: &str) {
    let (file, plan): (PathBuf, Plan) = serde_json::from_str(words).unwrap();
    let [journal, synchronous] = [1, 2].map(|n| std::env::args().nth(n).unwrap());
    anio_faulty_disk::install(plan);
    let mut connection = SqliteConnection::establish(file.to_str().unwrap()).unwrap();
    connection
        .batch_execute(&format!(
            "pragma journal_mode = {journal}; pragma synchronous = {synchronous};
             pragma wal_autocheckpoint = 5; create table if not exists t (x)"
        ))
        .unwrap();
    for n in 1..=ROWS {
        connection.batch_execute("insert into t values (zeroblob(3000))").unwrap();
        println!("{n}");
    }
    drop(connection);
    println!("operations {}", anio_faulty_disk::n_operations());
}

/// How many rows the program said it had committed, how many there are, and how many operations it took when
/// it was not killed.
fn live(plan: &Plan, journal: &str, synchronous: &str) -> (i64, i64, Option<u64>) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("test.db");
    let output = Command::new(std::env::current_exe().unwrap())
        .args([journal, synchronous])
        .env(VARIABLE, serde_json::to_string(&(&file, plan)).unwrap())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let n_said = said.lines().filter_map(|line| line.parse().ok()).max().unwrap_or(0);
    let n_operations = said.lines().find_map(|line| line.strip_prefix("operations ")?.parse().ok());
    assert_eq!(n_operations.is_some(), output.status.success(), "{plan:?}: {:?}", output.status);
    (n_said, n_rows(&file), n_operations)
}

fn n_rows(file: &Path) -> i64 {
    let mut connection = SqliteConnection::establish(file.to_str().unwrap()).unwrap();
    let rows = "select (select count(*) from t) as n, integrity_check as 'check' from pragma_integrity_check";
    let empty = "select 0 as n, integrity_check as 'check' from pragma_integrity_check";
    let mut read = |sql| diesel::sql_query(sql).get_result::<Rows>(&mut connection);
    let rows = read(rows).or_else(|_| read(empty)).unwrap();
    assert_eq!(rows.check, "ok");
    rows.n
}

/// A kill at any operation (every seventeenth is tried) leaves all rows that were said to be there, and at most the
/// one beside that was being committed.
fn what_was_synced_survives(journal: &str, cache: Cache, synchronous: &str) {
    let (_, _, n_operations) = live(&Plan { cache, ..Plan::default() }, journal, synchronous);
    let n_operations = n_operations.unwrap();
    assert!(n_operations > 100, "{n_operations} operations in 20 commits");
    let mut seen = Vec::new();
    for n in (1..=n_operations).step_by(17) {
        for what in [What::KillBefore, What::KillAfter] {
            let (said, rows, _) = live(&Plan::one(n, what, cache), journal, synchronous);
            let place = format!("{journal}, {cache:?}: {what:?} operation {n}");
            assert!(rows == said || rows == said + 1, "{place}: {said} rows were told of, {rows} are there");
            seen.push(rows);
        }
    }
    let (least, most) = (seen.iter().min().unwrap(), seen.iter().max().unwrap());
    assert!(*least == 0 && *most >= ROWS - 1, "{journal}, {cache:?}: {seen:?}");
}

/// The same without waiting for the disk loses what it said it had.
fn what_was_not_synced_is_lost() {
    let (_, _, n_operations) = live(&Plan { cache: Cache::Lost, ..Plan::default() }, "wal", "off");
    let (said, rows, _) =
        live(&Plan::one(n_operations.unwrap() / 2, What::KillBefore, Cache::Lost), "wal", "off");
    assert!(said > 5 && rows < said, "{said} rows were told of, {rows} are there");
}
