//! What is asked of runs, told of them, and undone, by others than their worker.
#![expect(clippy::unwrap_used, reason = "a case is a test: what fails must stop it")]
#![expect(missing_docs, reason = "their names are sentences")]

use std::fmt::Debug;

use anio_core::run::FactKind;
use anio_core::{RunId, TaskFailure};

use super::Fixture;
use super::sample::{
    LONG, OVER, at, claim, claimed, end, fact, facts_of, ids, new_run, park, run_id, stored, submission,
    succeeded, with_options, worker, workflow,
};
use crate::backend::Backend;
use crate::record::{
    Batch, EndRecord, FactRecord, NewRun, NewWorker, News, Reopening, Request, Requested, RunOptions,
    RunStatus,
};

use Request::{Cancel, Pause, Resume};
use RunStatus::{Cancelled, Failed, Parked, Paused, Queued, Running, Succeeded};

/// A worker with one run.
fn with_run(backend: &mut dyn Backend, n: u128) -> NewWorker {
    let w = worker(n, LONG);
    backend.register(&w).unwrap();
    backend.commit(&claimed(&w, vec![new_run(n, "a")]), 1).unwrap();
    w
}

/// Brings a new run, with a worker of its own, into a state in which this is requested of it.
fn bring(backend: &mut dyn Backend, n: u128, status: RunStatus, requested: Option<Request>) {
    let w = with_run(backend, n);
    let end = |status| Batch { worker: Some(w.id), ends: vec![end(n, status)], ..Batch::default() };
    match (status, requested) {
        (Running, None) => {}
        (Running, Some(request)) => assert_eq!(backend.request(run_id(n), request).unwrap(), Requested::Sent),
        (Queued, requested) => {
            if let Some(request) = requested {
                backend.request(run_id(n), request).unwrap();
            }
            backend.release(w.id).unwrap();
        }
        (Paused, _) => {
            backend.release(w.id).unwrap();
            backend.request(run_id(n), Pause).unwrap();
        }
        (Parked, _) => {
            let parks = vec![park(n, "changed")];
            backend.commit(&Batch { worker: Some(w.id), parks, ..Batch::default() }, 2).unwrap();
        }
        (ended, _) => backend.commit(&end(ended), 2).unwrap(),
    }
    let run = stored(backend, n);
    assert_eq!((run.status, run.requested), (status, requested), "run {n} is not as it should be");
}

pub fn every_request_in_every_state_does_as_the_table_says(fixture: &Fixture) {
    use Requested::{Done, Refused, Sent};
    let mut backend = fixture.open();
    let table = [
        (Queued, None, Pause, Done(Paused), None),
        (Queued, None, Resume, Refused(Queued), None),
        (Queued, None, Cancel, Sent, Some(Cancel)),
        (Queued, Some(Cancel), Pause, Refused(Queued), Some(Cancel)),
        (Queued, Some(Cancel), Resume, Refused(Queued), Some(Cancel)),
        (Queued, Some(Cancel), Cancel, Done(Cancelled), None),
        (Paused, None, Pause, Done(Paused), None),
        (Paused, None, Resume, Done(Queued), None),
        (Paused, None, Cancel, Done(Cancelled), None),
        (Parked, None, Pause, Refused(Parked), None),
        (Parked, None, Resume, Refused(Parked), None),
        (Parked, None, Cancel, Done(Cancelled), None),
        (Running, None, Pause, Sent, Some(Pause)),
        (Running, None, Resume, Refused(Running), None),
        (Running, None, Cancel, Sent, Some(Cancel)),
        (Running, Some(Pause), Pause, Sent, Some(Pause)),
        (Running, Some(Pause), Resume, Sent, None),
        (Running, Some(Pause), Cancel, Sent, Some(Cancel)),
        (Running, Some(Cancel), Pause, Refused(Running), Some(Cancel)),
        (Running, Some(Cancel), Resume, Refused(Running), Some(Cancel)),
        (Running, Some(Cancel), Cancel, Sent, Some(Cancel)),
        (Succeeded, None, Pause, Refused(Succeeded), None),
        (Succeeded, None, Resume, Refused(Succeeded), None),
        (Succeeded, None, Cancel, Refused(Succeeded), None),
        (Failed, None, Pause, Refused(Failed), None),
        (Failed, None, Resume, Refused(Failed), None),
        (Failed, None, Cancel, Refused(Failed), None),
        (Cancelled, None, Pause, Refused(Cancelled), None),
        (Cancelled, None, Resume, Refused(Cancelled), None),
        (Cancelled, None, Cancel, Done(Cancelled), None),
    ];
    for (n, (status, before, request, answer, after)) in (1..).zip(table) {
        let case = format!("{status}, {before:?}: {request:?}");
        bring(&mut *backend, n, status, before);
        let old = stored(&mut *backend, n);
        assert_eq!(backend.request(run_id(n), request).unwrap(), answer, "{case}");
        let new = stored(&mut *backend, n);
        let expected = if let Done(status) = answer { status } else { status };
        assert_eq!((new.status, new.requested), (expected, after), "{case}");
        assert_eq!(new.news - old.news, u64::from(answer == Sent), "{case}");
        assert_eq!((new.epoch, new.started_at), (old.epoch, old.started_at), "{case}");
        if matches!(answer, Done(Cancelled)) && status != Cancelled {
            assert!(new.finished_at.is_some_and(|at| at > old.submitted_at || at.as_micros() > 0), "{case}");
            assert_eq!(new.parked_reason, None, "{case}");
        } else {
            assert_eq!((new.finished_at, new.parked_reason), (old.finished_at, old.parked_reason), "{case}");
        }
    }
    for request in [Pause, Resume, Cancel] {
        assert_eq!(backend.request(run_id(999), request).unwrap(), Requested::UnknownRun);
    }
}

