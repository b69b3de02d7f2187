//! Reading: runs and their facts.

use std::collections::HashSet;

use anio_core::{Fingerprint, Output, RunId, Timestamp, WorkflowName};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::sqlite::{Sqlite, SqliteConnection};
use uuid::Uuid;

use super::error::Failure;
use super::json_list;
use super::schema::{anio_runs, anio_workers};
use crate::error::StoreError;
use crate::record::{FactRecord, RunOptions, RunQuery, RunRecord, RunStatus, WorkerId};
use crate::row::{FactRow, corrupt_row, from_json};

/// How many runs a list has where nobody says.
const RUNS_DEFAULT: u32 = 100;

pub(super) fn run(connection: &mut SqliteConnection, id: RunId) -> Result<Option<RunRecord>, Failure> {
    let row: Option<RunRow> =
        anio_runs::table.find(id.to_string()).select(RunRow::as_select()).first(connection).optional()?;
    row.map(RunRow::into_record).transpose().map_err(Failure::Store)
}

/// Runs, the last submitted first. Walks the primary key backwards: with a filter that matches few runs it
/// reads many.
pub(super) fn runs(connection: &mut SqliteConnection, query: &RunQuery) -> Result<Vec<RunRecord>, Failure> {
    let limit = if query.limit == 0 { RUNS_DEFAULT } else { query.limit };
    let mut select = anio_runs::table
        .select(RunRow::as_select())
        .order(anio_runs::id.desc())
        .limit(i64::from(limit))
        .into_boxed();
    if let Some(workflow) = &query.workflow {
        select = select.filter(anio_runs::workflow.eq(workflow));
    }
    if !query.statuses.is_empty() {
        select = select.filter(anio_runs::status.eq_any(query.statuses.iter().map(|status| status.as_str())));
    }
    if let Some(before) = query.before {
        select = select.filter(anio_runs::id.lt(before.to_string()));
    }
    let rows: Vec<RunRow> = select.load(connection)?;
    rows.into_iter().map(|row| row.into_record().map_err(Failure::Store)).collect()
}

/// The facts of runs: all of one run before those of the next, in the order in which they were committed.
pub(super) fn facts(connection: &mut SqliteConnection, runs: &[RunId]) -> Result<Vec<FactRecord>, Failure> {
    let query = FactsOf { runs: json_list(runs) };
    let rows = query.load_iter::<AttemptRow, diesel::connection::DefaultLoadingMode>(connection)?;
    rows.map(|row| fact_of(row?)).collect()
}

/// The workers whose lease has not been taken away or given back.
pub(super) fn standing_workers(connection: &mut SqliteConnection) -> Result<HashSet<WorkerId>, StoreError> {
    let standing = anio_workers::table.filter(anio_workers::lost_at.is_null()).select(anio_workers::id);
    let ids: Vec<String> = standing.load(connection).map_err(super::error::store_error)?;
    ids.iter().map(|id| worker_id(id)).collect()
}

pub(super) fn worker_id(text: &str) -> Result<WorkerId, StoreError> {
    Uuid::parse_str(text)
        .map(WorkerId)
        .map_err(|_| StoreError::Corrupt { problem: format!("anio_workers: {text:?} is no UUID") })
}

type AttemptRow = (
    String,
    String,
    Option<i64>,
    i64,
    String,
    i64,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<String>,
    Option<String>,
    Option<String>,
);

fn fact_of(row: AttemptRow) -> Result<FactRecord, Failure> {
    let (run, task, map_index, attempt, kind, at, started_at, retry_at, width, failure, writes, output) = row;
    let run = run.parse().map_err(|_| corrupt_row("anio_attempts", run)("run_id is no UUID"))?;
    let row = FactRow {
        run,
        task,
        map_index,
        attempt,
        kind,
        at,
        started_at,
        retry_at,
        width,
        failure,
        writes,
        output,
    };
    row.into_record().map_err(Failure::Store)
}

/// Relies on `anio_attempts_run`, which gives the rows in this order.
struct FactsOf {
    runs: String,
}

impl QueryFragment<Sqlite> for FactsOf {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql(
            "select run_id, task, map_index, attempt, kind, at, started_at, retry_at, width, failure, writes, output
             from anio_attempts
             where run_id in (select value from json_each(",
        );
        out.push_bind_param::<Text, _>(&self.runs)?;
        out.push_sql(")) order by run_id, seq");
        Ok(())
    }
}

impl QueryId for FactsOf {
    type QueryId = Self;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for FactsOf {
    type SqlType = (
        Text,
        Text,
        Nullable<BigInt>,
        BigInt,
        Text,
        BigInt,
        Nullable<BigInt>,
        Nullable<BigInt>,
        Nullable<BigInt>,
        Nullable<Text>,
        Nullable<Text>,
        Nullable<Text>,
    );
}

impl RunQueryDsl<SqliteConnection> for FactsOf {}

/// A row of `anio_runs`.
#[derive(Queryable, QueryableByName, Selectable)]
#[diesel(table_name = anio_runs)]
pub(super) struct RunRow {
    pub(super) id: String,
    workflow: String,
    plan: String,
    status: String,
    pub(super) priority: i32,
    epoch: i64,
    submitted_at: i64,
    started_at: Option<i64>,
    finished_at: Option<i64>,
    failure: Option<String>,
    parked_reason: Option<String>,
    input: String,
}

impl RunRow {
    pub(super) fn into_record(self) -> Result<RunRecord, StoreError> {
        let corrupt = corrupt_row("anio_runs", self.id.clone());
        Ok(RunRecord {
            id: self.id.parse().map_err(|_| corrupt("id is no UUID"))?,
            workflow: WorkflowName::trusted(self.workflow),
            plan: self.plan.parse::<Fingerprint>().map_err(|_| corrupt("plan is no fingerprint"))?,
            status: RunStatus::from_word(&self.status).ok_or_else(|| corrupt("status is unknown"))?,
            input: Output::from_json(self.input).map_err(|_| corrupt("input is not JSON"))?,
            options: RunOptions { priority: self.priority, ..RunOptions::default() },
            requested: None,
            news: 0,
            epoch: u32::try_from(self.epoch).map_err(|_| corrupt("epoch is no count"))?,
            submitted_at: Timestamp::from_micros(self.submitted_at),
            started_at: self.started_at.map(Timestamp::from_micros),
            finished_at: self.finished_at.map(Timestamp::from_micros),
            failure: from_json(self.failure.as_deref()).map_err(|_| corrupt("failure cannot be read"))?,
            parked_reason: self.parked_reason,
        })
    }
}
