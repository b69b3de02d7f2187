//! Opens a file: first the checks that change nothing, then the connection and its settings.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use diesel::connection::{Connection, InstrumentationEvent, SimpleConnection};
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel::sqlite::SqliteConnection;

use super::error::{Failure, cannot_open, is_not_a_database, store_error};
use super::{migrate, transaction};
use crate::error::StoreError;
use crate::record::Durability;

/// How long a statement waits for another process's lock before it says `Busy`.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The oldest SQLite that is safe: older ones may corrupt a database when a WAL is reset
/// (<https://sqlite.org/wal.html#walresetbug>).
const VERSION_MIN: (u32, u32, u32) = (3, 51, 3);

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Write,
    Read,
}

/// Refuses what is not a database of ours, or cannot be written, without changing it. Returns the file's
/// full path, by which all processes find the same locks.
pub(super) fn check(path: &Path) -> Result<PathBuf, StoreError> {
    let path = full_path(path)?;
    check_file(&path)?;
    check_directory(&path)?;
    if fs::metadata(&path).is_ok_and(|file| file.len() > 0) {
        patiently(|| check_owner(&path))?;
    }
    Ok(path)
}

fn full_path(path: &Path) -> Result<PathBuf, StoreError> {
    let failed = |problem: String| StoreError::CannotOpen { path: path.display().to_string(), problem };
    let name = path.file_name().ok_or_else(|| failed("it names no file".to_owned()))?;
    if let Ok(full) = fs::canonicalize(path) {
        return Ok(full);
    }
    let directory = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    let directory = fs::canonicalize(directory).map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            failed(format!("directory {} does not exist; make it first", directory.display()))
        }
        _ => failed(error.to_string()),
    })?;
    Ok(directory.join(name))
}

/// The file, where there is one, is a database and can be written.
fn check_file(path: &Path) -> Result<(), StoreError> {
    let name = path.display().to_string();
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(StoreError::CannotOpen { path: name, problem: error.to_string() }),
    };
    if file.metadata().is_ok_and(|file| file.is_dir()) {
        return Err(StoreError::CannotOpen { path: name, problem: "it is a directory".to_owned() });
    }
    let mut head = Vec::new();
    file.by_ref()
        .take(16)
        .read_to_end(&mut head)
        .map_err(|error| StoreError::CannotOpen { path: name.clone(), problem: error.to_string() })?;
    // Where a transaction was cut short, what is there is not yet what SQLite makes of it.
    if !head.is_empty() && head != *b"SQLite format 3\0" && !has_journal(path) {
        return Err(StoreError::NotADatabase { path: name });
    }
    OpenOptions::new().write(true).open(path).map(drop).map_err(|error| StoreError::ReadOnly {
        database: name,
        problem: format!("the file is read-only ({error})"),
    })
}

/// Whether a rollback journal lies beside the file: the program that wrote last died in the middle.
fn has_journal(path: &Path) -> bool {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push("-journal");
    fs::metadata(path.with_file_name(name)).is_ok_and(|journal| journal.len() > 0)
}

/// The directory takes new files: the WAL beside the database, and the locks of workers. Where a process was killed in
/// the middle of this, its file has the name of the next one's, which removes it.
fn check_directory(path: &Path) -> Result<(), StoreError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".probe");
    let probe = path.with_file_name(name);
    let made = OpenOptions::new().write(true).create(true).truncate(false).open(&probe);
    let _ = fs::remove_file(&probe); // Another process that starts may have been faster.
    made.map(drop).map_err(|error| StoreError::ReadOnly {
        database: path.display().to_string(),
        problem: format!("its directory takes no new file, and a WAL must lie beside it ({error})"),
    })
}

/// The tables are ours, or there are none of our names. Looks through a connection that cannot write, so that nothing
/// is changed; but a journal that a killed process left behind can only be rolled back by one that can.
fn check_owner(path: &Path) -> Result<(), StoreError> {
    match look_at_owner(path, "ro") {
        Err(StoreError::ReadOnly { .. }) => look_at_owner(path, "rw"),
        outcome => outcome,
    }
}

fn look_at_owner(path: &Path, mode: &str) -> Result<(), StoreError> {
    let name = path.display().to_string();
    let uri = format!("file:{}?mode={mode}", escaped(&text(path)?));
    let mut connection = SqliteConnection::establish(&uri).map_err(|error| cannot_open(&name, &error))?;
    set_busy_timeout(&mut connection).map_err(store_error)?;
    // One transaction, so that it does not see half of what another process makes at this moment.
    match transaction::snapshot(&mut connection, |connection| migrate::pending(connection, &name)) {
        Ok(_) => Ok(()),
        Err(Failure::Sqlite(error)) if is_not_a_database(&error) => {
            Err(StoreError::NotADatabase { path: name })
        }
        Err(failure) => Err(failure.into_error()),
    }
}

