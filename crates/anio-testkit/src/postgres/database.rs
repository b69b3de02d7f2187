//! One database, for one test.

use std::{
    process,
    sync::atomic::{AtomicU32, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use super::{
    Error,
    address::Address,
    client::{Client, Row},
};

/// An empty database that goes away with this value, connections to it included.
#[derive(Debug)]
pub struct Database {
    address: Address,
    name: String,
}

impl Database {
    pub(super) fn create(address: &Address) -> Result<Self, Error> {
        let database = Self { address: address.clone(), name: unused_name() };
        // template0, since nobody can be connected to it: Postgres refuses to copy a template that is in use.
        database.administer(&format!("create database {} template template0", database.name))?;
        Ok(database)
    }

    /// `postgres://user@host:port/name`.
    pub fn url(&self) -> String {
        self.address.url(&self.name)
    }

    /// The name of the database on its server.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs SQL on a connection of its own and gives the rows as text, `None` for null.
    ///
    /// # Errors
    /// [`Error::Refused`] with the words of the server, [`Error::Io`] if it does not answer within a minute.
    pub fn query(&self, sql: &str) -> Result<Vec<Row>, Error> {
        Client::connect(&self.address, &self.name)?.query(sql)
    }

    fn administer(&self, sql: &str) -> Result<Vec<Row>, Error> {
        Client::connect(&self.address, &self.address.database)?.query(sql)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Best effort: the server may have been stopped by its test, and then its directory goes too.
        let _ = self.administer(&format!("drop database if exists {} with (force)", self.name));
    }
}

/// Unique in this process by the counter, beside others by the process id, and on a server that machines or
/// containers share by the time.
fn unused_name() -> String {
    static N_CREATED: AtomicU32 = AtomicU32::new(0);
    let n = N_CREATED.fetch_add(1, Ordering::Relaxed);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos();
    format!("anio_test_{}_{nanos:x}_{n}", process::id())
}
