//! Runs that are submitted inside a transaction of the user's own.

use std::time::{SystemTime, UNIX_EPOCH};

use anio_core::plan::PlanRecord;
use anio_core::{Fingerprint, Output, RunId, Timestamp, Workflow};
use diesel::connection::LoadConnection;
use uuid::Uuid;

use crate::error::StoreError;
use crate::record::{NewRun, RunOptions, Submission};
use crate::store::Store;

/// A kind of database, as diesel names it, in whose transactions runs can be submitted: `diesel::sqlite::Sqlite`
/// (feature `sqlite`) and `diesel::pg::Pg` (feature `postgres`). See [`Store::submit_in`].
pub trait SubmitIn: diesel::backend::Backend + Sized {
    /// What [`Backend::submit`](crate::backend::Backend::submit) does, through a connection of the caller's:
    /// inside its transaction where one is open, else in one of its own.
    ///
    /// # Errors
    /// [`StoreError::NoTables`] where the engine was never opened on this database, or only an older one;
    /// [`StoreError::NewerSchema`]; those of the database. Nothing was stored, and the caller's transaction
    /// may go on.
    fn submit_in<C: LoadConnection<Backend = Self>>(
        connection: &mut C,
        run: &NewRun,
        plan: (Fingerprint, &PlanRecord),
    ) -> Result<Submission, StoreError>;
}

impl Store {
    /// Submits a run inside a transaction of the caller's own, on the database of this store: if the
    /// transaction is rolled back, there is no run; once it is committed, a worker takes the run. Outside a
    /// transaction the run is durable when this returns.
    ///
    /// It takes any connection of diesel's to SQLite or Postgres, diesel's own `SqliteConnection` and
    /// `PgConnection` among them, and blocks the thread like any statement on it. With an idempotency key that
    /// a run of this workflow has already, and the same input, nothing is stored and that run comes back. On
    /// SQLite, begin with `immediate_transaction`: a transaction that has only read may find the file changed
    /// when it comes to write.
    ///
    /// # Errors
    /// [`StoreError::NoTables`] where the engine was never opened on this database;
    /// [`StoreError::InvalidOption`] and [`StoreError::IdempotencyConflict`] as of [`Store::submit`]; those of
    /// the database. Nothing was stored of the run then; what else is in the transaction stays in it.
    ///
    /// ```
    /// # #[cfg(feature = "sqlite")] {
    /// use anio_core::{Output, TaskError, TaskOptions, Workflow};
    /// use anio_store::record::RunOptions;
    /// use anio_store::{Store, StoreOptions};
    /// use diesel::connection::SimpleConnection;
    /// use diesel::prelude::*;
    ///
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let file = directory.path().join("shop.db").display().to_string();
    /// # let workflow = Workflow::builder("ship")
    /// #     .task("send", TaskOptions::new(), |_| async { Ok::<_, TaskError>(()) })
    /// #     .build()
    /// #     .unwrap();
    /// # futures::executor::block_on(async {
    /// let store = Store::open(&file, StoreOptions::default()).await?;
    /// let mut connection = SqliteConnection::establish(&file).unwrap();
    /// connection.batch_execute("create table orders (item text)").unwrap();
    ///
    /// let mut run = None;
    /// connection.immediate_transaction(|connection| {
    ///     connection.batch_execute("insert into orders values ('lamp')")?;
    ///     run = store.submit_in(connection, &workflow, Output::new("lamp").unwrap(), RunOptions::default()).ok();
    ///     if run.is_some() { Ok(()) } else { Err(diesel::result::Error::RollbackTransaction) }
    /// }).unwrap();
    /// assert!(store.run(run.unwrap()).await?.is_some());
    /// # Ok::<(), anio_store::StoreError>(())
    /// # }).unwrap();
    /// # }
    /// ```
    pub fn submit_in<C>(
        &self,
        connection: &mut C,
        workflow: &Workflow,
        input: Output,
        options: RunOptions,
    ) -> Result<RunId, StoreError>
    where
        C: LoadConnection,
        C::Backend: SubmitIn,
    {
        options.check(workflow.name())?;
        let plan = workflow.plan();
        let run = NewRun {
            id: RunId::from_uuid(Uuid::now_v7()),
            workflow: workflow.name().clone(),
            plan: plan.fingerprint(),
            input,
            options,
            submitted_at: now(),
            claim: false,
        };
        let submission = C::Backend::submit_in(connection, &run, (plan.fingerprint(), plan.record()))?;
        Ok(match submission.checked(&run)? {
            Submission::New => run.id,
            Submission::Known(known) => known.id,
        })
    }
}

fn now() -> Timestamp {
    Timestamp::default().after(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}
