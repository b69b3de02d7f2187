//! Makes the tables, and tells whose they are.
//!
//! What has been applied stands in `anio_migrations` and not in diesel's own table, because a user's program
//! may keep its migrations in the same database. The caller holds the write lock: processes that start at
//! once wait for each other, and all but the first find nothing to do.

use diesel::connection::{LoadConnection, SimpleConnection};
use diesel::migration::{Migration, MigrationSource};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::{Sqlite, SqliteConnection};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};

use super::error::Failure;
use super::now;
use super::schema::anio_migrations;
use crate::error::StoreError;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/sqlite");

/// "Anio" in ASCII: the application id in the header of a file that holds nothing but Anio's tables.
const APPLICATION_ID: i64 = 0x416e_696f;

type Pending = Vec<Box<dyn Migration<Sqlite>>>;

/// Brings the tables up to this program's version.
pub(super) fn migrate(connection: &mut SqliteConnection, database: &str) -> Result<(), Failure> {
    let pending = pending(connection, database)?;
    if pending.is_empty() {
        return Ok(());
    }
    if n_tables(connection, "%")? == 0 {
        connection.batch_execute(&format!("pragma application_id = {APPLICATION_ID}"))?;
    }
    connection.batch_execute(
        "create table if not exists anio_migrations (
            version    text    not null primary key,
            name       text    not null,
            applied_at integer not null
        )",
    )?;
    for migration in pending {
        migration.run(connection).map_err(|source| StoreError::Database { source })?;
        let (version, name) = (migration.name().version().to_string(), migration.name().to_string());
        diesel::insert_into(anio_migrations::table)
            .values((
                anio_migrations::version.eq(version),
                anio_migrations::name.eq(name),
                anio_migrations::applied_at.eq(now().as_micros()),
            ))
            .execute(connection)?;
    }
    Ok(())
}

/// The migrations that the database lacks. Changes nothing.
///
/// # Errors
/// [`StoreError::ForeignDatabase`] and [`StoreError::NewerSchema`].
pub(super) fn pending<C: LoadConnection<Backend = Sqlite>>(
    connection: &mut C,
    database: &str,
) -> Result<Pending, Failure> {
    check_owner(connection, database)?;
    let mut known = MIGRATIONS.migrations().map_err(|source| StoreError::Database { source })?;
    known.sort_by_key(|migration| migration.name().version().to_string());
    if n_tables(connection, "anio\\_migrations")? == 0 {
        return Ok(known);
    }
    let applied: Vec<String> = anio_migrations::table
        .select(anio_migrations::version)
        .order(anio_migrations::version)
        .load(connection)?;
    let versions: Vec<String> =
        known.iter().map(|migration| migration.name().version().to_string()).collect();
    if let Some(unknown) = applied.iter().rfind(|version| !versions.contains(version)) {
        return Err(Failure::Store(StoreError::NewerSchema {
            database: database.to_owned(),
            found: unknown.clone(),
            known: versions.last().cloned().unwrap_or_default(),
        }));
    }
    known.retain(|migration| !applied.contains(&migration.name().version().to_string()));
    Ok(known)
}

fn check_owner<C: LoadConnection<Backend = Sqlite>>(
    connection: &mut C,
    database: &str,
) -> Result<(), Failure> {
    let foreign = |problem: String| {
        Err(Failure::Store(StoreError::ForeignDatabase { database: database.to_owned(), problem }))
    };
    let id = count(connection, "select application_id as n from pragma_application_id", "")?;
    if id != 0 && id != APPLICATION_ID {
        return foreign(format!("its application id is {id:#x}"));
    }
    let is_ours = "select count(*) as n from pragma_table_info('anio_migrations')
                   where name in ('version', 'name', 'applied_at')";
    if count(connection, is_ours, "")? != 3 && n_tables(connection, "anio\\_%")? > 0 {
        return foreign("it has tables named anio_* that Anio did not make".to_owned());
    }
    Ok(())
}

/// How many tables and views have such a name.
fn n_tables<C: LoadConnection<Backend = Sqlite>>(connection: &mut C, like: &str) -> QueryResult<i64> {
    let sql = "select count(*) as n from sqlite_master
               where type in ('table', 'view') and name like ? escape '\\' and name not like 'sqlite\\_%' escape '\\'";
    count(connection, sql, like)
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// The one number that a statement gives; `like` is bound where the statement has a place for it.
fn count<C: LoadConnection<Backend = Sqlite>>(connection: &mut C, sql: &str, like: &str) -> QueryResult<i64> {
    let query = diesel::sql_query(sql);
    let row: Count = if like.is_empty() {
        query.get_result(connection)?
    } else {
        query.bind::<Text, _>(like).get_result(connection)?
    };
    Ok(row.n)
}
