//! What people ask of runs on Postgres while others are at them: races, locks, notifications.

use std::collections::HashSet;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anio_core::run::FactKind;
use anio_core::{RunId, Timestamp};
use anio_store::StoreError;
use anio_store::backend::{Backend, Watcher};
use anio_store::postgres::Postgres;
use anio_store::record::{
    Batch, Change, Claim, EndRecord, FactRecord, NewRun, NewWorker, Prune, Reopening, Request, Requested,
    RunOptions, RunQuery, RunStatus, Submission,
};
use anio_testkit::postgres::test_database;

use crate::support::{
    PATIENCE, SLEEPS, connect, fact, n_sessions, new_run, open, plan, run_id, until, while_locked, with_fact,
    worker, workflow,
};

fn with_key(n: u128, key: &str) -> NewRun {
    let options = RunOptions { idempotency_key: Some(key.to_owned()), ..RunOptions::default() };
    NewRun { options, ..new_run(n) }
}

fn submit(backend: &mut Postgres, run: &NewRun) -> Submission {
    backend.submit(run, (plan().fingerprint(), &plan())).unwrap()
}

/// A worker with new runs of its own.
fn with_runs(backend: &mut Postgres, worker: &NewWorker, runs: impl Iterator<Item = u128>) {
    backend.register(worker).unwrap();
    let runs = runs.map(|n| NewRun { claim: true, ..new_run(n) }).collect();
    let plans = vec![(plan().fingerprint(), plan())];
    backend.commit(&Batch { worker: Some(worker.id), plans, runs, ..Batch::default() }, 1).unwrap();
}

fn with_end(worker: &NewWorker, run: u128) -> Batch {
    let (status, at) = (RunStatus::Succeeded, Timestamp::from_micros(3));
    let ends = vec![EndRecord { run: run_id(run), status, failure: None, at }];
    Batch { worker: Some(worker.id), ends, ..Batch::default() }
}

fn claim(backend: &mut Postgres, worker: &NewWorker, limit: u32) -> Vec<RunId> {
    let claim = Claim { worker: worker.id, workflows: vec![workflow()], limit };
    backend.claim(&claim).unwrap().into_iter().map(|claimed| claimed.run.id).collect()
}

