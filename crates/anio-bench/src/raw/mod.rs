//! The limit: the same rows, inserted by diesel alone, into the same tables with the same settings.
//!
//! Batches are measured in two forms, and the faster one is the limit: the one that diesel makes of
//! `insert_into(..).values(&rows)`, and the one that suits the database ([`Form::Native`]).

mod postgres;
mod sqlite;

use std::time::{Duration, Instant};

use uuid::Uuid;

use self::postgres::Postgres;
use self::sqlite::Sqlite;
use crate::Result;
use crate::database::{Backend, Database};

/// How many rows a batch has.
pub(crate) const BATCH_ROWS: usize = 500;

/// How a batch is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// One `insert … values (…), (…), …`.
    Values,
    /// SQLite: a prepared statement per row, in one transaction. Postgres: one statement over `unnest`.
    Native,
}

/// A row of `anio_attempts` as a success leaves it.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) run: Uuid,
    pub(crate) task: String,
    pub(crate) map_index: Option<i64>,
    pub(crate) at: i64,
    pub(crate) output: String,
}

/// The rows of `n_runs` runs with one row per name, run by run.
pub(crate) fn rows_of(n_runs: usize, tasks: &[&str]) -> Vec<Row> {
    let run = |_| {
        let run = Uuid::now_v7();
        tasks.iter().map(move |task| row(run, (*task).to_owned(), None, "0".to_owned()))
    };
    (0..n_runs).flat_map(run).collect()
}

/// The rows of the elements of one mapped task.
pub(crate) fn rows_of_map(width: usize) -> Vec<Row> {
    let run = Uuid::now_v7();
    (0..width).map(|ix| row(run, "work".to_owned(), i64::try_from(ix).ok(), ix.to_string())).collect()
}

/// The rows of one run.
pub(crate) fn rows_of_run(run: Uuid, tasks: impl IntoIterator<Item = (String, String)>) -> Vec<Row> {
    tasks.into_iter().map(|(task, output)| row(run, task, None, output)).collect()
}

fn row(run: Uuid, task: String, map_index: Option<i64>, output: String) -> Row {
    Row { run, task, map_index, at: 1_800_000_000_000_000, output }
}

/// A connection of diesel's to the database.
pub(crate) enum Raw {
    Sqlite(Box<Sqlite>),
    Postgres(Box<Postgres>),
}

impl Raw {
    pub(crate) fn connect(database: &Database) -> Result<Self> {
        Ok(match database {
            Database::Sqlite(file) => Self::Sqlite(Box::new(Sqlite::connect(&file.path())?)),
            Database::Postgres(database) => Self::Postgres(Box::new(Postgres::connect(&database.url())?)),
        })
    }

    /// Inserts rows, so many per commit.
    fn insert(&mut self, rows: &[Row], batch_rows: usize, form: Form) -> Result<Duration> {
        let begun = Instant::now();
        for batch in rows.chunks(batch_rows) {
            match self {
                Self::Sqlite(sqlite) => sqlite.insert(batch, form)?,
                Self::Postgres(postgres) => postgres.insert(batch, form)?,
            }
        }
        Ok(begun.elapsed())
    }

    /// Reads all rows of a run; tells how many there were.
    pub(crate) fn load(&mut self, run: Uuid) -> Result<(usize, Duration)> {
        let begun = Instant::now();
        let n_rows = match self {
            Self::Sqlite(sqlite) => sqlite.load(run)?,
            Self::Postgres(postgres) => postgres.load(run)?,
        };
        Ok((n_rows, begun.elapsed()))
    }
}

/// Rows per second in batches, into fresh databases.
pub(crate) fn batch_rate(backend: Backend, rows: &[Row]) -> Result<f64> {
    let values = seconds(backend, rows, BATCH_ROWS, Form::Values)?;
    let native = seconds(backend, rows, BATCH_ROWS, Form::Native)?;
    Ok(rows.len() as f64 / values.min(native))
}

/// Seconds for rows that are committed one by one, into a fresh database.
pub(crate) fn one_by_one_seconds(backend: Backend, rows: &[Row]) -> Result<f64> {
    seconds(backend, rows, 1, Form::Values)
}

fn seconds(backend: Backend, rows: &[Row], batch_rows: usize, form: Form) -> Result<f64> {
    let database = Database::with_tables(backend)?;
    Ok(Raw::connect(&database)?.insert(rows, batch_rows, form)?.as_secs_f64())
}
