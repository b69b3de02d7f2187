//! diesel on Postgres, by way of diesel-async.

use std::io::Write as _;

use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::{Pg, PgValue};
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::{Array, BigInt, Nullable, SqlType, Text, Uuid as SqlUuid};
use diesel::{
    ExpressionMethods as _, Insertable, QueryDsl as _, QueryResult, Queryable, Selectable,
    SelectableHelper as _,
};
use diesel_async::{AsyncConnection as _, AsyncPgConnection, RunQueryDsl as _};
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

use super::{Form, Row};
use crate::Result;

/// The type `json`, as the text that it is.
#[derive(Debug, SqlType, diesel::query_builder::QueryId)]
#[diesel(postgres_type(oid = 114, array_oid = 199))]
pub struct Json;

diesel::table! {
    use diesel::sql_types::{BigInt, Nullable, Text, Uuid};
    use super::Json;

    anio_attempts (run_id, seq) {
        run_id -> Uuid,
        seq -> BigInt,
        task -> Text,
        map_index -> Nullable<BigInt>,
        attempt -> BigInt,
        kind -> Text,
        at -> BigInt,
        started_at -> Nullable<BigInt>,
        retry_at -> Nullable<BigInt>,
        width -> Nullable<BigInt>,
        failure -> Nullable<Json>,
        writes -> Nullable<Json>,
        output -> Nullable<Json>,
    }
}

#[derive(Clone, Debug, AsExpression, FromSqlRow)]
#[diesel(sql_type = Json)]
struct JsonText(String);

impl ToSql<Json, Pg> for JsonText {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        out.write_all(self.0.as_bytes())?;
        Ok(IsNull::No)
    }
}

impl FromSql<Json, Pg> for JsonText {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(std::str::from_utf8(value.as_bytes())?.to_owned()))
    }
}

#[derive(Insertable, Queryable, Selectable)]
#[diesel(table_name = anio_attempts, treat_none_as_default_value = false)]
struct AttemptRow {
    run_id: Uuid,
    task: String,
    map_index: Option<i64>,
    attempt: i64,
    kind: String,
    at: i64,
    started_at: Option<i64>,
    retry_at: Option<i64>,
    width: Option<i64>,
    failure: Option<JsonText>,
    writes: Option<JsonText>,
    output: Option<JsonText>,
}

impl AttemptRow {
    fn of(row: &Row) -> Self {
        Self {
            run_id: row.run,
            task: row.task.clone(),
            map_index: row.map_index,
            attempt: 1,
            kind: "succeeded".to_owned(),
            at: row.at,
            started_at: Some(row.at),
            retry_at: None,
            width: None,
            failure: None,
            writes: None,
            output: Some(JsonText(row.output.clone())),
        }
    }
}

pub(crate) struct Postgres {
    // Before the runtime that drives it.
    connection: AsyncPgConnection,
    runtime: Runtime,
}

impl Postgres {
    pub(super) fn connect(url: &str) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let connection = runtime.block_on(AsyncPgConnection::establish(url))?;
        Ok(Self { connection, runtime })
    }

    /// One statement, which is its own transaction: one round trip.
    pub(super) fn insert(&mut self, rows: &[Row], form: Form) -> Result<()> {
        let Self { connection, runtime } = self;
        if form == Form::Native {
            runtime.block_on(insert_unnested(connection, rows))?;
            return Ok(());
        }
        let rows: Vec<_> = rows.iter().map(AttemptRow::of).collect();
        runtime.block_on(async {
            match rows.as_slice() {
                // The statement for one row stays prepared, that for many does not.
                [row] => diesel::insert_into(anio_attempts::table).values(row).execute(connection).await,
                rows => diesel::insert_into(anio_attempts::table).values(rows).execute(connection).await,
            }
        })?;
        Ok(())
    }

    pub(super) fn load(&mut self, run: Uuid) -> Result<usize> {
        let Self { connection, runtime } = self;
        let rows: Vec<AttemptRow> = runtime.block_on(
            anio_attempts::table
                .filter(anio_attempts::run_id.eq(run))
                .order(anio_attempts::seq)
                .select(AttemptRow::as_select())
                .load(connection),
        )?;
        Ok(rows.len())
    }
}

/// The columns that are null in a success are left out.
async fn insert_unnested(connection: &mut AsyncPgConnection, rows: &[Row]) -> QueryResult<usize> {
    let sql = "
        insert into anio_attempts (run_id, task, map_index, attempt, kind, at, started_at, output)
        select run_id, task, map_index, 1, 'succeeded', at, at, output::json
        from unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[], $5::text[])
            as fact (run_id, task, map_index, at, output)";
    diesel::sql_query(sql)
        .bind::<Array<SqlUuid>, _>(rows.iter().map(|row| row.run).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(rows.iter().map(|row| &*row.task).collect::<Vec<_>>())
        .bind::<Array<Nullable<BigInt>>, _>(rows.iter().map(|row| row.map_index).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(rows.iter().map(|row| row.at).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(rows.iter().map(|row| &*row.output).collect::<Vec<_>>())
        .execute(connection)
        .await
}
