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
mod due;
mod prune;
mod rate;
mod request;
mod sample;
mod submit;
mod watch;

use std::any::Any;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;
use std::{fmt, panic, thread};

use crate::backend::Backend;

/// How long a case may take: many times what the slowest takes on a busy machine.
const CASE_PATIENCE: Duration = Duration::from_secs(60);

/// Runs a case on a thread of its own. One that hangs fails, as one that panics does.
///
/// # Panics
/// When the case panics, or has not ended in 60 s; then its thread is left behind.
pub fn in_time(case: impl FnOnce() + Send + 'static) {
    let (alive, end) = mpsc::channel::<()>();
    let name = thread::current().name().unwrap_or("a case").to_owned();
    let body = move || {
        let _alive = alive;
        case();
    };
    let case = thread::Builder::new().name(name).spawn(body).expect("the system has room for a thread");
    // Nothing is ever sent: what ends the wait is that the sender is dropped.
    let ended = end.recv_timeout(CASE_PATIENCE);
    assert!(ended != Err(RecvTimeoutError::Timeout), "it has not ended in {CASE_PATIENCE:?}");
    if let Err(cause) = case.join() {
        panic::resume_unwind(cause);
    }
}

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
/// in the same module that returns a [`Fixture`](crate::conformance::Fixture). Groups of cases may be named
/// after it, for a backend that speaks some of the verbs: `first due submissions requests rates prunes watches`.
#[macro_export]
macro_rules! conformance {
    ($fixture:ident) => {
        $crate::conformance!($fixture: first due submissions requests rates prunes watches);
    };
    ($fixture:ident: $($group:ident)+) => {
        mod $fixture {
            $($crate::conformance!(@$group $fixture);)+
        }
    };
    (@first $fixture:ident) => {
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
    };
    (@due $fixture:ident) => {
        $crate::conformance!(@cases $fixture:
            a_claim_takes_runs_that_are_due_in_the_order_of_all,
            a_paused_run_keeps_its_time_and_a_cancelled_one_does_not,
            a_renewal_puts_runs_into_the_queue_that_are_due,
            a_run_is_not_claimed_before_its_time,
            a_run_with_a_time_is_nobodys,
        );
    };
    (@submissions $fixture:ident) => {
        $crate::conformance!(@cases $fixture:
            a_run_keeps_all_that_it_was_given,
            a_submission_that_is_sent_again_counts_as_new,
            each_run_of_a_large_batch_keeps_what_it_was_given,
            one_key_of_one_workflow_is_one_run,
            runs_are_found_by_tag_page_by_page,
            runs_are_found_by_the_time_of_their_submission,
            submissions_at_once_with_one_key_are_one_run,
        );
    };
    (@requests $fixture:ident) => {
        $crate::conformance!(@cases $fixture:
            a_cancelled_run_stays_so,
            a_run_that_nobody_ever_had_is_cancelled_at_once,
            a_run_that_somebody_had_is_cancelled_by_the_next_who_has_it,
            a_parked_run_is_paused_by_its_return_where_that_was_asked,
            a_paused_run_waits_until_it_is_resumed,
            a_run_that_has_ended_may_go_on,
            a_run_that_is_held_is_paused_or_goes_on_where_that_was_asked,
            a_worker_learns_by_its_renewal_what_others_have_changed,
            an_end_empties_what_was_requested,
            every_request_in_every_state_does_as_the_table_says,
            facts_are_read_from_any_of_them_on,
            facts_of_others_leave_what_is_requested,
            nobody_holds_the_run_of_another,
            only_a_run_that_succeeded_or_failed_goes_on_after_its_end,
            facts_of_others_that_are_sent_again_are_stored_once,
            what_others_told_of_a_run_before_it_began_comes_with_it,
            others_may_tell_facts_of_a_run_that_has_not_ended,
            the_runs_of_the_dead_are_paused_where_that_was_asked,
            the_runs_that_a_worker_gives_back_are_paused_where_that_was_asked,
            what_is_requested_comes_with_the_claim,
        );
    };
    (@rates $fixture:ident) => {
        $crate::conformance!(@cases $fixture:
            each_start_is_counted_by_the_rate_of_who_reserves_it,
            no_more_is_reserved_by_many_at_once_than_a_rate_allows,
            starts_are_reserved_no_further_ahead_than_ten_seconds_or_four_intervals,
            what_is_reserved_outlives_who_reserved_it,
        );
    };
    (@prunes $fixture:ident) => {
        $crate::conformance!(@cases $fixture:
            a_run_of_which_a_part_is_gone_is_gone_on_with_first,
            between_two_steps_a_run_is_there_wholly_or_unknown,
            pruning_goes_on_after_a_run,
            runs_are_deleted_of_the_states_that_are_named,
            runs_are_deleted_that_ended_before_a_time,
            runs_that_have_not_ended_are_left,
        );
    };
    (@watches $fixture:ident) => {
        $crate::conformance!(@cases $fixture:
            a_watcher_tells_what_others_have_changed,
            what_others_commit_is_told_apart_from_what_one_commits,
            a_watcher_waits_until_another_changes_something,
        );
    };
    (@cases $fixture:ident: $($case:ident,)*) => {
        $(
            #[test]
            fn $case() {
                $crate::conformance::in_time(|| $crate::conformance::cases::$case(&super::$fixture()));
            }
        )*
    };
}
