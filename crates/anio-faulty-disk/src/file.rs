//! An open file: SQLite's methods, each counted, over those of the system's VFS.
//!
//! The system's own file lies in memory right behind ours, in the room that SQLite was asked for.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::{Arc, Mutex};

use libsqlite3_sys as ffi;

use crate::cache::{Medium, Unsynced};
use crate::disk;
use crate::disk::locked;
use crate::operation::Operation;

/// What SQLite holds of a file of ours.
#[repr(C, align(8))]
pub(crate) struct File {
    base: ffi::sqlite3_file,
    opened: *mut Opened,
}

/// What we know of an open file.
struct Opened {
    path: String,
    cache: Option<Arc<Mutex<Unsynced>>>,
}

/// How many bytes of a file are ours.
pub(crate) const OURS: usize = size_of::<File>();

/// The file of the system behind one of ours.
///
/// # Safety
/// `file` has room for both, as `szOsFile` of our VFS asks.
pub(crate) unsafe fn real(file: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    // SAFETY: the room behind ours belongs to the same allocation.
    unsafe { file.cast::<u8>().add(OURS).cast() }
}

/// Makes a file ours that the system has opened.
///
/// # Safety
/// As for [`real`], and the real file is open.
pub(crate) unsafe fn adopt(file: *mut ffi::sqlite3_file, path: &str) {
    let opened = Box::new(Opened { path: path.to_owned(), cache: disk().cache(path) });
    let ours =
        File { base: ffi::sqlite3_file { pMethods: &raw const METHODS }, opened: Box::into_raw(opened) };
    // SAFETY: SQLite gave room for it, aligned to 8.
    unsafe { ptr::write(file.cast(), ours) };
    // SAFETY: open from here on.
    let (mut real, opened) = unsafe { (Real(real(file)), opened_of(file)) };
    if let Ok(size) = opened.size(&mut real) {
        disk().has_size(path, size);
    }
}

/// # Safety
/// `file` was adopted and is not closed; the reference is not kept beyond the call.
unsafe fn opened_of<'a>(file: *mut ffi::sqlite3_file) -> &'a Opened {
    // SAFETY: adoption wrote it, and it is freed by `close` alone, after which SQLite asks nothing more.
    unsafe { &*(*file.cast::<File>()).opened }
}

impl Opened {
    fn size(&self, real: &mut Real) -> Result<u64, c_int> {
        match &self.cache {
            Some(cache) => locked(cache).size(real),
            None => real.size(),
        }
    }
}

/// The system's file; open for as long as ours is.
struct Real(*mut ffi::sqlite3_file);

/// Calls a method of the system's file. The system's VFS has them all.
macro_rules! ask {
    ($real:expr, $method:ident $(, $argument:expr)*) => {{
        let real = $real;
        // SAFETY: the file is open, so its methods are there; what is handed on is what SQLite handed over,
        // or lives until the call returns.
        unsafe { ((*(*real).pMethods).$method.expect("a method of the system's VFS"))(real $(, $argument)*) }
    }};
}

const fn done(code: c_int) -> Result<(), c_int> {
    if code == ffi::SQLITE_OK { Ok(()) } else { Err(code) }
}

const fn code(outcome: Result<(), c_int>) -> c_int {
    match outcome {
        Ok(()) => ffi::SQLITE_OK,
        Err(code) => code,
    }
}

impl Medium for Real {
    type Error = c_int;

    fn read(&mut self, at: u64, bytes: &mut [u8]) -> Result<(), c_int> {
        match ask!(self.0, xRead, bytes.as_mut_ptr().cast(), bytes.len() as c_int, at.cast_signed()) {
            ffi::SQLITE_IOERR_SHORT_READ => Ok(()), // The rest was made zero.
            code => done(code),
        }
    }

    fn write(&mut self, at: u64, bytes: &[u8]) -> Result<(), c_int> {
        done(ask!(self.0, xWrite, bytes.as_ptr().cast(), bytes.len() as c_int, at.cast_signed()))
    }

    fn truncate(&mut self, size: u64) -> Result<(), c_int> {
        done(ask!(self.0, xTruncate, size.cast_signed()))
    }

    fn size(&mut self) -> Result<u64, c_int> {
        let mut size = 0;
        done(ask!(self.0, xFileSize, &raw mut size))?;
        Ok(u64::try_from(size).unwrap_or_default())
    }
}

/// One method of ours: what it counts as, and what it does.
///
/// # Safety
/// SQLite calls it on a file of ours that is open.
unsafe fn operate(
    file: *mut ffi::sqlite3_file,
    what: Operation,
    act: impl FnOnce(&Opened, &mut Real) -> Result<(), c_int>,
) -> c_int {
    // SAFETY: the caller's promise.
    let (opened, mut real) = unsafe { (opened_of(file), Real(real(file))) };
    disk().operate(what, &opened.path, || code(act(opened, &mut real)))
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: SQLite calls it on an open file.
    let real = unsafe { real(file) };
    let code = ask!(real, xClose);
    // SAFETY: SQLite closes a file once; the box was made when it was adopted.
    drop(unsafe { Box::from_raw((*file.cast::<File>()).opened) });
    code
}

