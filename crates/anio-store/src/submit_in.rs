//! Runs that are submitted inside a transaction of the user's own.

use anio_core::Fingerprint;
use anio_core::plan::PlanRecord;
use diesel::connection::LoadConnection;

use crate::error::StoreError;
use crate::record::{NewRun, Submission};

/// A kind of database, as diesel names it, in whose transactions runs can be submitted: `diesel::sqlite::Sqlite`
/// (feature `sqlite`) and `diesel::pg::Pg` (feature `postgres`). See
/// [`Store::submit_in`](crate::Store::submit_in).
pub trait SubmitIn: diesel::backend::Backend + Sized {
    /// What [`Backend::submit`](crate::backend::Backend::submit) does, through a connection of the caller's:
    /// inside its transaction where one is open, else in one of its own.
    ///
    /// # Errors
    /// [`StoreError::NoTables`] where the engine was never opened on this database, or only an older one;
    /// [`StoreError::NewerSchema`]; those of the database.
    fn submit_in<C: LoadConnection<Backend = Self>>(
        connection: &mut C,
        run: &NewRun,
        plan: (Fingerprint, &PlanRecord),
    ) -> Result<Submission, StoreError>;
}
