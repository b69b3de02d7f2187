//! From what the driver says to what the engine does about it: by SQLSTATE and by the kind of the
//! input/output error, never by the text of a message.

use std::error::Error as StdError;
use std::{fmt, io};

use diesel::result::{DatabaseErrorKind, Error as DieselError};
use tokio_postgres::error::SqlState;

use super::address::{Address, LoginError};
use super::connection::{MigrationFailure, TransactionError};
use crate::error::StoreError;

/// An error of the driver in one line, its cause included. Never the details of an error of the server,
/// which may quote rows.
#[derive(Debug)]
struct DriverError(tokio_postgres::Error);

impl fmt::Display for DriverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(error) = self.0.as_db_error() {
            return write!(f, "{} (SQLSTATE {})", error.message(), error.code().code());
        }
        fmt::Display::fmt(&self.0, f)?;
        self.0.source().map_or(Ok(()), |cause| write!(f, ": {cause}"))
    }
}

impl StdError for DriverError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

/// Why there is no connection.
pub(super) fn on_connect(address: &Address, error: LoginError) -> StoreError {
    let database = address.to_string();
    let error = match error {
        LoginError::Driver(error) => error,
        LoginError::Silent(time) => {
            let said = format!("it let nobody in for {} s", time.as_secs());
            let source = Box::new(io::Error::new(io::ErrorKind::TimedOut, said));
            return StoreError::Unreachable { database, source };
        }
    };
    let refused = || StoreError::Refused { database: address.to_string(), user: address.user().to_owned() };
    match error.code() {
        Some(&SqlState::INVALID_PASSWORD | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION) => refused(),
        Some(&SqlState::INVALID_CATALOG_NAME) => StoreError::CannotOpen {
            path: database,
            problem: format!(
                "the server has no database {:?}; create it, or name another",
                address.database()
            ),
        },
        Some(&SqlState::CANNOT_CONNECT_NOW | &SqlState::TOO_MANY_CONNECTIONS) => {
            StoreError::Unreachable { database, source: Box::new(DriverError(error)) }
        }
        Some(_) => on_statement(address, error),
        // A server that asks for a password which the URL has not got: the driver gives up by itself, with
        // an error that tells its kind to nobody. All other kinds come from the network, or from TLS, or are
        // without a cause: the server has hung up, or has said what it should not.
        None if !address.has_password()
            && error.source().is_some_and(|cause| !is_io(cause))
            && !address.wants_tls() =>
        {
            refused()
        }
        None => StoreError::Unreachable { database, source: Box::new(DriverError(error)) },
    }
}

/// Why a statement failed, of which nothing is stored.
pub(super) fn on_statement(database: &dyn fmt::Display, error: tokio_postgres::Error) -> StoreError {
    let Some(code) = error.code().cloned() else {
        return StoreError::Disconnected { source: Box::new(DriverError(error)) };
    };
    let source = Box::new(DriverError(error));
    let class = code.code().get(..2).unwrap_or_default().to_owned();
    match code {
        SqlState::T_R_SERIALIZATION_FAILURE
        | SqlState::T_R_DEADLOCK_DETECTED
        | SqlState::TRANSACTION_ROLLBACK
        | SqlState::LOCK_NOT_AVAILABLE
        | SqlState::QUERY_CANCELED => StoreError::Busy { source },
        SqlState::DISK_FULL => StoreError::Full { source },
        SqlState::READ_ONLY_SQL_TRANSACTION => StoreError::ReadOnly {
            database: database.to_string(),
            problem: "the server is a standby, or its transactions are read-only".to_owned(),
        },
        SqlState::ADMIN_SHUTDOWN
        | SqlState::CRASH_SHUTDOWN
        | SqlState::CANNOT_CONNECT_NOW
        | SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
        | SqlState::IDLE_SESSION_TIMEOUT => StoreError::Disconnected { source },
        _ if class == "08" => StoreError::Disconnected { source },
        // Out of memory, of connections, of locks; the server's disk has failed once.
        _ if class == "53" || class == "58" => StoreError::Busy { source },
        _ => StoreError::Database { source },
    }
}