/// Connects and makes the settings of this engine.
pub(super) fn connect(
    path: &Path,
    durability: Durability,
    access: Access,
    n_statements: &Arc<AtomicU64>,
) -> Result<SqliteConnection, StoreError> {
    patiently(|| try_connect(path, durability, access, n_statements))
}

fn try_connect(
    path: &Path,
    durability: Durability,
    access: Access,
    n_statements: &Arc<AtomicU64>,
) -> Result<SqliteConnection, StoreError> {
    let name = text(path)?;
    let mut connection = SqliteConnection::establish(&name).map_err(|error| cannot_open(&name, &error))?;
    check_version(&mut connection)?;
    set_busy_timeout(&mut connection).map_err(store_error)?;
    if access == Access::Write {
        connection.batch_execute("pragma journal_mode = wal").map_err(store_error)?;
    }
    // Each in a statement of its own, so that each is waited for.
    let synchronous = match durability {
        Durability::Full => "pragma synchronous = full",
        Durability::Relaxed => "pragma synchronous = normal",
    };
    let only = if access == Access::Read { "pragma query_only = on" } else { "pragma query_only = off" };
    for pragma in [synchronous, "pragma cache_size = -16384", "pragma temp_store = memory", only] {
        connection.batch_execute(pragma).map_err(store_error)?;
    }
    let counter = Arc::clone(n_statements);
    connection.set_instrumentation(move |event: InstrumentationEvent<'_>| {
        if matches!(event, InstrumentationEvent::StartQuery { .. }) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    Ok(connection)
}

fn set_busy_timeout(connection: &mut SqliteConnection) -> QueryResult<()> {
    connection.batch_execute(&format!("pragma busy_timeout = {}", BUSY_TIMEOUT.as_millis()))
}

/// Tries again while another process is at work: SQLite does not wait by itself where two switch a file to
/// WAL at once, or where one finds the other recovering it.
fn patiently<T>(mut attempt: impl FnMut() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let until = Instant::now() + BUSY_TIMEOUT;
    loop {
        match attempt() {
            Err(StoreError::Busy { .. }) if Instant::now() < until => thread::sleep(Duration::from_millis(5)),
            outcome => return outcome,
        }
    }
}

#[derive(QueryableByName)]
struct Version {
    #[diesel(sql_type = Text)]
    version: String,
}

fn check_version(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let found: Version = diesel::sql_query("select sqlite_version() as version")
        .get_result(connection)
        .map_err(store_error)?;
    let mut parts = found.version.split('.').map(|part| part.parse().unwrap_or(0));
    let mut part = || parts.next().unwrap_or(0);
    let version = (part(), part(), part());
    assert!(version >= VERSION_MIN, "SQLite {} may corrupt databases; link one that is newer", found.version);
    Ok(())
}

fn text(path: &Path) -> Result<String, StoreError> {
    path.to_str().map(str::to_owned).ok_or_else(|| StoreError::CannotOpen {
        path: path.display().to_string(),
        problem: "its path is not UTF-8".to_owned(),
    })
}

/// A path in a `file:` URI.
fn escaped(path: &str) -> String {
    path.replace('%', "%25").replace('?', "%3f").replace('#', "%23")
}

#[cfg(test)]
mod tests {
    use diesel::sql_types::Integer;

    use super::*;

    #[derive(QueryableByName)]
    struct Level {
        #[diesel(sql_type = Integer)]
        synchronous: i32,
    }

    #[derive(QueryableByName)]
    struct Journal {
        #[diesel(sql_type = Text)]
        journal_mode: String,
    }

    #[test]
    fn a_commit_waits_for_the_disk_unless_that_was_relaxed() {
        let directory = tempfile::tempdir().unwrap();
        for (durability, level) in [(Durability::Full, 2), (Durability::Relaxed, 1)] {
            let file = directory.path().join("a.db");
            let mut connection = connect(&file, durability, Access::Write, &Arc::default()).unwrap();
            let found: Level = diesel::sql_query("pragma synchronous").get_result(&mut connection).unwrap();
            assert_eq!(found.synchronous, level, "{durability:?}");
            let found: Journal =
                diesel::sql_query("pragma journal_mode").get_result(&mut connection).unwrap();
            assert_eq!(found.journal_mode, "wal");
        }
    }
}
