//! The hot path: all that a worker has gathered, in one statement, one round trip, one transaction.
//!
//! ```text
//!   with lease as (update the worker's row where its lease stands)      ── the fence, and the row lock
//!      , facts as (insert … where exists (select from lease))           ── nothing, where the lease is lost
//!      , runs  as (insert …) , plans as (insert …) , ends as (update …)
//!   select from lease                                                   ── one row: all of it; none: nothing
//! ```
//!
//! Sent outside a transaction block, the statement is its own transaction: `begin` and `commit` would be
//! two more round trips, and the latency of one is most of what a small commit costs.
//!
//! The update of the lease waits for whoever has its row locked, and then judges the new version of the row
//! (READ COMMITTED). Was that another worker that buried this one, or this very commit, sent before over a
//! connection that broke, then no row is left, and all that rests on it does nothing.
//!
//! The parts of one statement do not see each other's rows. So the end of a run that begins in the same
//! batch is folded into its insertion.

use std::collections::HashMap;

use anio_core::plan::PlanRecord;
use anio_core::{Fingerprint, RunId};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Text, Uuid as SqlUuid};
use uuid::Uuid;

use super::connection::Connection;
use super::schema::anio_workers;
use super::{storable, submit};
use crate::record::{Batch, EndRecord, FactRecord, ParkRecord, RunStatus, WorkerId};
use crate::row::{FactColumns, to_json};

const FENCE: &str = "
with lease as (
    update anio_workers
    set last_commit = $2
    where id = $1 and lost_at is null and last_commit < $2
    returning id
)";

/// In place of [`FENCE`] for a client that only submits: it has no lease to lose.
const NO_FENCE: &str = "
with lease as (
    select $1::uuid as id, $2::bigint as number
)";

// The rows of `unnest` come in the order of the arrays; sorting by it makes that a promise, and `seq` is
// drawn above the sort.
const FACTS: &str = "
, facts as (
    insert into anio_attempts (run_id, task, map_index, attempt, kind, at, started_at, retry_at, width,
        failure, writes, output)
    select run_id, task, map_index, attempt, kind, at, started_at, retry_at, width,
        failure::json, writes::json, output::json
    from unnest($3::uuid[], $4::text[], $5::bigint[], $6::bigint[], $7::text[], $8::bigint[], $9::bigint[],
        $10::bigint[], $11::bigint[], $12::text[], $13::text[], $14::text[])
        with ordinality as fact (run_id, task, map_index, attempt, kind, at, started_at, retry_at, width,
            failure, writes, output, n)
    where exists (select from lease)
    order by n
)";

// Relies on the primary key of `anio_runs`.
const ENDS: &str = "
, ends as (
    update anio_runs as run
    set status = ended.status,
        finished_at = ended.finished_at,
        failure = ended.failure::json,
        parked_reason = ended.parked_reason,
        worker = case when ended.status = 'parked' then null else run.worker end
    from unnest($15::uuid[], $16::text[], $17::bigint[], $18::text[], $19::text[])
        as ended (id, status, finished_at, failure, parked_reason)
    where run.id = ended.id and run.finished_at is null and exists (select from lease)
)";

const LEASE: &str = "
select from lease";

/// Stores a batch, provided that its worker still holds its lease, and that it is not stored already.
/// Tells whether it is stored now.
pub(super) fn commit(
    connection: &mut Connection,
    batch: &Batch,
    new_plans: &[(Fingerprint, &PlanRecord)],
    number: u64,
) -> QueryResult<bool> {
    let number = i64::try_from(number).expect("a worker commits fewer than 2^63 times");
    if commit_new(connection, batch, new_plans, number)? {
        return Ok(true);
    }
    let Some(worker) = batch.worker else { return Ok(false) };
    Ok(last_commit(connection, worker)?.is_some_and(|last| last >= number))
}

