//! What a network between this program and Postgres can do, and what the store makes of it: connections that
//! end in the middle of a login, silence, answers that are lost.

use std::time::Duration;

use anio_core::run::FactKind;
use anio_core::{Timestamp, WorkflowName};
use anio_store::backend::Backend;
use anio_store::record::{
    Batch, Claim, EndRecord, NewRun, NewWorker, Reopening, Request, Requested, RunOptions, RunStatus,
};
use anio_store::{Store, StoreError, StoreOptions};
use anio_testkit::postgres::proxy::{Deed, Direction, Proxy};
use anio_testkit::postgres::{Database, test_database};
use futures::executor::block_on;

use crate::support::{self, connect, fact, new_run, plan, run_id, with_run, worker};

/// A database with its tables, and a proxy before it.
fn behind_a_proxy(database: &Database) -> Proxy {
    connect(&database.url()).unwrap().migrate().unwrap();
    Proxy::start(&database.url()).unwrap()
}

/// The worker that comes after this one.
fn heir(worker: &NewWorker) -> NewWorker {
    support::worker(worker.id.0.as_u128() & 0xffff | 1 << 16)
}

fn end(n: u128) -> EndRecord {
    EndRecord { run: run_id(n), status: RunStatus::Failed, failure: None, at: Timestamp::from_micros(3) }
}

#[test]
fn a_connection_that_ends_in_the_login_is_no_refusal() {
    let Some(database) = test_database() else { return };
    let proxy = behind_a_proxy(&database);
    // A proxy whose server is down often accepts and hangs up; one that is restarted does so anywhere.
    for n_before in 0..6 {
        let mut n = 0;
        proxy.censor(move |passing| match passing.direction {
            Direction::ToServer => Deed::Pass,
            Direction::ToClient => {
                n += 1;
                if n > n_before { Deed::Cut } else { Deed::Pass }
            }
        });
        let error = connect(&proxy.url()).unwrap_err();
        assert!(matches!(error, StoreError::Unreachable { .. }), "after {n_before} messages: {error:?}");
    }
    proxy.calm();
    proxy.hang_up(true);
    let error = connect(&proxy.url()).unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
    proxy.hang_up(false);
    proxy.refuse(true);
    while connect(&proxy.url()).is_ok() {}
    let error = connect(&proxy.url()).unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
    proxy.calm();
    while connect(&proxy.url()).is_err() {}
}

#[test]
fn a_server_that_says_nothing_to_a_login_is_not_reached() {
    let Some(database) = test_database() else { return };
    let proxy = behind_a_proxy(&database);
    proxy.censor(|_| Deed::Swallow);
    let error = connect(&format!("{}&connect_timeout=1", proxy.url())).unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
}

#[test]
fn a_connection_that_falls_silent_in_a_commit_leaves_it_in_doubt() {
    let Some(database) = test_database() else { return };
    let proxy = behind_a_proxy(&database);
    let w = worker(1);
    let mut backend = connect(&format!("{}&answer_timeout=1", proxy.url())).unwrap();
    backend.register(&w).unwrap();
    for (number, is_silent) in [(1, Direction::ToServer), (2, Direction::ToClient)] {
        proxy.censor(move |passing| if passing.direction == is_silent { Deed::Swallow } else { Deed::Pass });
        let batch = with_run(&w, u128::from(number));
        let outcome = backend.commit(&batch, number);
        assert!(matches!(outcome, Err(StoreError::OutcomeUnknown { .. })), "{outcome:?}");
        proxy.calm();
        backend.reconnect().unwrap();
        backend.commit(&batch, number).unwrap();
        assert_eq!(backend.last_commit(w.id).unwrap(), number);
    }
    assert_eq!(database.query("select from anio_runs").unwrap().len(), 2);
}

#[test]
fn what_was_never_sent_is_not_in_doubt() {
    let Some(database) = test_database() else { return };
    let proxy = behind_a_proxy(&database);
    let w = worker(1);
    let mut backend = connect(&proxy.url()).unwrap();
    backend.register(&w).unwrap();
    backend.commit(&with_run(&w, 1), 1).unwrap();
    proxy.cut_all();
    let outcome = backend.append(run_id(1), &[fact(1, "t", FactKind::Cancelled)]);
    assert!(matches!(outcome, Err(StoreError::Disconnected { .. })), "{outcome:?}");
}

