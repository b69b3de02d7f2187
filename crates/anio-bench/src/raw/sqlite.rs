//! diesel on SQLite.

use std::path::Path;

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use uuid::Uuid;

use super::{Form, Row};
use crate::Result;
use crate::database::connect;

diesel::table! {
    anio_attempts (seq) {
        seq -> BigInt,
        run_id -> Text,
        task -> Text,
        map_index -> Nullable<BigInt>,
        attempt -> BigInt,
        kind -> Text,
        at -> BigInt,
        started_at -> Nullable<BigInt>,
        retry_at -> Nullable<BigInt>,
        width -> Nullable<BigInt>,
        failure -> Nullable<Text>,
        writes -> Nullable<Text>,
        output -> Nullable<Text>,
    }
}

// With nulls written out, many rows make one statement.
#[derive(Insertable, Queryable, Selectable)]
#[diesel(table_name = anio_attempts, treat_none_as_default_value = false)]
struct AttemptRow {
    run_id: String,
    task: String,
    map_index: Option<i64>,
    attempt: i64,
    kind: String,
    at: i64,
    started_at: Option<i64>,
    retry_at: Option<i64>,
    width: Option<i64>,
    failure: Option<String>,
    writes: Option<String>,
    output: Option<String>,
}

impl AttemptRow {
    fn of(row: &Row) -> Self {
        Self {
            run_id: row.run.to_string(),
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
            output: Some(row.output.clone()),
        }
    }
}

pub(crate) struct Sqlite(SqliteConnection);

impl Sqlite {
    pub(super) fn connect(path: &Path) -> Result<Self> {
        connect(path).map(Self)
    }

    /// One commit.
    pub(super) fn insert(&mut self, rows: &[Row], form: Form) -> Result<()> {
        let rows: Vec<_> = rows.iter().map(AttemptRow::of).collect();
        let into = || diesel::insert_into(anio_attempts::table);
        self.0.immediate_transaction(|connection| {
            if form == Form::Native || rows.len() == 1 {
                return rows.iter().try_for_each(|row| into().values(row).execute(connection).map(drop));
            }
            into().values(&rows).execute(connection).map(drop)
        })?;
        Ok(())
    }

    pub(super) fn load(&mut self, run: Uuid) -> Result<usize> {
        let rows: Vec<AttemptRow> = anio_attempts::table
            .filter(anio_attempts::run_id.eq(run.to_string()))
            .order(anio_attempts::seq)
            .select(AttemptRow::as_select())
            .load(&mut self.0)?;
        Ok(rows.len())
    }
}
