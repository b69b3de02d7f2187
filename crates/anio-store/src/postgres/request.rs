//! What others than its worker do to a run: ask something of it, add facts, let it go on after its end.
//!
//! All that is locked is locked within one statement, so that no lock waits for this side of the connection: a
//! client that freezes must not hold up the worker whose commit ends the run. A statement that waited for the
//! row of the run judges its new version.

use anio_core::RunId;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text, Uuid as SqlUuid};

use super::connection::Connection;
use super::error::Inner;
use super::fact::{self, Facts};
use super::schema::{anio_attempts, anio_runs};
use super::{THEN, watch};
use crate::error::StoreError;
use crate::record::{FactRecord, Reopening, Request, Requested, RunStatus};
use crate::request::{Step, appended_before};
use crate::row::{FactMark, PRUNING, are_among, corrupt_row};

/// Asks something of a run: looks at it, and changes it where it is still as it was seen. What was asked in between, by
/// somebody else or by this request on a connection that was lost, is not asked a second time.
pub(super) fn request(connection: &mut Connection, run: RunId, request: Request) -> Result<Requested, Inner> {
    let mut was_asked = None;
    loop {
        let seen: Option<(String, Option<String>, i64)> = anio_runs::table
            .find(*run.as_uuid())
            .filter(anio_runs::status.ne(PRUNING))
            .select((anio_runs::status, anio_runs::requested, anio_runs::epoch))
            .first(connection)
            .optional()
            .map_err(Inner::Look)?;
        let Some((word, requested, epoch)) = seen else { return Ok(Requested::UnknownRun) };
        let (is, asked) = (status(run, &word)?, requested_of(run, requested.as_deref())?);
        if asked == Some(request) && was_asked == Some(None) {
            return Ok(Requested::Sent);
        }
        was_asked = Some(asked);
        let step = Step::of(is, epoch > 0, asked, request);
        let (becomes, asks) = match step {
            Step::Nothing(answer) => return Ok(answer),
            Step::Move(status) => (status, None),
            Step::Send(asked) => (is, asked),
        };
        let news = i64::from(matches!(step, Step::Send(_)));
        if change(connection, run, (&word, requested.as_deref()), (becomes, asks), news)? {
            return Ok(step.answer());
        }
    }
}

/// Changes what a run is and what is requested of it; tells whether it was still as it was seen.
fn change(
    connection: &mut Connection,
    run: RunId,
    (status, requested): (&str, Option<&str>),
    (becomes, asks): (RunStatus, Option<Request>),
    news: i64,
) -> QueryResult<bool> {
    let changed = format!(
        "
with changed as (
    update anio_runs
    set status = $4,
        requested = $5,
        news = news + $6,
        due_at = case when $4 <> 'cancelled' then due_at end,
        parked_reason = null,
        finished_at = case when $4 = 'cancelled' then {THEN} end
    where id = $1 and status = $2 and requested is not distinct from $3
    returning id
)"
    );
    let mut channels = vec![watch::RUNS];
    if becomes.is_terminal() {
        channels.push(watch::FACTS);
    }
    let n_runs = diesel::sql_query(changed + &watch::tell_from("changed", 7))
        .bind::<SqlUuid, _>(run.as_uuid())
        .bind::<Text, _>(status)
        .bind::<Nullable<Text>, _>(requested)
        .bind::<Text, _>(becomes.as_str())
        .bind::<Nullable<Text>, _>(asks.map(Request::as_str))
        .bind::<BigInt, _>(news)
        .bind::<Array<Text>, _>(channels)
        .execute(connection)?;
    Ok(n_runs == 1)
}

#[derive(QueryableByName)]
struct Change {
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = BigInt)]
    epoch: i64,
    #[diesel(sql_type = Bool)]
    is_settled: bool,
    #[diesel(sql_type = Bool)]
    is_stored: bool,
}

