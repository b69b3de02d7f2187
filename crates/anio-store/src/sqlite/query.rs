//! Reading: runs and their facts.

use std::collections::HashSet;

use anio_core::plan::PlanRecord;
use anio_core::{Fingerprint, Output, RunId, Timestamp, WorkflowName};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::sqlite::{Sqlite, SqliteConnection};
use uuid::Uuid;

use super::error::Failure;
use super::json_list;
use super::schema::{anio_plans, anio_runs, anio_workers};
use crate::error::StoreError;
use crate::record::{FactRecord, Request, RunQuery, RunRecord, RunStatus, WorkerId};
use crate::row::{FactRow, OptionColumns, PRUNING, corrupt_row, from_json};

/// How many runs a list has where nobody says.
const RUNS_DEFAULT: u32 = 100;

pub(super) fn run(connection: &mut SqliteConnection, id: RunId) -> Result<Option<RunRecord>, Failure> {
    let row: Option<RunRow> = known(id).select(RunRow::as_select()).first(connection).optional()?;
    row.map(RunRow::into_record).transpose().map_err(Failure::Store)
}

/// A run that is there wholly.
#[diesel::dsl::auto_type(no_type_alias)]
pub(super) fn known(id: RunId) -> _ {
    let id: String = id.to_string();
    let pruning: &'static str = PRUNING;
    anio_runs::table.find(id).filter(anio_runs::status.ne(pruning))
}

/// Runs, the last submitted first. Walks the primary key backwards, or that of the tags: with another filter
/// that matches few runs it reads many.
pub(super) fn runs(connection: &mut SqliteConnection, query: &RunQuery) -> Result<Vec<RunRecord>, Failure> {
    // `cross join` keeps the order of the tables: the tags first.
    let (from, id) = match query.tag {
        Some(_) => ("anio_tags as tag cross join anio_runs as run on run.id = tag.run_id", "tag.run_id"),
        None => ("anio_runs as run", "run.id"),
    };
    let mut select =
        diesel::sql_query(format!("select run.* from {from} where run.status <> '{PRUNING}'")).into_boxed();
    if let Some(tag) = &query.tag {
        select = select.sql(" and tag.tag = ?").bind::<Text, _>(tag);
    }
    if let Some(workflow) = &query.workflow {
        select = select.sql(" and run.workflow = ?").bind::<Text, _>(workflow);
    }
    if !query.statuses.is_empty() {
        let statuses = json_list(query.statuses.iter());
        select = select.sql(" and run.status in (select value from json_each(?))").bind::<Text, _>(statuses);
    }
    if let Some(from) = query.submitted_from {
        select = select.sql(" and run.submitted_at >= ?").bind::<BigInt, _>(from.as_micros());
    }
    if let Some(until) = query.submitted_until {
        select = select.sql(" and run.submitted_at < ?").bind::<BigInt, _>(until.as_micros());
    }
    if let Some(before) = query.before {
        select = select.sql(format!(" and {id} < ?")).bind::<Text, _>(before.to_string());
    }
    let limit = if query.limit == 0 { RUNS_DEFAULT } else { query.limit };
    let select = select.sql(format!(" order by {id} desc limit {limit}"));
    let rows: Vec<RunRow> = select.load(connection)?;
    rows.into_iter().map(|row| row.into_record().map_err(Failure::Store)).collect()
}

/// The facts of runs: all of one run before those of the next, in the order in which they were committed.
pub(super) fn facts(connection: &mut SqliteConnection, runs: &[RunId]) -> Result<Vec<FactRecord>, Failure> {
    let query = FactsOf { runs: json_list(runs) };
    let rows = query.load_iter::<AttemptRow, diesel::connection::DefaultLoadingMode>(connection)?;
    rows.map(|row| fact_of(row?)).collect()
}

/// The facts of a run from the `n`-th on; none of a run that is not there wholly.
pub(super) fn facts_from(
    connection: &mut SqliteConnection,
    run: RunId,
    n: u64,
) -> Result<Vec<FactRecord>, Failure> {
    let query = FactsFrom { run: run.to_string(), n: i64::try_from(n).unwrap_or(i64::MAX) };
    let rows = query.load_iter::<AttemptRow, diesel::connection::DefaultLoadingMode>(connection)?;
    rows.map(|row| fact_of(row?)).collect()
}

/// What is stored of a plan.
pub(super) fn plan(
    connection: &mut SqliteConnection,
    plan: Fingerprint,
) -> Result<Option<PlanRecord>, Failure> {
    let row = anio_plans::table.find(plan.to_string()).select(anio_plans::record);
    let Some(text) = row.first::<String>(connection).optional()? else { return Ok(None) };
    let corrupt = |_| StoreError::Corrupt { problem: format!("anio_plans {plan}: record cannot be read") };
    serde_json::from_str(&text).map(Some).map_err(|error| Failure::Store(corrupt(error)))
}

