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
use std::thread;
use std::time::Duration;

use uuid::Uuid;

use crate::error::StoreError;
use crate::record::WorkerId;

const SUFFIX: &str = ".lock";

/// How often a lock is tried that another process holds for as long as it takes to remove the file.
const TRIES_MAX: u32 = 1000;

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
        for _ in 0..TRIES_MAX {
            let file = options().create(true).open(&path).map_err(|error| failed(error.to_string()))?;
            match file.try_lock() {
                // Between its being made and its being locked, the file looks like one that was left behind,
                // and another process may have removed it: a lock that nobody finds would tell nothing.
                Ok(()) if !path.exists() => {}
                // Where a file system has no locks, the lease alone tells.
                Ok(()) | Err(TryLockError::Error(_)) => {
                    self.held.insert(worker, file);
                    return Ok(());
                }
                Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(1)),
            }
        }
        Err(failed("another process holds the lock of this worker".to_owned()))
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

    /// Takes the locks of workers that do not stand: left behind by processes which died between burying a
    /// worker and removing its lock. A lock that is held is of a worker that has yet to write its row.
    pub(super) fn left_behind(&self, standing: &HashSet<WorkerId>) -> Vec<(WorkerId, File)> {
        let Ok(entries) = fs::read_dir(&self.directory) else { return Vec::new() };
        entries
            .filter_map(|entry| self.worker_of(entry.ok()?.file_name().to_str()?))
            .filter(|worker| !standing.contains(worker))
            .filter_map(|worker| Some((worker, self.grab(worker)?)))
            .collect()
    }

    /// Removes the locks among these whose workers do not stand. They are held until their files are gone,
    /// so that nobody takes a lock for good that is about to vanish.
    pub(super) fn sweep(&self, left_behind: Vec<(WorkerId, File)>, standing: &HashSet<WorkerId>) {
        for (worker, lock) in left_behind {
            if !standing.contains(&worker) {
                // One that stays behind is swept by the next worker that registers.
                let _ = fs::remove_file(self.path(worker));
            }
            drop(lock);
        }
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn a_lock_that_is_taken_while_others_sweep_is_there_for_all_to_see() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("test.db");
        let (mut ours, is_over) = (WorkerLocks::beside(&database), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let others = WorkerLocks::beside(&database);
                    while !is_over.load(Ordering::Relaxed) {
                        others.sweep(others.left_behind(&HashSet::new()), &HashSet::new());
                    }
                });
            }
            let mut taken = || {
                let worker = WorkerId(Uuid::now_v7());
                ours.take(worker)?;
                let is_there = ours.path(worker).exists();
                ours.remove(worker);
                Ok::<_, StoreError>(is_there)
            };
            let all: Vec<_> = (0..2000).map(|_| taken()).collect();
            is_over.store(true, Ordering::Relaxed);
            let n_bad = all.iter().filter(|taken| !matches!(taken, Ok(true))).count();
            assert_eq!(n_bad, 0, "of {}: {:?}", all.len(), all.iter().find(|taken| taken.is_err()));
        });
    }
}