/// Adds facts to a run that has not ended.
///
/// The number of a fact is drawn before its transaction commits. So that facts of one run are seen in the
/// order of their numbers, the worker that has the run must not commit at the same time: its row is locked,
/// and before that of the run, as its commits do.
///
/// Sent again after its answer was lost, it finds its facts; or else, when the server is still at work on the
/// first, both want to raise `news` from the same number, and only one can.
pub(super) fn append(
    connection: &mut Connection,
    run: RunId,
    facts: &[FactRecord],
) -> Result<Requested, Inner> {
    let facts_where = fact::insert_where("exists (select from open)");
    let sql = format!(
        "
with seen as materialized (
    select worker
    from anio_runs
    where id = $1 and news = $16
), lease as materialized (
    select worker.id
    from seen
    join anio_workers as worker on worker.id = seen.worker
    for share of worker
), run as materialized (
    select id, status, worker, news
    from anio_runs
    where id = $1 and status <> 'pruning' and (select count(*) from lease) >= 0
    for update
), settled as materialized (
    select run.id, run.status, run.worker is not distinct from seen.worker and run.news = $16 as is_settled
    from run
    cross join seen
), open as materialized (
    select id
    from settled
    where is_settled and status not in ('succeeded', 'failed', 'cancelled')
){facts_where}, changed as (
    update anio_runs as run
    set news = run.news + 1
    from open
    where run.id = open.id
    returning run.id
)
select settled.status,
    0::bigint as epoch,
    settled.is_settled,
    exists (select from open) as is_stored,
    (select pg_notify($2, '') from changed),
    (select pg_notify($15, '') from changed)
from settled"
    );
    // A worker may take the run, or let it go, between the look at its worker and the lock; others may raise
    // its news.
    loop {
        let seen: Option<(String, i64)> = anio_runs::table
            .find(*run.as_uuid())
            .filter(anio_runs::status.ne(PRUNING))
            .select((anio_runs::status, anio_runs::news))
            .first(connection)
            .optional()
            .map_err(Inner::Look)?;
        let Some((word, news)) = seen else { return Ok(Requested::UnknownRun) };
        if has_told(connection, run, facts)? {
            return Ok(appended_before(status(run, &word)?));
        }
        let statement = diesel::sql_query(&sql)
            .into_boxed::<Pg>()
            .bind::<SqlUuid, _>(run.as_uuid())
            .bind::<Text, _>(watch::RUNS);
        let change: Option<Change> = Facts::of(facts)
            .bind(statement)
            .bind::<Text, _>(watch::FACTS)
            .bind::<BigInt, _>(news)
            .get_result(connection)
            .optional()?;
        let Some(change) = change.filter(|change| change.is_settled) else { continue };
        return Ok(match status(run, &change.status)? {
            status if !change.is_stored => Requested::Refused(status),
            RunStatus::Running => Requested::Sent,
            status => Requested::Done(status),
        });
    }
}

/// Lets a run go on that has ended. Its last worker has nothing more to say of it, and is not locked.
pub(super) fn reopen(connection: &mut Connection, reopening: &Reopening) -> Result<Requested, Inner> {
    let facts_where = fact::insert_where("exists (select from open)");
    let sql = format!(
        "
with run as materialized (
    select id, status, epoch
    from anio_runs
    where id = $1 and status <> 'pruning'
    for update
), open as materialized (
    select id
    from run
    where status in ('succeeded', 'failed') and epoch = $2
){facts_where}, changed as (
    update anio_runs as run
    set status = 'queued',
        epoch = run.epoch + 1,
        worker = null,
        requested = null,
        deadline = null,
        finished_at = null,
        failure = null
    from open
    where run.id = open.id
    returning run.id
)
select run.status,
    run.epoch,
    true as is_settled,
    exists (select from open) as is_stored,
    (select pg_notify($15, '') from changed),
    (select pg_notify($16, '') from changed)
from run"
    );
    let statement = diesel::sql_query(sql)
        .into_boxed::<Pg>()
        .bind::<SqlUuid, _>(reopening.run.as_uuid())
        .bind::<BigInt, _>(i64::from(reopening.epoch));
    let change: Option<Change> = Facts::of(&reopening.facts)
        .bind(statement)
        .bind::<Text, _>(watch::RUNS)
        .bind::<Text, _>(watch::FACTS)
        .get_result(connection)
        .optional()?;
    Ok(match change {
        None => Requested::UnknownRun,
        Some(change) if change.is_stored => Requested::Done(RunStatus::Queued),
        // Sent again after its answer was lost.
        Some(change)
            if change.epoch > i64::from(reopening.epoch)
                && has_told(connection, reopening.run, &reopening.facts)? =>
        {
            Requested::Done(RunStatus::Queued)
        }
        Some(change) => Requested::Refused(status(reopening.run, &change.status)?),
    })
}

/// Whether all of these facts are stored already; `false` where there are none.
fn has_told(connection: &mut Connection, run: RunId, facts: &[FactRecord]) -> Result<bool, Inner> {
    let times: Vec<i64> = facts.iter().map(|fact| fact.at.as_micros()).collect();
    let stored: Vec<FactMark> = anio_attempts::table
        .filter(anio_attempts::run_id.eq(*run.as_uuid()))
        .filter(anio_attempts::at.eq_any(times))
        .select((
            anio_attempts::task,
            anio_attempts::map_index,
            anio_attempts::attempt,
            anio_attempts::kind,
            anio_attempts::at,
        ))
        .load(connection)
        .map_err(Inner::Look)?;
    Ok(are_among(facts, &stored))
}

/// What is asked of a run, from the stored word.
pub(super) fn requested_of(run: RunId, word: Option<&str>) -> Result<Option<Request>, StoreError> {
    let read = |word| {
        Request::from_word(word)
            .ok_or_else(|| corrupt_row("anio_runs", run.to_string())("requested is unknown"))
    };
    word.map(read).transpose()
}

fn status(run: RunId, word: &str) -> Result<RunStatus, StoreError> {
    RunStatus::from_word(word).ok_or_else(|| corrupt_row("anio_runs", run.to_string())("status is unknown"))
}