/// Why a commit failed. Where the server said nothing, or said it while it was going down, nobody knows
/// whether the commit is stored.
pub(super) fn on_commit(database: &dyn fmt::Display, error: tokio_postgres::Error) -> StoreError {
    let unknown = match error.code() {
        None => true,
        Some(code) => {
            *code == SqlState::CRASH_SHUTDOWN
                || *code == SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN
                || code.code().starts_with("08")
        }
    };
    if unknown {
        return StoreError::OutcomeUnknown { source: Box::new(DriverError(error)) };
    }
    on_statement(database, error)
}

/// What errors of the driver mean: [`on_statement`] or [`on_commit`].
type Meaning = fn(&dyn fmt::Display, tokio_postgres::Error) -> StoreError;

/// What an error of the driver means, wherever in diesel it came from.
pub(super) fn of_diesel(database: &dyn fmt::Display, error: DieselError, meaning: Meaning) -> StoreError {
    match error {
        DieselError::QueryBuilderError(cause) => match cause.downcast::<tokio_postgres::Error>() {
            Ok(error) => meaning(database, *error),
            Err(source) => StoreError::Database { source },
        },
        DieselError::DeserializationError(cause) => StoreError::Corrupt { problem: cause.to_string() },
        source => StoreError::Database { source: Box::new(source) },
    }
}

/// What an error of a verb means, where those of the driver mean this.
pub(super) fn of_inner(database: &dyn fmt::Display, error: Inner, meaning: Meaning) -> StoreError {
    match error {
        Inner::Diesel(error) => of_diesel(database, error, meaning),
        Inner::Look(error) => of_diesel(database, error, on_statement),
        Inner::Store(error) => error,
    }
}

/// What an error means on a connection of the user's own, which may be diesel's, whose errors have kinds and
/// no codes. The transaction may have been ours, and its commit under way.
pub(super) fn of_users_connection(database: &dyn fmt::Display, error: Inner) -> StoreError {
    let Inner::Diesel(DieselError::DatabaseError(kind, said)) = error else {
        return of_inner(database, error, on_commit);
    };
    let source = Box::new(DieselError::DatabaseError(kind, said));
    match source.as_ref() {
        DieselError::DatabaseError(DatabaseErrorKind::SerializationFailure, _) => StoreError::Busy { source },
        DieselError::DatabaseError(DatabaseErrorKind::ClosedConnection, _) => {
            StoreError::OutcomeUnknown { source }
        }
        DieselError::DatabaseError(DatabaseErrorKind::ReadOnlyTransaction, said) => {
            StoreError::ReadOnly { database: database.to_string(), problem: said.message().to_owned() }
        }
        _ => StoreError::Database { source },
    }
}

/// The connection was gone before anything was sent.
pub(super) fn closed() -> StoreError {
    let source =
        std::io::Error::new(std::io::ErrorKind::NotConnected, "the server has closed the connection");
    StoreError::Disconnected { source: Box::new(source) }
}

/// An error of a verb: of the database, or of our own.
#[derive(Debug)]
pub(super) enum Inner {
    /// Of the database.
    Diesel(DieselError),
    /// Of the database, by a statement that only reads: without an answer nothing is in doubt.
    Look(DieselError),
    /// Of our own: a lost lease, a row that cannot be read.
    Store(StoreError),
}

impl From<DieselError> for Inner {
    fn from(error: DieselError) -> Self {
        Self::Diesel(error)
    }
}

impl From<MigrationFailure> for Inner {
    fn from(failure: MigrationFailure) -> Self {
        match failure {
            MigrationFailure::Statement(error) => Self::Diesel(error),
            MigrationFailure::Other(source) => Self::Store(StoreError::Database { source }),
        }
    }
}

impl From<StoreError> for Inner {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What the failure of a transaction means.
pub(super) fn of_transaction(address: &Address, error: TransactionError<Inner>) -> StoreError {
    match error {
        TransactionError::Undone(error) => of_inner(address, error, on_statement),
        TransactionError::Unfinished(error) => of_inner(address, error, on_commit),
    }
}

fn is_io(error: &(dyn StdError + 'static)) -> bool {
    let mut error = Some(error);
    while let Some(cause) = error {
        if cause.is::<io::Error>() {
            return true;
        }
        error = cause.source();
    }
    false
}
