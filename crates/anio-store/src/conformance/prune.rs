//! Deleting runs that have ended, step by step.
#![expect(clippy::unwrap_used, reason = "a case is a test: what fails must stop it")]
#![expect(missing_docs, reason = "their names are sentences")]

use anio_core::run::FactKind;

use super::Fixture;
use super::sample::{
    LONG, at, claimed, end, fact, facts_of, new_run, run_id, stored, submit, with_options, worker,
};
use crate::backend::Backend;
use crate::record::{
    Batch, EndRecord, NewRun, Prune, Pruned, Reopening, Request, Requested, RunOptions, RunQuery, RunStatus,
    Submission,
};

/// All that ended before the time that a sample of this number ended at.
fn before(micros: i64) -> Prune {
    Prune { finished_before: at(micros), statuses: Vec::new(), after: None, n_rows_max: 1000 }
}

/// Step by step, to the end.
fn prune(backend: &mut dyn Backend, prune: &Prune) -> Pruned {
    let (mut all, mut step) = (Pruned::default(), prune.clone());
    for _ in 0..10_000 {
        let pruned = backend.prune(&step).unwrap();
        all.n_runs += pruned.n_runs;
        all.n_facts += pruned.n_facts;
        let Some(next) = pruned.next else { return all };
        step.after = Some(next);
    }
    panic!("pruning comes to no end");
}

/// Runs from 1 to `n`, tagged, with as many facts each, that ended at 1 to `n`: every third failed, every
/// fifth was cancelled, the others succeeded.
fn ended(backend: &mut dyn Backend, n: u128, n_facts: usize) {
    let w = worker(1, LONG);
    backend.register(&w).unwrap();
    let options = |n| RunOptions {
        tags: vec!["all".to_owned(), format!("run {n}")],
        idempotency_key: Some(format!("key {n}")),
        ..RunOptions::default()
    };
    let runs = (1..=n).map(|n| with_options(options(n), new_run(n, "a"))).collect();
    let status = |n| match n {
        n if n % 3 == 0 => RunStatus::Failed,
        n if n % 5 == 0 => RunStatus::Cancelled,
        _ => RunStatus::Succeeded,
    };
    let ends = (1..=n).map(|n| EndRecord { at: at(i64::try_from(n).unwrap()), ..end(n, status(n)) });
    let facts = (1..=n).flat_map(|n| vec![fact(n, "load", FactKind::Started); n_facts]);
    backend.commit(&claimed(&w, runs), 1).unwrap();
    backend.commit(&Batch { ends: ends.collect(), ..facts_of(&w, facts.collect()) }, 2).unwrap();
}

fn left(backend: &mut dyn Backend) -> Vec<u128> {
    let runs = backend.runs(&RunQuery::default()).unwrap();
    let number = |run: &crate::record::RunRecord| (1..100).find(|n| run_id(*n) == run.id).unwrap();
    runs.iter().rev().map(number).collect()
}

pub fn runs_are_deleted_that_ended_before_a_time(fixture: &Fixture) {
    let mut backend = fixture.open();
    ended(&mut *backend, 6, 3);
    assert_eq!(prune(&mut *backend, &before(1)), Pruned::default());
    assert_eq!(prune(&mut *backend, &before(4)), Pruned { n_runs: 3, n_facts: 9, next: None });
    assert_eq!(left(&mut *backend), [4, 5, 6]);
    assert!(backend.run(run_id(3)).unwrap().is_none());
    assert_eq!(backend.facts(run_id(3)).unwrap(), []);
    assert_eq!(backend.facts(run_id(4)).unwrap().len(), 3);
    let tagged = |tag: &str| RunQuery { tag: Some(tag.to_owned()), ..RunQuery::default() };
    assert_eq!(backend.runs(&tagged("run 3")).unwrap().len(), 0);
    assert_eq!(backend.runs(&tagged("all")).unwrap().len(), 3);
    let same_key = |n, key: &str| {
        let key = Some(key.to_owned());
        with_options(RunOptions { idempotency_key: key, ..RunOptions::default() }, new_run(n, "a"))
    };
    assert!(matches!(submit(&mut *backend, &same_key(13, "key 3")), Submission::New));
    assert!(matches!(submit(&mut *backend, &same_key(14, "key 4")), Submission::Known(_)));
    assert_eq!(prune(&mut *backend, &before(4)), Pruned::default());
}

pub fn runs_are_deleted_of_the_states_that_are_named(fixture: &Fixture) {
    let mut backend = fixture.open();
    ended(&mut *backend, 10, 1);
    let only = |statuses: &[RunStatus]| Prune { statuses: statuses.to_vec(), ..before(100) };
    assert_eq!(prune(&mut *backend, &only(&[RunStatus::Running, RunStatus::Queued])).n_runs, 0);
    assert_eq!(prune(&mut *backend, &only(&[RunStatus::Failed])).n_runs, 3);
    assert_eq!(left(&mut *backend), [1, 2, 4, 5, 7, 8, 10]);
    assert_eq!(prune(&mut *backend, &only(&[RunStatus::Cancelled, RunStatus::Failed])).n_runs, 2);
    assert_eq!(left(&mut *backend), [1, 2, 4, 7, 8]);
    assert_eq!(prune(&mut *backend, &only(&[])).n_runs, 5);
}

