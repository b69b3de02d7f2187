//! New runs, and the plans that they are pinned to.
#![expect(clippy::ref_option_ref, reason = "made by diesel's derive")]

use std::collections::HashSet;

use anio_core::plan::PlanRecord;
use anio_core::plant::{Plant, is_planted};
use anio_core::{Fingerprint, Timestamp};
use diesel::connection::LoadConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Nullable, Text};
use diesel::sqlite::{Sqlite, SqliteConnection};

use super::error::Failure;
use super::insert::{Row, Values, insert};
use super::query::RunRow as StoredRun;
use super::schema::{anio_plans, anio_runs, anio_tags};
use super::{migrate, now};
use crate::error::StoreError;
use crate::record::{Batch, NewRun, RunStatus, Submission};
use crate::row::{tags_to_json, to_json};
use crate::submit_in::SubmitIn;

/// The plans of a batch that are not known to be stored, each once.
pub(super) fn unknown_plans<'a>(
    batch: &'a Batch,
    known: &HashSet<Fingerprint>,
) -> Vec<(Fingerprint, &'a PlanRecord)> {
    let mut seen = HashSet::new();
    let plans = batch.plans.iter().filter(|(plan, _)| !known.contains(plan) && seen.insert(*plan));
    plans.map(|(plan, record)| (*plan, record)).collect()
}

/// Stores plans; those that are there already are left as they are.
pub(super) fn insert_plans<C: LoadConnection<Backend = Sqlite>>(
    connection: &mut C,
    plans: &[(Fingerprint, &PlanRecord)],
) -> QueryResult<()> {
    for (fingerprint, record) in plans {
        diesel::insert_or_ignore_into(anio_plans::table)
            .values((
                anio_plans::fingerprint.eq(fingerprint.to_string()),
                anio_plans::workflow.eq(record.workflow.as_str()),
                anio_plans::record.eq(to_json(record)),
                anio_plans::created_at.eq(now().as_micros()),
            ))
            .execute(connection)?;
    }
    Ok(())
}

/// Stores new runs; those to be claimed belong to `worker` from the start.
pub(super) fn insert_runs(
    connection: &mut SqliteConnection,
    runs: &[NewRun],
    worker: Option<&str>,
) -> QueryResult<()> {
    let rows: Vec<RunRow<'_>> = runs.iter().map(|run| RunRow::of(run, worker)).collect();
    insert(connection, &rows, |connection, row| {
        diesel::insert_into(anio_runs::table).values(row).execute(connection)
    })?;
    runs.iter().try_for_each(|run| insert_tags(connection, run))
}

fn insert_tags<C: LoadConnection<Backend = Sqlite>>(connection: &mut C, run: &NewRun) -> QueryResult<()> {
    for tag in &run.options.tags {
        diesel::insert_into(anio_tags::table)
            .values((anio_tags::tag.eq(tag), anio_tags::run_id.eq(run.id.to_string())))
            .execute(connection)?;
    }
    Ok(())
}

/// Stores one new run that nobody has yet, unless there is one with its key. In a transaction of the
/// caller's, which need not hold the write lock yet: whoever comes second finds that the row is not inserted.
pub(super) fn submit<C: LoadConnection<Backend = Sqlite>>(
    connection: &mut C,
    run: &NewRun,
    plan: (Fingerprint, &PlanRecord),
) -> Result<Submission, Failure> {
    let n_runs = diesel::insert_into(anio_runs::table)
        .values(&RunRow::of(run, None))
        .on_conflict_do_nothing()
        .execute(connection)?;
    if n_runs == 1 {
        insert_plans(connection, &[plan])?;
        insert_tags(connection, run)?;
        return Ok(Submission::New);
    }
    if is_planted(Plant::KeyNotLookedUp) {
        return Ok(Submission::New);
    }
    let of_this_key = anio_runs::table
        .filter(anio_runs::workflow.eq(run.workflow.as_str()))
        .filter(anio_runs::idempotency_key.eq(&run.options.idempotency_key))
        .filter(anio_runs::id.ne(run.id.to_string()));
    let known: Option<StoredRun> = of_this_key.select(StoredRun::as_select()).first(connection).optional()?;
    // Without another, it is the run itself that is stored already.
    Ok(match known {
        Some(row) => Submission::Known(Box::new(row.into_record()?)),
        None => Submission::New,
    })
}

