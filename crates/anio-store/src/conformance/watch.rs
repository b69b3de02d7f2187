//! Waiting for changes that others make.
#![expect(clippy::unwrap_used, reason = "a case is a test: what fails must stop it")]
#![expect(missing_docs, reason = "their names are sentences")]

use std::thread;
use std::time::Duration;

use anio_core::run::FactKind;

use super::Fixture;
use super::sample::{LONG, claimed, fact, facts_of, new_run, run_id, submit, worker};
use crate::backend::Watcher;
use crate::record::{Change, Request};

/// Longer than any backend needs to tell.
const PATIENCE: Duration = Duration::from_secs(60);

/// All that has been told so far is told.
fn drain(watcher: &mut dyn Watcher) {
    while watcher.wait(Duration::from_millis(300)).unwrap().is_some() {}
}

pub fn a_watcher_tells_what_others_have_changed(fixture: &Fixture) {
    let mut backend = fixture.open();
    let w = worker(1, LONG);
    backend.register(&w).unwrap();
    let mut watcher = fixture.open().watcher().unwrap().unwrap();
    drain(&mut *watcher);
    assert_eq!(watcher.wait(Duration::ZERO).unwrap(), None);

    submit(&mut *backend, &new_run(1, "a"));
    assert!(matches!(watcher.wait(PATIENCE).unwrap(), Some(Change::Runs | Change::Any)));
    drain(&mut *watcher);
    backend.commit(&claimed(&w, vec![new_run(2, "a")]), 1).unwrap();
    backend.commit(&facts_of(&w, vec![fact(2, "load", FactKind::Started)]), 2).unwrap();
    assert!(watcher.wait(PATIENCE).unwrap().is_some());
    drain(&mut *watcher);
    backend.commit(&facts_of(&w, vec![fact(2, "report", FactKind::Started)]), 3).unwrap();
    assert!(matches!(watcher.wait(PATIENCE).unwrap(), Some(Change::Facts | Change::Any)));
    drain(&mut *watcher);
    backend.request(run_id(2), Request::Cancel).unwrap();
    assert!(matches!(watcher.wait(PATIENCE).unwrap(), Some(Change::Runs | Change::Any)));
}

pub fn what_others_commit_is_told_apart_from_what_one_commits(fixture: &Fixture) {
    let (mut backend, mut other) = (fixture.open(), fixture.open());
    let w = worker(1, LONG);
    backend.register(&w).unwrap();
    // The first answer is about all that was before, so it is yes where any is.
    let can_tell = backend.changed_by_others().unwrap();
    backend.commit(&claimed(&w, vec![new_run(1, "a")]), 1).unwrap();
    backend.renew(&w).unwrap();
    assert!(!backend.changed_by_others().unwrap(), "its own commits are nobody else's");
    other.run(run_id(1)).unwrap();
    assert!(!backend.changed_by_others().unwrap(), "to read is to change nothing");
    other.request(run_id(1), Request::Cancel).unwrap();
    assert_eq!(backend.changed_by_others().unwrap(), can_tell);
    assert!(!backend.changed_by_others().unwrap(), "it is told once");
}

pub fn a_watcher_waits_until_another_changes_something(fixture: &Fixture) {
    let mut backend = fixture.open();
    let mut watcher = backend.watcher().unwrap().unwrap();
    drain(&mut *watcher);
    thread::scope(|scope| {
        let told = scope.spawn(move || watcher.wait(PATIENCE).unwrap());
        submit(&mut *backend, &new_run(1, "a"));
        assert!(told.join().unwrap().is_some());
    });
}
