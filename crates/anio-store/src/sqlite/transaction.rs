//! One transaction: wholly or not at all, and an error that says what went wrong first.
//!
//! Diesel's own would do, but for a disk that is full or fails: SQLite then rolls back by itself, the
//! `rollback` that follows finds nothing to roll back, and its error would hide the one that tells why.

use diesel::connection::SimpleConnection;
use diesel::sqlite::SqliteConnection;

use super::error::Failure;

/// Runs `work` in one transaction that holds the write lock from its beginning.
pub(super) fn immediate<T>(
    connection: &mut SqliteConnection,
    work: impl FnOnce(&mut SqliteConnection) -> Result<T, Failure>,
) -> Result<T, Failure> {
    within(connection, "begin immediate", work)
}

/// Runs `work`, which only reads, on the database as it is at one moment.
pub(super) fn snapshot<T>(
    connection: &mut SqliteConnection,
    work: impl FnOnce(&mut SqliteConnection) -> Result<T, Failure>,
) -> Result<T, Failure> {
    within(connection, "begin", work)
}

fn within<T>(
    connection: &mut SqliteConnection,
    begin: &str,
    work: impl FnOnce(&mut SqliteConnection) -> Result<T, Failure>,
) -> Result<T, Failure> {
    connection.batch_execute(begin)?;
    let outcome = work(connection).and_then(|value| {
        connection.batch_execute("commit")?;
        Ok(value)
    });
    if outcome.is_err() {
        // It fails where nothing is left to be rolled back, and there alone.
        let _ = connection.batch_execute("rollback");
    }
    outcome
}