pub fn a_run_that_nobody_ever_had_is_cancelled_at_once(fixture: &Fixture) {
    let mut backend = fixture.open();
    backend.commit(&submission(vec![new_run(1, "a")]), 0).unwrap();
    assert_eq!(backend.request(run_id(1), Cancel).unwrap(), Requested::Done(Cancelled));
    let run = stored(&mut *backend, 1);
    assert_eq!((run.status, run.requested, run.finished_at.is_some()), (Cancelled, None, true));
}

pub fn a_run_that_somebody_had_is_cancelled_by_the_next_who_has_it(fixture: &Fixture) {
    let mut backend = fixture.open();
    bring(&mut *backend, 1, Queued, None);
    assert_eq!(backend.request(run_id(1), Cancel).unwrap(), Requested::Sent);
    assert_eq!(stored(&mut *backend, 1).finished_at, None, "callbacks may be left to be called");
    let heir = worker(9, LONG);
    backend.register(&heir).unwrap();
    let claimed = backend.claim(&claim(&heir, &["a"], 9)).unwrap();
    let [claimed] = &claimed[..] else { panic!("it is not claimed: {claimed:?}") };
    assert_eq!((claimed.run.status, claimed.run.requested), (Running, Some(Cancel)));
}

pub fn a_cancelled_run_stays_so(fixture: &Fixture) {
    let mut backend = fixture.open();
    backend.commit(&submission(vec![new_run(1, "a")]), 0).unwrap();
    for (n, status) in [(2, Paused), (3, Parked)] {
        bring(&mut *backend, n, status, None);
    }
    for n in 1..=3 {
        assert_eq!(backend.request(run_id(n), Cancel).unwrap(), Requested::Done(Cancelled));
    }
    let w = worker(9, LONG);
    backend.register(&w).unwrap();
    assert_eq!(backend.unpark(&[workflow("a")]).unwrap(), 0);
    assert!(!backend.renew(&w).unwrap().queued);
    assert_eq!(ids(&backend.claim(&claim(&w, &["a"], 9)).unwrap()), []);
    let late = Batch {
        worker: Some(w.id),
        ends: (1..=3).map(|n| end(n, Succeeded)).collect(),
        parks: (1..=3).map(|n| park(n, "late")).collect(),
        holds: (1..=3).map(run_id).collect(),
        ..Batch::default()
    };
    backend.commit(&late, 1).unwrap();
    for n in 1..=3 {
        let run = stored(&mut *backend, n);
        assert_eq!((run.status, run.parked_reason), (Cancelled, None));
        assert_ne!(run.finished_at, Some(at(20)));
    }
}

