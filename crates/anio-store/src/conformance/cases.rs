//! The cases, one function each; they panic where a backend does not do as it must. Those that concern no
//! single verb are here, the others beside.
#![expect(clippy::unwrap_used, reason = "a case is a test: what fails must stop it")]
#![expect(missing_docs, reason = "their names are sentences")]

use std::sync::Arc;
use std::sync::Barrier;
use std::thread;

use anio_core::error::FailureKind;
use anio_core::run::{FactKind, RunFailure};
use anio_core::{RunId, TaskFailure};

use super::Fixture;
use super::sample::{
    LONG, OVER, at, claim, claimed, end, fact, facts_of, ids, json, new_run, park, plan, run_id, stored,
    submission, succeeded, with_priority, worker, workflow, writes,
};
pub use super::{due::*, prune::*, rate::*, request::*, submit::*, watch::*};
use crate::backend::Backend;
use crate::error::StoreError;
use crate::record::{Batch, EndRecord, FactRecord, NewRun, RunQuery, RunStatus};

fn status(backend: &mut dyn Backend, run: u128) -> RunStatus {
    stored(backend, run).status
}

fn is_lease_lost<T: std::fmt::Debug>(outcome: &Result<T, StoreError>) -> bool {
    matches!(outcome, Err(StoreError::LeaseLost))
}

pub fn claims_go_by_priority_and_then_by_submission(fixture: &Fixture) {
    let mut backend = fixture.open();
    let w = worker(1, LONG);
    backend.register(&w).unwrap();
    let runs = [(1, 0), (2, 5), (3, 0), (4, -1), (5, 5)];
    // Stored in another order than that of their identities.
    let batch = runs.iter().rev().map(|(n, priority)| with_priority(*priority, new_run(*n, "a")));
    backend.commit(&submission(batch.collect()), 0).unwrap();
    assert_eq!(ids(&backend.claim(&claim(&w, &["a"], 3)).unwrap()), [2, 5, 1].map(run_id));
    assert_eq!(ids(&backend.claim(&claim(&w, &["a"], 9)).unwrap()), [3, 4].map(run_id));
    assert_eq!(ids(&backend.claim(&claim(&w, &["a"], 9)).unwrap()), []);
    assert_eq!(status(&mut *backend, 4), RunStatus::Running);
}

pub fn runs_of_unknown_workflows_are_left(fixture: &Fixture) {
    let mut backend = fixture.open();
    let w = worker(1, LONG);
    backend.register(&w).unwrap();
    backend.commit(&submission(vec![new_run(1, "größe"), new_run(2, "b"), new_run(3, "c")]), 0).unwrap();
    assert_eq!(ids(&backend.claim(&claim(&w, &[], 9)).unwrap()), []);
    assert_eq!(ids(&backend.claim(&claim(&w, &["größe", "c"], 9)).unwrap()), [1, 3].map(run_id));
    assert_eq!(status(&mut *backend, 2), RunStatus::Queued);
}

