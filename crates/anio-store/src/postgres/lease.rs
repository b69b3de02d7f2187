//! Leases: given, renewed, given back, and taken from the dead. All times are of the server's clock.

use anio_core::plant::Plant;
use anio_core::{RunId, Timestamp};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text, Uuid as SqlUuid};
use uuid::Uuid;

use super::connection::Connection;
use super::error::Inner;
use super::request::requested_of;
use super::{NOW, THEN, session_lock, storable, watch};
use crate::error::StoreError;
use crate::record::{NewWorker, News, Renewal, WorkerId};
use crate::row::corrupt_row;
use crate::sown::sown;

/// How long the row of a worker that is gone is kept: for one that comes back from a long sleep to learn
/// what became of its last commit.
pub(super) const KEPT_MICROS: i64 = 24 * 3600 * 1_000_000;

/// Gives a worker its lease; the row of one that registers again is kept, with its count of commits.
pub(super) fn register(
    connection: &mut Connection,
    worker: &NewWorker,
    has_session_lock: bool,
) -> Result<(), Inner> {
    let sql = format!(
        "
with long_gone as (
    delete from anio_workers
    where id in (select id from anio_workers where lost_at < {NOW} - $5 for update skip locked)
)
insert into anio_workers as worker (id, name, registered_at, expires_at, last_commit, session_lock)
values ($1, $2, {NOW}, {NOW} + $3, 0, $4)
on conflict (id) do update
set expires_at = excluded.expires_at,
    session_lock = excluded.session_lock
where worker.lost_at is null"
    );
    let n_leases = diesel::sql_query(sql)
        .bind::<SqlUuid, _>(worker.id.0)
        .bind::<Text, _>(storable(&worker.name))
        .bind::<BigInt, _>(lease_micros(worker))
        .bind::<Bool, _>(has_session_lock)
        .bind::<BigInt, _>(KEPT_MICROS)
        .execute(connection)?;
    if n_leases == 1 { Ok(()) } else { Err(StoreError::LeaseLost.into()) }
}

/// How many runs become due in one statement; the next ones do in the next.
pub(super) const N_DUE_MAX: i64 = 1000;

/// A dead worker, or a run with news, or neither; and what every row tells.
#[derive(QueryableByName)]
struct Seen {
    #[diesel(sql_type = Bool)]
    queued: bool,
    #[diesel(sql_type = Nullable<BigInt>)]
    next_due: Option<i64>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    dead: Option<Uuid>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    run: Option<Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    requested: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    news: Option<i64>,
}

impl Seen {
    fn news(&self) -> Option<Result<News, StoreError>> {
        let run = RunId::from_uuid(self.run?);
        let n = self.news.and_then(|n| u64::try_from(n).ok());
        let n = n.ok_or_else(|| corrupt_row("anio_runs", run.to_string())("news is no count"));
        let requested = requested_of(run, self.requested.as_deref());
        Some(n.and_then(|n| Ok(News { run, requested: requested?, n })))
    }
}

/// Renews a lease and looks round, in one statement: a row per dead worker and per run with news, or one
/// without; no row where the lease is lost. Whose time has come is in the queue from now on.
///
/// Relies on `anio_runs_due`, `anio_runs_queued` and `anio_runs_news`.
pub(super) fn renew(
    connection: &mut Connection,
    worker: &NewWorker,
    has_session_lock: bool,
    trusts_locks: bool,
) -> Result<Renewal, Inner> {
    let sql = format!(
        "
with lease as (
    update anio_workers
    set expires_at = {NOW} + $2,
        session_lock = $3
    where id = $1 and lost_at is null
    returning id
), due as materialized (
    select id
    from anio_runs
    where due_at <= {THEN} and exists (select from lease)
    order by due_at
    limit $5
    for update skip locked
), become_due as (
    update anio_runs as run
    set due_at = null
    from due
    where run.id = due.id
    returning run.status
)
select exists (select from anio_runs where status = 'queued' and due_at is null)
        or exists (select from become_due where status = 'queued') as queued,
    (select due_at from anio_runs where due_at > {THEN} and status = 'queued' order by due_at limit 1)
        as next_due,
    seen.dead,
    seen.run,
    seen.requested,
    seen.news
from lease
left join (
    select worker.id as dead, null::uuid as run, null::text as requested, null::bigint as news
    from anio_workers as worker
    where worker.lost_at is null and worker.id <> $1 and {is_dead}
    union all
    select null, run.id, run.requested, run.news
    from anio_runs as run
    where run.worker = $1 and run.status = 'running' and run.news > 0
) as seen on true",
        is_dead = is_dead("$4"),
    );
    let rows: Vec<Seen> = diesel::sql_query(sql)
        .bind::<SqlUuid, _>(worker.id.0)
        .bind::<BigInt, _>(lease_micros(worker))
        .bind::<Bool, _>(has_session_lock)
        .bind::<Bool, _>(trusts_locks)
        .bind::<BigInt, _>(N_DUE_MAX)
        .load(connection)?;
    let Some(first) = rows.first() else { return Err(StoreError::LeaseLost.into()) };
    Ok(Renewal {
        dead: rows.iter().filter_map(|row| row.dead.map(WorkerId)).collect(),
        queued: first.queued,
        next_due: first.next_due.map(Timestamp::from_micros),
        news: rows.iter().filter_map(Seen::news).collect::<Result<_, _>>()?,
    })
}

