//! Takes queued runs for a worker, with all that is known of them; puts parked ones back.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use anio_core::plan::PlanRecord;
use anio_core::plant::{Plant, is_planted};
use anio_core::{Fingerprint, RunId, Timestamp, WorkflowName};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::SqliteConnection;

use super::error::Failure;
use super::query::{self, RunRow};
use super::schema::anio_workers;
use super::{json_list, lease};
use crate::error::StoreError;
use crate::record::{Claim, ClaimedRun, FactRecord, RunRecord};

// Relies on `anio_runs_queued`: the queue is walked in its order, and no further than needed.
const CLAIM: &str = "
update anio_runs
set status = 'running',
    worker = ?,
    started_at = coalesce(started_at, ?)
where id in (
    select id
    from anio_runs
    where status = 'queued' and due_at is null and workflow in (select value from json_each(?))
    order by priority desc, id
    limit ?
)
returning *";

/// Takes queued runs, provided that the worker still holds its lease. The write lock is held.
pub(super) fn claim(
    connection: &mut SqliteConnection,
    claim: &Claim,
    now: Timestamp,
) -> Result<Vec<ClaimedRun>, Failure> {
    let worker = claim.worker.to_string();
    let standing = anio_workers::table.find(&worker).filter(anio_workers::lost_at.is_null());
    if standing.count().get_result::<i64>(connection)? == 0 && !is_planted(Plant::ClaimWithoutLease) {
        return Err(Failure::Store(StoreError::LeaseLost));
    }
    lease::promote(connection, now)?;
    let mut rows: Vec<RunRow> = diesel::sql_query(CLAIM)
        .bind::<Text, _>(worker)
        .bind::<BigInt, _>(now.as_micros())
        .bind::<Text, _>(json_list(&claim.workflows))
        .bind::<BigInt, _>(i64::from(claim.limit))
        .load(connection)?;
    // `returning` keeps no order.
    rows.sort_by(|a, b| (Reverse(a.priority), &a.id).cmp(&(Reverse(b.priority), &b.id)));
    let runs: Vec<RunRecord> = rows.into_iter().map(RunRow::into_record).collect::<Result<_, _>>()?;
    if runs.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<RunId> = runs.iter().map(|run| run.id).collect();
    let mut facts = by_run(query::facts(connection, &ids)?);
    let plans = plans(connection, &runs)?;
    let with_facts = |run: RunRecord| ClaimedRun {
        facts: facts.remove(&run.id).unwrap_or_default(),
        plan: plans.get(&run.plan).cloned(),
        run,
    };
    Ok(runs.into_iter().map(with_facts).collect())
}

fn by_run(facts: Vec<FactRecord>) -> HashMap<RunId, Vec<FactRecord>> {
    let mut by_run: HashMap<RunId, Vec<FactRecord>> = HashMap::new();
    for fact in facts {
        by_run.entry(fact.run).or_default().push(fact);
    }
    by_run
}

/// The plans of runs, each read once.
fn plans(
    connection: &mut SqliteConnection,
    runs: &[RunRecord],
) -> Result<HashMap<Fingerprint, Arc<PlanRecord>>, Failure> {
    let mut plans = HashMap::new();
    for run in runs {
        if plans.contains_key(&run.plan) {
            continue;
        }
        if let Some(record) = query::plan(connection, run.plan)? {
            plans.insert(run.plan, Arc::new(record));
        }
    }
    Ok(plans)
}

// Relies on `anio_runs_parked`.
const UNPARK: &str = "
update anio_runs
set status = case when requested = 'pause' then 'paused' else 'queued' end,
    requested = nullif(requested, 'pause'),
    parked_reason = null
where status = 'parked' and workflow in (select value from json_each(?))";

/// Puts the parked runs of workflows back into the queue, or on hold where that was asked.
pub(super) fn unpark(connection: &mut SqliteConnection, workflows: &[WorkflowName]) -> Result<u64, Failure> {
    let n_runs = diesel::sql_query(UNPARK).bind::<Text, _>(json_list(workflows)).execute(connection)?;
    Ok(n_runs as u64)
}

#[cfg(test)]
mod tests {
    use anio_core::Timestamp;
    use diesel::prelude::*;
    use diesel::sql_types::{BigInt, Text};

    use super::CLAIM;
    use crate::backend::Backend;
    use crate::record::Durability;
    use crate::sqlite::Sqlite;

    #[derive(QueryableByName)]
    struct Step {
        #[diesel(sql_type = Text)]
        detail: String,
    }

    #[test]
    fn a_claim_walks_the_queue_without_reading_the_runs_that_it_leaves() {
        let directory = tempfile::tempdir().unwrap();
        let mut sqlite = Sqlite::open(&directory.path().join("a.db"), Durability::Relaxed).unwrap();
        sqlite.migrate().unwrap();
        let steps: Vec<Step> = diesel::sql_query(format!("explain query plan {CLAIM}"))
            .bind::<Text, _>("")
            .bind::<BigInt, _>(Timestamp::default().as_micros())
            .bind::<Text, _>("[]")
            .bind::<BigInt, _>(1)
            .load(&mut sqlite.connection)
            .unwrap();
        let steps: Vec<String> = steps.into_iter().map(|step| step.detail).collect();
        assert!(
            steps.iter().any(|step| step.ends_with("USING COVERING INDEX anio_runs_queued")),
            "{steps:?}"
        );
    }
}