pub fn a_paused_run_waits_until_it_is_resumed(fixture: &Fixture) {
    let mut backend = fixture.open();
    let w = worker(1, LONG);
    backend.register(&w).unwrap();
    backend.commit(&submission(vec![new_run(1, "a")]), 0).unwrap();
    backend.request(run_id(1), Pause).unwrap();
    assert_eq!(ids(&backend.claim(&claim(&w, &["a"], 9)).unwrap()), []);
    assert!(!backend.renew(&w).unwrap().queued);
    backend.request(run_id(1), Resume).unwrap();
    assert!(backend.renew(&w).unwrap().queued);
    assert_eq!(ids(&backend.claim(&claim(&w, &["a"], 9)).unwrap()), [run_id(1)]);
}

pub fn a_worker_learns_by_its_renewal_what_others_have_changed(fixture: &Fixture) {
    let mut backend = fixture.open();
    let (w, other) = (with_run(&mut *backend, 1), with_run(&mut *backend, 2));
    backend.commit(&claimed(&w, vec![new_run(3, "a"), new_run(4, "a")]), 2).unwrap();
    assert_eq!(backend.renew(&w).unwrap().news, []);
    let mut operator = fixture.open();
    operator.request(run_id(1), Pause).unwrap();
    operator.request(run_id(2), Cancel).unwrap();
    operator.append(run_id(3), &[fact(3, "load", FactKind::Cancelled)]).unwrap();
    let news = |run, requested, n| News { run: run_id(run), requested, n };
    let mut told = |w: &NewWorker| {
        let before = backend.n_statements();
        let mut told = backend.renew(w).unwrap().news;
        assert!(backend.n_statements() - before <= 2, "{} statements", backend.n_statements() - before);
        told.sort_by_key(|news| news.run);
        told
    };
    let first = [news(1, Some(Pause), 1), news(3, None, 1)];
    assert_eq!(told(&w), first);
    assert_eq!(told(&w), first, "seen before or not");
    assert_eq!(told(&other), [news(2, Some(Cancel), 1)]);
    operator.request(run_id(1), Resume).unwrap();
    operator.request(run_id(3), Cancel).unwrap();
    assert_eq!(told(&w), [news(1, None, 2), news(3, Some(Cancel), 2)]);
    let over =
        Batch { worker: Some(w.id), ends: vec![end(1, Succeeded), end(3, Cancelled)], ..Batch::default() };
    backend.commit(&over, 3).unwrap();
    assert_eq!(backend.renew(&w).unwrap().news, []);
}

pub fn an_end_empties_what_was_requested(fixture: &Fixture) {
    let mut backend = fixture.open();
    for (n, request) in [(1, Pause), (2, Cancel)] {
        bring(&mut *backend, n, Running, Some(request));
        let ends = vec![end(n, Succeeded)];
        backend.commit(&Batch { worker: Some(worker(n, LONG).id), ends, ..Batch::default() }, 2).unwrap();
        let run = stored(&mut *backend, n);
        assert_eq!((run.status, run.requested, run.news), (Succeeded, None, 1));
    }
}

pub fn what_is_requested_comes_with_the_claim(fixture: &Fixture) {
    let mut backend = fixture.open();
    bring(&mut *backend, 1, Queued, Some(Cancel));
    let next = worker(9, LONG);
    backend.register(&next).unwrap();
    let taken = backend.claim(&claim(&next, &["a"], 1)).unwrap();
    let run = &taken[0].run;
    assert_eq!((run.status, run.requested, run.news), (Running, Some(Cancel), 1));
    assert_eq!(backend.renew(&next).unwrap().news, [News { run: run.id, requested: Some(Cancel), n: 1 }]);
}

/// Three runs that are let go: one asked to pause, one to be cancelled, one left alone.
fn let_go(
    fixture: &Fixture,
    w: &NewWorker,
    how: impl FnOnce(&mut dyn Backend),
) -> Vec<(RunStatus, Option<Request>, u32)> {
    let mut backend = fixture.open();
    backend.register(w).unwrap();
    backend.commit(&claimed(w, (1..=3).map(|n| new_run(n, "a")).collect()), 1).unwrap();
    backend.request(run_id(1), Pause).unwrap();
    backend.request(run_id(2), Cancel).unwrap();
    how(&mut *backend);
    let next = worker(9, LONG);
    backend.register(&next).unwrap();
    let runs = (1..=3).map(|n| stored(&mut *backend, n)).map(|run| (run.status, run.requested, run.epoch));
    let runs = runs.collect();
    assert_eq!(ids(&backend.claim(&claim(&next, &["a"], 9)).unwrap()), [2, 3].map(run_id));
    runs
}

