//! Locks that somebody else holds, sessions that end, servers that stop, refuse or speak TLS.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anio_core::WorkflowName;
use anio_store::backend::Backend;
use anio_store::postgres::Postgres;
use anio_store::record::{Batch, Claim, NewWorker, RunQuery, RunStatus};
use anio_store::{Durability, StoreError};
use anio_testkit::postgres::{test_database, test_server};

use crate::support::{
    SLEEPS, WAITS_FOR_A_LOCK, connect, late_worker, n_sessions, open, plan, run_id, until, while_locked,
    with_fact, with_run, worker,
};

#[test]
fn a_commit_cannot_slip_past_a_burial_that_has_begun() {
    let Some(database) = test_database() else { return };
    let w = worker(1);
    let mut backend = open(&database);
    backend.register(&w).unwrap();
    backend.commit(&with_run(&w, 1), 1).unwrap();
    let bury = format!("update anio_workers set lost_at = 1 where id = '{}'", w.id);
    let (outcome, waited) = while_locked(&database, &bury, || {
        let start = Instant::now();
        (backend.commit(&with_fact(&w, 1, "t"), 2), start.elapsed())
    });
    assert!(matches!(outcome, Err(StoreError::LeaseLost)), "{outcome:?}");
    assert!(waited > Duration::from_millis(300), "it did not wait: {waited:?}");
    assert_eq!(backend.facts(run_id(1)).unwrap(), []);
    assert_eq!(backend.last_commit(w.id).unwrap(), 1);
}

#[test]
fn a_claim_cannot_slip_past_a_burial_that_has_begun() {
    let Some(database) = test_database() else { return };
    let w = worker(1);
    let mut backend = open(&database);
    backend.register(&w).unwrap();
    let submission = Batch { worker: None, ..with_run(&w, 1) };
    backend.commit(&submission, 0).unwrap();
    let bury = format!("update anio_workers set lost_at = 1 where id = '{}'", w.id);
    let claim = Claim { worker: w.id, workflows: vec![WorkflowName::new("a").unwrap()], limit: 9 };
    let outcome = while_locked(&database, &bury, || backend.claim(&claim));
    assert!(matches!(outcome, Err(StoreError::LeaseLost)), "{outcome:?}");
    assert_eq!(backend.run(run_id(1)).unwrap().unwrap().status, RunStatus::Queued);
}

/// What the first commit of a worker does, with a run in it, as SQL that can be held up.
fn first_commit_of(worker: &NewWorker) -> String {
    format!(
        "update anio_workers set last_commit = 1 where id = '{0}';
         insert into anio_runs (id, workflow, plan, status, priority, epoch, worker, submitted_at, input)
         values ('{1}', 'a', '{2}', 'running', 0, 0, '{0}', 1, 'null')",
        worker.id,
        run_id(1),
        plan().fingerprint(),
    )
}

#[test]
fn a_burial_waits_for_the_last_commit_of_the_dead_and_puts_back_its_runs() {
    let Some(database) = test_database() else { return };
    let (w, heir) = (late_worker(1), worker(2));
    let mut backend = open(&database);
    backend.register(&w).unwrap();
    backend.register(&heir).unwrap();
    let commit = first_commit_of(&w);
    let n_runs = while_locked(&database, &commit, || backend.bury(&[w.id]).unwrap());
    assert_eq!(n_runs, 1);
    let run = backend.run(run_id(1)).unwrap().unwrap();
    assert_eq!((run.status, run.epoch), (RunStatus::Queued, 1));
}

#[test]
fn a_commit_sent_again_while_the_server_is_at_the_first_is_stored_once() {
    let Some(database) = test_database() else { return };
    let w = worker(1);
    let mut backend = open(&database);
    backend.register(&w).unwrap();
    let first = first_commit_of(&w);
    while_locked(&database, &first, || backend.commit(&with_run(&w, 1), 1)).unwrap();
    assert_eq!(backend.runs(&RunQuery::default()).unwrap().len(), 1);
}

const HOLD: &str = "ANIO_TEST_HOLD";

