//! How fast facts become durable, next to raw diesel inserts of the same rows on the same disk.
//!
//! `cargo run --release -p anio-store --example commit_rate [directory]` prints, for batches of 500 facts and
//! for one fact at a time, the rate of raw diesel, of the SQLite backend, and of the store with its threads.
//! The three take turns, and the best of each is printed: a busy disk disturbs all alike.
#![expect(clippy::print_stdout, reason = "it is a program that prints")]

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use anio_core::run::FactKind;
use anio_core::{Output, RunId, TaskName, Timestamp, WorkflowName};
use anio_store::backend::Backend;
use anio_store::record::{Batch, FactRecord, NewRun, NewWorker, RunOptions, WorkerId};
use anio_store::sqlite::Sqlite;
use anio_store::{Durability, Store, StoreOptions};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use futures::executor::block_on;
use uuid::Uuid;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const RUNS: usize = 100;
const TURNS: usize = 9;

mod schema {
    #![allow(missing_docs, reason = "diesel documents no column")]
    diesel::table! {
    anio_attempts (seq) {
        seq -> BigInt,
        run_id -> Text,
        task -> Text,
        map_index -> Nullable<BigInt>,
        attempt -> BigInt,
        kind -> Text,
        at -> BigInt,
        started_at -> Nullable<BigInt>,
        retry_at -> Nullable<BigInt>,
        width -> Nullable<BigInt>,
        failure -> Nullable<Text>,
        writes -> Nullable<Text>,
        output -> Nullable<Text>,
    }
    }
}
use schema::anio_attempts;

#[derive(Insertable)]
#[diesel(table_name = anio_attempts, treat_none_as_default_value = false)]
struct Row {
    run_id: String,
    task: String,
    map_index: Option<i64>,
    attempt: i64,
    kind: String,
    at: i64,
    started_at: Option<i64>,
    retry_at: Option<i64>,
    width: Option<i64>,
    failure: Option<String>,
    writes: Option<String>,
    output: Option<String>,
}

fn main() -> Result<()> {
    let directory = match std::env::args().nth(1) {
        Some(directory) => tempfile::tempdir_in(directory)?,
        None => tempfile::tempdir()?,
    };
    for (rows, batch) in [(50_000, 500), (2_000, 1)] {
        let mut best = [0.0_f64; 3];
        for turn in 0..TURNS {
            let file = |name: &str| directory.path().join(format!("{name}-{batch}-{turn}.db"));
            let took = [
                raw(&file("raw"), rows, batch)?,
                backend(&file("backend"), rows, batch)?,
                store(&file("store"), rows, batch)?,
            ];
            for (best, took) in best.iter_mut().zip(took) {
                *best = best.max(f64::from(u32::try_from(rows)?) / took.as_secs_f64());
            }
        }
        let [raw, backend, store] = best;
        println!(
            r#"{{"batch":{batch},"raw_rows_s":{raw:.0},"backend_rows_s":{backend:.0},"store_rows_s":{store:.0},"backend_ratio":{:.2},"store_ratio":{:.2}}}"#,
            backend / raw,
            store / raw,
        );
    }
    Ok(())
}

fn run_id(n: usize) -> RunId {
    RunId::from_uuid(Uuid::from_u128((0x0190_7000 << 96) + (n % RUNS) as u128))
}

fn worker() -> NewWorker {
    NewWorker { id: WorkerId(Uuid::from_u128(1)), name: "bench".to_owned(), lease: Duration::from_secs(600) }
}

fn facts(from: usize, n: usize) -> Result<Vec<FactRecord>> {
    let task = TaskName::new("transform")?;
    (from..from + n)
        .map(|i| {
            let kind = FactKind::Succeeded {
                started_at: Timestamp::from_micros(1_790_000_000_000_000),
                output: Output::from_json(i.to_string())?,
                writes: None,
            };
            let at = Timestamp::from_micros(1_790_000_000_000_000 + i64::try_from(i)?);
            Ok(FactRecord {
                run: run_id(i),
                task: task.clone(),
                map_index: None,
                attempt: 1,
                at,
                kind,
                traceparent: None,
            })
        })
        .collect()
}

fn batches(rows: usize, batch: usize) -> Result<Vec<Batch>> {
    let worker = Some(worker().id);
    (0..rows)
        .step_by(batch)
        .map(|from| Ok(Batch { worker, facts: facts(from, batch)?, ..Batch::default() }))
        .collect()
}

fn first_runs() -> Result<Batch> {
    let workflow = WorkflowName::new("bench")?;
    let new = |n| {
        Ok(NewRun {
            id: run_id(n),
            workflow: workflow.clone(),
            plan: "0".parse()?,
            input: Output::from_json("null")?,
            options: RunOptions::default(),
            submitted_at: Timestamp::from_micros(1_790_000_000_000_000),
            claim: true,
        })
    };
    Ok(Batch {
        worker: Some(worker().id),
        runs: (0..RUNS).map(new).collect::<Result<_>>()?,
        ..Batch::default()
    })
}

/// The limit: the same rows into the same table, nothing else.
fn raw(file: &Path, rows: usize, batch: usize) -> Result<Duration> {
    Sqlite::open(file, Durability::Full)?.migrate()?;
    let mut connection = SqliteConnection::establish(file.to_str().ok_or("path")?)?;
    connection.batch_execute("pragma synchronous = full; pragma cache_size = -16384")?;
    let all: Vec<Row> = (0..rows)
        .map(|i| Row {
            run_id: run_id(i).to_string(),
            task: "transform".to_owned(),
            map_index: None,
            attempt: 1,
            kind: "succeeded".to_owned(),
            at: 1_790_000_000_000_000 + i64::try_from(i).unwrap_or(0),
            started_at: Some(1_790_000_000_000_000),
            retry_at: None,
            width: None,
            failure: None,
            writes: None,
            output: Some(i.to_string()),
        })
        .collect();
    let begin = Instant::now();
    for chunk in all.chunks(batch) {
        // Row by row on a prepared statement: faster than one statement per chunk, which is prepared anew.
        connection.immediate_transaction(|connection| {
            chunk.iter().try_for_each(|row| {
                diesel::insert_into(anio_attempts::table).values(row).execute(connection).map(drop)
            })
        })?;
    }
    Ok(begin.elapsed())
}

/// The backend alone, on this thread.
fn backend(file: &Path, rows: usize, batch: usize) -> Result<Duration> {
    let mut backend = Sqlite::open(file, Durability::Full)?;
    backend.migrate()?;
    backend.register(&worker())?;
    backend.commit(&first_runs()?, 1)?;
    let all = batches(rows, batch)?;
    let begin = Instant::now();
    for (number, batch) in all.iter().enumerate() {
        backend.commit(batch, number as u64 + 2)?;
    }
    Ok(begin.elapsed())
}

/// The store with its threads: each batch awaited before the next.
fn store(file: &Path, rows: usize, batch: usize) -> Result<Duration> {
    block_on(async {
        let url = format!("sqlite://{}", file.display());
        let store = Store::open(&url, StoreOptions::default()).await?;
        store.register(worker()).await?;
        store.commit(first_runs()?).await?;
        let all = batches(rows, batch)?;
        let begin = Instant::now();
        for batch in all {
            store.commit(batch).await?;
        }
        let took = begin.elapsed();
        store.close().await;
        Ok(took)
    })
}
