//! The hot path: all that a worker has gathered, in one statement, one round trip, one transaction.
//!
//! ```text
//!   with lease as (update the worker's row where its lease stands)      ── the fence, and the row lock
//!      , facts as (insert … where exists (select from lease))           ── nothing, where the lease is lost
//!      , runs  as (insert …) , plans as (insert …) , ends as (update …)
//!      , tags  as (insert …)
//!   select … from lease                                                 ── one row: all of it; none: nothing
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

use std::borrow::Cow;
use std::collections::HashMap;

use anio_core::plan::PlanRecord;
use anio_core::plant::Plant;
use anio_core::{Fingerprint, RunId};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Nullable, Text, Uuid as SqlUuid};
use uuid::Uuid;

use super::connection::Connection;
use super::fact::{self, Boxed, sparse};
use super::schema::anio_workers;
use super::watch::{self, Tidings};
use super::{storable, submit};
use crate::record::{Batch, EndRecord, ParkRecord, RunStatus, WorkerId};
use crate::row::to_json;
use crate::sown::sown;

const FENCE: &str = "
with lease as (
    update anio_workers
    set last_commit = $2
    where id = $1 and lost_at is null and last_commit < $2
    returning id
)";

/// [`FENCE`] with a bug: whether the lease stands is judged by what the statement saw when it began.
const FENCE_WITHOUT_LOCK: &str = "
with lease as (
    select id
    from anio_workers
    where id = $1 and lost_at is null and last_commit < $2
), numbered as (
    update anio_workers
    set last_commit = $2
    where id = $1
)";

/// In place of [`FENCE`] for a client that only submits: it has no lease to lose.
const NO_FENCE: &str = "
with lease as (
    select $1::uuid as id, $2::bigint as number
)";

// Relies on the primary key of `anio_runs`. A run that its worker lets go is paused only while that is still
// asked; whoever claims it otherwise learns from it whether it is to be cancelled.
//
// One condition of both tables, which the planner can say nothing of: `finished_at is null` by itself it takes for
// rare until the table has been analysed, and then goes through all endings for each such run.
const ENDS: &str = "
, ends as (
    update anio_runs as run
    set status = case
            when ended.status = 'paused' and run.requested is distinct from 'pause' then 'queued'
            else ended.status
        end,
        requested = case
            when ended.status = 'parked' then run.requested
            when ended.status = 'paused' then nullif(run.requested, 'pause')
        end,
        epoch = run.epoch + case when ended.status = 'paused' then 1 else 0 end,
        finished_at = ended.finished_at,
        failure = ended.failure::json,
        parked_reason = ended.parked_reason,
        worker = case when ended.status in ('parked', 'paused') then null else run.worker end
    from unnest($15::uuid[], $16::text[], $17::bigint[], $18::text[], $19::text[])
        as ended (id, status, finished_at, failure, parked_reason)
    where run.id = ended.id
        and case
            when run.finished_at is not null then false
            when ended.status = 'paused' then run.status = 'running' and run.worker = $1
            else true
        end
        and exists (select from lease)
)";

