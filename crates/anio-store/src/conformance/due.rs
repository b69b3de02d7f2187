//! Runs that wait for their time.
#![expect(clippy::unwrap_used, reason = "a case is a test: what fails must stop it")]
#![expect(missing_docs, reason = "their names are sentences")]

use anio_core::Timestamp;

use super::Fixture;
use super::sample::{LONG, claim, claimed, ids, new_run, run_id, stored, submission, with_options, worker};
use crate::record::{NewRun, Request, Requested, RunOptions, RunStatus};

/// Long ago, by any clock.
const PAST: Timestamp = Timestamp::from_micros(1);

/// In the year 2100 or later.
const fn future(n: i64) -> Timestamp {
    Timestamp::from_micros(4_102_444_800_000_000 + n)
}

fn due(n: u128, due_at: Timestamp) -> NewRun {
    with_options(RunOptions { due_at: Some(due_at), ..RunOptions::default() }, new_run(n, "a"))
}

pub fn a_run_is_not_claimed_before_its_time(fixture: &Fixture) {
    let mut backend = fixture.open();
    let w = worker(1, LONG);
    backend.register(&w).unwrap();
    backend.commit(&submission(vec![due(1, future(9)), due(2, future(5)), due(3, future(7))]), 0).unwrap();
    assert_eq!(ids(&backend.claim(&claim(&w, &["a"], 9)).unwrap()), []);
    let seen = backend.renew(&w).unwrap();
    assert_eq!((seen.queued, seen.next_due), (false, Some(future(5))));
    let run = stored(&mut *backend, 1);
    assert_eq!((run.status, run.options.due_at), (RunStatus::Queued, Some(future(9))));
}

pub fn a_renewal_puts_runs_into_the_queue_that_are_due(fixture: &Fixture) {
    let mut backend = fixture.open();
    let w = worker(1, LONG);
    backend.register(&w).unwrap();
    backend.commit(&submission(vec![due(1, PAST), due(2, future(1))]), 0).unwrap();
    let seen = backend.renew(&w).unwrap();
    assert_eq!((seen.queued, seen.next_due), (true, Some(future(1))));
    let due_at = [1, 2].map(|n| stored(&mut *backend, n).options.due_at);
    assert_eq!(due_at, [None, Some(future(1))]);
    // Nothing is left to do: the next renewal is as short as any.
    let before = backend.n_statements();
    assert_eq!(backend.renew(&w).unwrap(), seen);
    assert!(backend.n_statements() - before <= 2, "{} statements", backend.n_statements() - before);
}

pub fn a_claim_takes_runs_that_are_due_in_the_order_of_all(fixture: &Fixture) {
    let mut backend = fixture.open();
    let w = worker(1, LONG);
    backend.register(&w).unwrap();
    let urgent = |run: NewRun| with_options(RunOptions { priority: 1, ..run.options.clone() }, run);
    let runs = vec![
        new_run(1, "a"),
        due(2, PAST),
        urgent(due(3, PAST)),
        urgent(new_run(4, "a")),
        due(5, future(1)),
        new_run(6, "a"),
    ];
    backend.commit(&submission(runs), 0).unwrap();
    let taken = backend.claim(&claim(&w, &["a"], 9)).unwrap();
    assert_eq!(ids(&taken), [3, 4, 1, 2, 6].map(run_id));
    assert!(taken.iter().all(|claimed| claimed.run.options.due_at.is_none()));
}

pub fn a_run_with_a_time_is_nobodys(fixture: &Fixture) {
    let mut backend = fixture.open();
    let w = worker(1, LONG);
    backend.register(&w).unwrap();
    backend.commit(&claimed(&w, vec![due(1, future(1)), new_run(2, "a")]), 1).unwrap();
    let runs = [1, 2].map(|n| stored(&mut *backend, n));
    assert_eq!(runs.each_ref().map(|run| run.status), [RunStatus::Queued, RunStatus::Running]);
    assert_eq!(runs[0].started_at, None);
}

pub fn a_paused_run_keeps_its_time_and_a_cancelled_one_does_not(fixture: &Fixture) {
    let mut backend = fixture.open();
    let w = worker(1, LONG);
    backend.register(&w).unwrap();
    backend.commit(&submission(vec![due(1, future(1)), due(2, future(2)), due(3, future(3))]), 0).unwrap();
    for (n, request) in [(1, Request::Pause), (2, Request::Cancel)] {
        assert!(matches!(backend.request(run_id(n), request).unwrap(), Requested::Done(_)));
    }
    assert_eq!(backend.renew(&w).unwrap().next_due, Some(future(3)));
    let due_at = [1, 2].map(|n| stored(&mut *backend, n).options.due_at);
    assert_eq!(due_at, [Some(future(1)), None]);
    backend.request(run_id(1), Request::Resume).unwrap();
    assert_eq!(backend.renew(&w).unwrap().next_due, Some(future(1)));
    assert_eq!(ids(&backend.claim(&claim(&w, &["a"], 9)).unwrap()), []);
}
