//! New runs, and the plans that they are pinned to: the parts of a commit that store them, and the verb that
//! stores one by itself.

use std::collections::{HashMap, HashSet};

use anio_core::plan::PlanRecord;
use anio_core::plant::{Plant, is_planted};
use anio_core::{Fingerprint, RunId, Timestamp};
use diesel::connection::LoadConnection;
use diesel::dsl::exists;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Text, Uuid as SqlUuid};
use uuid::Uuid;

use super::commit::Ending;
use super::error::Inner;
use super::fact::{Boxed, sparse};
use super::schema::anio_runs;
use super::{query, watch};
use crate::record::{Batch, NewRun, RunStatus, Submission};
use crate::row::{tags_to_json, to_json};

pub(super) const RUNS: &str = "
, runs as (
    insert into anio_runs (id, workflow, plan, status, priority, epoch, worker, submitted_at, started_at,
        finished_at, failure, parked_reason, due_at, deadline, idempotency_key, tags, traceparent, input)
    select id, workflow, plan, status, priority, 0, worker, submitted_at, started_at,
        finished_at, failure::json, parked_reason, due_at, deadline, idempotency_key, tags::json, traceparent,
        input::json
    from unnest($20::uuid[], $21::text[], $22::text[], $23::text[], $24::integer[], $25::uuid[],
        $26::bigint[], $27::bigint[], $28::bigint[], $29::text[], $30::text[], $31::bigint[], $32::bigint[],
        $33::text[], $34::text[], $35::text[], $36::text[])
        as run (id, workflow, plan, status, priority, worker, submitted_at, started_at, finished_at, failure,
            parked_reason, due_at, deadline, idempotency_key, tags, traceparent, input)
    where exists (select from lease)
)";

// In the order of the fingerprints: two that store the same plans at once wait for each other, and would
// otherwise lock each other out.
pub(super) const PLANS: &str = "
, plans as (
    insert into anio_plans (fingerprint, workflow, record, created_at)
    select fingerprint, workflow, record::json, (extract(epoch from clock_timestamp()) * 1000000)::bigint
    from unnest($37::text[], $38::text[], $39::text[]) as plan (fingerprint, workflow, record)
    where exists (select from lease)
    order by fingerprint
    on conflict (fingerprint) do nothing
)";

pub(super) const TAGS: &str = "
, tags as (
    insert into anio_tags (tag, run_id)
    select tag, run_id
    from unnest($40::text[], $41::uuid[]) as tagged (tag, run_id)
    where exists (select from lease)
)";

// By itself, in a transaction of its own: it is there before any run that is pinned to it, and nobody has to
// wait for one who stores a plan and a run together.
const PLAN: &str = "
insert into anio_plans (fingerprint, workflow, record, created_at)
values ($1, $2, $3::json, (extract(epoch from clock_timestamp()) * 1000000)::bigint)
on conflict (fingerprint) do nothing";

// Relies on `anio_runs_idempotency`: where another transaction is storing a run with this key, the statement
// waits for its end.
const RUN: &str = "
with run as (
    insert into anio_runs (id, workflow, plan, status, priority, epoch, submitted_at, due_at, deadline,
        idempotency_key, tags, traceparent, input)
    values ($1, $2, $3, 'queued', $4, 0, $5, $6, $7, $8, $9::json, $10, $11::json)
    on conflict do nothing
    returning id
), tags as (
    insert into anio_tags (tag, run_id)
    select tag, run.id
    from run
    cross join unnest($12::text[]) as tag
)
select pg_notify($13, '')
from run";

/// Stores a plan where it is not stored.
pub(super) fn plan<C: LoadConnection<Backend = Pg>>(
    connection: &mut C,
    plan: Fingerprint,
    record: &PlanRecord,
) -> QueryResult<()> {
    diesel::sql_query(PLAN)
        .bind::<Text, _>(plan.to_string())
        .bind::<Text, _>(record.workflow.as_str())
        .bind::<Text, _>(to_json(record))
        .execute(connection)?;
    Ok(())
}

