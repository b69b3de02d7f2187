//! Makes the tables, and tells whose they are.
//!
//! What has been applied stands in `anio_migrations` and not in diesel's own table, because a user's program
//! may keep its migrations in the same database. Each migration is one transaction under a lock of our own:
//! of processes that start at once, one does it, and the others wait and find nothing to do.

use std::fmt;

use diesel::connection::LoadConnection;
use diesel::migration::{Migration, MigrationSource};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Text};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};

use super::NOW;
use super::address::Address;
use super::connection::Connection;
use super::error::{self, Inner};
use super::schema::anio_migrations;
use crate::error::StoreError;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// The key of the lock under which migrations run: "aniomigr" in ASCII.
const LOCK: i64 = 0x616e_696f_6d69_6772;

/// The names that are Anio's.
const TABLES: [&str; 5] = ["anio_runs", "anio_attempts", "anio_workers", "anio_plans", "anio_tags"];

/// Brings the tables up to this program's version.
pub(super) fn migrate(connection: &mut Connection, address: &Address) -> Result<(), StoreError> {
    let known = known()?;
    // Usually there is nothing to do, and then nothing is locked or written: a standby will do.
    let n_pending = n_pending(connection, address, &known)
        .map_err(|error| error::of_inner(address, error, error::on_statement))?;
    for _ in 0..n_pending {
        connection
            .without_hurry(|connection| {
                connection.in_transaction(|connection| migrate_one(connection, address, &known))
            })
            .map_err(|error| error::of_transaction(address, error))?;
    }
    Ok(())
}

/// Applies the first of the migrations that the database lacks; judged again under the lock.
fn migrate_one(
    connection: &mut Connection,
    address: &Address,
    known: &[Box<dyn Migration<Pg>>],
) -> Result<(), Inner> {
    diesel::sql_query("select pg_advisory_xact_lock($1)").bind::<BigInt, _>(LOCK).execute(connection)?;
    let n_pending = n_pending(connection, address, known)?;
    let Some(migration) = known.get(known.len() - n_pending) else { return Ok(()) };
    connection.batch(
        "create table if not exists anio_migrations (
            version    text   not null primary key,
            name       text   not null,
            applied_at bigint not null
        )",
    )?;
    connection.migrate(migration)?;
    diesel::sql_query(format!(
        "insert into anio_migrations (version, name, applied_at) values ($1, $2, {NOW})"
    ))
    .bind::<Text, _>(migration.name().version().to_string())
    .bind::<Text, _>(migration.name().to_string())
    .execute(connection)?;
    Ok(())
}

/// That a connection sees tables of this program's version. Changes nothing.
///
/// # Errors
/// [`StoreError::NoTables`], and those of [`n_pending`].
pub(super) fn check<C: LoadConnection<Backend = Pg>>(
    connection: &mut C,
    database: &dyn fmt::Display,
) -> Result<(), Inner> {
    match n_pending(connection, database, &known()?)? {
        0 => Ok(()),
        _ => Err(Inner::Store(StoreError::NoTables { database: database.to_string() })),
    }
}

/// The migrations of this program, in their order.
fn known() -> Result<Vec<Box<dyn Migration<Pg>>>, StoreError> {
    let mut known = MIGRATIONS.migrations().map_err(|source| StoreError::Database { source })?;
    known.sort_by_key(|migration| migration.name().version().to_string());
    Ok(known)
}

/// How many of the known migrations the database lacks; they are the last ones. Changes nothing.
///
/// # Errors
/// [`StoreError::ForeignDatabase`] and [`StoreError::NewerSchema`].
fn n_pending<C: LoadConnection<Backend = Pg>>(
    connection: &mut C,
    database: &dyn fmt::Display,
    known: &[Box<dyn Migration<Pg>>],
) -> Result<usize, Inner> {
    let owner = owner(connection)?;
    if owner.is_foreign {
        return Err(Inner::Store(StoreError::ForeignDatabase {
            database: database.to_string(),
            problem: "it has tables named anio_* that Anio did not make".to_owned(),
        }));
    }
    if !owner.has_migrations {
        return Ok(known.len());
    }
    let applied: Vec<String> = anio_migrations::table
        .select(anio_migrations::version)
        .order(anio_migrations::version)
        .load(connection)?;
    let versions: Vec<String> =
        known.iter().map(|migration| migration.name().version().to_string()).collect();
    if let Some(unknown) = applied.iter().rfind(|version| !versions.contains(version)) {
        return Err(Inner::Store(StoreError::NewerSchema {
            database: database.to_string(),
            found: unknown.clone(),
            known: versions.last().cloned().unwrap_or_default(),
        }));
    }
    Ok(versions.len() - applied.len())
}

// Tables that a name without a schema would find. Three columns make a table of migrations ours.
const OWNER: &str = "
with ours as (
    select count(*) = 3 as stands
    from pg_attribute
    where attrelid = to_regclass('anio_migrations')
        and attname in ('version', 'name', 'applied_at')
        and not attisdropped
), named as (
    select count(*) > 0 as stand
    from pg_class
    where relname = any ($1) and relkind in ('r', 'p', 'v', 'm', 'f') and pg_table_is_visible(oid)
)
select ours.stands as has_migrations,
    named.stand and not ours.stands as is_foreign
from ours, named";

#[derive(QueryableByName)]
struct Owner {
    #[diesel(sql_type = Bool)]
    has_migrations: bool,
    #[diesel(sql_type = Bool)]
    is_foreign: bool,
}

fn owner<C: LoadConnection<Backend = Pg>>(connection: &mut C) -> QueryResult<Owner> {
    let names: Vec<&str> = TABLES.into_iter().chain(["anio_migrations"]).collect();
    diesel::sql_query(OWNER).bind::<Array<Text>, _>(names).get_result(connection)
}