pub fn the_runs_of_the_dead_are_paused_where_that_was_asked(fixture: &Fixture) {
    let runs = let_go(fixture, &worker(1, OVER), |backend| {
        assert_eq!(backend.bury(&[worker(1, OVER).id]).unwrap(), 3);
    });
    assert_eq!(runs, [(Paused, None, 1), (Queued, Some(Cancel), 1), (Queued, None, 1)]);
}

pub fn the_runs_that_a_worker_gives_back_are_paused_where_that_was_asked(fixture: &Fixture) {
    let runs = let_go(fixture, &worker(1, LONG), |backend| backend.release(worker(1, LONG).id).unwrap());
    assert_eq!(runs, [(Paused, None, 1), (Queued, Some(Cancel), 1), (Queued, None, 1)]);
}

pub fn a_run_that_is_held_is_paused_or_goes_on_where_that_was_asked(fixture: &Fixture) {
    let w = worker(1, LONG);
    let runs = let_go(fixture, &w, |backend| {
        let holds = (1..=3).map(run_id).collect();
        backend.commit(&Batch { worker: Some(w.id), holds, ..Batch::default() }, 2).unwrap();
        assert_eq!(backend.renew(&w).unwrap().news, []);
    });
    assert_eq!(runs, [(Paused, None, 1), (Queued, Some(Cancel), 1), (Queued, None, 1)]);
}

pub fn a_parked_run_is_paused_by_its_return_where_that_was_asked(fixture: &Fixture) {
    let w = worker(1, LONG);
    let runs = let_go(fixture, &w, |backend| {
        let parks = (1..=3).map(|n| park(n, "unknown")).collect();
        backend.commit(&Batch { worker: Some(w.id), parks, ..Batch::default() }, 2).unwrap();
        let run = stored(backend, 2);
        assert_eq!((run.status, run.requested), (Parked, Some(Cancel)));
        assert_eq!(backend.unpark(&[workflow("a")]).unwrap(), 3);
    });
    assert_eq!(runs, [(Paused, None, 0), (Queued, Some(Cancel), 0), (Queued, None, 0)]);
}

pub fn nobody_holds_the_run_of_another(fixture: &Fixture) {
    let mut backend = fixture.open();
    let w = with_run(&mut *backend, 1);
    bring(&mut *backend, 2, Running, Some(Pause));
    bring(&mut *backend, 3, Parked, None);
    let batch = Batch {
        worker: Some(w.id),
        ends: vec![end(1, Succeeded)],
        holds: [1, 2, 3, 4].map(run_id).to_vec(),
        ..Batch::default()
    };
    backend.commit(&batch, 2).unwrap();
    let runs = [1, 2, 3].map(|n| stored(&mut *backend, n)).map(|run| (run.status, run.requested, run.epoch));
    assert_eq!(runs, [(Succeeded, None, 0), (Running, Some(Pause), 0), (Parked, None, 0)]);
}

pub fn others_may_tell_facts_of_a_run_that_has_not_ended(fixture: &Fixture) {
    let mut backend = fixture.open();
    let given_up = |n| vec![fact(n, "load", FactKind::Cancelled), fact(n, "report", FactKind::Cancelled)];
    let states = [Queued, Running, Paused, Parked, Succeeded, Failed, Cancelled];
    for (n, status) in (1..).zip(states) {
        bring(&mut *backend, n, status, None);
        let answer = backend.append(run_id(n), &given_up(n)).unwrap();
        let (expected, facts) = match status {
            Running => (Requested::Sent, given_up(n)),
            Queued | Paused | Parked => (Requested::Done(status), given_up(n)),
            ended => (Requested::Refused(ended), vec![]),
        };
        assert_eq!((answer, backend.facts(run_id(n)).unwrap()), (expected, facts.clone()), "{status}");
        let run = stored(&mut *backend, n);
        assert_eq!((run.status, run.requested, run.news), (status, None, u64::from(!facts.is_empty())));
    }
    assert_eq!(backend.append(run_id(999), &given_up(999)).unwrap(), Requested::UnknownRun);
    assert_eq!(backend.facts(run_id(999)).unwrap(), []);
    let next = worker(99, LONG);
    backend.register(&next).unwrap();
    assert_eq!(backend.claim(&claim(&next, &["a"], 1)).unwrap()[0].facts, given_up(1));
}

