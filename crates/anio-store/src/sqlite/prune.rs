//! Deletes runs that have ended, a bounded step at a time.
//!
//! ```text
//!   runs of which a part is gone ──► their other rows
//!   the next runs by identity    ──► those that ended before the time, with their facts and tags
//!                                      │ more facts than a step may delete
//!                                      ▼
//!                                    marked: to every verb unknown, its key free, the next step goes on
//! ```
//!
//! Identities are in the order of submission, and a run that ended before a time was submitted before it:
//! the walk ends where the identities of that time begin.

use anio_core::{RunId, Timestamp};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::SqliteConnection;
use uuid::Uuid;

use super::error::Failure;
use super::lease;
use super::query::run_id;
use super::schema::{anio_attempts, anio_runs};
use crate::record::{Prune, Pruned, RunStatus};
use crate::row::PRUNING;

/// How many runs one step looks at.
const RUNS_MAX: u32 = 2000;

/// How many bytes of inputs and outputs one step deletes, but for its first row: each page of a long value
/// is read when it is deleted.
const BYTES_MAX: i64 = 16 << 20;

/// One step. The write lock is held.
pub(super) fn prune(
    connection: &mut SqliteConnection,
    prune: &Prune,
    now: Timestamp,
) -> Result<Pruned, Failure> {
    let mut step =
        Step { rows: u64::from(prune.n_rows_max).max(1), bytes: BYTES_MAX, pruned: Pruned::default() };
    // From the beginning is after the least of all identities.
    let mut after = prune.after.unwrap_or_else(|| RunId::from_uuid(Uuid::nil()));
    while let Some(doomed) = half_deleted(connection)? {
        if step.is_full() || !step.delete(connection, &doomed)? {
            return Ok(step.stop_at(after));
        }
    }
    let runs = next_runs(connection, after, prune.finished_before)?;
    let is_last = runs.len() < RUNS_MAX as usize;
    for run in runs {
        if step.is_full() {
            return Ok(step.stop_at(after));
        }
        after = run_id(&run.id)?;
        if run.is_meant(prune) && !step.delete(connection, &run.id)? {
            mark(connection, &run.id)?;
            return Ok(step.stop_at(after));
        }
    }
    if !is_last {
        return Ok(step.stop_at(after));
    }
    lease::forget(connection, prune.finished_before, now)?;
    Ok(step.pruned)
}

/// What one step may still delete, and what it has deleted.
struct Step {
    rows: u64,
    bytes: i64,
    pruned: Pruned,
}

impl Step {
    const fn is_full(&self) -> bool {
        self.rows == 0 || self.bytes <= 0
    }

    const fn stop_at(self, run: RunId) -> Pruned {
        Pruned { next: Some(run), ..self.pruned }
    }

    /// Deletes the facts of a run, and the run where all of them are gone then; tells whether it is.
    fn delete(&mut self, connection: &mut SqliteConnection, run: &str) -> QueryResult<bool> {
        loop {
            let facts = first_facts(connection, run, self.rows)?;
            let Some(last) = self.affordable(&facts) else { break };
            let gone = anio_attempts::table
                .filter(anio_attempts::run_id.eq(run))
                .filter(anio_attempts::seq.le(last));
            let n_facts = diesel::delete(gone).execute(connection)?;
            let were_all = n_facts == facts.len() && (n_facts as u64) < self.rows;
            self.rows = self.rows.saturating_sub(n_facts as u64);
            self.pruned.n_facts += n_facts as u64;
            if were_all {
                break;
            }
            if self.is_full() {
                return Ok(false);
            }
        }
        self.bytes -= delete_run(connection, run)?;
        self.rows = self.rows.saturating_sub(1);
        self.pruned.n_runs += 1;
        Ok(true)
    }

    /// The last of the first facts that one step may delete, at least one; `None` where there are no facts.
    fn affordable(&mut self, facts: &[FactSize]) -> Option<i64> {
        let mut last = None;
        for fact in facts {
            if last.is_some() && self.bytes <= 0 {
                break;
            }
            self.bytes -= fact.n_bytes;
            last = Some(fact.seq);
        }
        last
    }
}

