//! Runs that are submitted by themselves, what they are given, and how they are found by it.
#![expect(clippy::unwrap_used, reason = "a case is a test: what fails must stop it")]
#![expect(missing_docs, reason = "their names are sentences")]

use std::sync::Barrier;
use std::thread;

use anio_core::{RunId, Timestamp};

use super::Fixture;
use super::sample::{
    LONG, at, claim, claimed, ids, json, new_run, plan, run_id, stored, submission, submit, with_options,
    worker,
};
use crate::record::{NewRun, RunOptions, RunQuery, RunRecord, RunStatus, Submission};

fn with_key(key: &str, run: NewRun) -> NewRun {
    with_options(RunOptions { idempotency_key: Some(key.to_owned()), ..RunOptions::default() }, run)
}

fn tagged(tags: &[&str], run: NewRun) -> NewRun {
    let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    with_options(RunOptions { tags, ..RunOptions::default() }, run)
}

/// The run that is known already.
fn known(submission: Submission) -> RunRecord {
    match submission {
        Submission::Known(run) => *run,
        Submission::New => panic!("the key is not known"),
    }
}

fn is_new(submission: &Submission) -> bool {
    matches!(submission, Submission::New)
}

pub fn a_run_keeps_all_that_it_was_given(fixture: &Fixture) {
    let mut backend = fixture.open();
    let w = worker(1, LONG);
    backend.register(&w).unwrap();
    let options = RunOptions {
        priority: -7,
        idempotency_key: Some("schlüssel \"1\" 😀".to_owned()),
        due_at: Some(Timestamp::from_micros(1)),
        deadline: Some(at(i64::from(u32::MAX))),
        tags: vec!["größe \"2\"".to_owned(), "a".to_owned(), "\\ ' % _".to_owned()],
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
    };
    let by_itself = with_options(options.clone(), NewRun { claim: true, ..new_run(1, "a") });
    assert!(is_new(&submit(&mut *backend, &by_itself)));
    let without_key = RunOptions { idempotency_key: None, ..options.clone() };
    backend.commit(&submission(vec![with_options(without_key.clone(), new_run(2, "a"))]), 0).unwrap();

    for (n, options) in [(1, &options), (2, &without_key)] {
        let run = stored(&mut *backend, n);
        assert_eq!(run.options, *options);
        assert_eq!((run.status, run.started_at), (RunStatus::Queued, None));
        assert_eq!((run.requested, run.news, run.epoch), (None, 0, 0));
    }
    let listed = backend.runs(&RunQuery::default()).unwrap();
    assert_eq!(listed.iter().map(|run| &run.options).collect::<Vec<_>>(), [&without_key, &options]);
    let taken = backend.claim(&claim(&w, &["a"], 9)).unwrap();
    assert_eq!(ids(&taken), [1, 2].map(run_id));
    assert_eq!(taken[0].run.options, RunOptions { due_at: None, ..options });
    assert_eq!(taken[0].plan.as_deref(), Some(&plan("a").1));
}

pub fn one_key_of_one_workflow_is_one_run(fixture: &Fixture) {
    let mut backend = fixture.open();
    let w = worker(1, LONG);
    backend.register(&w).unwrap();
    let first = NewRun { input: json("[1]"), ..with_key("k", new_run(1, "a")) };
    assert!(is_new(&submit(&mut *backend, &first)));
    assert_eq!(known(submit(&mut *backend, &with_key("k", new_run(2, "a")))).id, run_id(1));
    assert!(is_new(&submit(&mut *backend, &with_key("k", new_run(3, "b")))));
    assert!(is_new(&submit(&mut *backend, &with_key("K", new_run(4, "a")))));
    assert!(is_new(&submit(&mut *backend, &new_run(5, "a"))));
    assert!(is_new(&submit(&mut *backend, &new_run(6, "a"))));
    assert!(backend.run(run_id(2)).unwrap().is_none());

    // As it is now, not as it was submitted.
    backend.claim(&claim(&w, &["a"], 1)).unwrap();
    let run = known(submit(&mut *backend, &with_key("k", new_run(7, "a"))));
    assert_eq!((run.id, run.status, run.input), (run_id(1), RunStatus::Running, json("[1]")));
    assert_eq!(run.options.idempotency_key.as_deref(), Some("k"));
    let all = backend.runs(&RunQuery::default()).unwrap();
    assert_eq!(all.iter().map(|run| run.id).collect::<Vec<_>>(), [6, 5, 4, 3, 1].map(run_id));
}

pub fn a_submission_that_is_sent_again_counts_as_new(fixture: &Fixture) {
    let mut backend = fixture.open();
    for run in [new_run(1, "a"), with_key("k", new_run(2, "a")), tagged(&["x"], new_run(3, "a"))] {
        for _ in 0..3 {
            assert!(is_new(&submit(&mut *backend, &run)));
        }
        assert_eq!(stored(&mut *backend, 1).status, RunStatus::Queued);
    }
    assert_eq!(backend.runs(&RunQuery::default()).unwrap().len(), 3);
}