#[test]
fn a_database_that_can_only_be_read_for_a_while_is_waited_for() {
    let Some(database) = test_database() else { return };
    let proxy = behind_a_proxy(&database);
    let store = block_on(Store::open(&proxy.url(), StoreOptions::default())).unwrap();
    let w = worker(1);
    block_on(store.register(w.clone())).unwrap();
    let read_only = |value| {
        let name = database.name();
        let set = format!("alter database {name} set default_transaction_read_only = {value}");
        database.query(&format!("begin read write; {set}; commit")).unwrap();
    };
    read_only("on");
    // Sessions keep what they began with.
    proxy.cut_all();
    let (tell, told) = std::sync::mpsc::channel();
    let mut n_commits = 0;
    proxy.censor(move |passing| {
        n_commits += usize::from(passing.commits());
        // Some have been refused by now; nobody may listen any more.
        if n_commits == 50 {
            let _ = tell.send(());
        }
        Deed::Pass
    });
    std::thread::scope(|scope| {
        let committing = scope.spawn(|| block_on(store.commit(with_run(&w, 1))));
        told.recv().unwrap();
        read_only("off");
        committing.join().unwrap().unwrap();
    });
    block_on(store.close());
    assert_eq!(n_rows(&database, "select from anio_runs"), 1);
    // One that could never be written is not waited for.
    read_only("on");
    let store = block_on(Store::open(&proxy.url(), StoreOptions::default())).unwrap();
    let refused = block_on(store.register(worker(2)));
    assert!(matches!(refused, Err(StoreError::ReadOnly { .. })), "{refused:?}");
}

/// Where the connection is cut while something is asked.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// Before the server gets it.
    Unsent,
    /// When the server has it, and before it answers.
    AtWork,
    /// When the server has done it, and before the client hears of it.
    Unheard,
}

const MOMENTS: [Moment; 3] = [Moment::Unsent, Moment::AtWork, Moment::Unheard];

/// Cuts one connection at the `n`-th statement from now on, once.
fn cut_at(proxy: &Proxy, moment: Moment, n: usize) {
    let (mut n_statements, mut n_answers) = (0, 0);
    proxy.censor(move |passing| {
        n_statements += usize::from(passing.commits());
        n_answers += usize::from(passing.is_done());
        match moment {
            Moment::Unsent if passing.commits() && n_statements == n => Deed::Cut,
            Moment::AtWork if passing.commits() && n_statements == n => Deed::PassAndCut,
            Moment::Unheard if passing.is_done() && n_answers == n => Deed::Cut,
            _ => Deed::Pass,
        }
    });
}

/// Does something on a store of its own, once for every moment at which the connection can be cut, and looks
/// at what came of it.
fn wherever_it_is_cut(
    prepare: impl Fn(&Store, &NewWorker),
    act: impl Fn(&Store, &NewWorker),
    check: impl Fn(&Database, &str),
) {
    let Some(database) = test_database() else { return };
    let proxy = behind_a_proxy(&database);
    let mut id = 0;
    for moment in MOMENTS {
        for n in 1.. {
            id += 1;
            let tables = ["anio_runs", "anio_attempts", "anio_workers", "anio_plans", "anio_tags"];
            database.query(&tables.map(|table| format!("delete from {table}")).join(";")).unwrap();
            proxy.calm();
            let store = block_on(Store::open(&proxy.url(), StoreOptions::default())).unwrap();
            let w = worker(id);
            block_on(store.register(w.clone())).unwrap();
            block_on(store.commit(with_run(&w, 1))).unwrap();
            prepare(&store, &w);
            let (n_before, _) = proxy.n_faults();
            cut_at(&proxy, moment, n);
            act(&store, &w);
            proxy.calm();
            block_on(store.close());
            check(&database, &format!("{moment:?}, statement {n}"));
            if proxy.n_faults().0 == n_before {
                assert!(n > 1, "{moment:?}: nothing was cut");
                break;
            }
        }
    }
}

/// Nothing is to be prepared.
fn nothing(_: &Store, _: &NewWorker) {}

fn n_rows(database: &Database, sql: &str) -> usize {
    database.query(sql).unwrap().len()
}

#[test]
fn a_fact_is_appended_once_wherever_the_connection_is_cut() {
    wherever_it_is_cut(
        nothing,
        |store, _| {
            let told = block_on(store.append(run_id(1), vec![fact(1, "t", FactKind::Cancelled)])).unwrap();
            assert_eq!(told, Requested::Sent);
        },
        |database, at| {
            assert_eq!(n_rows(database, "select from anio_attempts"), 1, "{at}");
            assert_eq!(n_rows(database, "select from anio_runs where news = 1"), 1, "{at}");
        },
    );
}

#[test]
fn a_run_is_reopened_once_wherever_the_connection_is_cut() {
    for facts in [vec![fact(1, "t", FactKind::Cleared)], Vec::new()] {
        let n_facts = facts.len();
        wherever_it_is_cut(
            |store, w| {
                let ends = vec![end(1)];
                block_on(store.commit(Batch { worker: Some(w.id), ends, ..Batch::default() })).unwrap();
            },
            move |store, _| {
                let reopening = Reopening { run: run_id(1), epoch: 0, facts: facts.clone() };
                let told = block_on(store.reopen(reopening)).unwrap();
                assert_eq!(told, Requested::Done(RunStatus::Queued));
            },
            move |database, at| {
                assert_eq!(n_rows(database, "select from anio_attempts"), n_facts, "{at}");
                let reopened = "select from anio_runs where status = 'queued' and epoch = 1";
                assert_eq!(n_rows(database, reopened), 1, "{at}");
            },
        );
    }
}