/// Not a test by itself: the process that [`a_killed_process_is_seen_at_once`] starts and kills.
#[test]
fn a_process_that_holds_a_lease() {
    let Ok(url) = std::env::var(HOLD) else { return };
    let mut backend = connect(&url).unwrap();
    backend.register(&worker(1)).unwrap();
    // Past the capture of the test's output.
    std::io::stdout().write_all(b"\nholds\n").unwrap();
    loop {
        thread::park();
    }
}

#[test]
fn a_killed_process_is_seen_at_once() {
    let Some(database) = test_database() else { return };
    let (dead, heir) = (worker(1), worker(2));
    let mut backend = open(&database);
    backend.register(&heir).unwrap();
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "session::a_process_that_holds_a_lease", "--nocapture"])
        .env(HOLD, database.url())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "holds"));
    // A server that has only just started is not trusted to know.
    let uptime = "select from (select) one where pg_postmaster_start_time() < now() - interval '5.1 seconds'";
    until(|| database.query(uptime).unwrap().len() == 1);
    assert_eq!(backend.renew(&heir).unwrap().dead, []);
    assert_eq!(backend.bury(&[dead.id]).unwrap(), 0, "it lives");

    process.kill().unwrap();
    process.wait().unwrap();
    // Its lease would hold for an hour.
    until(|| backend.renew(&heir).unwrap().dead == [dead.id]);
    backend.bury(&[dead.id]).unwrap();
    assert_eq!(backend.renew(&heir).unwrap().dead, []);
}

#[test]
fn a_session_that_ended_while_idle_leaves_no_doubt() {
    let Some(database) = test_database() else { return };
    let w = worker(1);
    let mut backend = open(&database);
    backend.register(&w).unwrap();
    backend.commit(&with_run(&w, 1), 1).unwrap();
    let kill_all = "select pg_terminate_backend(pid) from pg_stat_activity
                    where datname = current_database() and pid <> pg_backend_pid()";
    database.query(kill_all).unwrap();
    until(|| database.query(kill_all).unwrap().is_empty());

    let outcome = backend.commit(&with_fact(&w, 1, "t"), 2);
    assert!(matches!(outcome, Err(StoreError::Disconnected { .. })), "{outcome:?}");
    assert!(matches!(backend.renew(&w), Err(StoreError::Disconnected { .. })));
    backend.reconnect().unwrap();
    assert_eq!(backend.last_commit(w.id).unwrap(), 1);
    backend.commit(&with_fact(&w, 1, "t"), 2).unwrap();
    let locks = "select from pg_locks where locktype = 'advisory' and granted
                 and database = (select oid from pg_database where datname = current_database())";
    assert_eq!(database.query(locks).unwrap().len(), 1, "the lock is taken again");
}

