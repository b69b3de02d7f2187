//! A fresh database for one repetition of one workload.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anio_store::{Store, StoreOptions};
use anio_testkit::postgres::{self, Server};
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel::sqlite::SqliteConnection;

use crate::Result;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    Sqlite,
    Postgres,
}

impl Backend {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// An empty database that goes away with this value.
pub(crate) enum Database {
    Sqlite(File),
    Postgres(postgres::Database),
}

/// A file in a directory of its own, so that what lies beside it goes too.
pub(crate) struct File {
    directory: PathBuf,
}

impl File {
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.join("anio.db")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl Database {
    /// A database without tables.
    pub(crate) fn create(backend: Backend) -> Result<Self> {
        Ok(match backend {
            Backend::Sqlite => {
                static N_CREATED: AtomicU32 = AtomicU32::new(0);
                let n = N_CREATED.fetch_add(1, Ordering::Relaxed);
                let directory = bench_directory()?.join(format!("{}-{n}", std::process::id()));
                fs::create_dir_all(&directory)?;
                Self::Sqlite(File { directory })
            }
            Backend::Postgres => Self::Postgres(Server::shared()?.database()?),
        })
    }

    /// A database with the engine's tables.
    pub(crate) fn with_tables(backend: Backend) -> Result<Self> {
        let database = Self::create(backend)?;
        let url = database.url();
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
            let store = Store::open(&url, StoreOptions::default()).await?;
            store.close().await;
            Result::Ok(())
        })?;
        Ok(database)
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite(file) => format!("sqlite://{}", file.path().display()),
            Self::Postgres(database) => database.url(),
        }
    }

    /// The first value that a query gives, which is a number.
    pub(crate) fn number(&self, sql: &str) -> Result<i64> {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = BigInt)]
            n: i64,
        }
        match self {
            Self::Sqlite(file) => {
                let mut connection = connect(&file.path())?;
                let row: Row =
                    diesel::sql_query(format!("select ({sql}) as n")).get_result(&mut connection)?;
                Ok(row.n)
            }
            Self::Postgres(database) => {
                let rows = database.query(&format!("select ({sql})::bigint"))?;
                let value = rows.into_iter().flatten().flatten().next().ok_or("the query gave nothing")?;
                Ok(value.parse()?)
            }
        }
    }

    /// Rows that were inserted or updated for the runs in it: one per fact, two per run (submitted, ended),
    /// and a third for a run that was taken from the queue.
    pub(crate) fn n_rows_written(&self) -> Result<i64> {
        self.number(
            "select (select count(*) from anio_attempts) + 2 * count(*)
                + coalesce(sum(case when started_at <> submitted_at then 1 else 0 end), 0)
            from anio_runs",
        )
    }

    /// Bytes that have gone into the database so far: on SQLite the size of the file once the WAL is in it;
    /// on Postgres what has been written ahead to the log, which is of the server as a whole.
    pub(crate) fn n_bytes(&self) -> Result<i64> {
        match self {
            Self::Sqlite(file) => {
                let mut connection = connect(&file.path())?;
                diesel::sql_query("pragma wal_checkpoint(truncate)").execute(&mut connection)?;
                Ok(i64::try_from(fs::metadata(file.path())?.len())?)
            }
            Self::Postgres(_) => self.number("select pg_current_wal_insert_lsn() - '0/0'::pg_lsn"),
        }
    }
}

pub(crate) fn connect(path: &Path) -> Result<SqliteConnection> {
    let mut connection = SqliteConnection::establish(&path.display().to_string())?;
    for pragma in ["busy_timeout = 10000", "synchronous = full", "cache_size = -16384", "temp_store = memory"]
    {
        diesel::sql_query(format!("pragma {pragma}")).execute(&mut connection)?;
    }
    Ok(connection)
}

/// `target/bench`: beside the program, hence on a disk and not in memory.
fn bench_directory() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(2).ok_or("the program lies in no directory")?;
    Ok(target.join("bench"))
}
