//! The hot path: one fenced transaction for all that a worker has gathered.
//!
//! The statements here stay prepared on the connection. The fence comes first, so that a worker that lost
//! its lease does no work in vain.

use std::borrow::Cow;

use anio_core::plan::PlanRecord;
use anio_core::plant::{Plant, is_planted};
use anio_core::{Fingerprint, RunId};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::sqlite::{Sqlite, SqliteConnection};

use super::error::Failure;
use super::insert::{Row, Values, insert};
use super::schema::{anio_attempts, anio_runs, anio_workers};
use super::submit;
use crate::error::StoreError;
use crate::record::{Batch, EndRecord, FactRecord, ParkRecord, RunStatus, WorkerId};
use crate::row::{FactColumns, to_json};

/// Stores a batch, provided that its worker still holds its lease, and that it is not stored already.
pub(super) fn commit(
    connection: &mut SqliteConnection,
    batch: &Batch,
    new_plans: &[(Fingerprint, &PlanRecord)],
    number: u64,
) -> Result<(), Failure> {
    let worker = batch.worker.map(|worker| worker.to_string());
    if let (Some(id), Some(worker)) = (batch.worker, &worker)
        && !fence(connection, worker, number)?
    {
        let is_stored = last_commit(connection, id)? >= number;
        return if is_stored { Ok(()) } else { Err(Failure::Store(StoreError::LeaseLost)) };
    }
    submit::insert_plans(connection, new_plans)?;
    submit::insert_runs(connection, &batch.runs, worker.as_deref())?;
    insert_facts(connection, &batch.facts)?;
    batch.ends.iter().try_for_each(|end| end_run(connection, end))?;
    batch.parks.iter().try_for_each(|park| park_run(connection, park))?;
    batch.holds.iter().try_for_each(|run| hold_run(connection, *run, worker.as_deref()))?;
    Ok(())
}

/// The number of a worker's last durable commit.
pub(super) fn last_commit(connection: &mut SqliteConnection, worker: WorkerId) -> Result<u64, Failure> {
    let row = anio_workers::table.find(worker.to_string()).select(anio_workers::last_commit);
    let number: Option<i64> = row.first(connection).optional()?;
    number.and_then(|number| u64::try_from(number).ok()).ok_or(Failure::Store(StoreError::LeaseLost))
}

/// Whether a worker holds its lease and has not made this commit before; numbers the commit. The write lock
/// is held: nobody can take the lease away before the commit.
fn fence(connection: &mut SqliteConnection, worker: &str, number: u64) -> QueryResult<bool> {
    let number = i64::try_from(number).expect("a worker commits fewer than 2^63 times");
    Ok(Fence { worker, number }.execute(connection)? == 1)
}

struct Fence<'a> {
    worker: &'a str,
    number: i64,
}

impl QueryFragment<Sqlite> for Fence<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("update anio_workers set last_commit = ");
        out.push_bind_param::<BigInt, _>(&self.number)?;
        out.push_sql(" where id = ");
        out.push_bind_param::<Text, str>(self.worker)?;
        if !is_planted(Plant::FenceLeftOut) {
            out.push_sql(" and lost_at is null");
        }
        if !is_planted(Plant::FactsWrittenTwice) {
            out.push_sql(" and last_commit < ");
            out.push_bind_param::<BigInt, _>(&self.number)?;
        }
        Ok(())
    }
}

impl QueryId for Fence<'_> {
    type QueryId = Fence<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl RunQueryDsl<SqliteConnection> for Fence<'_> {}

pub(super) fn insert_facts(connection: &mut SqliteConnection, facts: &[FactRecord]) -> QueryResult<()> {
    let rows: Vec<AttemptRow<'_>> = facts.iter().map(AttemptRow::of).collect();
    insert(connection, &rows, |connection, row| {
        diesel::insert_into(anio_attempts::table).values(row).execute(connection)
    })
}

// Nulls are written out: one statement then fits every kind of fact, and stays prepared.
#[derive(Insertable)]
#[diesel(table_name = anio_attempts, treat_none_as_default_value = false)]
struct AttemptRow<'a> {
    run_id: String,
    task: &'a str,
    map_index: Option<i64>,
    attempt: i64,
    kind: &'static str,
    at: i64,
    started_at: Option<i64>,
    retry_at: Option<i64>,
    width: Option<i64>,
    failure: Option<String>,
    writes: Option<String>,
    output: Option<Cow<'a, str>>,
}