pub fn submissions_at_once_with_one_key_are_one_run(fixture: &Fixture) {
    drop(fixture.open());
    let (n_threads, n_keys) = (4, 25);
    let start = Barrier::new(n_threads);
    let outcomes: Vec<Vec<RunId>> = thread::scope(|scope| {
        let submit_all = |thread: usize| {
            let start = &start;
            move || {
                let mut backend = fixture.open();
                start.wait();
                let submit_one = |key: usize| {
                    let id = 1 + (thread * n_keys + key) as u128;
                    match submit(&mut *backend, &with_key(&format!("key {key}"), new_run(id, "a"))) {
                        Submission::New => run_id(id),
                        Submission::Known(run) => run.id,
                    }
                };
                (0..n_keys).map(submit_one).collect()
            }
        };
        let threads: Vec<_> = (0..n_threads).map(|thread| scope.spawn(submit_all(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(outcomes.iter().all(|runs| *runs == outcomes[0]), "{outcomes:?}");
    assert_eq!(fixture.open().runs(&RunQuery::default()).unwrap().len(), n_keys);
}

pub fn runs_are_found_by_tag_page_by_page(fixture: &Fixture) {
    let mut backend = fixture.open();
    let w = worker(1, LONG);
    backend.register(&w).unwrap();
    let tags = |n: u128| match (n % 2, n % 3) {
        (0, 0) => vec!["even", "fizz"],
        (0, _) => vec!["even"],
        (_, 0) => vec!["fizz"],
        _ => vec![],
    };
    let run = |n| tagged(&tags(n), new_run(n, if n > 20 { "b" } else { "a" }));
    backend.commit(&claimed(&w, (1..=15).map(run).collect()), 1).unwrap();
    (16..=30).for_each(|n| drop(submit(&mut *backend, &run(n))));
    let mut list = |query: RunQuery| -> Vec<RunId> {
        let runs = backend.runs(&query).unwrap();
        assert!(runs.iter().all(|run| query.tag.as_ref().is_none_or(|tag| run.options.tags.contains(tag))));
        runs.into_iter().map(|run| run.id).collect()
    };
    let of = |tag: &str| RunQuery { tag: Some(tag.to_owned()), ..RunQuery::default() };
    assert_eq!(list(of("fizz")), (1..=10).rev().map(|n| run_id(3 * n)).collect::<Vec<_>>());
    let page = RunQuery { before: Some(run_id(22)), limit: 3, ..of("fizz") };
    assert_eq!(list(page), [21, 18, 15].map(run_id));
    let page = RunQuery { before: Some(run_id(15)), limit: 3, ..of("fizz") };
    assert_eq!(list(page), [12, 9, 6].map(run_id));
    let both = RunQuery { workflow: Some("a".to_owned()), statuses: vec![RunStatus::Queued], ..of("even") };
    assert_eq!(list(both), [20, 18, 16].map(run_id));
    for none in ["Fizz", "fiz", "fizz ", "", "e%"] {
        assert_eq!(list(of(none)), []);
    }
    assert_eq!(list(RunQuery::default()).len(), 30);
}

pub fn runs_are_found_by_the_time_of_their_submission(fixture: &Fixture) {
    let mut backend = fixture.open();
    backend.commit(&submission((1..=9).map(|n| new_run(n, "a")).collect()), 0).unwrap();
    let mut list = |from: Option<i64>, until: Option<i64>| -> Vec<RunId> {
        let (submitted_from, submitted_until) = (from.map(at), until.map(at));
        let query = RunQuery { submitted_from, submitted_until, ..RunQuery::default() };
        backend.runs(&query).unwrap().into_iter().map(|run| run.id).collect()
    };
    assert_eq!(list(Some(7), None), [9, 8, 7].map(run_id));
    assert_eq!(list(None, Some(3)), [2, 1].map(run_id));
    assert_eq!(list(Some(3), Some(5)), [4, 3].map(run_id));
    assert_eq!(list(Some(5), Some(5)), []);
}

pub fn each_run_of_a_large_batch_keeps_what_it_was_given(fixture: &Fixture) {
    let mut backend = fixture.open();
    let w = worker(1, LONG);
    backend.register(&w).unwrap();
    let options = |n: u128| RunOptions {
        priority: i32::try_from(n).unwrap(),
        deadline: n.is_multiple_of(7).then(|| at(1 << 40)),
        tags: if n.is_multiple_of(19) { vec!["a tag".to_owned()] } else { Vec::new() },
        traceparent: n.is_multiple_of(5).then(|| format!("trace {n}")),
        ..RunOptions::default()
    };
    let run = |n: u128| NewRun { input: json(&n.to_string()), ..with_options(options(n), new_run(n, "a")) };
    backend.commit(&claimed(&w, (1..=60).map(run).collect()), 1).unwrap();
    for n in 1..=60 {
        let stored = stored(&mut *backend, n);
        assert_eq!((stored.options, stored.input), (options(n), run(n).input));
        assert_eq!((stored.status, stored.submitted_at), (RunStatus::Running, run(n).submitted_at));
    }
}