unsafe extern "C" fn read(file: *mut ffi::sqlite3_file, to: *mut c_void, n: c_int, at: i64) -> c_int {
    let act = |opened: &Opened, real: &mut Real| match &opened.cache {
        None => done(ask!(real.0, xRead, to, n, at)),
        Some(cache) => {
            // SAFETY: SQLite gives room for as many bytes as it asks for.
            let bytes = unsafe {
                ptr::write_bytes(to.cast::<u8>(), 0, n as usize);
                std::slice::from_raw_parts_mut(to.cast::<u8>(), n as usize)
            };
            let is_whole = locked(cache).read(real, at.cast_unsigned(), bytes)?;
            if is_whole { Ok(()) } else { Err(ffi::SQLITE_IOERR_SHORT_READ) }
        }
    };
    // SAFETY: SQLite calls it on an open file.
    unsafe { operate(file, Operation::Read, act) }
}

unsafe extern "C" fn write(file: *mut ffi::sqlite3_file, from: *const c_void, n: c_int, at: i64) -> c_int {
    let act = |opened: &Opened, real: &mut Real| {
        disk().has_room(&opened.path, at.cast_unsigned() + u64::from(n.cast_unsigned()))?;
        // SAFETY: SQLite hands over as many bytes as it says.
        let bytes = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), n as usize) };
        match &opened.cache {
            None => real.write(at.cast_unsigned(), bytes),
            Some(cache) => locked(cache).write(real, at.cast_unsigned(), bytes),
        }
    };
    // SAFETY: SQLite calls it on an open file.
    unsafe { operate(file, Operation::Write, act) }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: i64) -> c_int {
    let act = |opened: &Opened, real: &mut Real| {
        match &opened.cache {
            None => real.truncate(size.cast_unsigned())?,
            Some(cache) => locked(cache).truncate(real, size.cast_unsigned())?,
        }
        disk().has_size(&opened.path, size.cast_unsigned());
        Ok(())
    };
    // SAFETY: SQLite calls it on an open file.
    unsafe { operate(file, Operation::Truncate, act) }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    let act = |opened: &Opened, real: &mut Real| match &opened.cache {
        None => done(ask!(real.0, xSync, flags)),
        // The disk that forgets is this process: beyond it nothing is lost, and need not be waited for.
        Some(cache) => locked(cache).sync(real),
    };
    // SAFETY: SQLite calls it on an open file.
    unsafe { operate(file, Operation::Sync, act) }
}

unsafe extern "C" fn size(file: *mut ffi::sqlite3_file, to: *mut i64) -> c_int {
    let act = |opened: &Opened, real: &mut Real| {
        let size = opened.size(real)?;
        // SAFETY: SQLite gives room for the answer.
        unsafe { *to = size.cast_signed() };
        Ok(())
    };
    // SAFETY: SQLite calls it on an open file.
    unsafe { operate(file, Operation::Size, act) }
}

unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    let act = |_: &Opened, real: &mut Real| done(ask!(real.0, xLock, level));
    // SAFETY: SQLite calls it on an open file.
    unsafe { operate(file, Operation::Lock, act) }
}

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    page: c_int,
    bytes: c_int,
    extend: c_int,
    to: *mut *mut c_void,
) -> c_int {
    let act = |_: &Opened, real: &mut Real| done(ask!(real.0, xShmMap, page, bytes, extend, to));
    // SAFETY: SQLite calls it on an open file.
    unsafe { operate(file, Operation::ShmMap, act) }
}

unsafe extern "C" fn shm_lock(file: *mut ffi::sqlite3_file, offset: c_int, n: c_int, flags: c_int) -> c_int {
    if flags & ffi::SQLITE_SHM_UNLOCK != 0 {
        // SAFETY: SQLite calls it on an open file.
        let real = unsafe { real(file) };
        return ask!(real, xShmLock, offset, n, flags);
    }
    let act = |_: &Opened, real: &mut Real| done(ask!(real.0, xShmLock, offset, n, flags));
    // SAFETY: SQLite calls it on an open file.
    unsafe { operate(file, Operation::ShmLock, act) }
}

/// A method that is handed on as it is.
macro_rules! hand_on {
    ($($name:ident = $method:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {$(
        unsafe extern "C" fn $name(file: *mut ffi::sqlite3_file $(, $argument: $type)*) -> $answer {
            // SAFETY: SQLite calls it on an open file.
            let real = unsafe { real(file) };
            ask!(real, $method $(, $argument)*)
        }
    )*};
}

hand_on! {
    unlock = xUnlock(level: c_int) -> c_int;
    check_reserved_lock = xCheckReservedLock(to: *mut c_int) -> c_int;
    file_control = xFileControl(what: c_int, with: *mut c_void) -> c_int;
    sector_size = xSectorSize() -> c_int;
    device_characteristics = xDeviceCharacteristics() -> c_int;
    shm_barrier = xShmBarrier() -> ();
    shm_unmap = xShmUnmap(delete: c_int) -> c_int;
}

/// Version 2: with shared memory, without mapped reads, which would go past the cache.
static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};
