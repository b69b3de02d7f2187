//! Whether a worker's process lives, told by the operating system.
//!
//! A worker holds an exclusive lock on `<database>.<worker>.lock` for as long as its process lives; the
//! system drops the lock when the process ends, however it ends. So a file that is there **and can be
//! locked** proves the worker dead. A file that is missing, or that cannot be opened, proves nothing: then
//! the lease must run out. The lock belongs to the open file, so two engines in one process see each
//! other's as those of strangers.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::error::StoreError;
use crate::record::WorkerId;

const SUFFIX: &str = ".lock";

/// The locks of a database: those held here, and the look at those of others.
#[derive(Debug)]
pub(super) struct WorkerLocks {
    directory: PathBuf,
    prefix: String,
    held: HashMap<WorkerId, File>,
}

impl WorkerLocks {
    /// The locks beside a database file.
    pub(super) fn beside(database: &Path) -> Self {
        let directory = database.parent().unwrap_or(Path::new("/")).to_owned();
        let name = database.file_name().unwrap_or_default().to_string_lossy();
        Self { directory, prefix: format!("{name}."), held: HashMap::new() }
    }

    /// Takes the lock of a worker of this process, and keeps it.
    pub(super) fn take(&mut self, worker: WorkerId) -> Result<(), StoreError> {
        if self.held.contains_key(&worker) {
            return Ok(());
        }
        let path = self.path(worker);
        let failed = |problem: String| StoreError::CannotOpen { path: path.display().to_string(), problem };
        let file = options().create(true).open(&path).map_err(|error| failed(error.to_string()))?;
        match file.try_lock() {
            // Where a file system has no locks, the lease alone tells.
            Ok(()) | Err(TryLockError::Error(_)) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(failed("another process holds the lock of this worker".to_owned()));
            }
        }
        self.held.insert(worker, file);
        Ok(())
    }

    /// Whether the worker's process is provably gone.
    pub(super) fn is_free(&self, worker: WorkerId) -> bool {
        self.grab(worker).is_some()
    }

    /// The lock of a dead worker; `None` where it is held, or proves nothing.
    pub(super) fn grab(&self, worker: WorkerId) -> Option<File> {
        if self.held.contains_key(&worker) {
            return None;
        }
        let file = options().open(self.path(worker)).ok()?;
        file.try_lock().ok().map(|()| file)
    }

    /// Removes the lock of a worker that is buried or let go.
    pub(super) fn remove(&mut self, worker: WorkerId) {
        self.held.remove(&worker);
        // One that stays behind is swept by the next worker that registers.
        let _ = fs::remove_file(self.path(worker));
    }

    /// Removes locks that processes left behind which died between burying a worker and removing its lock.
    /// A lock that is held is of a worker that has yet to write its row.
    pub(super) fn sweep(&self, standing: &HashSet<WorkerId>) {
        let Ok(entries) = fs::read_dir(&self.directory) else { return };
        entries
            .filter_map(|entry| self.worker_of(entry.ok()?.file_name().to_str()?))
            .filter(|worker| !standing.contains(worker) && self.is_free(*worker))
            .for_each(|worker| {
                let _ = fs::remove_file(self.path(worker));
            });
    }

    fn worker_of(&self, file_name: &str) -> Option<WorkerId> {
        let id = file_name.strip_prefix(&self.prefix)?.strip_suffix(SUFFIX)?;
        Uuid::parse_str(id).ok().map(WorkerId)
    }

    fn path(&self, worker: WorkerId) -> PathBuf {
        self.directory.join(format!("{}{worker}{SUFFIX}", self.prefix))
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    options
}
