//! What others than its worker do to a run: ask something of it, tell it facts, let it go on after its end.

use anio_core::{RunId, Timestamp};
use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use super::commit::insert_facts;
use super::error::Failure;
use super::query::{known, standing};
use super::schema::{anio_attempts, anio_runs};
use crate::record::{FactRecord, Reopening, Request, Requested, RunStatus};
use crate::request::{Step, appended_before};
use crate::row::{FactMark, are_among};

/// Asks something of a run. The write lock is held.
pub(super) fn request(
    connection: &mut SqliteConnection,
    run: RunId,
    request: Request,
    now: Timestamp,
) -> Result<Requested, Failure> {
    let Some(seen) = look(connection, run)? else { return Ok(Requested::UnknownRun) };
    let step = Step::of(seen.status, seen.had_worker, seen.requested, request);
    match step {
        Step::Nothing(_) => {}
        Step::Move(status) => move_to(connection, run, status, now)?,
        Step::Send(requested) => send(connection, run, requested)?,
    }
    Ok(step.answer())
}

/// Adds facts that others than its worker have to tell of a run. The write lock is held.
pub(super) fn append(
    connection: &mut SqliteConnection,
    run: RunId,
    facts: &[FactRecord],
) -> Result<Requested, Failure> {
    let Some(Seen { status, requested, .. }) = look(connection, run)? else {
        return Ok(Requested::UnknownRun);
    };
    if has_told(connection, run, facts)? {
        return Ok(appended_before(status));
    }
    if status.is_terminal() {
        return Ok(Requested::Refused(status));
    }
    insert_facts(connection, facts)?;
    send(connection, run, requested)?;
    Ok(if status == RunStatus::Running { Requested::Sent } else { Requested::Done(status) })
}

/// Lets a run go on that has ended. The write lock is held.
pub(super) fn reopen(connection: &mut SqliteConnection, reopening: &Reopening) -> Result<Requested, Failure> {
    let Some(Seen { status, .. }) = look(connection, reopening.run)? else {
        return Ok(Requested::UnknownRun);
    };
    let epoch: i64 =
        anio_runs::table.find(reopening.run.to_string()).select(anio_runs::epoch).first(connection)?;
    let ended = [RunStatus::Succeeded, RunStatus::Failed].map(RunStatus::as_str);
    let as_decided = anio_runs::table
        .find(reopening.run.to_string())
        .filter(anio_runs::epoch.eq(i64::from(reopening.epoch)))
        .filter(anio_runs::status.eq_any(ended));
    let n_runs = diesel::update(as_decided)
        .set((
            anio_runs::status.eq(RunStatus::Queued.as_str()),
            anio_runs::epoch.eq(anio_runs::epoch + 1),
            anio_runs::worker.eq(None::<String>),
            anio_runs::finished_at.eq(None::<i64>),
            anio_runs::failure.eq(None::<String>),
            anio_runs::deadline.eq(None::<i64>),
        ))
        .execute(connection)?;
    if n_runs == 0 {
        let is_known =
            epoch > i64::from(reopening.epoch) && has_told(connection, reopening.run, &reopening.facts)?;
        return Ok(if is_known { Requested::Done(RunStatus::Queued) } else { Requested::Refused(status) });
    }
    insert_facts(connection, &reopening.facts)?;
    Ok(Requested::Done(RunStatus::Queued))
}

/// Whether all of these facts are stored already; `false` where there are none.
fn has_told(connection: &mut SqliteConnection, run: RunId, facts: &[FactRecord]) -> QueryResult<bool> {
    let stored: Vec<FactMark> = anio_attempts::table
        .filter(anio_attempts::run_id.eq(run.to_string()))
        .filter(anio_attempts::at.eq_any(facts.iter().map(|fact| fact.at.as_micros())))
        .select((
            anio_attempts::task,
            anio_attempts::map_index,
            anio_attempts::attempt,
            anio_attempts::kind,
            anio_attempts::at,
        ))
        .load(connection)?;
    Ok(are_among(facts, &stored))
}

/// A run, as it is before something becomes of it.
struct Seen {
    status: RunStatus,
    requested: Option<Request>,
    /// Whether it had a worker before; where it is running, that one is not counted.
    had_worker: bool,
}

fn look(connection: &mut SqliteConnection, run: RunId) -> Result<Option<Seen>, Failure> {
    let row = known(run).select((anio_runs::status, anio_runs::requested, anio_runs::epoch));
    let row: Option<(String, Option<String>, i64)> = row.first(connection).optional()?;
    let read = |(status, requested, epoch): (String, Option<String>, i64)| {
        let (status, requested) = standing(&run.to_string(), &status, requested.as_deref())?;
        Ok(Seen { status, requested, had_worker: epoch > 0 })
    };
    row.map(read).transpose().map_err(Failure::Store)
}

fn move_to(
    connection: &mut SqliteConnection,
    run: RunId,
    status: RunStatus,
    now: Timestamp,
) -> QueryResult<()> {
    let row = anio_runs::table.find(run.to_string());
    diesel::update(row)
        .set((anio_runs::status.eq(status.as_str()), anio_runs::requested.eq(None::<String>)))
        .execute(connection)?;
    if status == RunStatus::Cancelled {
        diesel::update(anio_runs::table.find(run.to_string()))
            .set((
                anio_runs::finished_at.eq(now.as_micros()),
                anio_runs::parked_reason.eq(None::<String>),
                anio_runs::due_at.eq(None::<i64>),
            ))
            .execute(connection)?;
    }
    Ok(())
}

fn send(connection: &mut SqliteConnection, run: RunId, requested: Option<Request>) -> QueryResult<()> {
    diesel::update(anio_runs::table.find(run.to_string()))
        .set((
            anio_runs::requested.eq(requested.map(Request::as_str)),
            anio_runs::news.eq(anio_runs::news + 1),
        ))
        .execute(connection)
        .map(drop)
}
