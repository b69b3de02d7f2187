//! Deletes runs that have ended, a few rows at a time.
//!
//! ```text
//!   succeeded ─┐                                        few facts: gone in one step
//!   failed ────┼──► chosen, in the order of their ids ──┤
//!   cancelled ─┘                                        many facts: pruning ─► gone, some steps later
//! ```
//!
//! A run in the state `pruning`, which nobody else knows, is half deleted: it has given up its idempotency
//! key, nobody sees it, and every step of whoever prunes goes on with such runs first.
//!
//! Only rows of runs that have ended are locked, and those that somebody else has locked are left.

use anio_core::{RunId, Timestamp};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text, Uuid as SqlUuid};
use uuid::Uuid;

use super::NOW;
use super::connection::Connection;
use super::error::Inner;
use super::lease::KEPT_MICROS;
use crate::record::{Prune, Pruned, RunStatus};

/// How many runs a step looks at: they may have ended too late, or not at all.
const N_WALKED_MAX: i64 = 1000;

/// A long value counts as one row more for each so many bytes, since it lies in many rows of its own.
const ROW_BYTES: i64 = 8192;

/// How many rows of workers that are gone a step deletes.
const N_WORKERS_MAX: i64 = 1000;

// Relies on the primary keys of `anio_runs`, `anio_attempts` and `anio_tags`, and on `anio_runs_pruning`.
//
// `eaten` goes from one chosen run to the next for as long as the step may delete more: `n_left` is what is
// left of its rows before the run, `n_facts` what the run has, or one more than that where it has more, and
// `doomed` those that go. The last run may be left half deleted. A run that went on and ended again between
// the look and the lock is of another epoch, and may have facts that this statement does not see.
const STEP: &str = "
with recursive half as materialized (
    select id, epoch, 1 as weight
    from anio_runs
    where status = 'pruning'
    order by id
    limit $5
    for update skip locked
), walked as materialized (
    select id, epoch, status, finished_at, 1 + pg_column_size(input) / $7 as weight
    from anio_runs
    where id > $1 and id < $2
    order by id
    limit $6
), ended as materialized (
    select id, epoch, weight
    from walked
    where status = any ($3) and finished_at < $4
    order by id
    limit $5
), chosen as materialized (
    select array_agg(id order by is_half desc, id) as ids,
        array_agg(epoch order by is_half desc, id) as epochs,
        array_agg(weight order by is_half desc, id) as weights,
        count(*) as n,
        count(*) filter (where is_half) as n_half
    from (
        select id, epoch, weight, true as is_half from half
        union all
        select id, epoch, weight, false from ended
    ) as run
), eaten (place, n_left, n_facts, doomed, weight) as (
    select 0, $5, 0::bigint, '{}'::bigint[], 0::numeric
    union all
    select eaten.place + 1, rest.n_left, facts.n, facts.doomed, facts.weight + chosen.weights[eaten.place + 1]
    from eaten
    cross join chosen
    cross join lateral (select eaten.n_left - ceil(eaten.weight)::bigint as n_left) as rest
    cross join lateral (
        select count(*) as n,
            coalesce(array_agg(fact.seq) filter (where fact.goes), '{}') as doomed,
            coalesce(max(fact.weight) filter (where fact.goes), 0) as weight
        from (
            select seq, sum(weight) over all_before as weight,
                row_number() over all_before = 1 or sum(weight) over all_before <= rest.n_left as goes
            from (
                select seq,
                    1 + (coalesce(pg_column_size(output), 0) + coalesce(pg_column_size(writes), 0)) / $7 as weight
                from anio_attempts
                where run_id = chosen.ids[eaten.place + 1]
                limit rest.n_left + 1
            ) as fact
            window all_before as (order by seq)
        ) as fact
    ) as facts
    where rest.n_left > 0 and eaten.place < chosen.n and cardinality(eaten.doomed) = eaten.n_facts
), locked as materialized (
    select run.id, eaten.n_facts, eaten.doomed
    from eaten
    cross join chosen
    join anio_runs as run on run.id = chosen.ids[eaten.place]
    where run.epoch = chosen.epochs[eaten.place]
        and (run.status = 'pruning' or run.status = any ($3) and run.finished_at < $4)
    for update of run skip locked
), facts as (
    delete from anio_attempts as fact
    using locked
    where fact.run_id = locked.id and fact.seq = any (locked.doomed)
), gone as (
    delete from anio_runs as run
    using locked
    where run.id = locked.id and cardinality(locked.doomed) = locked.n_facts
    returning run.id, run.tags
), tags as (
    delete from anio_tags as tagged
    using gone
    cross join lateral json_array_elements_text(gone.tags) as word (tag)
    where tagged.tag = word.tag and tagged.run_id = gone.id
), halved as (
    update anio_runs as run
    set status = 'pruning',
        idempotency_key = null
    from locked
    where run.id = locked.id and cardinality(locked.doomed) < locked.n_facts and run.status <> 'pruning'
)
select (select count(*) from gone) as n_runs,
    (select coalesce(sum(cardinality(doomed)), 0)::bigint from locked) as n_facts,
    last.place < chosen.n
        or cardinality(last.doomed) < last.n_facts
        or greatest(chosen.n_half, chosen.n - chosen.n_half) = $5 as is_full,
    case when last.place > chosen.n_half then chosen.ids[last.place] end as last_eaten,
    (select count(*) from walked) = $6 as has_more,
    (select id from walked order by id desc limit 1) as last_walked
