//! A disk that fails when it is told to: a thin VFS under SQLite, over the one of the system.
//!
//! ```text
//!   SQLite ──► every operation is counted ──► a fault at this number? ──► the system's own VFS
//!                                               │ an I/O error, as SQLite would see it
//!                                               │ SIGKILL, before or after
//!              writes ──► room left? ── no ──► SQLITE_FULL
//!                           └► a cache that loses what was not synced when the process dies
//! ```
//!
//! [`install`] makes it the VFS that every connection of the process is opened through. Locks, shared memory
//! and everything else of which nothing is asked are the system's. It is for one process per file where
//! writes are [`Cache::Lost`] or [`Cache::Torn`], since what is not synced is seen in this process alone.
//!
//! Each fault is told on standard error as a line that begins with `faulty disk:`.

mod cache;
mod disk;
mod file;
mod holder;
mod operation;
mod plan;
mod quota;
mod vfs;

use std::sync::OnceLock;

use crate::disk::Disk;
pub use crate::holder::Holder;
pub use crate::operation::Operation;
pub use crate::plan::{Cache, Fault, Odds, Plan, Quota, What};

static DISK: OnceLock<Disk> = OnceLock::new();

/// Makes SQLite open all files of this process through the faulty disk, from now on.
///
/// # Panics
/// When it is called twice: there is one disk per process.
pub fn install(plan: Plan) {
    assert!(DISK.set(Disk::new(plan)).is_ok(), "one faulty disk per process");
    vfs::register();
}

/// How many operations were asked of it so far; none where it is not installed.
pub fn n_operations() -> u64 {
    DISK.get().map_or(0, Disk::n_operations)
}

/// How many faults there were so far.
pub fn n_faults() -> u64 {
    DISK.get().map_or(0, Disk::n_faults)
}

/// The disk that is installed.
fn disk() -> &'static Disk {
    DISK.get().expect("the VFS is registered after the disk was made")
}