/// The workers whose lease has not been taken away or given back.
pub(super) fn standing_workers(connection: &mut SqliteConnection) -> Result<HashSet<WorkerId>, StoreError> {
    let standing = anio_workers::table.filter(anio_workers::lost_at.is_null()).select(anio_workers::id);
    let ids: Vec<String> = standing.load(connection).map_err(super::error::store_error)?;
    ids.iter().map(|id| worker_id(id)).collect()
}

/// A run's identity.
pub(super) fn run_id(text: &str) -> Result<RunId, StoreError> {
    text.parse().map_err(|_| corrupt_row("anio_runs", text.to_owned())("id is no UUID"))
}

/// The state of a run, and what is requested of it.
pub(super) fn standing(
    id: &str,
    status: &str,
    requested: Option<&str>,
) -> Result<(RunStatus, Option<Request>), StoreError> {
    let corrupt = corrupt_row("anio_runs", id.to_owned());
    let status = RunStatus::from_word(status).ok_or_else(|| corrupt("status is unknown"))?;
    let requested = match requested {
        Some(word) => Some(Request::from_word(word).ok_or_else(|| corrupt("requested is unknown"))?),
        None => None,
    };
    Ok((status, requested))
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

const COLUMNS: &str = "
select run_id, task, map_index, attempt, kind, at, started_at, retry_at, width, failure, writes, output
from anio_attempts";

type Columns = (
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

/// Relies on `anio_attempts_run`, which gives the rows in this order.
struct FactsOf {
    runs: String,
}

impl QueryFragment<Sqlite> for FactsOf {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql(COLUMNS);
        out.push_sql(" where run_id in (select value from json_each(");
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
    type SqlType = Columns;
}

impl RunQueryDsl<SqliteConnection> for FactsOf {}

/// Relies on `anio_attempts_run`, of which it steps over the first `n` without reading their rows.
struct FactsFrom {
    run: String,
    n: i64,
}

impl QueryFragment<Sqlite> for FactsFrom {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql(COLUMNS);
        out.push_sql(" where run_id = ");
        out.push_bind_param::<Text, _>(&self.run)?;
        out.push_sql(" and exists (select 1 from anio_runs where id = ");
        out.push_bind_param::<Text, _>(&self.run)?;
        out.push_sql(" and status <> ");
        out.push_bind_param::<Text, str>(PRUNING)?;
        out.push_sql(") order by seq limit -1 offset ");
        out.push_bind_param::<BigInt, _>(&self.n)?;
        Ok(())
    }
}

impl QueryId for FactsFrom {
    type QueryId = Self;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for FactsFrom {
    type SqlType = Columns;
}

impl RunQueryDsl<SqliteConnection> for FactsFrom {}

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
    due_at: Option<i64>,
    deadline: Option<i64>,
    idempotency_key: Option<String>,
    tags: Option<String>,
    traceparent: Option<String>,
    requested: Option<String>,
    news: i64,
}

impl RunRow {
    pub(super) fn into_record(self) -> Result<RunRecord, StoreError> {
        let corrupt = corrupt_row("anio_runs", self.id.clone());
        let columns = OptionColumns {
            priority: self.priority,
            idempotency_key: self.idempotency_key,
            due_at: self.due_at,
            deadline: self.deadline,
            tags: self.tags,
            traceparent: self.traceparent,
            requested: self.requested,
        };
        let (options, requested) = columns.read().map_err(&corrupt)?;
        Ok(RunRecord {
            id: self.id.parse().map_err(|_| corrupt("id is no UUID"))?,
            workflow: WorkflowName::trusted(self.workflow),
            plan: self.plan.parse::<Fingerprint>().map_err(|_| corrupt("plan is no fingerprint"))?,
            status: RunStatus::from_word(&self.status).ok_or_else(|| corrupt("status is unknown"))?,
            input: Output::from_json(self.input).map_err(|_| corrupt("input is not JSON"))?,
            options,
            requested,
            news: u64::try_from(self.news).map_err(|_| corrupt("news is no count"))?,
            epoch: u32::try_from(self.epoch).map_err(|_| corrupt("epoch is no count"))?,
            submitted_at: Timestamp::from_micros(self.submitted_at),
            started_at: self.started_at.map(Timestamp::from_micros),
            finished_at: self.finished_at.map(Timestamp::from_micros),
            failure: from_json(self.failure.as_deref()).map_err(|_| corrupt("failure cannot be read"))?,
            parked_reason: self.parked_reason,
        })
    }
}