#[test]
fn a_session_that_is_ended_in_a_commit_stores_nothing() {
    let Some(database) = test_database() else { return };
    let w = worker(1);
    let mut backend = open(&database);
    backend.register(&w).unwrap();
    let lock = format!("select from anio_workers where id = '{}' for update", w.id);
    let outcome =
        while_locked(&database, &lock, || {
            thread::scope(|scope| {
                let committing = scope.spawn(|| backend.commit(&with_run(&w, 1), 1));
                until(|| n_sessions(&database, WAITS_FOR_A_LOCK) == 1);
                database
                .query("select pg_terminate_backend(pid) from pg_stat_activity where wait_event_type = 'Lock'
                        and datname = current_database()")
                .unwrap();
                committing.join().unwrap()
            })
        });
    assert!(matches!(outcome, Err(StoreError::Disconnected { .. })), "{outcome:?}");
    backend.reconnect().unwrap();
    assert_eq!(backend.last_commit(w.id).unwrap(), 0);
}

#[test]
fn a_server_that_crashes_in_a_commit_leaves_it_in_doubt_and_the_same_commit_can_be_sent_again() {
    let Some(server) = test_server() else { return };
    let database = server.database().unwrap();
    let w = worker(1);
    let mut backend = open(&database);
    backend.register(&w).unwrap();
    let outcome = thread::scope(|scope| {
        let lock = format!("select from anio_workers where id = '{}' for update; select pg_sleep(60)", w.id);
        let database = &database;
        scope.spawn(move || drop(database.query(&lock)));
        until(|| n_sessions(database, SLEEPS) == 1);
        let committing = scope.spawn(|| backend.commit(&with_run(&w, 1), 1));
        until(|| n_sessions(database, WAITS_FOR_A_LOCK) == 1);
        server.stop_immediate().unwrap();
        committing.join().unwrap()
    });
    assert!(matches!(outcome, Err(StoreError::OutcomeUnknown { .. })), "{outcome:?}");
    let refused = backend.reconnect();
    assert!(matches!(refused, Err(StoreError::Unreachable { .. })), "{refused:?}");
    server.restart().unwrap();
    backend.reconnect().unwrap();
    for _ in 0..2 {
        backend.commit(&with_run(&w, 1), 1).unwrap();
    }
    assert_eq!(backend.runs(&RunQuery::default()).unwrap().len(), 1);

    // All sessions ended at once: that a lock is missing proves nothing now.
    let mut other = connect(&database.url()).unwrap();
    other.register(&worker(2)).unwrap();
    database
        .query(
            "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory'
                order by pid limit 1",
        )
        .unwrap();
    let dead = other.renew(&worker(2)).unwrap().dead;
    // On a machine that is slow today, the server may be older than that by now.
    let is_young = "select where pg_postmaster_start_time() > now() - interval '5 seconds'";
    if database.query(is_young).unwrap().len() == 1 {
        assert_eq!(dead, []);
    }
}

#[test]
fn what_the_server_says_is_told_by_its_code() {
    let Some(database) = test_database() else { return };
    let w = worker(1);
    let mut backend = open(&database);
    backend.register(&w).unwrap();
    backend.commit(&with_run(&w, 1), 1).unwrap();
    let mut said = |code: &str| {
        database
            .query(&format!(
                "create or replace function say() returns trigger language plpgsql as
                 $$ begin raise exception using errcode = '{code}', message = 'deadlock disk full'; end $$;
                 create or replace trigger say before insert on anio_attempts execute function say()"
            ))
            .unwrap();
        backend.commit(&with_fact(&w, 1, "t"), 2).unwrap_err()
    };
    assert!(matches!(said("53100"), StoreError::Full { .. }));
    assert!(matches!(said("40001"), StoreError::Busy { .. }));
    assert!(matches!(said("40P01"), StoreError::Busy { .. }));
    assert!(matches!(said("55P03"), StoreError::Busy { .. }));
    assert!(matches!(said("53200"), StoreError::Busy { .. }));
    assert!(matches!(said("53300"), StoreError::Busy { .. }));
    assert!(matches!(said("58030"), StoreError::Busy { .. }));
    assert!(matches!(said("57P01"), StoreError::Disconnected { .. }));
    assert!(matches!(said("25006"), StoreError::ReadOnly { .. }));
    assert!(matches!(said("08007"), StoreError::OutcomeUnknown { .. }));
    assert!(matches!(said("40003"), StoreError::OutcomeUnknown { .. }));
    let other = said("22012");
    assert!(matches!(other, StoreError::Database { .. }));
    assert_eq!(other.to_string(), "database: deadlock disk full (SQLSTATE 22012)");
    database.query("drop trigger say on anio_attempts").unwrap();
    backend.commit(&with_fact(&w, 1, "t"), 2).unwrap();
}

#[test]
fn a_lock_that_is_held_too_long_is_busy() {
    let Some(database) = test_database() else { return };
    let w = worker(1);
    open(&database).register(&w).unwrap();
    let mut backend = connect(&format!("{}?options=-c%20lock_timeout%3D50", database.url())).unwrap();
    let lock = format!("select from anio_workers where id = '{}' for update", w.id);
    let outcome = while_locked(&database, &lock, || backend.commit(&with_fact(&w, 1, "t"), 1));
    assert!(matches!(outcome, Err(StoreError::Busy { .. })), "{outcome:?}");
    backend.commit(&with_fact(&w, 1, "t"), 1).unwrap();
}

#[test]
fn the_password_decides_and_is_never_shown() {
    let Some(server) = test_server() else { return };
    let database = server.database().unwrap();
    database
        .query("create role ann login password 'right-s3cret'; grant all on schema public to ann")
        .unwrap();
    // Everybody comes in without a password on a server for tests; ann shall not.
    let hba = "select set_config('x.hba', pg_read_file(current_setting('hba_file')), false);
               copy (select 'host all ann all scram-sha-256' || E'\\n' || current_setting('x.hba'))
               to program 'cat > pg_hba.new && printf \"%b\" \"$(cat pg_hba.new)\" > pg_hba.conf'";
    database.query(hba).unwrap();
    database.query("select pg_reload_conf()").unwrap();
    let place = database.url().rsplit_once('@').unwrap().1.to_owned();
    let url = |login: &str| format!("postgres://{login}@{place}");
    let refused = |login: &str| match connect(&url(login)) {
        Err(error @ StoreError::Refused { .. }) => error.to_string() + &format!("{error:?}"),
        other => panic!("{login}: {other:?}"),
    };
    until(|| connect(&url("ann:wrong-s3cret")).is_err());
    let shown = refused("ann:wrong-s3cret") + &refused("ann") + &refused("nobody_such");
    assert!(!shown.contains("s3cret"), "{shown}");
    assert!(shown.contains("ann"), "{shown}");
    let backend = connect(&url("ann:right-s3cret")).unwrap();
    assert!(!format!("{backend:?}").contains("s3cret"));
}

#[test]
fn a_server_or_database_that_is_not_there_is_named() {
    let Some(database) = test_database() else { return };
    let url = database.url().replace(database.name(), "no_such_database");
    let error = connect(&url).unwrap_err();
    assert!(error.to_string().contains("has no database \"no_such_database\""), "{error}");
    // Port 1 is for a service that nobody runs.
    let error = connect("postgres://ann:s3cret@127.0.0.1:1/x").unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("postgres://ann@127.0.0.1:1/x: error connecting"), "{error}");
    let error = connect("postgres://ann@/x?host=/no/such/directory").unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
}

