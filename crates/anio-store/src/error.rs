//! What can go wrong between the engine and its database, by type.

use std::error::Error as StdError;

use anio_core::RunId;
use thiserror::Error;

/// An error of the store. Passwords never show in one.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The URL is not one that names a store. Nothing was opened.
    #[error("store URL {url:?}: {problem}")]
    InvalidUrl {
        /// The URL, its password replaced by `***`.
        url: String,
        /// What is wrong, and what is allowed.
        problem: String,
    },
    /// The file cannot be opened or made. Nothing was changed.
    #[error("cannot open {path:?}: {problem}")]
    CannotOpen {
        /// The file.
        path: String,
        /// Why, and what to do.
        problem: String,
    },
    /// The file is not a SQLite database. Nothing was changed.
    #[error("{path:?} is not a SQLite database; name another file, or move this one away")]
    NotADatabase {
        /// The file.
        path: String,
    },
    /// The database has tables named like Anio's that another program made. Nothing was changed.
    #[error("{database} belongs to another program: {problem}")]
    ForeignDatabase {
        /// The database, without its password.
        database: String,
        /// How that shows.
        problem: String,
    },
    /// A newer version of Anio made the tables. Nothing was changed; use that version.
    #[error("{database} has schema {found}, newer than this program knows ({known}); upgrade the program")]
    NewerSchema {
        /// The database, without its password.
        database: String,
        /// The newest migration found in it.
        found: String,
        /// The newest migration of this program.
        known: String,
    },
    /// The database lacks tables of this version of Anio. Nothing was changed; open the engine on that
    /// database first, which makes them.
    #[error("{database} lacks the tables of this version of Anio; open the engine on that database first")]
    NoTables {
        /// The database, without its password.
        database: String,
    },
    /// What a run was given beside its input is over a limit. Nothing was stored.
    #[error("workflow {workflow:?}: {option} {problem}")]
    InvalidOption {
        /// The workflow.
        workflow: String,
        /// Which option: `idempotency_key`, `tags` or `traceparent`.
        option: &'static str,
        /// What is wrong with it, and what is allowed.
        problem: String,
    },
    /// There is a run of this workflow with this idempotency key, and with another input. Nothing was stored:
    /// submit the same input, or use another key.
    #[error("workflow {workflow:?}: run {run} has the idempotency key {key:?} and another input")]
    IdempotencyConflict {
        /// The workflow.
        workflow: String,
        /// The key.
        key: String,
        /// The run that has it.
        run: RunId,
    },
    /// The database can only be read. Nothing was changed.
    #[error("{database} cannot be written: {problem}")]
    ReadOnly {
        /// The database.
        database: String,
        /// Why.
        problem: String,
    },
    /// The server does not answer.
    #[error("cannot reach {database}: {source}")]
    Unreachable {
        /// The server, without its password.
        database: String,
        /// What the network says.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The server refuses the user or the password.
    #[error("{database} refuses user {user:?}: check the user, the password and the server's pg_hba.conf")]
    Refused {
        /// The server, without its password.
        database: String,
        /// The user.
        user: String,
    },
    /// This worker's lease is lost: another worker has taken its runs. Nothing of the batch was stored.
    #[error("the lease of this worker is lost: another worker has taken over its runs")]
    LeaseLost,
    /// The connection broke while a commit was under way: it may have become durable or not.
    #[error("the connection broke while a commit was under way")]
    OutcomeUnknown {
        /// What the driver says.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The connection is gone; nothing is under way.
    #[error("the connection to the database is gone: {source}")]
    Disconnected {
        /// What the driver says.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The database is busy: another process holds its lock. Worth trying again.
    #[error("the database is busy: {source}")]
    Busy {
        /// What the driver says.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// There is no space left.
    #[error("no space is left for the database: {source}")]
    Full {
        /// What the driver says.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The disk fails. What was asked for was not done; a commit that the disk failed to make durable may be
    /// there all the same after a crash. Not worth trying again: after a failed sync nobody knows what the disk
    /// holds, and only to open the database anew tells.
    #[error("the disk under the database fails: {source}")]
    Disk {
        /// What the driver says.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// A stored row does not read as what this program wrote.
    #[error("a stored row cannot be read: {problem}")]
    Corrupt {
        /// Which row, and what is wrong with it.
        problem: String,
    },
    /// The store has been closed.
    #[error("the store is closed")]
    Closed,
    /// Anything else that the database says.
    #[error("database: {source}")]
    Database {
        /// What the driver says.
        source: Box<dyn StdError + Send + Sync>,
    },
}

impl StoreError {
    /// Whether the same call may succeed later, and nothing of it was stored.
    pub const fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Busy { .. } | Self::Disconnected { .. } | Self::Unreachable { .. } | Self::Full { .. }
        )
    }

    /// The same error once more, for another who waited for the same thing. Errors of drivers cannot be
    /// copied; their words can.
    pub(crate) fn for_another(&self) -> Self {
        let words = |source: &dyn StdError| source.to_string().into();
        match self {
            Self::LeaseLost => Self::LeaseLost,
            Self::Closed => Self::Closed,
            Self::OutcomeUnknown { source } => Self::OutcomeUnknown { source: words(&**source) },
            Self::Disconnected { source } => Self::Disconnected { source: words(&**source) },
            Self::Busy { source } => Self::Busy { source: words(&**source) },
            Self::Full { source } => Self::Full { source: words(&**source) },
            Self::Disk { source } => Self::Disk { source: words(&**source) },
            Self::Unreachable { database, source } => {
                Self::Unreachable { database: database.clone(), source: words(&**source) }
            }
            Self::ReadOnly { database, problem } => {
                Self::ReadOnly { database: database.clone(), problem: problem.clone() }
            }
            Self::Database { source } => Self::Database { source: words(&**source) },
            other => Self::Database { source: words(other) },
        }
    }
}