pub fn what_others_told_of_a_run_before_it_began_comes_with_it(fixture: &Fixture) {
    let mut backend = fixture.open();
    let runs = [1, 2].map(|n| new_run(n, "a")).to_vec();
    backend.commit(&submission(runs), 0).unwrap();
    let given_up = vec![fact(1, "load", FactKind::Cancelled)];
    assert_eq!(backend.append(run_id(1), &given_up).unwrap(), Requested::Done(Queued));
    let w = worker(9, LONG);
    backend.register(&w).unwrap();
    let taken = backend.claim(&claim(&w, &["a"], 2)).unwrap();
    let facts: Vec<_> = taken.into_iter().map(|run| (run.run.id, run.run.news, run.facts)).collect();
    assert_eq!(facts, [(run_id(1), 1, given_up), (run_id(2), 0, vec![])]);
}

pub fn facts_of_others_that_are_sent_again_are_stored_once(fixture: &Fixture) {
    let mut backend = fixture.open();
    let given_up = |n| vec![fact(n, "load", FactKind::Cancelled), fact(n, "report", FactKind::Cancelled)];
    for (n, status) in (1..).zip([Queued, Running, Paused, Parked]) {
        bring(&mut *backend, n, status, None);
        let first = backend.append(run_id(n), &given_up(n)).unwrap();
        assert_eq!(backend.append(run_id(n), &given_up(n)).unwrap(), first);
        assert_eq!(stored(&mut *backend, n).news, 1);
        assert_eq!(backend.facts(run_id(n)).unwrap(), given_up(n));
        // One more fact, or another time, is something else.
        let later = vec![FactRecord { at: at(77), ..fact(n, "load", FactKind::Cancelled) }];
        assert_eq!(backend.append(run_id(n), &later).unwrap(), first);
        assert_eq!(backend.facts(run_id(n)).unwrap().len(), 3);
    }
    // Whoever asks again when the run has ended is told what became of the first time.
    let w = with_run(&mut *backend, 9);
    backend.append(run_id(9), &given_up(9)).unwrap();
    backend.commit(&Batch { worker: Some(w.id), ends: vec![end(9, Failed)], ..Batch::default() }, 2).unwrap();
    assert_eq!(backend.append(run_id(9), &given_up(9)).unwrap(), Requested::Sent);
    assert_eq!(backend.facts(run_id(9)).unwrap(), given_up(9));
}

pub fn facts_of_others_leave_what_is_requested(fixture: &Fixture) {
    let mut backend = fixture.open();
    for (n, request) in [(1, Pause), (2, Cancel)] {
        bring(&mut *backend, n, Running, Some(request));
        backend.append(run_id(n), &[fact(n, "load", FactKind::Cancelled)]).unwrap();
        let run = stored(&mut *backend, n);
        assert_eq!((run.requested, run.news), (Some(request), 2));
    }
}

fn cleared(run: u128) -> Vec<FactRecord> {
    vec![FactRecord { attempt: 2, ..fact(run, "load", FactKind::Cleared) }]
}

fn reopening(run: u128, epoch: u32) -> Reopening {
    Reopening { run: run_id(run), epoch, facts: cleared(run) }
}