pub fn runs_that_have_not_ended_are_left(fixture: &Fixture) {
    let mut backend = fixture.open();
    ended(&mut *backend, 2, 1);
    backend.commit(&claimed(&worker(1, LONG), vec![new_run(3, "a")]), 3).unwrap();
    for n in 4..=6 {
        submit(&mut *backend, &new_run(n, "a"));
    }
    backend.request(run_id(5), Request::Pause).unwrap();
    backend.reopen(&Reopening { run: run_id(1), epoch: 0, facts: vec![] }).unwrap();
    assert_eq!(prune(&mut *backend, &before(1_000_000)).n_runs, 1);
    assert_eq!(left(&mut *backend), [1, 3, 4, 5, 6]);
}

pub fn pruning_goes_on_after_a_run(fixture: &Fixture) {
    let mut backend = fixture.open();
    ended(&mut *backend, 6, 1);
    assert_eq!(prune(&mut *backend, &Prune { after: Some(run_id(4)), ..before(100) }).n_runs, 2);
    assert_eq!(left(&mut *backend), [1, 2, 3, 4]);
}

/// Whether a run is there wholly, or unknown to every verb.
fn is_whole(backend: &mut dyn Backend, n: u128, n_facts: usize) -> bool {
    let id = run_id(n);
    let is_there = backend.run(id).unwrap().is_some();
    let facts = backend.facts(id).unwrap();
    assert_eq!(facts.len(), if is_there { n_facts } else { 0 }, "run {n}");
    assert_eq!(facts[facts.len().min(1)..], backend.facts_from(id, 1).unwrap(), "run {n}");
    let listed = |query: RunQuery, backend: &mut dyn Backend| {
        backend.runs(&query).unwrap().iter().any(|run| run.id == id)
    };
    assert_eq!(listed(RunQuery::default(), backend), is_there, "run {n}");
    let by_tag = RunQuery { tag: Some(format!("run {n}")), ..RunQuery::default() };
    assert_eq!(listed(by_tag, backend), is_there, "run {n}");
    if !is_there {
        assert_eq!(backend.request(id, Request::Cancel).unwrap(), Requested::UnknownRun);
        assert_eq!(backend.append(id, &facts_of_nobody(n)).unwrap(), Requested::UnknownRun);
        for epoch in 0..2 {
            let reopening = Reopening { run: id, epoch, facts: facts_of_nobody(n) };
            assert_eq!(backend.reopen(&reopening).unwrap(), Requested::UnknownRun);
        }
    }
    is_there
}

fn facts_of_nobody(n: u128) -> Vec<crate::record::FactRecord> {
    vec![fact(n, "late", FactKind::Cancelled)]
}

pub fn between_two_steps_a_run_is_there_wholly_or_unknown(fixture: &Fixture) {
    let mut backend = fixture.open();
    ended(&mut *backend, 4, 30);
    let mut observer = fixture.open();
    let mut step = Prune { n_rows_max: 7, ..before(100) };
    let mut sum = Pruned::default();
    loop {
        let pruned = backend.prune(&step).unwrap();
        sum.n_runs += pruned.n_runs;
        sum.n_facts += pruned.n_facts;
        let there = [1, 2, 3, 4].map(|n| is_whole(&mut *observer, n, 30));
        assert!(there.is_sorted(), "the first submitted goes first: {there:?}");
        let Some(next) = pruned.next else { break };
        step.after = Some(next);
    }
    assert_eq!(left(&mut *backend), []);
    assert_eq!((sum.n_runs, sum.n_facts), (4, 120));
}

pub fn a_run_of_which_a_part_is_gone_is_gone_on_with_first(fixture: &Fixture) {
    let mut backend = fixture.open();
    ended(&mut *backend, 3, 50);
    let first = Prune { after: Some(run_id(1)), n_rows_max: 10, ..before(100) };
    let begun = backend.prune(&first).unwrap();
    assert!(!is_whole(&mut *backend, 2, 50));
    // Its key is free, and its identity is no obstacle to a new run.
    let key = Some("key 2".to_owned());
    let again: NewRun =
        with_options(RunOptions { idempotency_key: key, ..RunOptions::default() }, new_run(9, "a"));
    assert!(matches!(submit(&mut *backend, &again), Submission::New));
    // As after a crash: somebody else, somewhen, who means other runs.
    backend.reconnect().unwrap();
    let rest = prune(&mut *backend, &Prune { statuses: vec![RunStatus::Cancelled], ..before(-1_000) });
    assert_eq!(begun.n_runs + rest.n_runs, 1);
    assert_eq!(begun.n_facts + rest.n_facts, 50);
    assert_eq!(left(&mut *backend), [1, 3, 9]);
    assert_eq!(stored(&mut *backend, 9).options.idempotency_key.as_deref(), Some("key 2"));
}