impl SubmitIn for Sqlite {
    fn submit_in<C: LoadConnection<Backend = Self>>(
        connection: &mut C,
        run: &NewRun,
        plan: (Fingerprint, &PlanRecord),
    ) -> Result<Submission, StoreError> {
        let submit_checked = |connection: &mut C| {
            let database = "the database of this connection";
            if migrate::pending(connection, database)?.is_empty() {
                submit(connection, run, plan)
            } else {
                Err(Failure::Store(StoreError::NoTables { database: database.to_owned() }))
            }
        };
        connection.transaction(submit_checked).map_err(Failure::into_error)
    }
}

// Nulls are written out: one statement then fits every row, and stays prepared.
#[derive(Insertable)]
#[diesel(table_name = anio_runs, treat_none_as_default_value = false)]
struct RunRow<'a> {
    id: String,
    workflow: &'a str,
    plan: String,
    status: &'static str,
    priority: i32,
    epoch: i64,
    worker: Option<&'a str>,
    submitted_at: i64,
    started_at: Option<i64>,
    input: &'a str,
    due_at: Option<i64>,
    deadline: Option<i64>,
    idempotency_key: Option<&'a str>,
    tags: Option<String>,
    traceparent: Option<&'a str>,
}

impl<'a> RunRow<'a> {
    fn of(run: &'a NewRun, worker: Option<&'a str>) -> Self {
        let options = &run.options;
        let worker = worker.filter(|_| run.claim && options.due_at.is_none());
        let status = if worker.is_some() { RunStatus::Running } else { RunStatus::Queued };
        let submitted_at = run.submitted_at.as_micros();
        Self {
            id: run.id.to_string(),
            workflow: run.workflow.as_str(),
            plan: run.plan.to_string(),
            status: status.as_str(),
            priority: options.priority,
            epoch: 0,
            worker,
            submitted_at,
            started_at: worker.map(|_| submitted_at),
            input: run.input.json().get(),
            due_at: options.due_at.map(Timestamp::as_micros),
            deadline: options.deadline.map(Timestamp::as_micros),
            idempotency_key: options.idempotency_key.as_deref(),
            tags: tags_to_json(&options.tags),
            traceparent: options.traceparent.as_deref(),
        }
    }
}

impl Row for RunRow<'_> {
    type Id = RunRow<'static>;

    const INTO: &'static str = "insert into anio_runs (id, workflow, plan, status, priority, epoch, worker,
        submitted_at, started_at, input, traceparent)";

    fn is_plain(&self) -> bool {
        self.due_at.is_none()
            && self.deadline.is_none()
            && self.idempotency_key.is_none()
            && self.tags.is_none()
    }

    fn bind<'b>(&'b self, values: &mut Values<'_, 'b>) -> QueryResult<()> {
        values.push::<Text, _>(&self.id)?;
        values.push::<Text, _>(self.workflow)?;
        values.push::<Text, _>(&self.plan)?;
        values.push::<Text, _>(self.status)?;
        values.push::<Integer, _>(&self.priority)?;
        values.push::<BigInt, _>(&self.epoch)?;
        values.push::<Nullable<Text>, _>(&self.worker)?;
        values.push::<BigInt, _>(&self.submitted_at)?;
        values.push::<Nullable<BigInt>, _>(&self.started_at)?;
        values.push::<Text, _>(self.input)?;
        values.push::<Nullable<Text>, _>(&self.traceparent)
    }
}
