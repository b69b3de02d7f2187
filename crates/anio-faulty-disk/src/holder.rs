//! Another program that holds a database: its write lock is taken, and nothing is written.

use std::ffi::{CStr, CString};
use std::path::Path;
use std::ptr;

use libsqlite3_sys as ffi;

/// Holds the write lock of a database until it is dropped.
#[derive(Debug)]
pub struct Holder(*mut ffi::sqlite3);

impl Holder {
    /// Takes the write lock of a database, waiting up to a minute for who has it.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn take(database: &Path) -> Result<Self, String> {
        let name = CString::new(database.to_string_lossy().as_bytes()).map_err(|error| error.to_string())?;
        let mut connection = ptr::null_mut();
        // SAFETY: the name ends with a NUL, and there is room for the answer.
        let code = unsafe {
            ffi::sqlite3_open_v2(name.as_ptr(), &raw mut connection, ffi::SQLITE_OPEN_READWRITE, ptr::null())
        };
        let holder = Self(connection);
        if code != ffi::SQLITE_OK {
            return Err(holder.says());
        }
        holder.execute(c"pragma busy_timeout = 60000")?;
        holder.execute(c"begin immediate")?;
        Ok(holder)
    }

    fn execute(&self, sql: &CStr) -> Result<(), String> {
        // SAFETY: the connection is open, and no callback is given.
        let code = unsafe { ffi::sqlite3_exec(self.0, sql.as_ptr(), None, ptr::null_mut(), ptr::null_mut()) };
        if code == ffi::SQLITE_OK { Ok(()) } else { Err(self.says()) }
    }

    fn says(&self) -> String {
        // SAFETY: SQLite gives a text for any connection, null included; it is copied before the next call.
        unsafe { CStr::from_ptr(ffi::sqlite3_errmsg(self.0)) }.to_string_lossy().into_owned()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // SAFETY: closed once; what it holds is given back.
        unsafe { ffi::sqlite3_close(self.0) };
    }
}