pub fn a_run_keeps_what_it_was_submitted_with(fixture: &Fixture) {
    let mut backend = fixture.open();
    let input =
        json(&format!(r#"{{"text":"ünïcödé \"quoted\" \\ \u0000 😀","long":"{}"}}"#, "x".repeat(1 << 20)));
    let new = with_priority(i32::MIN, NewRun { input: input.clone(), ..new_run(7, "a") });
    backend.commit(&submission(vec![new]), 0).unwrap();
    let run = backend.run(run_id(7)).unwrap().unwrap();
    assert_eq!(run.id, run_id(7));
    assert_eq!(run.workflow, workflow("a"));
    assert_eq!(run.plan, plan("a").0);
    assert_eq!(run.status, RunStatus::Queued);
    assert_eq!(run.input, input);
    assert_eq!((run.options.priority, run.epoch), (i32::MIN, 0));
    assert_eq!((run.submitted_at, run.started_at, run.finished_at), (at(7), None, None));
    assert_eq!((run.failure, run.parked_reason), (None, None));
    assert!(backend.run(run_id(8)).unwrap().is_none());
}

pub fn a_client_submits_without_a_lease(fixture: &Fixture) {
    let mut backend = fixture.open();
    // Nobody is there to claim it: `claim` is for a batch of a worker.
    backend.commit(&submission(vec![NewRun { claim: true, ..new_run(1, "a") }]), 0).unwrap();
    assert_eq!(status(&mut *backend, 1), RunStatus::Queued);
    let w = worker(1, LONG);
    backend.register(&w).unwrap();
    backend.commit(&claimed(&w, vec![new_run(2, "a")]), 1).unwrap();
    let run = backend.run(run_id(2)).unwrap().unwrap();
    assert_eq!((run.status, run.started_at), (RunStatus::Running, Some(at(2))));
}

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// One fact of every kind, with and without what is optional.
fn every_kind() -> Vec<FactRecord> {
    let failure = TaskFailure {
        kind: FailureKind::Panic,
        message: "ünglück\n\"quoted\" \\ 😀 \u{0}".to_owned(),
        causes: vec!["first".to_owned(), String::new()],
    };
    let failed =
        |retry_at| FactKind::Failed { started_at: at(5), failure: Arc::new(failure.clone()), retry_at };
    let with_writes = |key, value| FactKind::Succeeded {
        started_at: at(-5),
        output: json("null"),
        writes: Some(writes(key, value)),
    };
    let long = format!(r#"{{"long":"{}"}}"#, "ß".repeat(1 << 19));
    vec![
        fact(1, "load", FactKind::Started),
        FactRecord { traceparent: Some(TRACEPARENT.into()), ..fact(1, "load", FactKind::Started) },
        fact(1, "load", failed(Some(at(1_000_000)))),
        FactRecord { attempt: 2, ..fact(1, "load", FactKind::Interrupted { started_at: at(6) }) },
        FactRecord { attempt: u32::MAX, ..fact(1, "load", failed(None)) },
        fact(1, "größe 2/x.y 😀", succeeded(r#"{"b": [1, 2.50,null],"a":"\u00fc\u0000"}"#)),
        fact(1, "long", succeeded(&long)),
        fact(1, "writes", with_writes("schlüssel", "wert \"x\" 😀")),
        FactRecord { attempt: 0, ..fact(1, "each", FactKind::Expanded { n: 0 }) },
        FactRecord { attempt: 0, ..fact(1, "each2", FactKind::Expanded { n: u32::MAX }) },
        FactRecord {
            attempt: 0,
            ..fact(1, "left out", FactKind::Skipped { reason: "its \"condition\" – ℕ".into() })
        },
        FactRecord { attempt: 0, ..fact(1, "each", FactKind::Stopped { running: vec![] }) },
        FactRecord { attempt: 0, ..fact(1, "each2", FactKind::Stopped { running: vec![0, 7, u32::MAX] }) },
        FactRecord { map_index: Some(0), ..fact(1, "each", succeeded("true")) },
        FactRecord { map_index: Some(u32::MAX), ..fact(1, "each", succeeded("\"\"")) },
        FactRecord { attempt: 0, ..fact(1, "given up", FactKind::Cancelled) },
        FactRecord { attempt: 3, map_index: Some(7), ..fact(1, "each", FactKind::Cleared) },
        fact(1, "load", FactKind::Called),
    ]
}

pub fn every_kind_of_fact_reads_back_as_it_was(fixture: &Fixture) {
    let mut backend = fixture.open();
    let w = worker(1, LONG);
    backend.register(&w).unwrap();
    backend.commit(&claimed(&w, vec![new_run(1, "a")]), 1).unwrap();
    backend.commit(&facts_of(&w, every_kind()), 2).unwrap();
    let stored = backend.facts(run_id(1)).unwrap();
    for (stored, fact) in stored.iter().zip(every_kind()) {
        assert_eq!(*stored, fact);
    }
    assert_eq!(stored.len(), every_kind().len());
    // The text of an output is kept to the letter.
    let FactKind::Succeeded { output, .. } = &stored[5].kind else { panic!("{stored:?}") };
    assert_eq!(output.json().get(), r#"{"b": [1, 2.50,null],"a":"\u00fc\u0000"}"#);
    assert_eq!(backend.facts(run_id(2)).unwrap(), []);
}

pub fn facts_come_back_in_the_order_of_their_commits(fixture: &Fixture) {
    let mut backend = fixture.open();
    let w = worker(1, LONG);
    backend.register(&w).unwrap();
    backend.commit(&claimed(&w, vec![new_run(1, "a"), new_run(2, "a")]), 1).unwrap();
    let kind = |n: u32| match n % 41 {
        40 => FactKind::Expanded { n },
        _ => succeeded(&n.to_string()),
    };
    let all: Vec<FactRecord> = (0..2000_u32)
        .map(|n| fact(1 + u128::from(n % 2), &format!("t{}", 7919 * n % 2000), kind(n)))
        .collect();
    for (number, chunk) in all.chunks(137).enumerate() {
        backend.commit(&facts_of(&w, chunk.to_vec()), number as u64 + 2).unwrap();
    }
    let of = |n| all.iter().filter(|fact| fact.run == run_id(n)).cloned().collect::<Vec<_>>();
    assert_eq!(backend.facts(run_id(1)).unwrap(), of(1));
    backend.release(w.id).unwrap();
    let next = worker(2, LONG);
    backend.register(&next).unwrap();
    let claimed = backend.claim(&claim(&next, &["a"], 9)).unwrap();
    assert_eq!(ids(&claimed), [1, 2].map(run_id));
    assert_eq!(claimed.iter().map(|run| run.facts.clone()).collect::<Vec<_>>(), [of(1), of(2)]);
}

pub fn a_worker_that_was_buried_commits_nothing(fixture: &Fixture) {
    let (mut old, mut new) = (fixture.open(), fixture.open());
    let (zombie, heir) = (worker(1, OVER), worker(2, LONG));
    old.register(&zombie).unwrap();
    old.commit(&claimed(&zombie, vec![new_run(1, "a"), new_run(2, "a")]), 1).unwrap();
    old.commit(&facts_of(&zombie, vec![fact(1, "load", succeeded("1"))]), 2).unwrap();
    new.register(&heir).unwrap();
    assert_eq!(new.bury(&[zombie.id]).unwrap(), 2);

    let late = Batch {
        worker: Some(zombie.id),
        runs: vec![new_run(3, "a")],
        facts: vec![fact(1, "report", succeeded("2"))],
        ends: vec![end(1, RunStatus::Succeeded)],
        parks: vec![park(2, "never")],
        plans: vec![plan("never")],
        holds: vec![run_id(2)],
    };
    assert!(is_lease_lost(&old.commit(&late, 3)));
    assert!(is_lease_lost(&old.claim(&claim(&zombie, &["a"], 1))));
    assert!(is_lease_lost(&old.renew(&zombie)));
    assert!(is_lease_lost(&old.register(&zombie)));
    assert_eq!(new.facts(run_id(1)).unwrap(), [fact(1, "load", succeeded("1"))]);
    assert!(new.run(run_id(3)).unwrap().is_none());
    assert_eq!([1, 2].map(|n| status(&mut *new, n)), [RunStatus::Queued; 2]);
    assert_eq!(old.last_commit(zombie.id).unwrap(), 2);
    assert_eq!(new.bury(&[zombie.id]).unwrap(), 0);
}

pub fn burying_puts_back_the_runs_of_the_dead_only(fixture: &Fixture) {
    use RunStatus::{Parked, Queued, Running, Succeeded};
    let mut backend = fixture.open();
    let (dead, other) = (worker(1, OVER), worker(2, LONG));
    for w in [&dead, &other] {
        backend.register(w).unwrap();
    }
    backend.commit(&claimed(&dead, (1..=4).map(|n| new_run(n, "a")).collect()), 1).unwrap();
    let over = Batch {
        worker: Some(dead.id),
        ends: vec![end(1, RunStatus::Succeeded)],
        parks: vec![park(2, "unknown")],
        ..Batch::default()
    };
    backend.commit(&over, 2).unwrap();
    backend.commit(&claimed(&other, vec![new_run(5, "a")]), 1).unwrap();
    backend.commit(&submission(vec![new_run(6, "a")]), 0).unwrap();
    assert_eq!(backend.bury(&[]).unwrap(), 0);
    assert_eq!(backend.bury(&[dead.id]).unwrap(), 2);
    let found = (1..=6).map(|n| {
        let run = backend.run(run_id(n)).unwrap().unwrap();
        (run.status, run.epoch)
    });
    let expected = [(Succeeded, 0), (Parked, 0), (Queued, 1), (Queued, 1), (Running, 0), (Queued, 0)];
    assert_eq!(found.collect::<Vec<_>>(), expected);
    let taken = backend.claim(&claim(&other, &["a"], 2)).unwrap();
    assert_eq!(ids(&taken), [3, 4].map(run_id));
    assert_eq!(taken[0].run.epoch, 1);
    // When a worker first had it, not when the second took it.
    assert_eq!(taken[0].run.started_at, Some(at(3)));
}

pub fn a_worker_that_renewed_in_between_is_not_buried(fixture: &Fixture) {
    let (mut one, mut two) = (fixture.open(), fixture.open());
    let (slow, other) = (worker(1, OVER), worker(2, LONG));
    one.register(&slow).unwrap();
    one.commit(&claimed(&slow, vec![new_run(1, "a")]), 1).unwrap();
    two.register(&other).unwrap();
    assert_eq!(two.renew(&other).unwrap().dead, [slow.id]);
    one.renew(&worker(1, LONG)).unwrap();
    assert_eq!(two.bury(&[slow.id]).unwrap(), 0);
    assert_eq!(status(&mut *two, 1), RunStatus::Running);
    one.commit(&facts_of(&slow, vec![fact(1, "load", succeeded("1"))]), 2).unwrap();
    assert_eq!(two.renew(&other).unwrap().dead, []);
}

pub fn a_lease_that_ran_out_still_commits_until_it_is_buried(fixture: &Fixture) {
    let mut backend = fixture.open();
    let slow = worker(1, OVER);
    backend.register(&slow).unwrap();
    backend.commit(&claimed(&slow, vec![new_run(1, "a")]), 1).unwrap();
    assert_eq!(backend.renew(&slow).unwrap().dead, [], "a worker does not see itself as dead");
    backend.commit(&facts_of(&slow, vec![fact(1, "load", succeeded("1"))]), 2).unwrap();
    assert_eq!(backend.facts(run_id(1)).unwrap().len(), 1);
}

pub fn a_released_worker_commits_nothing_more(fixture: &Fixture) {
    let mut backend = fixture.open();
    let (leaving, next) = (worker(1, LONG), worker(2, LONG));
    backend.register(&leaving).unwrap();
    backend.register(&next).unwrap();
    backend.commit(&claimed(&leaving, vec![new_run(1, "a")]), 1).unwrap();
    backend.release(leaving.id).unwrap();
    backend.release(leaving.id).unwrap();
    backend.release(worker(9, LONG).id).unwrap();
    assert!(is_lease_lost(&backend.commit(&facts_of(&leaving, vec![fact(1, "load", succeeded("1"))]), 2)));
    assert_eq!(backend.renew(&next).unwrap().dead, []);
    let taken = backend.claim(&claim(&next, &["a"], 1)).unwrap();
    assert_eq!((ids(&taken), taken[0].run.epoch), (vec![run_id(1)], 1));
    assert_eq!(taken[0].facts, []);
}

pub fn the_last_commit_is_known(fixture: &Fixture) {
    let mut backend = fixture.open();
    let w = worker(1, LONG);
    assert!(is_lease_lost(&backend.last_commit(w.id)));
    backend.register(&w).unwrap();
    assert_eq!(backend.last_commit(w.id).unwrap(), 0);
    backend.commit(&claimed(&w, vec![new_run(1, "a")]), 1).unwrap();
    backend.commit(&facts_of(&w, vec![]), 2).unwrap();
    assert_eq!(backend.last_commit(w.id).unwrap(), 2);
    // One that failed does not count.
    assert!(backend.commit(&claimed(&w, vec![new_run(1, "a")]), 3).is_err());
    assert_eq!(backend.last_commit(w.id).unwrap(), 2);
    backend.register(&w).unwrap();
    assert_eq!(backend.last_commit(w.id).unwrap(), 2);
    backend.reconnect().unwrap();
    assert_eq!(backend.last_commit(w.id).unwrap(), 2);
    backend.release(w.id).unwrap();
    assert_eq!(backend.last_commit(w.id).unwrap(), 2);
}

pub fn a_commit_that_is_sent_again_is_stored_once(fixture: &Fixture) {
    let mut backend = fixture.open();
    let w = worker(1, OVER);
    backend.register(&w).unwrap();
    let first = claimed(&w, vec![new_run(1, "a")]);
    let second = facts_of(&w, vec![fact(1, "load", succeeded("1"))]);
    for (batch, number) in [(&first, 1), (&first, 1), (&second, 2), (&second, 2), (&first, 1)] {
        backend.commit(batch, number).unwrap();
    }
    assert_eq!(backend.facts(run_id(1)).unwrap().len(), 1);
    // Numbers may be left out, and what was durable before the lease was lost stays so.
    backend.commit(&facts_of(&w, vec![fact(1, "report", succeeded("2"))]), 9).unwrap();
    assert_eq!(backend.bury(&[w.id]).unwrap(), 1);
    backend.commit(&second, 9).unwrap();
    assert!(is_lease_lost(&backend.commit(&second, 10)));
    assert_eq!(backend.facts(run_id(1)).unwrap().len(), 2);
}

pub fn a_batch_is_stored_wholly_or_not_at_all(fixture: &Fixture) {
    let mut backend = fixture.open();
    let w = worker(1, LONG);
    backend.register(&w).unwrap();
    backend.commit(&claimed(&w, vec![new_run(1, "a"), new_run(2, "a")]), 1).unwrap();
    let batch = Batch {
        facts: vec![fact(1, "load", succeeded("1"))],
        ends: vec![end(1, RunStatus::Succeeded)],
        parks: vec![park(2, "never")],
        ..claimed(&w, vec![new_run(3, "b"), new_run(2, "b"), new_run(4, "b")])
    };
    let error = backend.commit(&batch, 2).unwrap_err();
    assert!(matches!(error, StoreError::Database { .. }) && !error.is_transient(), "{error:?}");
    assert!(backend.run(run_id(3)).unwrap().is_none());
    assert!(backend.run(run_id(4)).unwrap().is_none());
    assert_eq!(backend.facts(run_id(1)).unwrap(), []);
    assert_eq!([1, 2].map(|n| status(&mut *backend, n)), [RunStatus::Running; 2]);
    // The connection goes on, and so does the plan that was rolled back.
    let good = Batch { runs: vec![NewRun { claim: false, ..new_run(5, "b") }], ..batch };
    backend.commit(&good, 2).unwrap();
    let taken = backend.claim(&claim(&w, &["b"], 9)).unwrap();
    assert_eq!(ids(&taken), [run_id(5)]);
    assert_eq!(taken[0].plan.as_deref(), Some(&plan("b").1));
}

pub fn runs_end_as_they_are_told(fixture: &Fixture) {
    let mut backend = fixture.open();
    let w = worker(1, LONG);
    backend.register(&w).unwrap();
    backend.commit(&claimed(&w, (1..=3).map(|n| new_run(n, "a")).collect()), 1).unwrap();
    let failure = RunFailure {
        task: "größe".to_owned(),
        map_index: Some(3),
        attempts: 2,
        failure: TaskFailure::new(FailureKind::Error, "it is \"broken\""),
    };
    let ends = vec![
        end(1, RunStatus::Succeeded),
        EndRecord { failure: Some(failure.clone()), ..end(2, RunStatus::Failed) },
        end(3, RunStatus::Cancelled),
    ];
    backend.commit(&Batch { worker: Some(w.id), ends, ..Batch::default() }, 2).unwrap();
    let runs = [1, 2, 3].map(|n| backend.run(run_id(n)).unwrap().unwrap());
    assert_eq!(
        runs.each_ref().map(|run| run.status),
        [RunStatus::Succeeded, RunStatus::Failed, RunStatus::Cancelled]
    );
    assert_eq!(runs.each_ref().map(|run| run.finished_at), [Some(at(20)); 3]);
    assert_eq!(runs.each_ref().map(|run| run.failure.clone()), [None, Some(failure), None]);
    backend.release(w.id).unwrap();
    assert_eq!(status(&mut *backend, 1), RunStatus::Succeeded);
}

pub fn a_second_end_changes_nothing(fixture: &Fixture) {
    let mut backend = fixture.open();
    let w = worker(1, LONG);
    backend.register(&w).unwrap();
    backend.commit(&claimed(&w, vec![new_run(1, "a")]), 1).unwrap();
    let batch = |ends, parks| Batch { worker: Some(w.id), ends, parks, ..Batch::default() };
    backend.commit(&batch(vec![end(1, RunStatus::Cancelled)], vec![]), 2).unwrap();
    backend
        .commit(&batch(vec![EndRecord { at: at(99), ..end(1, RunStatus::Succeeded) }], vec![]), 3)
        .unwrap();
    backend.commit(&batch(vec![], vec![park(1, "too late")]), 4).unwrap();
    let run = backend.run(run_id(1)).unwrap().unwrap();
    assert_eq!((run.status, run.finished_at), (RunStatus::Cancelled, Some(at(20))));
    assert_eq!(run.parked_reason, None);
}

pub fn a_parked_run_waits_until_its_workflow_is_known(fixture: &Fixture) {
    let mut backend = fixture.open();
    let w = worker(1, LONG);
    backend.register(&w).unwrap();
    backend.commit(&claimed(&w, vec![new_run(1, "a"), new_run(2, "b")]), 1).unwrap();
    let parks = vec![park(1, "workflow \"a\" is unknown"), park(2, "changed")];
    let facts = vec![fact(1, "load", succeeded("1"))];
    backend.commit(&Batch { worker: Some(w.id), parks, facts, ..Batch::default() }, 2).unwrap();
    let run = backend.run(run_id(1)).unwrap().unwrap();
    assert_eq!(
        (run.status, run.parked_reason.as_deref()),
        (RunStatus::Parked, Some("workflow \"a\" is unknown"))
    );
    assert_eq!(backend.claim(&claim(&w, &["a", "b"], 9)).unwrap().len(), 0);
    assert!(!backend.renew(&w).unwrap().queued);

    assert_eq!(backend.unpark(&[]).unwrap(), 0);
    assert_eq!(backend.unpark(&[workflow("a"), workflow("c")]).unwrap(), 1);
    assert_eq!(backend.unpark(&[workflow("a")]).unwrap(), 0);
    let taken = backend.claim(&claim(&w, &["a", "b"], 9)).unwrap();
    assert_eq!(ids(&taken), [run_id(1)]);
    assert_eq!(taken[0].facts, [fact(1, "load", succeeded("1"))]);
    assert_eq!(taken[0].run.parked_reason, None);
    assert_eq!(status(&mut *backend, 2), RunStatus::Parked);
}

pub fn runs_are_listed_page_by_page(fixture: &Fixture) {
    let mut backend = fixture.open();
    let w = worker(1, LONG);
    backend.register(&w).unwrap();
    let all = (1..=150).map(|n| new_run(n, if n % 3 == 0 { "fizz" } else { "other" }));
    backend.commit(&submission(all.collect()), 0).unwrap();
    let ends = (1..=150).step_by(5).map(|n| end(n, RunStatus::Succeeded)).collect();
    backend.commit(&Batch { worker: Some(w.id), ends, ..Batch::default() }, 1).unwrap();
    let mut list = |query: RunQuery| -> Vec<RunId> {
        backend.runs(&query).unwrap().into_iter().map(|run| run.id).collect()
    };
    let expected = |numbers: &mut dyn Iterator<Item = u128>| numbers.map(run_id).collect::<Vec<_>>();

    assert_eq!(list(RunQuery::default()), expected(&mut (51..=150).rev()));
    let query = RunQuery { before: Some(run_id(51)), limit: 20, ..RunQuery::default() };
    assert_eq!(list(query), expected(&mut (31..=50).rev()));
    let fizz = RunQuery { workflow: Some("fizz".to_owned()), limit: 3, ..RunQuery::default() };
    assert_eq!(list(fizz), [150, 147, 144].map(run_id));
    let ended = RunQuery {
        statuses: vec![RunStatus::Succeeded, RunStatus::Failed],
        before: Some(run_id(20)),
        ..RunQuery::default()
    };
    assert_eq!(list(ended), [16, 11, 6, 1].map(run_id));
    let both = RunQuery {
        workflow: Some("fizz".to_owned()),
        statuses: vec![RunStatus::Succeeded],
        limit: 2,
        ..RunQuery::default()
    };
    assert_eq!(list(both), [141, 126].map(run_id));
    let none = RunQuery { workflow: Some("none".to_owned()), ..RunQuery::default() };
    assert_eq!(list(none), []);
}

pub fn a_plan_is_stored_once_and_comes_with_the_run(fixture: &Fixture) {
    let (mut one, mut two) = (fixture.open(), fixture.open());
    let w = worker(1, LONG);
    one.register(&w).unwrap();
    one.commit(&submission(vec![new_run(1, "a"), new_run(2, "a")]), 0).unwrap();
    two.commit(&submission(vec![new_run(3, "a"), new_run(4, "b")]), 0).unwrap();
    one.commit(&submission(vec![new_run(5, "a")]), 0).unwrap();
    let plans = one.claim(&claim(&w, &["a", "b"], 9)).unwrap().into_iter().map(|run| run.plan);
    let (a, b) = (Some(Arc::new(plan("a").1)), Some(Arc::new(plan("b").1)));
    assert_eq!(two.plan(plan("a").0).unwrap().map(Arc::new), a);
    assert_eq!(two.plan(plan("never stored").0).unwrap(), None);
    assert_eq!(plans.collect::<Vec<_>>(), [a.clone(), a.clone(), a.clone(), b, a]);
    // A run whose plan was never stored comes without.
    let without = Batch { runs: vec![new_run(6, "c")], ..Batch::default() };
    one.commit(&without, 0).unwrap();
    assert_eq!(one.claim(&claim(&w, &["c"], 9)).unwrap()[0].plan, None);
}

pub fn renewal_tells_of_the_dead_and_of_the_queue(fixture: &Fixture) {
    let mut backend = fixture.open();
    let w = worker(1, LONG);
    assert!(is_lease_lost(&backend.renew(&w)));
    backend.register(&w).unwrap();
    let quiet = backend.renew(&w).unwrap();
    assert_eq!((quiet.dead.len(), quiet.queued), (0, false));
    let before = backend.n_statements();
    backend.renew(&w).unwrap();
    assert!(backend.n_statements() - before <= 2, "{} statements", backend.n_statements() - before);

    for (n, lease) in [(2, OVER), (3, LONG), (4, OVER)] {
        backend.register(&worker(n, lease)).unwrap();
    }
    backend.commit(&submission(vec![new_run(1, "a")]), 0).unwrap();
    let mut seen = backend.renew(&w).unwrap();
    seen.dead.sort();
    assert_eq!(seen.dead, [2, 4].map(|n| worker(n, OVER).id));
    assert!(seen.queued);
    backend.bury(&seen.dead).unwrap();
    backend.claim(&claim(&w, &["a"], 1)).unwrap();
    let seen = backend.renew(&w).unwrap();
    assert_eq!((seen.dead.len(), seen.queued), (0, false));
}

pub fn a_connection_for_reading_sees_what_is_durable(fixture: &Fixture) {
    let mut backend = fixture.open();
    let w = worker(1, LONG);
    backend.register(&w).unwrap();
    let mut reader = backend.reader().unwrap();
    assert!(reader.run(run_id(1)).unwrap().is_none());
    backend.commit(&claimed(&w, vec![new_run(1, "a")]), 1).unwrap();
    assert_eq!(status(&mut *reader, 1), RunStatus::Running);
    backend.commit(&facts_of(&w, vec![fact(1, "load", succeeded("1"))]), 2).unwrap();
    assert_eq!(reader.facts(run_id(1)).unwrap().len(), 1);
    assert_eq!(reader.runs(&RunQuery::default()).unwrap().len(), 1);
    reader.reconnect().unwrap();
    assert_eq!(reader.facts(run_id(1)).unwrap().len(), 1);
}

pub fn migrating_again_changes_nothing(fixture: &Fixture) {
    let mut backend = fixture.open();
    backend.commit(&submission(vec![new_run(1, "a")]), 0).unwrap();
    backend.migrate().unwrap();
    let mut other = fixture.open();
    assert_eq!(status(&mut *other, 1), RunStatus::Queued);
}

pub fn every_migration_at_once_comes_up(fixture: &Fixture) {
    let all = 8;
    let start = Barrier::new(all);
    thread::scope(|scope| {
        for n in 0..all as u128 {
            let start = &start;
            scope.spawn(move || {
                start.wait();
                let mut backend = fixture.open();
                backend.register(&worker(n, LONG)).unwrap();
                backend.commit(&submission(vec![new_run(n, "a")]), 0).unwrap();
            });
        }
    });
    assert_eq!(fixture.open().runs(&RunQuery::default()).unwrap().len(), all);
}

pub fn two_claims_at_once_never_take_one_run(fixture: &Fixture) {
    fixture.open().commit(&submission((0..400).map(|n| new_run(n, "a")).collect()), 0).unwrap();
    let taken = thread::scope(|scope| {
        let claimers = [1, 2, 3].map(|n| {
            scope.spawn(move || {
                let (mut backend, w) = (fixture.open(), worker(n, LONG));
                backend.register(&w).unwrap();
                let mut taken = Vec::new();
                loop {
                    let runs = ids(&backend.claim(&claim(&w, &["a"], 7)).unwrap());
                    if runs.is_empty() && !backend.renew(&w).unwrap().queued {
                        return (taken, backend);
                    }
                    taken.extend(runs);
                }
            })
        });
        let claimers = claimers.map(|claimer| claimer.join().unwrap());
        claimers.into_iter().flat_map(|(taken, _)| taken).collect::<Vec<_>>()
    });
    let mut sorted = taken;
    sorted.sort();
    assert_eq!(sorted, (0..400).map(run_id).collect::<Vec<_>>());
}

/// A zombie commits as fast as it can while another buries it: all that it was told is stored came before,
/// and the heir sees exactly that.
pub fn nobody_commits_for_a_worker_that_another_has_buried(fixture: &Fixture) {
    let (zombie, heir) = (worker(1, OVER), worker(2, LONG));
    let mut old = fixture.open();
    old.register(&zombie).unwrap();
    old.commit(&claimed(&zombie, vec![new_run(1, "a")]), 1).unwrap();
    let (first_is_in, wait_for_first) = std::sync::mpsc::channel();
    thread::scope(|scope| {
        let committing = scope.spawn(move || {
            for number in 2.. {
                let batch = facts_of(&zombie, vec![fact(1, "tick", succeeded(&number.to_string()))]);
                match old.commit(&batch, number) {
                    Ok(()) => first_is_in.send(()).unwrap_or(()),
                    Err(StoreError::LeaseLost) => return number - 2,
                    Err(error) => panic!("{error:?}"),
                }
            }
            unreachable!("the zombie is buried")
        });
        wait_for_first.recv().unwrap();
        let mut new = fixture.open();
        new.register(&heir).unwrap();
        assert_eq!(new.bury(&[worker(1, OVER).id]).unwrap(), 1);
        let taken = new.claim(&claim(&heir, &["a"], 1)).unwrap();
        let n_stored = committing.join().unwrap();
        assert_eq!(taken[0].facts.len() as u64, n_stored);
        assert_eq!(new.facts(run_id(1)).unwrap().len() as u64, n_stored);
    });
}