#[test]
fn tables_of_others_are_left_alone() {
    let Some(database) = test_database() else { return };
    database.query("create table anio_runs (mine integer)").unwrap();
    let mut backend = connect(&database.url()).unwrap();
    let error = backend.migrate().unwrap_err();
    assert!(matches!(error, StoreError::ForeignDatabase { .. }), "{error:?}");
    let tables = "select from pg_class where relname like 'anio%' and relkind = 'r'";
    assert_eq!(database.query(tables).unwrap().len(), 1);
}

#[test]
fn a_newer_schema_is_left_alone() {
    let Some(database) = test_database() else { return };
    drop(open(&database));
    database.query("insert into anio_migrations values ('9999', '9999_later', 1)").unwrap();
    let error = connect(&database.url()).unwrap().migrate().unwrap_err();
    assert!(matches!(&error, StoreError::NewerSchema { found, .. } if found == "9999"), "{error:?}");
}

#[test]
fn a_database_that_can_only_be_read_says_so() {
    let Some(database) = test_database() else { return };
    let read_only = format!("{}?options=-c%20default_transaction_read_only%3Don", database.url());
    let error = connect(&read_only).unwrap().migrate().unwrap_err();
    assert!(matches!(error, StoreError::ReadOnly { .. }), "{error:?}");
    // Where the tables are there already, reading needs no more.
    drop(open(&database));
    let mut backend = connect(&read_only).unwrap();
    backend.migrate().unwrap();
    assert!(backend.runs(&RunQuery::default()).unwrap().is_empty());
}