/// Stores a batch in one statement; tells whether it did.
fn commit_new(
    connection: &mut Connection,
    batch: &Batch,
    new_plans: &[(Fingerprint, &PlanRecord)],
    number: i64,
) -> QueryResult<bool> {
    let fence = if batch.worker.is_some() { FENCE } else { NO_FENCE };
    let worker = batch.worker.map(|worker| worker.0);
    let facts = Facts::of(&batch.facts);
    // Two statements, so that the usual one, with facts alone, carries no empty arrays.
    let only_facts =
        new_plans.is_empty() && batch.runs.is_empty() && batch.ends.is_empty() && batch.parks.is_empty();
    let sql = if only_facts {
        [fence, FACTS, LEASE].concat()
    } else {
        [fence, FACTS, ENDS, submit::RUNS, submit::PLANS, LEASE].concat()
    };
    let with_facts = diesel::sql_query(sql)
        .bind::<Nullable<SqlUuid>, _>(worker)
        .bind::<BigInt, _>(number)
        .bind::<Array<SqlUuid>, _>(facts.run_id)
        .bind::<Array<Text>, _>(facts.task)
        .bind::<Array<Nullable<BigInt>>, _>(facts.map_index)
        .bind::<Array<BigInt>, _>(facts.attempt)
        .bind::<Array<Text>, _>(facts.kind)
        .bind::<Array<BigInt>, _>(facts.at)
        .bind::<Array<Nullable<BigInt>>, _>(facts.started_at)
        .bind::<Array<Nullable<BigInt>>, _>(facts.retry_at)
        .bind::<Array<Nullable<BigInt>>, _>(facts.width)
        .bind::<Array<Nullable<Text>>, _>(facts.failure)
        .bind::<Array<Nullable<Text>>, _>(facts.writes)
        .bind::<Array<Nullable<Text>>, _>(facts.output);
    if only_facts {
        return Ok(with_facts.execute(connection)? == 1);
    }

    let mut endings = endings(batch);
    let runs = submit::Runs::of(&batch.runs, worker, &mut endings);
    let ends = Ends::of(endings);
    let plans = submit::Plans::of(new_plans);
    let n_leases = with_facts
        .bind::<Array<SqlUuid>, _>(ends.id)
        .bind::<Array<Text>, _>(ends.status)
        .bind::<Array<Nullable<BigInt>>, _>(ends.finished_at)
        .bind::<Array<Nullable<Text>>, _>(ends.failure)
        .bind::<Array<Nullable<Text>>, _>(ends.parked_reason)
        .bind::<Array<SqlUuid>, _>(runs.id)
        .bind::<Array<Text>, _>(runs.workflow)
        .bind::<Array<Text>, _>(runs.plan)
        .bind::<Array<Text>, _>(runs.status)
        .bind::<Array<Integer>, _>(runs.priority)
        .bind::<Array<Nullable<SqlUuid>>, _>(runs.worker)
        .bind::<Array<BigInt>, _>(runs.submitted_at)
        .bind::<Array<Nullable<BigInt>>, _>(runs.started_at)
        .bind::<Array<Nullable<BigInt>>, _>(runs.finished_at)
        .bind::<Array<Nullable<Text>>, _>(runs.failure)
        .bind::<Array<Nullable<Text>>, _>(runs.parked_reason)
        .bind::<Array<Text>, _>(runs.input)
        .bind::<Array<Text>, _>(plans.fingerprint)
        .bind::<Array<Text>, _>(plans.workflow)
        .bind::<Array<Text>, _>(plans.record)
        .execute(connection)?;
    Ok(n_leases == 1)
}

/// The number of a worker's last durable commit; `None` for a worker that nobody knows.
pub(super) fn last_commit(connection: &mut Connection, worker: WorkerId) -> QueryResult<Option<i64>> {
    anio_workers::table.find(worker.0).select(anio_workers::last_commit).first(connection).optional()
}

/// Facts, laid out in columns.
#[derive(Default)]
struct Facts<'a> {
    run_id: Vec<Uuid>,
    task: Vec<&'a str>,
    map_index: Vec<Option<i64>>,
    attempt: Vec<i64>,
    kind: Vec<&'static str>,
    at: Vec<i64>,
    started_at: Vec<Option<i64>>,
    retry_at: Vec<Option<i64>>,
    width: Vec<Option<i64>>,
    failure: Vec<Option<String>>,
    writes: Vec<Option<String>>,
    output: Vec<Option<&'a str>>,
}

impl<'a> Facts<'a> {
    fn of(facts: &'a [FactRecord]) -> Self {
        let mut columns = Self::default();
        for fact in facts {
            let FactColumns { kind, started_at, retry_at, width, failure, writes, output } =
                FactColumns::of(&fact.kind);
            columns.run_id.push(*fact.run.as_uuid());
            columns.task.push(fact.task.as_str());
            columns.map_index.push(fact.map_index.map(i64::from));
            columns.attempt.push(i64::from(fact.attempt));
            columns.kind.push(kind);
            columns.at.push(fact.at.as_micros());
            columns.started_at.push(started_at);
            columns.retry_at.push(retry_at);
            columns.width.push(width);
            columns.failure.push(failure);
            columns.writes.push(writes);
            columns.output.push(output);
        }
        columns
    }
}

/// What becomes of a run: it ends, or is parked.
pub(super) enum Ending<'a> {
    End(&'a EndRecord),
    Park(&'a ParkRecord),
}

impl Ending<'_> {
    pub(super) fn status(&self) -> RunStatus {
        match self {
            Self::End(end) => end.status,
            Self::Park(_) => RunStatus::Parked,
        }
    }

    pub(super) fn finished_at(&self) -> Option<i64> {
        match self {
            Self::End(end) => Some(end.at.as_micros()),
            Self::Park(_) => None,
        }
    }

    pub(super) fn failure(&self) -> Option<String> {
        match self {
            Self::End(end) => end.failure.as_ref().map(to_json),
            Self::Park(_) => None,
        }
    }

    pub(super) fn parked_reason(&self) -> Option<String> {
        match self {
            Self::End(_) => None,
            Self::Park(park) => Some(storable(&park.reason)),
        }
    }
}

/// The endings of a batch, one per run: the first end, else the last parking. An `update … from` with two
/// rows for one run would take either.
fn endings(batch: &Batch) -> HashMap<RunId, Ending<'_>> {
    let parks = batch.parks.iter().map(|park| (park.run, Ending::Park(park)));
    let ends = batch.ends.iter().rev().map(|end| (end.run, Ending::End(end)));
    parks.chain(ends).collect()
}

/// Endings of runs that were stored before, laid out in columns.
#[derive(Default)]
struct Ends {
    id: Vec<Uuid>,
    status: Vec<&'static str>,
    finished_at: Vec<Option<i64>>,
    failure: Vec<Option<String>>,
    parked_reason: Vec<Option<String>>,
}

impl Ends {
    fn of(endings: HashMap<RunId, Ending<'_>>) -> Self {
        let mut columns = Self::default();
        for (run, ending) in endings {
            columns.id.push(*run.as_uuid());
            columns.status.push(ending.status().as_str());
            columns.finished_at.push(ending.finished_at());
            columns.failure.push(ending.failure());
            columns.parked_reason.push(ending.parked_reason());
        }
        columns
    }
}
