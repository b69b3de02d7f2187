//! Tells when another connection has changed the file.
//!
//! SQLite has no notifications, but it counts the commits of other connections (`pragma data_version`): a
//! number in shared memory, which costs no look at the disk. It is looked at every 200 ms while somebody
//! waits, so a change is told a quarter of a second later at the most.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread;
use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel::sqlite::SqliteConnection;

use super::error::store_error;
use super::open::{self, Access};
use crate::backend::Watcher;
use crate::error::StoreError;
use crate::record::{Change, Durability};

/// How often the number is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// One who watches a file, through a connection of its own: its own commits would not count.
pub(super) struct Watch {
    path: PathBuf,
    /// The connection, and the number when it was last looked at.
    seen: Option<(SqliteConnection, i64)>,
}

impl Watch {
    pub(super) fn new(path: PathBuf) -> Result<Self, StoreError> {
        let mut watch = Self { path, seen: None };
        watch.connect()?;
        Ok(watch)
    }

    fn connect(&mut self) -> Result<(), StoreError> {
        let n_statements = Arc::new(AtomicU64::new(0));
        // It commits nothing, so there is nothing to make durable.
        let mut connection = open::connect(&self.path, Durability::Relaxed, Access::Read, &n_statements)?;
        let version = version(&mut connection)?;
        self.seen = Some((connection, version));
        Ok(())
    }

    /// Whether the number has changed since it was last looked at.
    fn look(&mut self) -> Result<bool, StoreError> {
        let Some((connection, seen)) = &mut self.seen else {
            self.connect()?;
            return Ok(true);
        };
        let before = *seen;
        match version(connection) {
            Ok(now) => *seen = now,
            Err(error) => {
                self.seen = None;
                return Err(error);
            }
        }
        Ok(*seen != before)
    }
}

impl Watcher for Watch {
    fn wait(&mut self, timeout: Duration) -> Result<Option<Change>, StoreError> {
        let until = Instant::now() + timeout;
        loop {
            if self.look()? {
                return Ok(Some(Change::Any));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            thread::sleep(left.min(LOOK_EVERY));
        }
    }
}

#[derive(QueryableByName)]
struct Version {
    #[diesel(sql_type = BigInt)]
    data_version: i64,
}

pub(super) fn version(connection: &mut SqliteConnection) -> Result<i64, StoreError> {
    let row: Version =
        diesel::sql_query("pragma data_version").get_result(connection).map_err(store_error)?;
    Ok(row.data_version)
}