#[test]
fn another_default_isolation_changes_nothing() {
    let Some(database) = test_database() else { return };
    let name = database.name();
    database
        .query(&format!("alter database {name} set default_transaction_isolation = 'serializable'"))
        .unwrap();
    database.query(&format!("alter database {name} set synchronous_commit = off")).unwrap();
    let w = worker(1);
    let mut backend = open(&database);
    backend.register(&w).unwrap();
    let renewed = format!("update anio_workers set expires_at = expires_at + 1 where id = '{}'", w.id);
    while_locked(&database, &renewed, || backend.commit(&with_run(&w, 1), 1)).unwrap();
}

#[test]
fn a_commit_waits_for_the_disk_of_the_server_whatever_its_default_unless_that_was_relaxed() {
    let Some(database) = test_database() else { return };
    database.query(&format!("alter database {} set synchronous_commit = off", database.name())).unwrap();
    let w = worker(1);
    let mut backend = open(&database);
    database
        .query(
            "create function refuse_unless_on() returns trigger language plpgsql as $$
             begin
                 if current_setting('synchronous_commit') <> 'on' then
                     raise exception 'a commit would not wait';
                 end if;
                 return new;
             end $$;
             create trigger refuse before insert on anio_attempts
             for each row execute function refuse_unless_on()",
        )
        .unwrap();
    backend.register(&w).unwrap();
    backend.commit(&with_run(&w, 1), 1).unwrap();
    backend.commit(&with_fact(&w, 1, "t"), 2).unwrap();
    let mut relaxed = Postgres::connect(&database.url(), Durability::Relaxed).unwrap();
    let outcome = relaxed.commit(&with_fact(&w, 1, "t"), 3);
    assert!(matches!(outcome, Err(StoreError::Database { .. })), "{outcome:?}");
}

#[test]
fn tls_is_used_as_the_url_says() {
    let Some(server) = test_server() else { return };
    let database = server.database().unwrap();
    let url = |mode: &str| format!("{}?sslmode={mode}", database.url());
    let error = connect(&url("require")).unwrap_err();
    assert!(error.to_string().contains("does not support TLS"), "{error}");
    connect(&url("prefer")).unwrap();

    let (key, certificate) = (include_str!("tls/server.key"), include_str!("tls/server.crt"));
    for (name, text) in [("server.key", key), ("server.crt", certificate)] {
        let write = format!(
            "copy (select unnest(string_to_array('{}', E'\\n'))) to program 'umask 077; cat > {name}'",
            text.trim_end()
        );
        database.query(&write).unwrap();
    }
    database.query("alter system set ssl = on").unwrap();
    database.query("select pg_reload_conf()").unwrap();
    until(|| connect(&url("require")).is_ok());
    let encrypted = "select from pg_stat_ssl where ssl and version = 'TLSv1.3'";
    for (mode, n_encrypted) in [("disable", 0), ("prefer", 1), ("require", 1)] {
        let _backend = connect(&url(mode)).unwrap();
        until(|| database.query(encrypted).unwrap().len() == n_encrypted);
    }
    let error = connect(&url("verify-full")).unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/postgres/tls/server.crt");
    let mut backend = connect(&format!("{}&sslrootcert={root}", url("verify-full"))).unwrap();
    backend.migrate().unwrap();
}

#[test]
fn an_idle_worker_sends_one_statement_per_renewal() {
    let Some(database) = test_database() else { return };
    let w = worker(1);
    let mut backend = open(&database);
    backend.register(&w).unwrap();
    backend.renew(&w).unwrap();
    let before = backend.n_statements();
    for _ in 0..10 {
        backend.renew(&w).unwrap();
    }
    assert_eq!(backend.n_statements() - before, 10);
}

#[test]
fn a_commit_is_one_statement() {
    let Some(database) = test_database() else { return };
    let w = worker(1);
    let mut backend = open(&database);
    backend.register(&w).unwrap();
    backend.commit(&with_run(&w, 1), 1).unwrap();
    backend.commit(&with_fact(&w, 1, "t"), 2).unwrap();
    let before = backend.n_statements();
    backend.commit(&with_run(&w, 2), 3).unwrap();
    backend.commit(&with_fact(&w, 2, "t"), 4).unwrap();
    assert_eq!(backend.n_statements() - before, 2);
}
