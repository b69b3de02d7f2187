//! The VFS: opens, removes and looks for files, each counted; all else is the system's.

use std::ffi::{CStr, c_char, c_int};
use std::ptr;

use libsqlite3_sys as ffi;

use crate::disk;
use crate::file::{self, OURS};
use crate::operation::Operation;

/// Makes the faulty disk the VFS that SQLite opens files through.
pub(crate) fn register() {
    // SAFETY: without a name it finds the default VFS, which is there for as long as the process.
    let system = unsafe { ffi::sqlite3_vfs_find(ptr::null()) };
    assert!(!system.is_null(), "SQLite has a VFS of this system");
    // SAFETY: it is not null; a copy of what SQLite has registered.
    let mut ours = unsafe { *system };
    // Its other functions are given our VFS and look at nothing in it but what the copy has too.
    ours.szOsFile += OURS as c_int;
    ours.pNext = ptr::null_mut();
    ours.zName = c"faulty-disk".as_ptr();
    ours.pAppData = system.cast();
    ours.xOpen = Some(open);
    ours.xDelete = Some(delete);
    ours.xAccess = Some(access);
    // SAFETY: it is never freed, as SQLite asks for.
    let code = unsafe { ffi::sqlite3_vfs_register(Box::into_raw(Box::new(ours)), 1) };
    assert_eq!(code, ffi::SQLITE_OK, "SQLite takes a VFS");
}

/// # Safety
/// `vfs` is ours.
unsafe fn system(vfs: *mut ffi::sqlite3_vfs) -> *mut ffi::sqlite3_vfs {
    // SAFETY: where `register` has put it.
    unsafe { (*vfs).pAppData.cast() }
}

/// # Safety
/// `name` is a text that SQLite handed over, or null for a file without one.
unsafe fn text(name: *const c_char) -> String {
    if name.is_null() {
        return String::new();
    }
    // SAFETY: it ends with a NUL, and is there until the call returns.
    unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned()
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite gives room for a file; without methods it is closed.
    let (path, system, real) = unsafe {
        (*file).pMethods = ptr::null();
        (text(name), system(vfs), file::real(file))
    };
    disk().operate(Operation::Open, &path, || {
        // SAFETY: as SQLite would call it; the name goes on as it is, since parameters lie behind it.
        let code = unsafe {
            (*real).pMethods = ptr::null();
            ((*system).xOpen.expect("a method of the system's VFS"))(system, name, real, flags, out)
        };
        if code == ffi::SQLITE_OK {
            // SAFETY: it is open.
            unsafe { file::adopt(file, &path) };
        }
        code
    })
}

unsafe extern "C" fn delete(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    // SAFETY: SQLite hands over our VFS and a name.
    let (path, system) = unsafe { (text(name), system(vfs)) };
    disk().operate(Operation::Delete, &path, || {
        // SAFETY: as SQLite would call it.
        let code = unsafe { ((*system).xDelete.expect("a method of the system's VFS"))(system, name, sync) };
        if code == ffi::SQLITE_OK {
            disk().forget(&path);
        }
        code
    })
}

unsafe extern "C" fn access(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    what: c_int,
    to: *mut c_int,
) -> c_int {
    // SAFETY: SQLite hands over our VFS and a name.
    let (path, system) = unsafe { (text(name), system(vfs)) };
    disk().operate(Operation::Access, &path, || {
        // SAFETY: as SQLite would call it.
        unsafe { ((*system).xAccess.expect("a method of the system's VFS"))(system, name, what, to) }
    })
}
