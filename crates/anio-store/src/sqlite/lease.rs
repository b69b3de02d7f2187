//! Leases: given, renewed, given back, and taken from the dead.

use std::fs::File;

use anio_core::Timestamp;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use diesel::sqlite::SqliteConnection;

use super::error::Failure;
use super::json_list;
use super::lock::WorkerLocks;
use super::query::worker_id;
use super::schema::anio_workers;
use crate::error::StoreError;
use crate::record::{NewWorker, WorkerId};

/// How long the row of a worker that is gone is kept: for one that comes back from a long sleep to learn
/// what became of its last commit.
const KEPT_MICROS: i64 = 24 * 3600 * 1_000_000;

/// Gives a worker its lease; the row of one that registers again is kept, with its count of commits.
pub(super) fn register(
    connection: &mut SqliteConnection,
    worker: &NewWorker,
    now: Timestamp,
) -> Result<(), Failure> {
    let long_gone = anio_workers::lost_at.lt(now.as_micros() - KEPT_MICROS);
    diesel::delete(anio_workers::table.filter(long_gone)).execute(connection)?;
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

/// What a worker sees when it renews its lease.
pub(super) struct Seen {
    /// The other workers whose lease stands, and until when.
    pub(super) others: Vec<(WorkerId, Timestamp)>,
    /// Whether there are queued runs.
    pub(super) queued: bool,
}

// One row per other worker, or one without a worker. Relies on `anio_runs_queued`.
const LOOK_ROUND: &str = "
select exists (select 1 from anio_runs where status = 'queued') as queued,
       other.id as id,
       other.expires_at as expires_at
from (select 1)
left join anio_workers as other on other.lost_at is null and other.id <> ?";

#[derive(QueryableByName)]
struct Other {
    #[diesel(sql_type = Bool)]
    queued: bool,
    #[diesel(sql_type = Nullable<Text>)]
    id: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    expires_at: Option<i64>,
}

/// Renews a lease and looks round: two statements.
pub(super) fn renew(
    connection: &mut SqliteConnection,
    worker: &NewWorker,
    now: Timestamp,
) -> Result<Seen, Failure> {
    extend(connection, worker, now)?;
    let rows: Vec<Other> =
        diesel::sql_query(LOOK_ROUND).bind::<Text, _>(worker.id.to_string()).load(connection)?;
    let queued = rows.iter().any(|row| row.queued);
    let others = rows
        .iter()
        .filter_map(|row| Some((row.id.as_deref()?, row.expires_at?)))
        .map(|(id, expires_at)| Ok((worker_id(id)?, Timestamp::from_micros(expires_at))))
        .collect::<Result<_, StoreError>>()?;
    Ok(Seen { others, queued })
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
        if expires_at <= now.as_micros() || lock.is_some() {
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
set status = 'queued',
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
    let n_runs = diesel::sql_query(PUT_BACK).bind::<Text, _>(&ids).execute(connection)?;
    Ok(n_runs as u64)
}
