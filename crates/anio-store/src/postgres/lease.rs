//! Leases: given, renewed, given back, and taken from the dead. All times are of the server's clock.

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text, Uuid as SqlUuid};
use uuid::Uuid;

use super::connection::Connection;
use super::error::Inner;
use super::{NOW, session_lock, storable};
use crate::error::StoreError;
use crate::record::{NewWorker, Renewal, WorkerId};

/// How long the row of a worker that is gone is kept: for one that comes back from a long sleep to learn
/// what became of its last commit.
const KEPT_MICROS: i64 = 24 * 3600 * 1_000_000;

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

#[derive(QueryableByName)]
struct Seen {
    #[diesel(sql_type = Bool)]
    queued: bool,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    dead: Option<Uuid>,
}

/// Renews a lease and looks round, in one statement: a row per dead worker, or one without; no row where
/// the lease is lost. Relies on `anio_runs_queued`.
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
)
select exists (select from anio_runs where status = 'queued') as queued,
    dead.id as dead
from lease
left join (
    select worker.id
    from anio_workers as worker
    where worker.lost_at is null and worker.id <> $1 and {is_dead}
) as dead on true",
        is_dead = is_dead("$4"),
    );
    let rows: Vec<Seen> = diesel::sql_query(sql)
        .bind::<SqlUuid, _>(worker.id.0)
        .bind::<BigInt, _>(lease_micros(worker))
        .bind::<Bool, _>(has_session_lock)
        .bind::<Bool, _>(trusts_locks)
        .load(connection)?;
    let Some(first) = rows.first() else { return Err(StoreError::LeaseLost.into()) };
    let queued = first.queued;
    let dead = rows.into_iter().filter_map(|row| row.dead.map(WorkerId)).collect();
    Ok(Renewal { dead, queued, ..Renewal::default() })
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

// Relies on `anio_runs_running`.
const PUT_BACK: &str = "
update anio_runs
set status = 'queued',
    worker = null,
    epoch = epoch + 1
where status = 'running' and worker = any ($1)";

fn put_back(connection: &mut Connection, workers: Vec<Uuid>) -> Result<u64, Inner> {
    if workers.is_empty() {
        return Ok(0);
    }
    let n_runs = diesel::sql_query(PUT_BACK).bind::<Array<SqlUuid>, _>(workers).execute(connection)?;
    Ok(n_runs as u64)
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
