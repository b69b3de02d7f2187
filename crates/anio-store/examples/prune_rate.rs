//! How long pruning keeps a SQLite file from its writer, and whether the file grows afterwards.
//!
//! `cargo run --release -p anio-store --example prune_rate [runs] [directory]` fills a file with runs of five
//! facts each (100,000 by default), prunes all of them step by step, fills it again, and prints for some sizes
//! of a step: how many steps, the mean and the longest of them with its commit, runs per second, and the
//! pages of the file before and after.
#![expect(clippy::print_stdout, reason = "it is a program that prints")]

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use anio_core::run::FactKind;
use anio_core::{Output, RunId, TaskName, Timestamp, WorkflowName};
use anio_store::Durability;
use anio_store::backend::Backend;
use anio_store::record::{
    Batch, EndRecord, FactRecord, NewRun, NewWorker, Prune, RunOptions, RunStatus, WorkerId,
};
use anio_store::sqlite::Sqlite;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel::sqlite::SqliteConnection;
use uuid::Uuid;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const FACTS: usize = 5;
const TOGETHER: u128 = 500;
const ENDED: Timestamp = Timestamp::from_micros(1_790_000_000_000_000);

fn main() -> Result<()> {
    let n_runs: u128 = std::env::args().nth(1).map_or(Ok(100_000), |n| n.parse())?;
    let directory = match std::env::args().nth(2) {
        Some(directory) => tempfile::tempdir_in(directory)?,
        None => tempfile::tempdir()?,
    };
    for n_rows_max in [250, 1000, 4000] {
        let file = directory.path().join(format!("{n_rows_max}.db"));
        let mut sqlite = Sqlite::open(&file, Durability::Full)?;
        sqlite.migrate()?;
        sqlite.register(&worker())?;
        fill(&mut sqlite, 0, n_runs)?;
        let before = n_pages(&file)?;
        let steps = prune(&mut sqlite, n_rows_max)?;
        fill(&mut sqlite, n_runs, n_runs)?;
        let after = n_pages(&file)?;
        let (sum, longest) = (steps.iter().sum::<Duration>(), steps.iter().max().ok_or("no step")?);
        println!(
            r#"{{"rows_per_step":{n_rows_max},"steps":{},"mean_ms":{:.1},"longest_ms":{:.1},"runs_s":{:.0},"pages_before":{before},"pages_after":{after}}}"#,
            steps.len(),
            (sum / u32::try_from(steps.len())?).as_secs_f64() * 1e3,
            longest.as_secs_f64() * 1e3,
            f64::from(u32::try_from(n_runs)?) / sum.as_secs_f64(),
        );
    }
    Ok(())
}

fn worker() -> NewWorker {
    NewWorker { id: WorkerId(Uuid::from_u128(1)), name: "prune".to_owned(), lease: Duration::from_secs(3600) }
}

/// Runs that have ended, from the `first` on.
fn fill(sqlite: &mut Sqlite, first: u128, n_runs: u128) -> Result<()> {
    let (workflow, task) = (WorkflowName::new("prune")?, TaskName::new("transform")?);
    let (plan, input) = ("0".parse()?, Output::new(())?);
    let id = |n| RunId::from_uuid(Uuid::from_u128((0x0190_7000 << 96) + n));
    let run = |n| NewRun {
        id: id(n),
        workflow: workflow.clone(),
        plan,
        input: input.clone(),
        options: RunOptions::default(),
        submitted_at: ENDED,
        claim: true,
    };
    let output = Output::new("x".repeat(100))?;
    let fact = |n| FactRecord {
        run: id(n),
        task: task.clone(),
        map_index: None,
        attempt: 1,
        at: ENDED,
        kind: FactKind::Succeeded { started_at: ENDED, output: output.clone(), writes: None },
        traceparent: None,
    };
    let end = |n| EndRecord { run: id(n), status: RunStatus::Succeeded, failure: None, at: ENDED };
    for from in (first..first + n_runs).step_by(TOGETHER as usize) {
        let numbers = from..from + TOGETHER;
        let batch = Batch {
            worker: Some(worker().id),
            runs: numbers.clone().map(run).collect(),
            facts: numbers.clone().flat_map(|n| vec![fact(n); FACTS]).collect(),
            ends: numbers.map(end).collect(),
            ..Batch::default()
        };
        let number = sqlite.last_commit(worker().id)? + 1;
        sqlite.commit(&batch, number)?;
    }
    Ok(())
}

/// How long each step took, with its commit.
fn prune(sqlite: &mut Sqlite, n_rows_max: u32) -> Result<Vec<Duration>> {
    let finished_before = ENDED.after(Duration::from_secs(1));
    let mut step = Prune { finished_before, statuses: Vec::new(), after: None, n_rows_max };
    let mut took = Vec::new();
    loop {
        let begin = Instant::now();
        let pruned = sqlite.prune(&step)?;
        took.push(begin.elapsed());
        if pruned.next.is_none() {
            return Ok(took);
        }
        step.after = pruned.next;
    }
}

#[derive(QueryableByName)]
struct Pages {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

fn n_pages(file: &Path) -> Result<i64> {
    let mut connection = SqliteConnection::establish(file.to_str().ok_or("path")?)?;
    let query = diesel::sql_query("select page_count as n from pragma_page_count");
    Ok(query.get_result::<Pages>(&mut connection)?.n)
}