pub fn a_run_that_has_ended_may_go_on(fixture: &Fixture) {
    let mut backend = fixture.open();
    let w = worker(1, LONG);
    backend.register(&w).unwrap();
    let options = RunOptions {
        deadline: Some(at(15)),
        idempotency_key: None,
        tags: vec!["x".to_owned()],
        priority: 3,
        ..RunOptions::default()
    };
    let runs: Vec<NewRun> = [1, 2].map(|n| with_options(options.clone(), new_run(n, "a"))).to_vec();
    backend.commit(&claimed(&w, runs), 1).unwrap();
    let failure = anio_core::run::RunFailure {
        task: "load".to_owned(),
        map_index: None,
        attempts: 2,
        failure: TaskFailure::new(anio_core::error::FailureKind::Error, "broken"),
    };
    let ended = Batch {
        ends: vec![EndRecord { failure: Some(failure), ..end(1, Failed) }, end(2, Succeeded)],
        ..facts_of(&w, vec![fact(1, "extract", succeeded("1"))])
    };
    backend.commit(&ended, 2).unwrap();
    for n in [1, 2] {
        assert_eq!(backend.reopen(&reopening(n, 0)).unwrap(), Requested::Done(Queued));
        let run = stored(&mut *backend, n);
        assert_eq!((run.status, run.epoch, run.started_at), (Queued, 1, Some(at(i64::try_from(n).unwrap()))));
        assert_eq!((run.finished_at, run.failure), (None, None));
        assert_eq!(run.options, RunOptions { deadline: None, ..options.clone() });
        // Sent again after the answer was lost; and by another, who has decided something else.
        assert_eq!(backend.reopen(&reopening(n, 0)).unwrap(), Requested::Done(Queued));
        let facts = vec![FactRecord { at: at(78), ..cleared(n).remove(0) }];
        let of_another = Reopening { facts, ..reopening(n, 0) };
        assert_eq!(backend.reopen(&of_another).unwrap(), Requested::Refused(Queued));
        let of_none = Reopening { facts: Vec::new(), ..reopening(n, 0) };
        assert_eq!(backend.reopen(&of_none).unwrap(), Requested::Refused(Queued));
    }
    let taken = backend.claim(&claim(&w, &["a"], 9)).unwrap();
    assert_eq!(ids(&taken), [1, 2].map(run_id));
    let facts = [vec![fact(1, "extract", succeeded("1"))], cleared(1)].concat();
    assert_eq!([&taken[0].facts, &taken[1].facts], [&facts, &cleared(2)]);
    // It may end again, and go on again.
    backend
        .commit(&Batch { worker: Some(w.id), ends: vec![end(1, Succeeded)], ..Batch::default() }, 3)
        .unwrap();
    assert_eq!(backend.reopen(&reopening(1, 0)).unwrap(), Requested::Done(Queued));
    assert_eq!(stored(&mut *backend, 1).status, Succeeded);
    assert_eq!(backend.reopen(&reopening(1, 1)).unwrap(), Requested::Done(Queued));
    assert_eq!(backend.facts(run_id(1)).unwrap().len(), 3);
}

pub fn only_a_run_that_succeeded_or_failed_goes_on_after_its_end(fixture: &Fixture) {
    let mut backend = fixture.open();
    for (n, status) in (1..).zip([Queued, Running, Paused, Parked, Cancelled]) {
        bring(&mut *backend, n, status, None);
        let before = stored(&mut *backend, n);
        assert_eq!(backend.reopen(&reopening(n, before.epoch)).unwrap(), Requested::Refused(status));
        let after = stored(&mut *backend, n);
        assert_eq!(unchanging(&after), unchanging(&before));
        assert_eq!(backend.facts(run_id(n)).unwrap(), []);
    }
    assert_eq!(backend.reopen(&reopening(999, 0)).unwrap(), Requested::UnknownRun);
}

fn unchanging(run: &crate::record::RunRecord) -> impl Debug + PartialEq + use<> {
    (run.status, run.epoch, run.finished_at, run.requested, run.news, run.options.clone())
}

pub fn facts_are_read_from_any_of_them_on(fixture: &Fixture) {
    let mut backend = fixture.open();
    let w = worker(1, LONG);
    backend.register(&w).unwrap();
    backend.commit(&claimed(&w, vec![new_run(1, "a"), new_run(2, "a")]), 1).unwrap();
    let all: Vec<FactRecord> =
        (0..100).map(|n| fact(1 + n % 2, &format!("t{}", 37 * n % 100), FactKind::Started)).collect();
    for (number, chunk) in (2..).zip(all.chunks(7)) {
        backend.commit(&facts_of(&w, chunk.to_vec()), number).unwrap();
    }
    let odd: Vec<FactRecord> = all.iter().filter(|fact| fact.run == run_id(2)).cloned().collect();
    for n in [0, 1, 7, 49] {
        assert_eq!(backend.facts_from(run_id(2), n).unwrap(), odd[usize::try_from(n).unwrap()..]);
    }
    for n in [50, 51, u64::MAX] {
        assert_eq!(backend.facts_from(run_id(2), n).unwrap(), []);
    }
    assert_eq!(backend.facts_from(RunId::from_uuid(uuid::Uuid::nil()), 0).unwrap(), []);
}