#[derive(Queryable)]
struct Ended {
    id: String,
    status: String,
    finished_at: Option<i64>,
}

impl Ended {
    fn is_meant(&self, prune: &Prune) -> bool {
        let Some(status) = RunStatus::from_word(&self.status) else { return false };
        self.finished_at.is_some_and(|at| at < prune.finished_before.as_micros())
            && (prune.statuses.is_empty() || prune.statuses.contains(&status))
    }
}

/// The runs after this one, in the order of their identities, that were submitted before a time.
fn next_runs(connection: &mut SqliteConnection, after: RunId, before: Timestamp) -> QueryResult<Vec<Ended>> {
    anio_runs::table
        .filter(anio_runs::id.gt(after.to_string()))
        .filter(anio_runs::id.lt(first_identity_after(before).to_string()))
        .order(anio_runs::id)
        .limit(i64::from(RUNS_MAX))
        .select((anio_runs::id, anio_runs::status, anio_runs::finished_at))
        .load(connection)
}

/// Below this are all identities (UUID version 7) that were made before or at a time.
fn first_identity_after(time: Timestamp) -> Uuid {
    let millis = u128::try_from(time.as_micros() / 1000 + 1).unwrap_or(0).min((1 << 48) - 1);
    Uuid::from_u128(millis << 80)
}

/// A run of which a part is gone. Relies on `anio_runs_pruning`.
fn half_deleted(connection: &mut SqliteConnection) -> QueryResult<Option<String>> {
    #[derive(QueryableByName)]
    struct Id {
        #[diesel(sql_type = Text)]
        id: String,
    }
    // The word stands in the statement, as it does in the index.
    let row: Option<Id> =
        diesel::sql_query("select id from anio_runs where status = 'pruning' order by id limit 1")
            .get_result(connection)
            .optional()?;
    Ok(row.map(|row| row.id))
}

#[derive(QueryableByName)]
struct FactSize {
    #[diesel(sql_type = BigInt)]
    seq: i64,
    #[diesel(sql_type = BigInt)]
    n_bytes: i64,
}

// `octet_length` reads no long value. Relies on `anio_attempts_run`.
const FIRST_FACTS: &str = "
select seq,
    coalesce(octet_length(output), 0) + coalesce(octet_length(writes), 0)
        + coalesce(octet_length(failure), 0) as n_bytes
from anio_attempts
where run_id = ?
order by seq
limit ?";

fn first_facts(connection: &mut SqliteConnection, run: &str, limit: u64) -> QueryResult<Vec<FactSize>> {
    diesel::sql_query(FIRST_FACTS)
        .bind::<Text, _>(run)
        .bind::<BigInt, _>(i64::try_from(limit).unwrap_or(i64::MAX))
        .load(connection)
}

/// Makes a run unknown of which a part is gone.
fn mark(connection: &mut SqliteConnection, run: &str) -> QueryResult<()> {
    delete_tags(connection, run)?;
    diesel::update(anio_runs::table.find(run))
        .set((
            anio_runs::status.eq(PRUNING),
            anio_runs::idempotency_key.eq(None::<String>),
            anio_runs::tags.eq(None::<String>),
        ))
        .execute(connection)
        .map(drop)
}

/// Deletes the row of a run and its tags; returns how many bytes its input had.
fn delete_run(connection: &mut SqliteConnection, run: &str) -> QueryResult<i64> {
    #[derive(QueryableByName)]
    struct Input {
        #[diesel(sql_type = BigInt)]
        n_bytes: i64,
    }
    delete_tags(connection, run)?;
    let inputs: Vec<Input> =
        diesel::sql_query("delete from anio_runs where id = ? returning octet_length(input) as n_bytes")
            .bind::<Text, _>(run)
            .load(connection)?;
    Ok(inputs.iter().map(|input| input.n_bytes).sum())
}

const DELETE_TAGS: &str = "
delete from anio_tags
where run_id = ?1
    and tag in (select tag.value from anio_runs as run, json_each(run.tags) as tag where run.id = ?1)";

fn delete_tags(connection: &mut SqliteConnection, run: &str) -> QueryResult<()> {
    diesel::sql_query(DELETE_TAGS).bind::<Text, _>(run).execute(connection).map(drop)
}