from chosen
cross join (select * from eaten order by place desc limit 1) as last";

#[derive(QueryableByName)]
struct Step {
    #[diesel(sql_type = BigInt)]
    n_runs: i64,
    #[diesel(sql_type = BigInt)]
    n_facts: i64,
    /// There is more to delete of what the step has looked at.
    #[diesel(sql_type = Bool)]
    is_full: bool,
    /// The last run that this step has begun or done with, without those that were half deleted before.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    last_eaten: Option<Uuid>,
    /// There are runs that the step has not looked at.
    #[diesel(sql_type = Bool)]
    has_more: bool,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    last_walked: Option<Uuid>,
}

/// One step. A transaction by itself.
pub(super) fn prune(connection: &mut Connection, prune: &Prune) -> Result<Pruned, Inner> {
    // From the beginning is after the least of all identities.
    let after = prune.after.map_or(Uuid::nil(), |run| *run.as_uuid());
    let is_meant = |status: &&RunStatus| {
        status.is_terminal() && (prune.statuses.is_empty() || prune.statuses.contains(*status))
    };
    let statuses: Vec<&str> = RunStatus::ALL.iter().filter(is_meant).map(|status| status.as_str()).collect();
    let step: Step = diesel::sql_query(STEP)
        .bind::<SqlUuid, _>(after)
        .bind::<SqlUuid, _>(first_identity_after(prune.finished_before))
        .bind::<Array<Text>, _>(statuses)
        .bind::<BigInt, _>(prune.finished_before.as_micros())
        .bind::<BigInt, _>(i64::from(prune.n_rows_max.max(1)))
        .bind::<BigInt, _>(N_WALKED_MAX)
        .bind::<BigInt, _>(ROW_BYTES)
        .get_result(connection)?;
    let next = if step.is_full {
        Some(step.last_eaten.unwrap_or(after))
    } else if step.has_more {
        step.last_walked
    } else {
        None
    };
    if next.is_none() {
        delete_workers(connection, prune.finished_before)?;
    }
    let count = |n: i64| u64::try_from(n).expect("a count is not negative");
    Ok(Pruned { n_runs: count(step.n_runs), n_facts: count(step.n_facts), next: next.map(RunId::from_uuid) })
}

/// Below this are all identities (UUID version 7) that were made before or at a time: a run that ended before
/// it was submitted before it.
fn first_identity_after(time: Timestamp) -> Uuid {
    let millis = u128::try_from(time.as_micros() / 1000 + 1).unwrap_or(0).min((1 << 48) - 1);
    Uuid::from_u128(millis << 80)
}

/// Deletes the rows of workers that were gone before a time, but for those that may still be asked for.
fn delete_workers(connection: &mut Connection, gone_before: Timestamp) -> QueryResult<()> {
    diesel::sql_query(format!(
        "
delete from anio_workers
where id in (
    select id
    from anio_workers
    where lost_at < least($1, {NOW} - $2)
    limit $3
    for update skip locked
)"
    ))
    .bind::<BigInt, _>(gone_before.as_micros())
    .bind::<BigInt, _>(KEPT_MICROS)
    .bind::<BigInt, _>(N_WORKERS_MAX)
    .execute(connection)?;
    Ok(())
}