impl<'a> AttemptRow<'a> {
    fn of(fact: &'a FactRecord) -> Self {
        let FactColumns { kind, started_at, retry_at, width, failure, writes, output } =
            FactColumns::of(fact);
        Self {
            run_id: fact.run.to_string(),
            task: fact.task.as_str(),
            map_index: fact.map_index.map(i64::from),
            attempt: i64::from(fact.attempt),
            kind,
            at: fact.at.as_micros(),
            started_at,
            retry_at,
            width,
            failure,
            writes,
            output,
        }
    }
}

impl Row for AttemptRow<'_> {
    type Id = AttemptRow<'static>;

    const INTO: &'static str =
        "insert into anio_attempts (run_id, task, map_index, attempt, kind, at, started_at, writes, output)";

    fn is_plain(&self) -> bool {
        self.retry_at.is_none() && self.width.is_none() && self.failure.is_none()
    }

    fn bind<'b>(&'b self, values: &mut Values<'_, 'b>) -> QueryResult<()> {
        values.push::<Text, _>(&self.run_id)?;
        values.push::<Text, _>(self.task)?;
        values.push::<Nullable<BigInt>, _>(&self.map_index)?;
        values.push::<BigInt, _>(&self.attempt)?;
        values.push::<Text, _>(self.kind)?;
        values.push::<BigInt, _>(&self.at)?;
        values.push::<Nullable<BigInt>, _>(&self.started_at)?;
        values.push::<Nullable<Text>, _>(&self.writes)?;
        values.push::<Nullable<Text>, _>(&self.output)
    }
}

/// Ends a run; one that has ended already stays as it is.
fn end_run(connection: &mut SqliteConnection, end: &EndRecord) -> QueryResult<()> {
    EndRun {
        run: end.run.to_string(),
        status: end.status.as_str(),
        failure: end.failure.as_ref().map(to_json),
        at: end.at.as_micros(),
    }
    .execute(connection)
    .map(drop)
}

struct EndRun {
    run: String,
    status: &'static str,
    failure: Option<String>,
    at: i64,
}

impl QueryFragment<Sqlite> for EndRun {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("update anio_runs set requested = null, status = ");
        out.push_bind_param::<Text, str>(self.status)?;
        out.push_sql(", failure = ");
        out.push_bind_param::<Nullable<Text>, _>(&self.failure)?;
        out.push_sql(", finished_at = ");
        out.push_bind_param::<BigInt, _>(&self.at)?;
        out.push_sql(" where id = ");
        out.push_bind_param::<Text, _>(&self.run)?;
        if !is_planted(Plant::EndOverwritten) {
            out.push_sql(" and finished_at is null");
        }
        Ok(())
    }
}

impl QueryId for EndRun {
    type QueryId = Self;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl RunQueryDsl<SqliteConnection> for EndRun {}

/// Parks a run; one that has ended already stays as it is.
fn park_run(connection: &mut SqliteConnection, park: &ParkRecord) -> QueryResult<()> {
    let unended = anio_runs::table.find(park.run.to_string()).filter(anio_runs::finished_at.is_null());
    diesel::update(unended)
        .set((
            anio_runs::status.eq(RunStatus::Parked.as_str()),
            anio_runs::parked_reason.eq(&park.reason),
            anio_runs::worker.eq(None::<String>),
        ))
        .execute(connection)
        .map(drop)
}

const HOLD: &str = "
update anio_runs
set status = case when requested = 'pause' then 'paused' else 'queued' end,
    requested = nullif(requested, 'pause'),
    worker = null,
    epoch = epoch + 1
where id = ? and status = 'running' and worker = ?";

/// Takes a run from its worker that has paused it.
fn hold_run(connection: &mut SqliteConnection, run: RunId, worker: Option<&str>) -> QueryResult<()> {
    diesel::sql_query(HOLD)
        .bind::<Text, _>(run.to_string())
        .bind::<Nullable<Text>, _>(worker)
        .execute(connection)
        .map(drop)
}