#[test]
fn what_is_asked_of_a_run_is_asked_wherever_the_connection_is_cut() {
    wherever_it_is_cut(
        nothing,
        |store, _| {
            assert_eq!(block_on(store.request(run_id(1), Request::Pause)).unwrap(), Requested::Sent);
            assert_eq!(block_on(store.request(run_id(1), Request::Resume)).unwrap(), Requested::Sent);
            assert_eq!(block_on(store.request(run_id(1), Request::Cancel)).unwrap(), Requested::Sent);
        },
        |database, at| {
            let sent = "select from anio_runs where status = 'running' and requested = 'cancel'";
            assert_eq!(n_rows(database, sent), 1, "{at}");
        },
    );
}

#[test]
fn a_run_that_waits_for_its_next_worker_is_cancelled_once_wherever_the_connection_is_cut() {
    wherever_it_is_cut(
        |store, w| block_on(store.release(w.id)).unwrap(),
        |store, _| {
            assert_eq!(block_on(store.request(run_id(1), Request::Cancel)).unwrap(), Requested::Sent);
        },
        |database, at| {
            let sent = "select from anio_runs where status = 'queued' and requested = 'cancel'";
            assert_eq!(n_rows(database, sent), 1, "{at}: asked twice, it would have ended");
        },
    );
}

#[test]
fn a_paused_run_is_resumed_wherever_the_connection_is_cut() {
    wherever_it_is_cut(
        |store, w| {
            block_on(store.release(w.id)).unwrap();
            let paused = block_on(store.request(run_id(1), Request::Pause)).unwrap();
            assert_eq!(paused, Requested::Done(RunStatus::Paused));
        },
        |store, _| {
            let resumed = block_on(store.request(run_id(1), Request::Resume)).unwrap();
            assert_eq!(resumed, Requested::Done(RunStatus::Queued));
        },
        |database, at| {
            assert_eq!(n_rows(database, "select from anio_runs where status = 'queued'"), 1, "{at}");
        },
    );
}

#[test]
fn a_run_is_submitted_once_wherever_the_connection_is_cut() {
    wherever_it_is_cut(
        nothing,
        |store, _| {
            let options = RunOptions { idempotency_key: Some("k".to_owned()), ..RunOptions::default() };
            let run = NewRun { options, ..new_run(2) };
            block_on(store.submit(run, (plan().fingerprint(), plan()))).unwrap();
        },
        |database, at| assert_eq!(n_rows(database, "select from anio_runs"), 2, "{at}"),
    );
}

#[test]
fn a_batch_is_committed_once_wherever_the_connection_is_cut() {
    wherever_it_is_cut(
        nothing,
        |store, w| {
            let batch = Batch {
                worker: Some(w.id),
                facts: vec![fact(1, "t", FactKind::Started)],
                ..Batch::default()
            };
            block_on(store.commit(batch)).unwrap();
            let run = new_run(2);
            let plans = vec![(plan().fingerprint(), plan())];
            block_on(store.commit(Batch { plans, runs: vec![run], ..Batch::default() })).unwrap();
        },
        |database, at| {
            assert_eq!(n_rows(database, "select from anio_attempts"), 1, "{at}");
            assert_eq!(n_rows(database, "select from anio_runs"), 2, "{at}");
        },
    );
}

#[test]
fn a_claim_is_told_or_in_doubt_wherever_the_connection_is_cut() {
    wherever_it_is_cut(
        |store, w| {
            block_on(store.release(w.id)).unwrap();
            block_on(store.register(heir(w))).unwrap();
        },
        |store, w| {
            let heir = heir(w);
            let workflows = vec![WorkflowName::new("a").unwrap()];
            let claim = Claim { worker: heir.id, workflows, limit: 8 };
            match block_on(store.claim(claim)) {
                Ok(claimed) => assert_eq!(claimed.len(), 1),
                // Whoever is in doubt gives all back.
                Err(StoreError::OutcomeUnknown { .. }) => block_on(store.release(heir.id)).unwrap(),
                Err(error) => panic!("{error}"),
            }
        },
        |database, at| {
            let sound = "select from anio_runs as run where status = 'queued'
                or exists (select from anio_workers as w where w.id = run.worker and w.lost_at is null)";
            assert_eq!(n_rows(database, sound), 1, "{at}");
        },
    );
}

#[test]
fn a_dead_worker_is_buried_wherever_the_connection_is_cut() {
    wherever_it_is_cut(
        |store, w| {
            block_on(store.register(NewWorker { lease: Duration::ZERO, ..w.clone() })).unwrap();
            block_on(store.register(heir(w))).unwrap();
        },
        |store, w| {
            let renewal = block_on(store.renew(heir(w))).unwrap();
            assert_eq!(renewal.dead, [w.id]);
            block_on(store.bury(renewal.dead)).unwrap();
        },
        |database, at| {
            let queued = "select from anio_runs where status = 'queued' and epoch = 1";
            assert_eq!(n_rows(database, queued), 1, "{at}");
        },
    );
}