/// Stores a batch, provided that its worker still holds its lease, and that it is not stored already.
/// Tells whether it is stored now.
pub(super) fn commit(
    connection: &mut Connection,
    batch: &Batch,
    new_plans: &[(Fingerprint, &PlanRecord)],
    number: u64,
    tidings: Tidings,
) -> QueryResult<bool> {
    let number = i64::try_from(number).expect("a worker commits fewer than 2^63 times");
    if commit_new(connection, batch, new_plans, number, tidings)? {
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
    tidings: Tidings,
) -> QueryResult<bool> {
    let fence = if batch.worker.is_some() { fence() } else { NO_FENCE.into() };
    let ends = sown(ENDS, Plant::EndOverwritten, "when run.finished_at is not null then false", "");
    let worker = batch.worker.map(|worker| worker.0);
    // Two statements, so that the usual one, with facts alone, carries no empty arrays.
    let only_facts = new_plans.is_empty()
        && batch.runs.is_empty()
        && batch.ends.is_empty()
        && batch.parks.is_empty()
        && batch.holds.is_empty();
    let facts = fact::insert_where("exists (select from lease)");
    let sql = if only_facts {
        [&fence, &facts as &str, &watch::tell_from("lease", 15)].concat()
    } else {
        let tell = watch::tell_from("lease", 42);
        [&fence, &facts as &str, &ends, submit::RUNS, submit::PLANS, submit::TAGS, &tell].concat()
    };
    let statement = diesel::sql_query(sql)
        .into_boxed::<Pg>()
        .bind::<Nullable<SqlUuid>, _>(worker)
        .bind::<BigInt, _>(number);
    let mut statement = fact::Facts::of(&batch.facts).bind(statement);
    if !only_facts {
        let mut endings = endings(batch);
        let runs = submit::Runs::of(&batch.runs, worker, &mut endings);
        statement = Ends::of(endings).bind(statement);
        statement = runs.bind(statement);
        statement = submit::Plans::of(new_plans).bind(statement);
        statement = submit::Tags::of(&batch.runs).bind(statement);
    }
    let n_leases = statement.bind::<Array<Text>, _>(tidings.channels()).execute(connection)?;
    Ok(n_leases == 1)
}

/// [`FENCE`], perhaps with a bug in it.
fn fence() -> Cow<'static, str> {
    let fence = sown(FENCE, Plant::FenceLeftOut, "and lost_at is null", "");
    let fence = sown(fence, Plant::FactsWrittenTwice, "and last_commit < $2", "");
    sown(fence, Plant::FenceWithoutLock, FENCE, FENCE_WITHOUT_LOCK)
}

/// The number of a worker's last durable commit; `None` for a worker that nobody knows.
pub(super) fn last_commit(connection: &mut Connection, worker: WorkerId) -> QueryResult<Option<i64>> {
    anio_workers::table.find(worker.0).select(anio_workers::last_commit).first(connection).optional()
}

/// What becomes of a run: it ends, is parked, or is let go by its worker.
pub(super) enum Ending<'a> {
    End(&'a EndRecord),
    Park(&'a ParkRecord),
    Hold,
}

impl Ending<'_> {
    pub(super) fn status(&self) -> RunStatus {
        match self {
            Self::End(end) => end.status,
            Self::Park(_) => RunStatus::Parked,
            Self::Hold => RunStatus::Paused,
        }
    }

    pub(super) fn finished_at(&self) -> Option<i64> {
        match self {
            Self::End(end) => Some(end.at.as_micros()),
            Self::Park(_) | Self::Hold => None,
        }
    }

    pub(super) fn failure(&self) -> Option<String> {
        match self {
            Self::End(end) => end.failure.as_ref().map(to_json),
            Self::Park(_) | Self::Hold => None,
        }
    }

    pub(super) fn parked_reason(&self) -> Option<String> {
        match self {
            Self::End(_) | Self::Hold => None,
            Self::Park(park) => Some(storable(&park.reason)),
        }
    }
}

/// The endings of a batch, one per run: the first end, else the last parking, else that it is let go. An
/// `update … from` with two rows for one run would take either.
fn endings(batch: &Batch) -> HashMap<RunId, Ending<'_>> {
    let holds = batch.holds.iter().map(|run| (*run, Ending::Hold));
    let parks = batch.parks.iter().map(|park| (park.run, Ending::Park(park)));
    let ends = batch.ends.iter().rev().map(|end| (end.run, Ending::End(end)));
    holds.chain(parks).chain(ends).collect()
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

    fn bind(self, statement: Boxed<'_>) -> Boxed<'_> {
        statement
            .bind::<Array<SqlUuid>, _>(self.id)
            .bind::<Array<Text>, _>(self.status)
            .bind::<Array<Nullable<BigInt>>, _>(sparse(self.finished_at))
            .bind::<Array<Nullable<Text>>, _>(sparse(self.failure))
            .bind::<Array<Nullable<Text>>, _>(sparse(self.parked_reason))
    }
}
