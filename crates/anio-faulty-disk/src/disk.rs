//! The disk of a process: counts operations, and decides what becomes of each.

use std::collections::HashMap;
use std::ffi::c_int;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use libsqlite3_sys as ffi;

use crate::cache::Unsynced;
use crate::operation::Operation;
use crate::plan::{Cache, Plan, What};
use crate::quota::Room;

/// What is known of all files of the process.
#[derive(Debug)]
pub(crate) struct Disk {
    plan: Plan,
    n_operations: AtomicU64,
    n_faults: AtomicU64,
    has_forgotten: AtomicBool,
    /// By path: files that are closed stay, as they do in the memory of a machine.
    caches: Mutex<HashMap<String, Arc<Mutex<Unsynced>>>>,
    room: Option<Mutex<Room>>,
}

impl Disk {
    pub(crate) fn new(plan: Plan) -> Self {
        let room = plan.quota.map(|quota| Mutex::new(Room::new(quota)));
        Self {
            plan,
            n_operations: AtomicU64::new(0),
            n_faults: AtomicU64::new(0),
            has_forgotten: AtomicBool::new(false),
            caches: Mutex::default(),
            room,
        }
    }

    pub(crate) fn n_operations(&self) -> u64 {
        self.n_operations.load(Ordering::SeqCst)
    }

    pub(crate) fn n_faults(&self) -> u64 {
        self.n_faults.load(Ordering::SeqCst)
    }

    /// Does an operation, or what the plan has in place of it.
    pub(crate) fn operate(&self, what: Operation, file: &str, act: impl FnOnce() -> c_int) -> c_int {
        let n = self.n_operations.fetch_add(1, Ordering::SeqCst) + 1;
        let told = |how: &str| self.fault(&format!("operation {n} ({} {}): {how}", what.word(), name(file)));
        match self.plan.at(n) {
            None => act(),
            Some(What::Error) => {
                told("I/O error");
                what.error()
            }
            Some(What::Forget) => {
                if what != Operation::Sync || self.has_forgotten.swap(true, Ordering::SeqCst) {
                    return act();
                }
                if let Some(cache) = self.cache(file) {
                    locked(&cache).forget();
                }
                told("I/O error, and what was not synced is gone");
                what.error()
            }
            Some(What::KillBefore) => {
                told("killed before it");
                die()
            }
            Some(What::KillAfter) => {
                act();
                told("killed after it");
                die()
            }
        }
    }

    /// What was not synced of a file; `None` where the system keeps it.
    pub(crate) fn cache(&self, file: &str) -> Option<Arc<Mutex<Unsynced>>> {
        let torn = match self.plan.cache {
            // Temporary files have no name, and nothing of them is to last.
            _ if file.is_empty() => return None,
            Cache::Kept => return None,
            Cache::Lost => None,
            // Not the same tosses for each file.
            Cache::Torn { seed } => Some(seed ^ file.len() as u64),
        };
        let fresh = || Arc::new(Mutex::new(Unsynced::new(torn)));
        Some(Arc::clone(locked(&self.caches).entry(file.to_owned()).or_insert_with(fresh)))
    }

    /// A file is no more.
    pub(crate) fn forget(&self, file: &str) {
        locked(&self.caches).remove(file);
        self.has_size(file, 0);
    }

    /// A file has this size from now on.
    pub(crate) fn has_size(&self, file: &str, bytes: u64) {
        if let Some(room) = &self.room {
            locked(room).is_now(file, bytes);
        }
    }

    /// Whether there is room for a file to grow to this size.
    pub(crate) fn has_room(&self, file: &str, bytes: u64) -> Result<(), c_int> {
        let Some(room) = &self.room else { return Ok(()) };
        if locked(room).grow(file, bytes) {
            return Ok(());
        }
        self.fault(&format!("operation {} (write {}): no room", self.n_operations(), name(file)));
        Err(ffi::SQLITE_FULL)
    }

    fn fault(&self, line: &str) {
        self.n_faults.fetch_add(1, Ordering::SeqCst);
        tell(line);
    }
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The last part of a path.
fn name(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file)
}

/// One line in one write, so that a kill leaves whole lines.
fn tell(line: &str) {
    // A disk has nobody to tell that it could not be told.
    drop(std::io::stderr().write_all(format!("faulty disk: {line}\n").as_bytes()));
}

fn die() -> ! {
    // SAFETY: asks nothing of memory; the signal goes to this process alone, and cannot be caught.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    // The signal is on its way to this thread.
    loop {
        std::thread::park();
    }
}