/// Takes the leases of dead workers and puts their runs back into the queue. Inside a transaction.
///
/// Two statements: the first waits for a commit of the dead that is under way, and only a statement that
/// begins after that commit sees the runs that it has brought.
pub(super) fn bury(connection: &mut Connection, dead: &[WorkerId], trusts_locks: bool) -> Result<u64, Inner> {
    let sql = format!(
        "
update anio_workers as worker
set lost_at = {NOW}
where worker.id = any ($1) and worker.lost_at is null and {is_dead}
returning worker.id",
        is_dead = is_dead("$2"),
    );
    let sql = sown(
        sql,
        Plant::RescueByTimeAlone,
        "and (worker.expires_at",
        "and ($2 is not null or worker.expires_at",
    );
    let dead: Vec<Uuid> = dead.iter().map(|worker| worker.0).collect();
    let buried: Vec<Id> = diesel::sql_query(sql)
        .bind::<Array<SqlUuid>, _>(dead)
        .bind::<Bool, _>(trusts_locks)
        .load(connection)?;
    put_back(connection, buried.into_iter().map(|row| row.id).collect())
}

/// Gives a lease back, and its runs; a lease that is gone already is left as it is. Inside a transaction.
pub(super) fn release(connection: &mut Connection, worker: WorkerId) -> Result<(), Inner> {
    let sql = format!("update anio_workers set lost_at = {NOW} where id = $1 and lost_at is null");
    diesel::sql_query(sql).bind::<SqlUuid, _>(worker.0).execute(connection)?;
    put_back(connection, vec![worker.0]).map(drop)
}

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

/// How many runs a statement has changed.
#[derive(QueryableByName)]
pub(super) struct Count {
    #[diesel(sql_type = BigInt)]
    n_runs: i64,
}

impl Count {
    pub(super) fn n_runs(&self) -> u64 {
        u64::try_from(self.n_runs).expect("a count is not negative")
    }
}

// Relies on `anio_runs_running`.
const PUT_BACK: &str = "
with put_back as (
    update anio_runs
    set status = case when requested = 'pause' then 'paused' else 'queued' end,
        requested = nullif(requested, 'pause'),
        worker = null,
        epoch = epoch + 1
    where status = 'running' and worker = any ($1)
    returning id
)
select count(*) as n_runs, case when count(*) > 0 then pg_notify($2, '') end
from put_back";

fn put_back(connection: &mut Connection, workers: Vec<Uuid>) -> Result<u64, Inner> {
    if workers.is_empty() {
        return Ok(0);
    }
    let count: Count = diesel::sql_query(sown(PUT_BACK, Plant::EpochNotRaised, "epoch + 1", "epoch"))
        .bind::<Array<SqlUuid>, _>(workers)
        .bind::<Text, _>(watch::RUNS)
        .get_result(connection)?;
    Ok(count.n_runs())
}

/// That a `worker` is dead: its lease has run out, or nobody holds the session lock that it held.
fn is_dead(trusts_locks: &str) -> String {
    format!(
        "(worker.expires_at <= {NOW} or ({trusts_locks} and worker.session_lock and {locks_count} and not {is_held}))",
        locks_count = session_lock::LOCKS_COUNT,
        is_held = session_lock::IS_HELD,
    )
}

fn lease_micros(worker: &NewWorker) -> i64 {
    i64::try_from(worker.lease.as_micros()).unwrap_or(i64::MAX / 4).min(i64::MAX / 4)
}
