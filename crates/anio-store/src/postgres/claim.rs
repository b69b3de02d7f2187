//! Takes queued runs for a worker, with all that is known of them; puts parked ones back.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use anio_core::plan::PlanRecord;
use anio_core::plant::Plant;
use anio_core::{Fingerprint, RunId, WorkflowName};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text, Uuid as SqlUuid};

use super::connection::Connection;
use super::error::Inner;
use super::lease::{Count, N_DUE_MAX};
use super::query::{self, RunRow};
use super::schema::anio_plans;
use super::watch;
use crate::error::StoreError;
use crate::record::{Claim, ClaimedRun, FactRecord};
use crate::sown::sown;

// Relies on `anio_runs_queued`: the queue is walked in its order, past what others are taking at this
// moment; and on `anio_runs_due`: whose time has come is in the queue from now on, taken or not. The lease is
// locked against being taken away, not against commits of others. `materialized`: joined directly, the queue
// might be walked once more for each row. No row is updated twice, which one statement cannot do.
// A row without a run tells that the lease stands.
const CLAIM: &str = "
with lease as materialized (
    select id
    from anio_workers
    where id = $1 and lost_at is null
    for share
), due as materialized (
    select id, workflow, status, priority, started_at, news
    from anio_runs
    where due_at <= (extract(epoch from statement_timestamp()) * 1000000)::bigint and exists (select from lease)
    order by due_at
    limit $4
    for update skip locked
), queue as materialized (
    select id, workflow, status, priority, started_at, news
    from anio_runs
    where status = 'queued' and due_at is null and workflow = any ($2) and exists (select from lease)
    order by priority desc, id
    limit $3
    for update skip locked
), next as materialized (
    select id, started_at is not null or news > 0 as has_facts
    from (
        select * from queue
        union all
        select * from due where status = 'queued' and workflow = any ($2)
    ) as run
    order by priority desc, id
    limit $3
), passed_over as (
    update anio_runs
    set due_at = null
    where id in (select id from due) and id not in (select id from next)
), taken as (
    update anio_runs as run
    set status = 'running',
        worker = $1,
        due_at = null,
        started_at = coalesce(run.started_at, (extract(epoch from clock_timestamp()) * 1000000)::bigint)
    from next
    where run.id = next.id
    returning run.*, next.has_facts
)
select taken.id, taken.workflow, taken.plan, taken.status, taken.priority, taken.epoch, taken.submitted_at,
    taken.started_at, taken.finished_at, taken.failure, taken.parked_reason, taken.input, taken.due_at,
    taken.deadline, taken.idempotency_key, taken.tags, taken.traceparent, taken.requested, taken.news,
    taken.has_facts
from lease
left join taken on true";

/// A claimed run; every column is null in the row that only tells of the lease.
#[derive(QueryableByName)]
struct Taken {
    #[diesel(embed)]
    run: Option<RunRow>,
    #[diesel(sql_type = Nullable<Bool>)]
    has_facts: Option<bool>,
}

/// Takes queued runs, provided that the worker still holds its lease. Inside a transaction: should reading
/// the facts fail, the runs go back. `plans` are those that the connection has read before.
pub(super) fn claim(
    connection: &mut Connection,
    claim: &Claim,
    plans: &mut HashMap<Fingerprint, Arc<PlanRecord>>,
) -> Result<Vec<ClaimedRun>, Inner> {
    let workflows: Vec<&str> = claim.workflows.iter().map(WorkflowName::as_str).collect();
    let rows: Vec<Taken> =
        diesel::sql_query(sown(CLAIM, Plant::ClaimWithoutLease, "and lost_at is null", ""))
            .bind::<SqlUuid, _>(claim.worker.0)
            .bind::<Array<Text>, _>(workflows)
            .bind::<BigInt, _>(i64::from(claim.limit))
            .bind::<BigInt, _>(N_DUE_MAX)
            .load(connection)?;
    if rows.is_empty() {
        return Err(StoreError::LeaseLost.into());
    }
    // A run that never had a worker has facts only where somebody else told of it; where all are new, one
    // round trip is saved.
    let begun: Vec<RunId> = rows
        .iter()
        .filter(|row| row.has_facts == Some(true))
        .filter_map(|row| Some(RunId::from_uuid(row.run.as_ref()?.id)))
        .collect();
    let mut rows: Vec<RunRow> = rows.into_iter().filter_map(|row| row.run).collect();
    // `returning` keeps no order.
    rows.sort_by_key(|row| (Reverse(row.priority), row.id));
    let runs = rows.into_iter().map(RunRow::into_record).collect::<Result<Vec<_>, _>>()?;
    let mut facts = if begun.is_empty() { HashMap::new() } else { by_run(query::facts(connection, &begun)?) };
    read_plans(connection, runs.iter().map(|run| run.plan), plans)?;
    let with_facts = |run: crate::record::RunRecord| ClaimedRun {
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

/// Reads the plans that are not there yet. A plan never changes under its fingerprint.
fn read_plans(
    connection: &mut Connection,
    wanted: impl Iterator<Item = Fingerprint>,
    plans: &mut HashMap<Fingerprint, Arc<PlanRecord>>,
) -> Result<(), Inner> {
    let missing: HashSet<String> =
        wanted.filter(|plan| !plans.contains_key(plan)).map(|plan| plan.to_string()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let rows: Vec<(String, String)> = anio_plans::table
        .filter(anio_plans::fingerprint.eq_any(Vec::from_iter(missing)))
        .select((anio_plans::fingerprint, anio_plans::record))
        .load(connection)?;
    for (fingerprint, record) in rows {
        let corrupt =
            || StoreError::Corrupt { problem: format!("anio_plans {fingerprint}: record cannot be read") };
        let record = serde_json::from_str(&record).map_err(|_| corrupt())?;
        plans.insert(fingerprint.parse().map_err(|_| corrupt())?, Arc::new(record));
    }
    Ok(())
}

// Relies on `anio_runs_parked`.
const UNPARK: &str = "
with unparked as (
    update anio_runs
    set status = case when requested = 'pause' then 'paused' else 'queued' end,
        requested = nullif(requested, 'pause'),
        parked_reason = null
    where status = 'parked' and workflow = any ($1)
    returning id
)
select count(*) as n_runs, case when count(*) > 0 then pg_notify($2, '') end
from unparked";

/// Puts the parked runs of workflows back into the queue; on hold where that was asked.
pub(super) fn unpark(connection: &mut Connection, workflows: &[WorkflowName]) -> QueryResult<u64> {
    let workflows: Vec<&str> = workflows.iter().map(WorkflowName::as_str).collect();
    let count: Count = diesel::sql_query(UNPARK)
        .bind::<Array<Text>, _>(workflows)
        .bind::<Text, _>(watch::RUNS)
        .get_result(connection)?;
    Ok(count.n_runs())
}
