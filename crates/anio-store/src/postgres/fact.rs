//! Facts on their way in: the part of a statement that stores them.

use std::borrow::Cow;

use diesel::pg::Pg;
use diesel::query_builder::{BoxedSqlQuery, SqlQuery};
use diesel::sql_types::{Array, BigInt, Nullable, Text, Uuid as SqlUuid};
use uuid::Uuid;

use crate::record::FactRecord;
use crate::row::FactColumns;

/// A statement whose parameters are bound piece by piece.
pub(super) type Boxed<'a> = BoxedSqlQuery<'a, Pg, SqlQuery>;

/// SQL: stores the facts that the parameters from the third on tell of, where a condition holds.
///
/// The rows of `unnest` come in the order of the arrays; sorting by it makes that a promise, and `seq` is
/// drawn above the sort.
pub(super) fn insert_where(condition: &str) -> String {
    format!(
        "
, facts as (
    insert into anio_attempts (run_id, task, map_index, attempt, kind, at, started_at, retry_at, width,
        failure, writes, output)
    select run_id, task, map_index, attempt, kind, at, started_at, retry_at, width,
        failure::json, writes::json, output::json
    from unnest($3::uuid[], $4::text[], $5::bigint[], $6::bigint[], $7::text[], $8::bigint[], $9::bigint[],
        $10::bigint[], $11::bigint[], $12::text[], $13::text[], $14::text[])
        with ordinality as fact (run_id, task, map_index, attempt, kind, at, started_at, retry_at, width,
            failure, writes, output, n)
    where {condition}
    order by n
)"
    )
}

/// A column without the nulls at its end: `unnest` fills up its shorter arrays with nulls. Most columns that may be
/// null are so throughout, and their arrays empty.
pub(super) fn sparse<T>(mut column: Vec<Option<T>>) -> Vec<Option<T>> {
    column.truncate(column.iter().rposition(Option::is_some).map_or(0, |last| last + 1));
    column
}

/// Facts, laid out in columns.
#[derive(Default)]
pub(super) struct Facts<'a> {
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
    output: Vec<Option<Cow<'a, str>>>,
}

impl<'a> Facts<'a> {
    pub(super) fn of(facts: &'a [FactRecord]) -> Self {
        let mut columns = Self::default();
        for fact in facts {
            let FactColumns { kind, started_at, retry_at, width, failure, writes, output } =
                FactColumns::of(fact);
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

    /// Binds them, from the third parameter on.
    pub(super) fn bind(self, statement: Boxed<'a>) -> Boxed<'a> {
        statement
            .bind::<Array<SqlUuid>, _>(self.run_id)
            .bind::<Array<Text>, _>(self.task)
            .bind::<Array<Nullable<BigInt>>, _>(sparse(self.map_index))
            .bind::<Array<BigInt>, _>(self.attempt)
            .bind::<Array<Text>, _>(self.kind)
            .bind::<Array<BigInt>, _>(self.at)
            .bind::<Array<Nullable<BigInt>>, _>(sparse(self.started_at))
            .bind::<Array<Nullable<BigInt>>, _>(sparse(self.retry_at))
            .bind::<Array<Nullable<BigInt>>, _>(sparse(self.width))
            .bind::<Array<Nullable<Text>>, _>(sparse(self.failure))
            .bind::<Array<Nullable<Text>>, _>(sparse(self.writes))
            .bind::<Array<Nullable<Text>>, _>(sparse(self.output))
    }
}
