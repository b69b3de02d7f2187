//! What SQLite says, by type.
//!
//! Diesel passes on the extended result code of constraints only; of all others it keeps nothing but
//! `sqlite3_errmsg`, which for these codes is the fixed text of `sqlite3_errstr`. The table below is that
//! list read backwards. It is safe because SQLite is bundled, and tests provoke each of its lines (a failing disk
//! stands in `tests/failing_disk.rs`).

use diesel::result::{ConnectionError, DatabaseErrorKind, Error as DieselError};

use crate::error::StoreError;

/// Why a transaction was rolled back.
#[derive(Debug)]
pub(super) enum Failure {
    /// The engine's own reason.
    Store(StoreError),
    /// SQLite's.
    Sqlite(DieselError),
}

impl Failure {
    pub(super) fn into_error(self) -> StoreError {
        match self {
            Self::Store(error) => error,
            Self::Sqlite(error) => store_error(error),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<DieselError> for Failure {
    fn from(error: DieselError) -> Self {
        Self::Sqlite(error)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Code {
    Busy,
    Full,
    Disk,
    ReadOnly,
    NotADatabase,
    Corrupt,
    Other,
}

fn code(error: &DieselError) -> Code {
    let DieselError::DatabaseError(DatabaseErrorKind::Unknown, said) = error else { return Code::Other };
    match said.message() {
        // SQLITE_BUSY, SQLITE_LOCKED
        "database is locked" | "database table is locked" => Code::Busy,
        // SQLITE_FULL
        "database or disk is full" => Code::Full,
        // SQLITE_IOERR, SQLITE_CANTOPEN (of the log beside a database that is open)
        "disk I/O error" | "unable to open database file" => Code::Disk,
        // SQLITE_READONLY
        "attempt to write a readonly database" => Code::ReadOnly,
        // SQLITE_NOTADB
        "file is not a database" => Code::NotADatabase,
        // SQLITE_CORRUPT
        "database disk image is malformed" => Code::Corrupt,
        _ => Code::Other,
    }
}

/// Whether the file is not a database, which SQLite says at the first statement.
pub(super) fn is_not_a_database(error: &DieselError) -> bool {
    code(error) == Code::NotADatabase
}

pub(super) fn store_error(error: DieselError) -> StoreError {
    match code(&error) {
        Code::Busy => StoreError::Busy { source: error.into() },
        Code::Full => StoreError::Full { source: error.into() },
        Code::Disk => StoreError::Disk { source: error.into() },
        Code::ReadOnly => {
            StoreError::ReadOnly { database: "the SQLite file".to_owned(), problem: error.to_string() }
        }
        Code::Corrupt => StoreError::Corrupt { problem: error.to_string() },
        Code::NotADatabase | Code::Other => StoreError::Database { source: error.into() },
    }
}

/// An error of opening, before any statement.
pub(super) fn cannot_open(path: &str, error: &ConnectionError) -> StoreError {
    StoreError::CannotOpen { path: path.to_owned(), problem: error.to_string() }
}

#[cfg(test)]
mod tests {
    use diesel::connection::SimpleConnection;
    use diesel::prelude::*;
    use diesel::sqlite::SqliteConnection;

    use super::*;

    fn says(connection: &mut SqliteConnection, sql: &str) -> Code {
        code(&connection.batch_execute(sql).unwrap_err())
    }

    #[test]
    fn every_code_of_the_table_is_told_by_the_bundled_sqlite() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.db");
        let connect = || SqliteConnection::establish(file.to_str().unwrap()).unwrap();
        let (mut one, mut two) = (connect(), connect());

        one.batch_execute("create table t (x); begin immediate").unwrap();
        assert_eq!(says(&mut two, "begin immediate"), Code::Busy);
        one.batch_execute("rollback").unwrap();

        one.batch_execute("pragma max_page_count = 2").unwrap();
        assert_eq!(says(&mut one, "insert into t values (zeroblob(1000000))"), Code::Full);

        two.batch_execute("pragma query_only = on").unwrap();
        assert_eq!(says(&mut two, "insert into t values (1)"), Code::ReadOnly);

        let text = directory.path().join("text.db");
        std::fs::write(&text, [b'x'; 4096]).unwrap();
        let mut no_database = SqliteConnection::establish(text.to_str().unwrap()).unwrap();
        assert_eq!(says(&mut no_database, "select * from sqlite_master"), Code::NotADatabase);

        let mut bytes = std::fs::read(&file).unwrap();
        bytes[100..4096].fill(0x5a);
        let broken = directory.path().join("broken.db");
        std::fs::write(&broken, bytes).unwrap();
        let mut corrupt = SqliteConnection::establish(broken.to_str().unwrap()).unwrap();
        assert_eq!(says(&mut corrupt, "select * from sqlite_master"), Code::Corrupt);
    }
}
