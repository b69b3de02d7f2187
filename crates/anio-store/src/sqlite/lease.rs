//! Leases: given, renewed, given back, and taken from the dead.

use std::fs::File;

use anio_core::Timestamp;
use anio_core::plant::{Plant, is_planted};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::sqlite::SqliteConnection;

use super::error::Failure;
use super::json_list;
use super::lock::WorkerLocks;
use super::query::{self, worker_id};
use super::schema::anio_workers;
use crate::error::StoreError;
use crate::record::{NewWorker, News, RunStatus, WorkerId};
use crate::sown::sown;

/// How long the row of a worker that is gone is kept: for one that comes back from a long sleep to learn
/// what became of its last commit.
const KEPT_MICROS: i64 = 24 * 3600 * 1_000_000;

/// Gives a worker its lease; the row of one that registers again is kept, with its count of commits.
pub(super) fn register(
    connection: &mut SqliteConnection,
    worker: &NewWorker,
    now: Timestamp,
) -> Result<(), Failure> {
    forget(connection, now, now)?;
    let expires_at = now.after(worker.lease).as_micros();
    diesel::insert_into(anio_workers::table)
        .values((
            anio_workers::id.eq(worker.id.to_string()),
            anio_workers::name.eq(&worker.name),
            anio_workers::registered_at.eq(now.as_micros()),
            anio_workers::expires_at.eq(expires_at),
            anio_workers::last_commit.eq(0),
        ))
        .on_conflict_do_nothing()
        .execute(connection)?;
    extend(connection, worker, now)
}

/// Deletes the rows of workers that were gone before a time, but for those that may still be asked for.
pub(super) fn forget(
    connection: &mut SqliteConnection,
    gone_before: Timestamp,
    now: Timestamp,
) -> QueryResult<()> {
    let before = gone_before.as_micros().min(now.as_micros() - KEPT_MICROS);
    diesel::delete(anio_workers::table.filter(anio_workers::lost_at.lt(before))).execute(connection).map(drop)
}

/// What a worker sees when it renews its lease.
pub(super) struct Seen {
    /// The other workers whose lease stands, and until when.
    pub(super) others: Vec<(WorkerId, Timestamp)>,
    /// Whether there are queued runs that are due.
    pub(super) queued: bool,
    /// When the next run is due.
    pub(super) next_due: Option<Timestamp>,
    /// The worker's runs that others have changed.
    pub(super) news: Vec<News>,
}

// Relies on `anio_runs_queued`, `anio_runs_due` and `anio_runs_news`.
const LOOK_ROUND: &str = "
select 'queue' as what,
    null as id,
    exists (select 1 from anio_runs where status = 'queued' and due_at is null) as n,
    (select min(due_at) from anio_runs where status = 'queued' and due_at is not null) as at,
    null as requested
union all
select 'worker', id, null, expires_at, null
from anio_workers
where lost_at is null and id <> ?
union all
select 'run', id, news, null, requested
from anio_runs
where worker = ? and status = 'running' and news > 0";

#[derive(QueryableByName)]
struct Thing {
    #[diesel(sql_type = Text)]
    what: String,
    #[diesel(sql_type = Nullable<Text>)]
    id: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    n: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    at: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    requested: Option<String>,
}

/// Renews a lease and looks round: two statements, and two more where runs have become due.
pub(super) fn renew(
    connection: &mut SqliteConnection,
    worker: &NewWorker,
    now: Timestamp,
) -> Result<Seen, Failure> {
    extend(connection, worker, now)?;
    let seen = look_round(connection, worker.id)?;
    if seen.next_due.is_none_or(|due_at| due_at > now) {
        return Ok(seen);
    }
    promote(connection, now)?;
    look_round(connection, worker.id)
}

