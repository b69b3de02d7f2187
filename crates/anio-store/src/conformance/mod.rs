//! What a backend must do, in code: one suite, passed by memory, SQLite and Postgres.
//!
//! [`conformance!`](macro@crate::conformance) makes one test per case for one backend:
//!
//! ```
//! use anio_store::conformance::Fixture;
//! use anio_store::memory::Memory;
//!
//! fn memory() -> Fixture {
//!     let memory = Memory::new();
//!     Fixture::new(move || Box::new(memory.clone()), ())
//! }
//!
//! anio_store::conformance!(memory);
//! # fn main() { anio_store::conformance::cases::a_batch_is_stored_wholly_or_not_at_all(&memory()); }
//! ```

pub mod cases;
mod sample;

use std::any::Any;
use std::fmt;

use crate::backend::Backend;

/// An empty database of one test, and how to connect to it.
pub struct Fixture {
    connect: Box<dyn Fn() -> Box<dyn Backend> + Send + Sync>,
    _keep: Box<dyn Any + Send + Sync>,
}

impl Fixture {
    /// A database that `connect` connects to, each time anew; `keep` lives as long as the fixture (a
    /// directory, a server).
    pub fn new(
        connect: impl Fn() -> Box<dyn Backend> + Send + Sync + 'static,
        keep: impl Any + Send + Sync,
    ) -> Self {
        Self { connect: Box::new(connect), _keep: Box::new(keep) }
    }

    /// A new connection.
    pub fn connect(&self) -> Box<dyn Backend> {
        (self.connect)()
    }

    /// A new connection, with the tables made.
    ///
    /// # Panics
    /// When the tables cannot be made.
    pub fn open(&self) -> Box<dyn Backend> {
        let mut backend = self.connect();
        backend.migrate().expect("an empty database takes the tables");
        backend
    }
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture").finish_non_exhaustive()
    }
}

/// Makes a module of tests that hold a backend to the suite; the argument names a function of no arguments
/// in the same module that returns a [`Fixture`](crate::conformance::Fixture).
#[macro_export]
macro_rules! conformance {
    ($fixture:ident) => {
        mod $fixture {
            $crate::conformance!(@cases $fixture:
                a_batch_is_stored_wholly_or_not_at_all,
                a_client_submits_without_a_lease,
                a_commit_that_is_sent_again_is_stored_once,
                a_connection_for_reading_sees_what_is_durable,
                a_lease_that_ran_out_still_commits_until_it_is_buried,
                a_parked_run_waits_until_its_workflow_is_known,
                a_plan_is_stored_once_and_comes_with_the_run,
                a_released_worker_commits_nothing_more,
                a_run_keeps_what_it_was_submitted_with,
                a_second_end_changes_nothing,
                a_worker_that_renewed_in_between_is_not_buried,
                a_worker_that_was_buried_commits_nothing,
                burying_puts_back_the_runs_of_the_dead_only,
                claims_go_by_priority_and_then_by_submission,
                every_kind_of_fact_reads_back_as_it_was,
                every_migration_at_once_comes_up,
                facts_come_back_in_the_order_of_their_commits,
                migrating_again_changes_nothing,
                nobody_commits_for_a_worker_that_another_has_buried,
                renewal_tells_of_the_dead_and_of_the_queue,
                runs_end_as_they_are_told,
                runs_of_unknown_workflows_are_left,
                runs_are_listed_page_by_page,
                the_last_commit_is_known,
                two_claims_at_once_never_take_one_run,
            );
        }
    };
    (@cases $fixture:ident: $($case:ident,)*) => {
        $(
            #[test]
            fn $case() {
                $crate::conformance::cases::$case(&super::$fixture());
            }
        )*
    };
}
