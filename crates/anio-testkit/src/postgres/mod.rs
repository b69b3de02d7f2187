//! A Postgres server of one's own, a database per test, and nothing left behind.
//!
//! ```text
//! test process ── pipe ──► sh (supervisor) ──► initdb, pg_ctl start
//!      │ exit, panic, kill -9: the pipe ends       │
//!      ✗                                           └─► pg_ctl stop -m immediate, rm -rf its directory, exit
//! ```
//!
//! The server is configured as a careful administrator would: `fsync` and `synchronous_commit` stay on, since
//! what the tests ask is mostly whether something is durable.
//!
//! [`VARIABLE`] says where to test: unset, a server is started per test process; a `postgres://` URL names a
//! running one (`cargo xtask test` starts one for the whole suite); `off` leaves these tests out, by name.

mod address;
mod binaries;
mod client;
mod database;
mod error;
pub mod proxy;
mod server;
mod supervisor;

use std::io::Write as _;

pub use self::{
    binaries::{Binaries, download_directory},
    database::Database,
    error::Error,
    server::Server,
};

/// The environment variable that says where to test: a `postgres://` URL, `off`, or unset.
pub const VARIABLE: &str = "ANIO_TEST_POSTGRES";

/// The environment variable that names the directory of `initdb`, `pg_ctl` and `postgres`.
pub const BIN_VARIABLE: &str = "ANIO_POSTGRES_BIN";

/// Whether the tests on Postgres are switched off by name (`ANIO_TEST_POSTGRES=off`).
pub fn is_off() -> bool {
    std::env::var_os(VARIABLE).is_some_and(|value| value == "off")
}

/// A fresh database on the [shared server](Server::shared), for the test that calls this.
///
/// `None` means that Postgres is switched off: a line on standard error then names the skipped test, and the
/// test is to return.
///
/// # Panics
/// With one line when Postgres is missing, or does not start.
#[track_caller]
pub fn test_database() -> Option<Database> {
    unless_off(|| Ok(Server::shared()?.database()?))
}

/// A server of its own for the test that calls this, to be stopped and started again at will.
///
/// `None` as in [`test_database`].
///
/// # Panics
/// With one line when Postgres is missing, or does not start.
#[track_caller]
pub fn test_server() -> Option<Server> {
    unless_off(|| Ok(Server::start()?))
}

#[track_caller]
fn unless_off<T>(open: impl FnOnce() -> Result<T, Box<dyn std::error::Error>>) -> Option<T> {
    if is_off() {
        let thread = std::thread::current();
        let test = thread.name().unwrap_or("a test");
        // Not `eprintln!`: that is captured, and shown only for tests that fail.
        let _ = writeln!(std::io::stderr(), "skipped {test}: {VARIABLE}=off");
        return None;
    }
    match open() {
        Ok(opened) => Some(opened),
        Err(error) => panic!("{error}"),
    }
}
