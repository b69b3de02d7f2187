//! New runs, and the plans that they are pinned to.
#![expect(clippy::ref_option_ref, reason = "made by diesel's derive")]

use std::collections::HashSet;

use anio_core::Fingerprint;
use anio_core::plan::PlanRecord;
use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use super::now;
use super::schema::{anio_plans, anio_runs};
use crate::record::{Batch, NewRun, RunStatus};
use crate::row::to_json;

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
pub(super) fn insert_plans(
    connection: &mut SqliteConnection,
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
    for row in &rows {
        diesel::insert_into(anio_runs::table).values(row).execute(connection)?;
    }
    Ok(())
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
}

impl<'a> RunRow<'a> {
    fn of(run: &'a NewRun, worker: Option<&'a str>) -> Self {
        let worker = worker.filter(|_| run.claim);
        let status = if worker.is_some() { RunStatus::Running } else { RunStatus::Queued };
        let submitted_at = run.submitted_at.as_micros();
        Self {
            id: run.id.to_string(),
            workflow: run.workflow.as_str(),
            plan: run.plan.to_string(),
            status: status.as_str(),
            priority: run.options.priority,
            epoch: 0,
            worker,
            submitted_at,
            started_at: worker.map(|_| submitted_at),
            input: run.input.json().get(),
        }
    }
}
