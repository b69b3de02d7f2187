//! What can go wrong between a test and its database.

use std::{fmt, io, path::PathBuf};

use super::{BIN_VARIABLE, VARIABLE};

/// Why there is no server, or no database on it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// `ANIO_TEST_POSTGRES=off`: nothing was started. Skip the test.
    Off,
    /// No directory that holds `initdb`, `pg_ctl` and `postgres`. The message says what to install.
    Missing,
    /// `ANIO_POSTGRES_BIN` names a directory without these three programs.
    NotBinaries {
        /// The directory that was named.
        directory: PathBuf,
    },
    /// `ANIO_TEST_POSTGRES` is neither a URL that can be used here nor `off`. The URL is not repeated, since
    /// it may hold a password.
    Url {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Postgres does not run as root, and there is no account to run it as.
    NoUser,
    /// A file, a process or a connection failed.
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// A program of Postgres failed. The server is not running.
    Program {
        /// The step: `initdb`, `start` or `stop`.
        step: &'static str,
        /// The end of what it printed.
        output: String,
    },
    /// The server answered with an error. The connection is closed.
    Refused {
        /// The SQLSTATE, for example `3D000`.
        code: String,
        /// The message in the words of the server.
        message: String,
    },
    /// The server asks for a password in a way that the small client of this crate does not speak.
    Password,
    /// The server runs elsewhere (`ANIO_TEST_POSTGRES` is a URL), so it is not stopped or started from here.
    NotOurs,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => write!(f, "Postgres is switched off: {VARIABLE}=off"),
            Self::Missing => write!(
                f,
                "no Postgres found: install the package `postgresql` (or run `cargo xtask test`, which fetches \
                 one), or point {BIN_VARIABLE} at the directory of initdb, or set {VARIABLE}=off"
            ),
            Self::NotBinaries { directory } => write!(
                f,
                "{BIN_VARIABLE}={} does not hold initdb, pg_ctl and postgres",
                directory.display()
            ),
            Self::Url { reason } => write!(f, "{VARIABLE}: {reason}"),
            Self::NoUser => f.write_str(
                "Postgres does not run as root: create the account `postgres` or `nobody`, or run the tests as \
                 another user",
            ),
            Self::Io { doing, source } => write!(f, "{doing}: {source}"),
            Self::Program { step, output } => write!(f, "Postgres: {step} failed: {output}"),
            Self::Refused { code, message } => write!(f, "Postgres: {message} ({code})"),
            Self::Password => f.write_str(
                "the server asks for an encrypted password; the tests connect by `trust` or a plain password",
            ),
            Self::NotOurs => write!(f, "{VARIABLE} names a server that the tests neither stop nor start"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl Error {
    /// For `map_err`: what was being done when the operating system refused.
    pub(super) fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }
}