/// Stores a run that nobody has yet, unless there is one of its workflow with its idempotency key. Its plan
/// is stored before.
///
/// Two statements: only one that begins after the first sees the run that the first has met.
pub(super) fn run<C: LoadConnection<Backend = Pg>>(
    connection: &mut C,
    run: &NewRun,
) -> Result<Submission, Inner> {
    // A turn without an answer means that the run which was met has been deleted in between.
    loop {
        if insert(connection, run)? || is_stored(connection, run.id)? || is_planted(Plant::KeyNotLookedUp) {
            return Ok(Submission::New);
        }
        let Some(key) = &run.options.idempotency_key else { continue };
        if let Some(known) = query::run_by_key(connection, run.workflow.as_str(), key)? {
            return Ok(Submission::Known(Box::new(known)));
        }
    }
}

fn insert<C: LoadConnection<Backend = Pg>>(connection: &mut C, run: &NewRun) -> QueryResult<bool> {
    let options = &run.options;
    let n_rows = diesel::sql_query(RUN)
        .bind::<SqlUuid, _>(run.id.as_uuid())
        .bind::<Text, _>(run.workflow.as_str())
        .bind::<Text, _>(run.plan.to_string())
        .bind::<Integer, _>(options.priority)
        .bind::<BigInt, _>(run.submitted_at.as_micros())
        .bind::<Nullable<BigInt>, _>(options.due_at.map(Timestamp::as_micros))
        .bind::<Nullable<BigInt>, _>(options.deadline.map(Timestamp::as_micros))
        .bind::<Nullable<Text>, _>(options.idempotency_key.as_deref())
        .bind::<Nullable<Text>, _>(tags_to_json(&options.tags))
        .bind::<Nullable<Text>, _>(options.traceparent.as_deref())
        .bind::<Text, _>(run.input.json().get())
        .bind::<Array<Text>, _>(&options.tags)
        .bind::<Text, _>(watch::RUNS)
        .execute(connection)?;
    Ok(n_rows == 1)
}

fn is_stored<C: LoadConnection<Backend = Pg>>(connection: &mut C, run: RunId) -> QueryResult<bool> {
    diesel::select(exists(anio_runs::table.find(*run.as_uuid()))).get_result(connection)
}

/// The plans of a batch that are not known to be stored, each once.
pub(super) fn unknown_plans(
    batch: &Batch,
    is_known: impl Fn(&Fingerprint) -> bool,
) -> Vec<(Fingerprint, &PlanRecord)> {
    let mut seen = HashSet::new();
    let plans = batch.plans.iter().filter(|(plan, _)| !is_known(plan) && seen.insert(*plan));
    plans.map(|(plan, record)| (*plan, record)).collect()
}

/// Whether the worker of its batch has a new run from the start.
pub(super) const fn is_claimed(run: &NewRun) -> bool {
    run.claim && run.options.due_at.is_none()
}

/// New runs, laid out in columns.
#[derive(Default)]
pub(super) struct Runs<'a> {
    id: Vec<Uuid>,
    workflow: Vec<&'a str>,
    plan: Vec<String>,
    status: Vec<&'static str>,
    priority: Vec<i32>,
    worker: Vec<Option<Uuid>>,
    submitted_at: Vec<i64>,
    started_at: Vec<Option<i64>>,
    finished_at: Vec<Option<i64>>,
    failure: Vec<Option<String>>,
    parked_reason: Vec<Option<String>>,
    due_at: Vec<Option<i64>>,
    deadline: Vec<Option<i64>>,
    idempotency_key: Vec<Option<&'a str>>,
    tags: Vec<Option<String>>,
    traceparent: Vec<Option<&'a str>>,
    input: Vec<&'a str>,
}

