//! Reading: runs and their facts. What is half deleted (see `prune`) is not there.

use anio_core::plan::PlanRecord;
use anio_core::{Fingerprint, Output, RunId, Timestamp, WorkflowName};
use diesel::connection::LoadConnection;
use diesel::dsl::{exists, not};
use diesel::pg::Pg;
use diesel::prelude::*;
use uuid::Uuid;

use super::connection::Connection;
use super::error::Inner;
use super::schema::{anio_attempts, anio_plans, anio_runs, anio_tags};
use crate::error::StoreError;
use crate::record::{FactRecord, RunQuery, RunRecord, RunStatus};
use crate::row::{FactRow, OptionColumns, PRUNING, corrupt_row, from_json};

/// How many runs a list has where nobody says.
const RUNS_DEFAULT: u32 = 100;

pub(super) fn run(connection: &mut Connection, id: RunId) -> Result<Option<RunRecord>, Inner> {
    let row: Option<RunRow> = anio_runs::table
        .find(*id.as_uuid())
        .filter(anio_runs::status.ne(PRUNING))
        .select(RunRow::as_select())
        .first(connection)
        .optional()?;
    Ok(row.map(RunRow::into_record).transpose()?)
}

/// What is stored of a plan.
pub(super) fn plan(connection: &mut Connection, plan: Fingerprint) -> Result<Option<PlanRecord>, Inner> {
    let row = anio_plans::table.find(plan.to_string()).select(anio_plans::record);
    let Some(text) = row.first::<String>(connection).optional()? else { return Ok(None) };
    let corrupt = StoreError::Corrupt { problem: format!("anio_plans {plan}: record cannot be read") };
    Ok(Some(serde_json::from_str(&text).map_err(|_| corrupt)?))
}

/// The run of a workflow that has an idempotency key. Relies on `anio_runs_idempotency`.
pub(super) fn run_by_key<C: LoadConnection<Backend = Pg>>(
    connection: &mut C,
    workflow: &str,
    key: &str,
) -> Result<Option<RunRecord>, Inner> {
    let row: Option<RunRow> = anio_runs::table
        .filter(anio_runs::workflow.eq(workflow))
        .filter(anio_runs::idempotency_key.eq(key))
        .select(RunRow::as_select())
        .first(connection)
        .optional()?;
    Ok(row.map(RunRow::into_record).transpose()?)
}

/// Runs, the last submitted first. Walks the primary key backwards: with a filter that matches few runs it
/// reads many. With a tag that few runs have it walks the primary key of `anio_tags` instead.
pub(super) fn runs(connection: &mut Connection, query: &RunQuery) -> Result<Vec<RunRecord>, Inner> {
    let limit = if query.limit == 0 { RUNS_DEFAULT } else { query.limit };
    let mut select = anio_runs::table
        .select(RunRow::as_select())
        .filter(anio_runs::status.ne(PRUNING))
        .order(anio_runs::id.desc())
        .limit(i64::from(limit))
        .into_boxed();
    if let Some(workflow) = &query.workflow {
        select = select.filter(anio_runs::workflow.eq(workflow));
    }
    if !query.statuses.is_empty() {
        let words: Vec<_> = query.statuses.iter().map(|status| status.as_str()).collect();
        select = select.filter(anio_runs::status.eq_any(words));
    }
    if let Some(tag) = &query.tag {
        let tagged = anio_tags::table.filter(anio_tags::tag.eq(tag)).select(anio_tags::run_id);
        select = select.filter(anio_runs::id.eq_any(tagged));
    }
    if let Some(from) = query.submitted_from {
        select = select.filter(anio_runs::submitted_at.ge(from.as_micros()));
    }
    if let Some(until) = query.submitted_until {
        select = select.filter(anio_runs::submitted_at.lt(until.as_micros()));
    }
    if let Some(before) = query.before {
        select = select.filter(anio_runs::id.lt(*before.as_uuid()));
    }
    let rows: Vec<RunRow> = select.load(connection)?;
    Ok(rows.into_iter().map(RunRow::into_record).collect::<Result<_, _>>()?)
}

/// The facts of runs that somebody has just claimed: all of one run before those of the next, in the order
/// in which they were committed. Relies on `anio_attempts_run`.
pub(super) fn facts(connection: &mut Connection, runs: &[RunId]) -> Result<Vec<FactRecord>, Inner> {
    let runs: Vec<Uuid> = runs.iter().map(|run| *run.as_uuid()).collect();
    let rows = anio_attempts::table
        .filter(anio_attempts::run_id.eq_any(runs))
        .order((anio_attempts::run_id, anio_attempts::seq))
        .select(AttemptRow::as_select())
        .load_iter(connection)?;
    rows.map(|row| Ok(row?.into_record()?)).collect()
}

/// A place among the facts of a run.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// How many facts stand before it.
    pub(super) n: u64,
    /// The number of the last of them.
    seq: i64,
}

impl Place {
    /// The place before the first fact.
    pub(super) const START: Self = Self { n: 0, seq: i64::MIN };
}

/// The facts of a run from the `n`-th on, and the place behind them. `known` is a place that is not behind
/// the `n`-th: what lies between the two is read and thrown away.
/// Relies on `anio_attempts_run`.
pub(super) fn facts_from(
    connection: &mut Connection,
    run: RunId,
    n: u64,
    known: Place,
) -> Result<(Vec<FactRecord>, Place), Inner> {
    let Ok(n_skipped) = i64::try_from(n - known.n) else { return Ok((Vec::new(), known)) };
    let half_deleted =
        anio_runs::table.find(*run.as_uuid()).filter(anio_runs::status.eq(PRUNING)).select(anio_runs::id);
    let rows = anio_attempts::table
        .filter(anio_attempts::run_id.eq(*run.as_uuid()))
        .filter(anio_attempts::seq.gt(known.seq))
        .filter(not(exists(half_deleted)))
        .order((anio_attempts::run_id, anio_attempts::seq))
        .offset(n_skipped)
        .select((anio_attempts::seq, AttemptRow::as_select()))
        .load_iter::<(i64, AttemptRow), _>(connection)?;
    let mut facts = Vec::new();
    let mut behind = known;
    for row in rows {
        let (seq, row) = row?;
        facts.push(row.into_record()?);
        behind = Place { n: n + facts.len() as u64, seq };
    }
    Ok((facts, behind))
}

/// A row of `anio_attempts`.
#[derive(Queryable, Selectable)]
#[diesel(table_name = anio_attempts, check_for_backend(diesel::pg::Pg))]
struct AttemptRow {
    run_id: Uuid,
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

impl AttemptRow {
    fn into_record(self) -> Result<FactRecord, StoreError> {
        FactRow {
            run: RunId::from_uuid(self.run_id),
            task: self.task,
            map_index: self.map_index,
            attempt: self.attempt,
            kind: self.kind,
            at: self.at,
            started_at: self.started_at,
            retry_at: self.retry_at,
            width: self.width,
            failure: self.failure,
            writes: self.writes,
            output: self.output,
        }
        .into_record()
    }
}

/// A row of `anio_runs`.
#[derive(Queryable, QueryableByName, Selectable)]
#[diesel(table_name = anio_runs, check_for_backend(diesel::pg::Pg))]
pub(super) struct RunRow {
    pub(super) id: Uuid,
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
        let corrupt = corrupt_row("anio_runs", self.id.to_string());
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
            id: RunId::from_uuid(self.id),
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