#[test]
fn of_many_that_submit_one_key_at_once_one_has_the_run() {
    const N_CLIENTS: u128 = 6;
    const N_KEYS: u128 = 20;
    let Some(database) = test_database() else { return };
    open(&database);
    let line = Barrier::new(usize::try_from(N_CLIENTS).unwrap());
    let outcomes: Vec<Vec<Option<RunId>>> = thread::scope(|scope| {
        let client = |client: u128| {
            let (database, line) = (&database, &line);
            scope.spawn(move || {
                let mut backend = connect(&database.url()).unwrap();
                let submit_one = |key| {
                    line.wait();
                    match submit(&mut backend, &with_key(100 * key + client, &format!("key {key}"))) {
                        Submission::New => None,
                        Submission::Known(run) => Some(run.id),
                    }
                };
                (0..N_KEYS).map(submit_one).collect()
            })
        };
        let clients: Vec<_> = (0..N_CLIENTS).map(client).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    for key in 0..usize::try_from(N_KEYS).unwrap() {
        let told: Vec<Option<RunId>> = outcomes.iter().map(|of_client| of_client[key]).collect();
        assert_eq!(told.iter().filter(|known| known.is_none()).count(), 1, "{told:?}");
        let known: HashSet<RunId> = told.iter().flatten().copied().collect();
        assert_eq!(known.len(), 1, "{told:?}");
    }
    assert_eq!(connect(&database.url()).unwrap().runs(&RunQuery::default()).unwrap().len() as u128, N_KEYS);
}

#[test]
fn a_submission_waits_for_another_of_its_key_that_is_not_decided() {
    let Some(database) = test_database() else { return };
    let mut backend = open(&database);
    let other = format!(
        "insert into anio_runs (id, workflow, plan, status, priority, epoch, submitted_at, idempotency_key, input)
         values ('{}', 'a', '{}', 'queued', 0, 0, 1, 'key', 'null')",
        run_id(1),
        plan().fingerprint()
    );
    // The other gives up; then it comes through.
    let undone = format!("do $$ begin {other}; perform pg_sleep(1); raise exception 'never mind'; end $$");
    let outcome = thread::scope(|scope| {
        let locking = scope.spawn(|| database.query(&undone).unwrap_err());
        until(|| n_sessions(&database, SLEEPS) == 1);
        let outcome = submit(&mut backend, &with_key(2, "key"));
        locking.join().unwrap();
        outcome
    });
    assert!(matches!(outcome, Submission::New), "{outcome:?}");
    database.query("delete from anio_runs").unwrap();
    let outcome = while_locked(&database, &other, || submit(&mut backend, &with_key(2, "key")));
    let Submission::Known(known) = outcome else { panic!("{outcome:?}") };
    assert_eq!(known.id, run_id(1));
}

#[test]
fn a_run_that_is_paused_while_it_is_claimed_is_paused_or_told_to() {
    const N_RUNS: u128 = 100;
    let Some(database) = test_database() else { return };
    let w = worker(1);
    let mut claiming = open(&database);
    claiming.register(&w).unwrap();
    for n in 0..N_RUNS {
        submit(&mut claiming, &new_run(n));
    }
    let line = Barrier::new(2);
    let (claimed, answers) = thread::scope(|scope| {
        let pausing = scope.spawn(|| {
            let mut backend = connect(&database.url()).unwrap();
            line.wait();
            // From the end that is claimed last, so that they meet.
            (0..N_RUNS).rev().map(|n| backend.request(run_id(n), Request::Pause).unwrap()).rev().collect()
        });
        line.wait();
        let mut claimed = HashSet::new();
        while !pausing.is_finished() {
            claimed.extend(claim(&mut claiming, &w, 5));
        }
        let answers: Vec<Requested> = pausing.join().unwrap();
        (claimed, answers)
    });
    let news = claiming.renew(&w).unwrap().news;
    for (n, answer) in (0..N_RUNS).zip(answers) {
        let run = claiming.run(run_id(n)).unwrap().unwrap();
        let told = news.iter().find(|news| news.run == run.id).and_then(|news| news.requested);
        match answer {
            Requested::Done(status) => {
                assert_eq!((status, run.status), (RunStatus::Paused, RunStatus::Paused));
                assert!(!claimed.contains(&run.id) && told.is_none());
            }
            Requested::Sent => {
                assert_eq!((run.status, run.requested), (RunStatus::Running, Some(Request::Pause)));
                assert!(claimed.contains(&run.id) && told == Some(Request::Pause));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_run_that_is_cancelled_while_it_ends_has_ended() {
    const N_RUNS: u128 = 60;
    let Some(database) = test_database() else { return };
    let w = worker(1);
    let mut committing = open(&database);
    with_runs(&mut committing, &w, 0..N_RUNS);
    let line = Barrier::new(2);
    let answers: Vec<Requested> = thread::scope(|scope| {
        let cancelling = scope.spawn(|| {
            let mut backend = connect(&database.url()).unwrap();
            line.wait();
            (0..N_RUNS).map(|n| backend.request(run_id(n), Request::Cancel).unwrap()).collect()
        });
        line.wait();
        for n in 0..N_RUNS {
            committing.commit(&with_end(&w, n), 2 + u64::try_from(n).unwrap()).unwrap();
        }
        cancelling.join().unwrap()
    });
    for (n, answer) in (0..N_RUNS).zip(answers) {
        let run = committing.run(run_id(n)).unwrap().unwrap();
        assert_eq!((run.status, run.requested), (RunStatus::Succeeded, None));
        let is_news = u64::from(answer == Requested::Sent);
        assert_eq!(run.news, is_news);
        assert!(is_news == 1 || answer == Requested::Refused(RunStatus::Succeeded), "{answer:?}");
    }
}

#[test]
fn a_commit_that_waited_for_a_request_is_stored_with_all_that_is_in_it() {
    let Some(database) = test_database() else { return };
    let w = worker(1);
    let mut backend = open(&database);
    with_runs(&mut backend, &w, 1..4);
    let request = "update anio_runs set requested = 'cancel', news = news + 1 where status = 'running'";
    let batch = Batch { holds: vec![run_id(2)], ..with_end(&w, 1) };
    let batch = Batch { facts: with_fact(&w, 3, "t").facts, ..batch };
    while_locked(&database, request, || backend.commit(&batch, 2)).unwrap();
    let states = [1, 2, 3].map(|n| {
        let run = backend.run(run_id(n)).unwrap().unwrap();
        (run.status, run.requested, run.epoch, run.news)
    });
    let expected = [
        (RunStatus::Succeeded, None, 0, 1),
        (RunStatus::Queued, Some(Request::Cancel), 1, 1),
        (RunStatus::Running, Some(Request::Cancel), 0, 1),
    ];
    assert_eq!(states, expected);
    assert_eq!(backend.facts(run_id(3)).unwrap().len(), 1);
    assert_eq!(backend.last_commit(w.id).unwrap(), 2);
}

#[test]
fn a_request_that_waited_judges_what_it_finds() {
    let Some(database) = test_database() else { return };
    let mut backend = open(&database);
    submit(&mut backend, &new_run(1));
    let end =
        format!("update anio_runs set status = 'succeeded', finished_at = 5 where id = '{}'", run_id(1));
    let answer = while_locked(&database, &end, || backend.request(run_id(1), Request::Cancel)).unwrap();
    assert_eq!(answer, Requested::Refused(RunStatus::Succeeded));
    let reopen = format!("update anio_runs set epoch = epoch + 1 where id = '{}'", run_id(1));
    let reopening = Reopening { run: run_id(1), epoch: 0, facts: vec![fact(1, "t", FactKind::Cleared)] };
    let answer = while_locked(&database, &reopen, || backend.reopen(&reopening)).unwrap();
    assert_eq!(answer, Requested::Refused(RunStatus::Succeeded));
    assert_eq!(backend.facts(run_id(1)).unwrap(), []);
    let claimed = format!(
        "update anio_runs set status = 'running', finished_at = null, worker = '{}' where id = '{}'",
        worker(7).id,
        run_id(1)
    );
    let facts = [fact(1, "t", FactKind::Cancelled)];
    let answer = while_locked(&database, &claimed, || backend.append(run_id(1), &facts)).unwrap();
    assert_eq!(answer, Requested::Sent);
    assert_eq!(backend.facts(run_id(1)).unwrap(), facts);
}

#[test]
fn a_follower_sees_each_fact_once_whoever_stores_it() {
    const N_FACTS: usize = 200;
    let Some(database) = test_database() else { return };
    let w = worker(1);
    let mut committing = open(&database);
    with_runs(&mut committing, &w, 1..2);
    let followed = thread::scope(|scope| {
        for client in 0..2 {
            let database = &database;
            scope.spawn(move || {
                let mut backend = connect(&database.url()).unwrap();
                for n in 0..N_FACTS {
                    let facts = [fact(1, &format!("asked_{client}_{n}"), FactKind::Cancelled)];
                    assert_eq!(backend.append(run_id(1), &facts).unwrap(), Requested::Sent);
                }
            });
        }
        let following = scope.spawn(|| {
            let (mut backend, mut followed) = (connect(&database.url()).unwrap(), Vec::new());
            until(|| {
                followed.extend(backend.facts_from(run_id(1), followed.len() as u64).unwrap());
                followed.len() >= 3 * N_FACTS
            });
            followed
        });
        for n in 0..N_FACTS {
            committing.commit(&with_fact(&w, 1, &format!("done_{n}")), 2 + n as u64).unwrap();
        }
        following.join().unwrap()
    });
    assert_eq!(followed, committing.facts(run_id(1)).unwrap());
    assert_eq!(followed.len(), 3 * N_FACTS);
    // From anywhere, also by one who was further already.
    for n in [600, 0, 599, 300, 301, 5000] {
        let rest = committing.facts_from(run_id(1), n).unwrap();
        assert_eq!(rest, followed[followed.len().min(usize::try_from(n).unwrap())..]);
    }
}

#[test]
fn nobody_locks_another_out() {
    const N_RUNS: u128 = 40;
    const N_TURNS: u128 = 60;
    let Some(database) = test_database() else { return };
    let mut backend = open(&database);
    for n in 0..N_RUNS {
        submit(&mut backend, &with_key(n, &format!("key {n}")));
    }
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let works = |seed: u128| {
            let (database, done) = (&database, &done);
            scope.spawn(move || {
                let mut backend = connect(&database.url()).unwrap();
                let (mut number, mut turn) = (1, 0);
                while !done.load(Ordering::Relaxed) {
                    turn += 1;
                    let w = worker(seed + 10 * turn);
                    backend.register(&w).unwrap();
                    for _ in 0..4 {
                        let mut batch = Batch { worker: Some(w.id), ..Batch::default() };
                        for (place, run) in claim(&mut backend, &w, 6).into_iter().enumerate() {
                            let started = fact(1, "t", FactKind::Started);
                            batch.facts.push(FactRecord { run, ..started });
                            match place % 3 {
                                0 => batch.ends.push(EndRecord { run, ..with_end(&w, 1).ends.remove(0) }),
                                1 => batch.holds.push(run),
                                _ => {}
                            }
                        }
                        number += 1;
                        backend.commit(&batch, number).unwrap();
                        backend.renew(&w).unwrap();
                    }
                    backend.release(w.id).unwrap();
                }
            });
        };
        let asks = |seed: u128| {
            let database = &database;
            scope.spawn(move || {
                let mut backend = connect(&database.url()).unwrap();
                let requests = [Request::Pause, Request::Cancel, Request::Resume];
                for turn in 0..N_TURNS * 3 {
                    let n = (turn * 7 + seed) % N_RUNS;
                    backend.request(run_id(n), requests[usize::try_from(turn % 3).unwrap()]).unwrap();
                    backend.append(run_id(n), &[fact(n, "t", FactKind::Cancelled)]).unwrap();
                    if let Some(run) = backend.run(run_id(n)).unwrap() {
                        let facts = vec![fact(n, "t", FactKind::Cleared)];
                        backend.reopen(&Reopening { run: run.id, epoch: run.epoch, facts }).unwrap();
                    }
                    let new = N_RUNS + seed * N_TURNS * 3 + turn;
                    submit(&mut backend, &with_key(new, &format!("key {}", new % 50)));
                    if turn % 10 == 0 {
                        let finished_before = Timestamp::from_micros(i64::MAX);
                        let prune = Prune { finished_before, statuses: vec![], after: None, n_rows_max: 3 };
                        backend.prune(&prune).unwrap();
                    }
                }
            })
        };
        works(1);
        works(2);
        let asking = [asks(0), asks(1)];
        for asking in asking {
            asking.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
}

/// What is told until something of this kind is, without that.
fn wait_for(watcher: &mut dyn Watcher, wanted: Change) {
    let start = Instant::now();
    loop {
        match watcher.wait(PATIENCE).unwrap() {
            Some(change) if change == wanted || change == Change::Any => return,
            _ => assert!(start.elapsed() < PATIENCE, "waited in vain for {wanted:?}"),
        }
    }
}

/// What was told and not heard yet.
fn hear(watcher: &mut dyn Watcher) -> Option<Change> {
    let mut heard = None;
    while let Some(change) = watcher.wait(Duration::from_millis(100)).unwrap() {
        heard = Some(heard.map_or(change, |heard| if heard == change { heard } else { Change::Any }));
    }
    heard
}

#[test]
fn who_watches_is_told_of_what_others_wait_for() {
    let Some(database) = test_database() else { return };
    let (w, heir) = (worker(1), worker(2));
    let mut backend = open(&database);
    let mut watcher = backend.watcher().unwrap().unwrap();
    let watcher = &mut *watcher;
    assert_eq!(watcher.wait(Duration::ZERO).unwrap(), None);

    submit(&mut backend, &new_run(1));
    until(|| watcher.wait(Duration::ZERO).unwrap() == Some(Change::Runs));
    submit(&mut backend, &new_run(1));
    assert_eq!(hear(watcher), None, "it is stored already");
    let batch = Batch { runs: vec![new_run(2)], ..Batch::default() };
    backend.commit(&batch, 0).unwrap();
    wait_for(watcher, Change::Runs);
    backend.register(&w).unwrap();
    assert_eq!(claim(&mut backend, &w, 9).len(), 2);
    assert_eq!(hear(watcher), None, "nobody waits for a claim");

    backend.request(run_id(1), Request::Pause).unwrap();
    wait_for(watcher, Change::Runs);
    backend.request(run_id(1), Request::Resume).unwrap();
    wait_for(watcher, Change::Runs);
    backend.request(run_id(1), Request::Resume).unwrap();
    assert_eq!(hear(watcher), None, "it was refused");
    backend.append(run_id(1), &[fact(1, "t", FactKind::Cancelled)]).unwrap();
    assert_eq!(hear(watcher), Some(Change::Any));
    backend.commit(&with_fact(&w, 1, "t"), 1).unwrap();
    wait_for(watcher, Change::Facts);
    backend.commit(&with_end(&w, 1), 2).unwrap();
    wait_for(watcher, Change::Facts);
    backend.reopen(&Reopening { run: run_id(1), epoch: 0, facts: vec![] }).unwrap();
    assert_eq!(hear(watcher), Some(Change::Any));
    let batch = Batch { worker: Some(w.id), holds: vec![run_id(2)], ..Batch::default() };
    backend.commit(&batch, 3).unwrap();
    assert_eq!(hear(watcher), Some(Change::Any));

    assert_eq!(claim(&mut backend, &w, 9).len(), 2);
    backend.release(w.id).unwrap();
    wait_for(watcher, Change::Runs);
    backend.register(&heir).unwrap();
    backend.release(heir.id).unwrap();
    assert_eq!(hear(watcher), None, "it had no runs");
    backend.request(run_id(1), Request::Cancel).unwrap();
    wait_for(watcher, Change::Runs);
    backend.request(run_id(1), Request::Cancel).unwrap();
    assert_eq!(hear(watcher), Some(Change::Any), "it has ended");
    database.query("update anio_runs set status = 'parked' where status = 'queued'").unwrap();
    backend.unpark(&[workflow()]).unwrap();
    wait_for(watcher, Change::Runs);
}

#[test]
fn a_worker_that_commits_all_the_time_tells_it_now_and_then() {
    let Some(database) = test_database() else { return };
    let w = worker(1);
    let mut backend = open(&database);
    with_runs(&mut backend, &w, 1..2);
    let mut watcher = backend.watcher().unwrap().unwrap();
    let start = Instant::now();
    let done = AtomicBool::new(false);
    let n_told = thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut n_told = 0;
            while !done.load(Ordering::Relaxed) {
                n_told += u128::from(watcher.wait(Duration::from_millis(20)).unwrap().is_some());
            }
            n_told
        });
        for number in 2..302 {
            backend.commit(&with_fact(&w, 1, "t"), number).unwrap();
        }
        done.store(true, Ordering::Relaxed);
        watching.join().unwrap()
    });
    let n_told_max = 1 + start.elapsed().as_millis() / 50;
    assert!((1..=n_told_max).contains(&n_told), "{n_told} of at most {n_told_max}");
}

#[test]
fn a_watcher_whose_session_ends_comes_back_and_says_so() {
    let Some(database) = test_database() else { return };
    let mut backend = open(&database);
    let mut watcher = backend.watcher().unwrap().unwrap();
    let listening = "from pg_stat_activity where application_name = 'anio' and query like 'listen %'
                     and datname = current_database()";
    assert_eq!(database.query(&format!("select {listening}")).unwrap().len(), 1);
    database.query(&format!("select pg_terminate_backend(pid) {listening}")).unwrap();
    let error = watcher.wait(PATIENCE).unwrap_err();
    assert!(matches!(error, StoreError::Disconnected { .. }), "{error:?}");
    assert_eq!(watcher.wait(Duration::ZERO).unwrap(), Some(Change::Any));
    assert_eq!(watcher.wait(Duration::ZERO).unwrap(), None);
    submit(&mut backend, &new_run(1));
    wait_for(&mut *watcher, Change::Runs);
    drop(watcher);
    until(|| database.query(&format!("select {listening}")).unwrap().is_empty());
}

#[test]
fn a_step_of_pruning_costs_what_it_deletes_and_not_what_the_run_has() {
    const N_FACTS: u64 = 40_000;
    let Some(database) = test_database() else { return };
    let mut backend = open(&database);
    submit(&mut backend, &new_run(1));
    let insert = format!(
        "update anio_runs set status = 'failed', finished_at = 5;
         insert into anio_attempts (run_id, task, attempt, kind, at)
         select '{}', 'task_' || n, 1, 'started', 2 from generate_series(1, {N_FACTS}) as n",
        run_id(1)
    );
    database.query(&insert).unwrap();
    let finished_before = Timestamp::from_micros(i64::MAX);
    let mut step = Prune { finished_before, statuses: vec![], after: None, n_rows_max: 1000 };
    let (start, mut n_facts, mut n_steps) = (Instant::now(), 0, 0);
    loop {
        let pruned = backend.prune(&step).unwrap();
        (n_facts, n_steps) = (n_facts + pruned.n_facts, n_steps + 1);
        assert!(pruned.n_facts <= 1000, "{pruned:?}");
        let Some(next) = pruned.next else { break };
        step.after = Some(next);
    }
    assert_eq!((n_facts, backend.facts(run_id(1)).unwrap().len()), (N_FACTS, 0));
    assert!((40..=43).contains(&n_steps), "{n_steps} steps");
    // A second at the most; a step that goes through all facts for each that it deletes takes minutes.
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
}
