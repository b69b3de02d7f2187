//! What SQLite asks of a disk, and how the failure of each is told.

use std::ffi::c_int;

use libsqlite3_sys as ffi;

/// An operation that is counted and can fail. What gives back (unlock, unmap, close) always goes well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// Opens a file.
    Open,
    /// Removes a file.
    Delete,
    /// Looks whether a file is there.
    Access,
    /// Reads.
    Read,
    /// Writes.
    Write,
    /// Cuts a file.
    Truncate,
    /// Makes durable what was written.
    Sync,
    /// Asks for the size.
    Size,
    /// Takes a lock.
    Lock,
    /// Maps shared memory.
    ShmMap,
    /// Takes a lock in shared memory.
    ShmLock,
}

impl Operation {
    /// Its name in a word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Delete => "delete",
            Self::Access => "access",
            Self::Read => "read",
            Self::Write => "write",
            Self::Truncate => "truncate",
            Self::Sync => "sync",
            Self::Size => "size",
            Self::Lock => "lock",
            Self::ShmMap => "shm-map",
            Self::ShmLock => "shm-lock",
        }
    }

    /// What SQLite is told when it fails, as its own VFS would tell it.
    pub(crate) const fn error(self) -> c_int {
        match self {
            Self::Open => ffi::SQLITE_CANTOPEN,
            Self::Delete => ffi::SQLITE_IOERR_DELETE,
            Self::Access => ffi::SQLITE_IOERR_ACCESS,
            Self::Read => ffi::SQLITE_IOERR_READ,
            Self::Write => ffi::SQLITE_IOERR_WRITE,
            Self::Truncate => ffi::SQLITE_IOERR_TRUNCATE,
            Self::Sync => ffi::SQLITE_IOERR_FSYNC,
            Self::Size => ffi::SQLITE_IOERR_FSTAT,
            Self::Lock => ffi::SQLITE_IOERR_LOCK,
            Self::ShmMap => ffi::SQLITE_IOERR_SHMMAP,
            Self::ShmLock => ffi::SQLITE_IOERR_SHMLOCK,
        }
    }
}