fn look_round(connection: &mut SqliteConnection, worker: WorkerId) -> Result<Seen, Failure> {
    let things: Vec<Thing> = diesel::sql_query(LOOK_ROUND)
        .bind::<Text, _>(worker.to_string())
        .bind::<Text, _>(worker.to_string())
        .load(connection)?;
    let mut seen = Seen { others: Vec::new(), queued: false, next_due: None, news: Vec::new() };
    for thing in things {
        let at = thing.at.map(Timestamp::from_micros);
        match (thing.what.as_str(), thing.id) {
            ("worker", Some(id)) => seen.others.push((worker_id(&id)?, at.unwrap_or_default())),
            ("run", Some(id)) => {
                let (_, requested) =
                    query::standing(&id, RunStatus::Running.as_str(), thing.requested.as_deref())?;
                let run = query::run_id(&id)?;
                let n = thing.n.and_then(|n| u64::try_from(n).ok()).unwrap_or_default();
                seen.news.push(News { run, requested, n });
            }
            _ => (seen.queued, seen.next_due) = (thing.n == Some(1), at),
        }
    }
    Ok(seen)
}

// Relies on `anio_runs_due`.
const PROMOTE: &str = "
update anio_runs
set due_at = null
where due_at <= ?";

/// Puts runs whose time has come into the queue.
pub(super) fn promote(connection: &mut SqliteConnection, now: Timestamp) -> QueryResult<()> {
    diesel::sql_query(PROMOTE).bind::<BigInt, _>(now.as_micros()).execute(connection).map(drop)
}

fn extend(connection: &mut SqliteConnection, worker: &NewWorker, now: Timestamp) -> Result<(), Failure> {
    let standing = anio_workers::table.find(worker.id.to_string()).filter(anio_workers::lost_at.is_null());
    let expires_at = now.after(worker.lease).as_micros();
    match diesel::update(standing).set(anio_workers::expires_at.eq(expires_at)).execute(connection)? {
        1 => Ok(()),
        _ => Err(Failure::Store(StoreError::LeaseLost)),
    }
}

/// Takes the leases of dead workers and puts their runs back into the queue. Each is judged again, now that
/// the write lock is held: its lease has run out, or its process is gone. Returns how many runs were put
/// back, and who was buried.
pub(super) fn bury(
    connection: &mut SqliteConnection,
    dead: &[WorkerId],
    locks: &WorkerLocks,
    now: Timestamp,
) -> Result<(u64, Vec<WorkerId>), Failure> {
    // Kept to the end of the transaction, so that two cannot both find the lock of one worker free.
    let mut graves: Vec<(WorkerId, Option<File>)> = Vec::new();
    for worker in dead {
        let standing = anio_workers::table.find(worker.to_string()).filter(anio_workers::lost_at.is_null());
        let expires_at = standing.select(anio_workers::expires_at).first::<i64>(connection).optional()?;
        let Some(expires_at) = expires_at else { continue };
        let lock = locks.grab(*worker);
        if expires_at <= now.as_micros() || lock.is_some() || is_planted(Plant::RescueByTimeAlone) {
            graves.push((*worker, lock));
        }
    }
    let buried: Vec<WorkerId> = graves.iter().map(|(worker, _)| *worker).collect();
    let n_runs = end_leases(connection, &buried, now)?;
    Ok((n_runs, buried))
}

/// Gives a lease back, and its runs; a lease that is gone already is left as it is.
pub(super) fn release(
    connection: &mut SqliteConnection,
    worker: WorkerId,
    now: Timestamp,
) -> Result<(), Failure> {
    end_leases(connection, &[worker], now).map(drop)
}

const END_LEASES: &str = "
update anio_workers
set lost_at = ?
where lost_at is null and id in (select value from json_each(?))";

// Relies on `anio_runs_running`.
const PUT_BACK: &str = "
update anio_runs
set status = case when requested = 'pause' then 'paused' else 'queued' end,
    requested = nullif(requested, 'pause'),
    worker = null,
    epoch = epoch + 1
where status = 'running' and worker in (select value from json_each(?))";

fn end_leases(
    connection: &mut SqliteConnection,
    workers: &[WorkerId],
    now: Timestamp,
) -> Result<u64, Failure> {
    if workers.is_empty() {
        return Ok(0);
    }
    let ids = json_list(workers);
    diesel::sql_query(END_LEASES)
        .bind::<BigInt, _>(now.as_micros())
        .bind::<Text, _>(&ids)
        .execute(connection)?;
    let put_back = sown(PUT_BACK, Plant::EpochNotRaised, "epoch + 1", "epoch");
    let n_runs = diesel::sql_query(put_back).bind::<Text, _>(&ids).execute(connection)?;
    Ok(n_runs as u64)
}