impl<'a> Runs<'a> {
    /// Runs to be claimed belong to `worker` from the start; a run that ends in the same batch takes its
    /// ending along.
    pub(super) fn of(
        runs: &'a [NewRun],
        worker: Option<Uuid>,
        endings: &mut HashMap<RunId, Ending<'_>>,
    ) -> Self {
        let mut columns = Self::default();
        for run in runs {
            let worker = worker.filter(|_| is_claimed(run));
            let ending = endings.remove(&run.id);
            let status = match &ending {
                // Nobody can have asked for it to be paused before it was there.
                Some(Ending::Hold) => RunStatus::Queued,
                Some(ending) => ending.status(),
                None if worker.is_some() => RunStatus::Running,
                None => RunStatus::Queued,
            };
            let submitted_at = run.submitted_at.as_micros();
            columns.id.push(*run.id.as_uuid());
            columns.workflow.push(run.workflow.as_str());
            columns.plan.push(run.plan.to_string());
            columns.status.push(status.as_str());
            columns.priority.push(run.options.priority);
            columns.worker.push(worker.filter(|_| !matches!(status, RunStatus::Parked | RunStatus::Queued)));
            columns.submitted_at.push(submitted_at);
            columns.started_at.push(worker.map(|_| submitted_at));
            columns.finished_at.push(ending.as_ref().and_then(Ending::finished_at));
            columns.failure.push(ending.as_ref().and_then(Ending::failure));
            columns.parked_reason.push(ending.as_ref().and_then(Ending::parked_reason));
            columns.due_at.push(run.options.due_at.map(Timestamp::as_micros));
            columns.deadline.push(run.options.deadline.map(Timestamp::as_micros));
            columns.idempotency_key.push(run.options.idempotency_key.as_deref());
            columns.tags.push(tags_to_json(&run.options.tags));
            columns.traceparent.push(run.options.traceparent.as_deref());
            columns.input.push(run.input.json().get());
        }
        columns
    }

    /// Binds them, behind the endings.
    pub(super) fn bind(self, statement: Boxed<'a>) -> Boxed<'a> {
        statement
            .bind::<Array<SqlUuid>, _>(self.id)
            .bind::<Array<Text>, _>(self.workflow)
            .bind::<Array<Text>, _>(self.plan)
            .bind::<Array<Text>, _>(self.status)
            .bind::<Array<Integer>, _>(self.priority)
            .bind::<Array<Nullable<SqlUuid>>, _>(sparse(self.worker))
            .bind::<Array<BigInt>, _>(self.submitted_at)
            .bind::<Array<Nullable<BigInt>>, _>(sparse(self.started_at))
            .bind::<Array<Nullable<BigInt>>, _>(sparse(self.finished_at))
            .bind::<Array<Nullable<Text>>, _>(sparse(self.failure))
            .bind::<Array<Nullable<Text>>, _>(sparse(self.parked_reason))
            .bind::<Array<Nullable<BigInt>>, _>(sparse(self.due_at))
            .bind::<Array<Nullable<BigInt>>, _>(sparse(self.deadline))
            .bind::<Array<Nullable<Text>>, _>(sparse(self.idempotency_key))
            .bind::<Array<Nullable<Text>>, _>(sparse(self.tags))
            .bind::<Array<Nullable<Text>>, _>(sparse(self.traceparent))
            .bind::<Array<Text>, _>(self.input)
    }
}

/// Plans, laid out in columns.
pub(super) struct Plans<'a> {
    fingerprint: Vec<String>,
    workflow: Vec<&'a str>,
    record: Vec<String>,
}

impl<'a> Plans<'a> {
    pub(super) fn of(plans: &[(Fingerprint, &'a PlanRecord)]) -> Self {
        Self {
            fingerprint: plans.iter().map(|(plan, _)| plan.to_string()).collect(),
            workflow: plans.iter().map(|(_, record)| record.workflow.as_str()).collect(),
            record: plans.iter().map(|(_, record)| to_json(record)).collect(),
        }
    }

    /// Binds them, behind the runs.
    pub(super) fn bind(self, statement: Boxed<'a>) -> Boxed<'a> {
        statement
            .bind::<Array<Text>, _>(self.fingerprint)
            .bind::<Array<Text>, _>(self.workflow)
            .bind::<Array<Text>, _>(self.record)
    }
}

/// The tags of new runs, laid out in columns.
#[derive(Default)]
pub(super) struct Tags<'a> {
    tag: Vec<&'a str>,
    run_id: Vec<Uuid>,
}

impl<'a> Tags<'a> {
    pub(super) fn of(runs: &'a [NewRun]) -> Self {
        let mut columns = Self::default();
        for run in runs {
            for tag in &run.options.tags {
                columns.tag.push(tag);
                columns.run_id.push(*run.id.as_uuid());
            }
        }
        columns
    }

    /// Binds them, behind the plans.
    pub(super) fn bind(self, statement: Boxed<'a>) -> Boxed<'a> {
        statement.bind::<Array<Text>, _>(self.tag).bind::<Array<SqlUuid>, _>(self.run_id)
    }
}
