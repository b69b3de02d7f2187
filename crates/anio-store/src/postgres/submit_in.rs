//! A run that is submitted inside a transaction of the user's own, on a connection of the user's own.
//!
//! The statements stand between savepoints: where one fails, the user's transaction goes on as if none had
//! been sent. Until it ends, whoever submits another run with the same key waits for it; and so does whoever
//! stores the same plan, when nobody has stored that before.

use anio_core::Fingerprint;
use anio_core::plan::PlanRecord;
use diesel::connection::LoadConnection;
use diesel::pg::Pg;

use super::{error, migrate, submit};
use crate::error::StoreError;
use crate::record::{NewRun, Submission};
use crate::submit_in::SubmitIn;

impl SubmitIn for Pg {
    fn submit_in<C: LoadConnection<Backend = Self>>(
        connection: &mut C,
        run: &NewRun,
        (fingerprint, record): (Fingerprint, &PlanRecord),
    ) -> Result<Submission, StoreError> {
        let database = "the database of this connection";
        let work = |connection: &mut C| {
            migrate::check(connection, &database)?;
            submit::plan(connection, fingerprint, record)?;
            submit::run(connection, run)
        };
        connection.transaction(work).map_err(|error| error::of_users_connection(&database, error))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use anio_core::{Output, RunId, Timestamp, WorkflowName};
    use anio_testkit::postgres::{Database, test_database};
    use diesel::Connection as _;
    use diesel::connection::SimpleConnection;
    use diesel::result::Error as DieselError;
    use uuid::Uuid;

    use super::super::Postgres;
    use super::super::connection::Connection;
    use super::*;
    use crate::backend::Backend;
    use crate::record::{Change, Durability, RunOptions, RunQuery, RunStatus};

    fn open(database: &Database) -> Postgres {
        let mut backend = Postgres::connect(&database.url(), Durability::Full).unwrap();
        backend.migrate().unwrap();
        backend
    }

    /// What a user's program would have: diesel's own needs a library that is not there.
    fn users(database: &Database) -> Connection {
        Connection::establish(&database.url()).unwrap()
    }

    fn plan() -> PlanRecord {
        PlanRecord { workflow: WorkflowName::new("a").unwrap(), tasks: Vec::new() }
    }

    fn run(n: u128, key: &str) -> NewRun {
        NewRun {
            id: RunId::from_uuid(Uuid::from_u128((1 << 96) + (7 << 76) + (8 << 60) + n)),
            workflow: WorkflowName::new("a").unwrap(),
            plan: plan().fingerprint(),
            input: Output::from_json("null").unwrap(),
            options: RunOptions {
                idempotency_key: Some(key.to_owned()),
                tags: vec!["tag".to_owned()],
                ..RunOptions::default()
            },
            submitted_at: Timestamp::from_micros(1),
            claim: false,
        }
    }

    fn submit_in(connection: &mut Connection, run: &NewRun) -> Result<Submission, StoreError> {
        Pg::submit_in(connection, run, (plan().fingerprint(), &plan()))
    }

    fn ids(backend: &mut Postgres) -> Vec<RunId> {
        backend.runs(&RunQuery::default()).unwrap().iter().map(|run| run.id).collect()
    }

    #[test]
    fn a_run_of_a_transaction_is_there_when_that_is_committed_and_is_told_then() {
        let Some(database) = test_database() else { return };
        let mut backend = open(&database);
        let mut watcher = backend.watcher().unwrap().unwrap();
        let mut users = users(&database);
        users.batch_execute("create table orders (id integer)").unwrap();
        users
            .transaction(|connection| {
                connection.batch_execute("insert into orders values (1)")?;
                let submission = submit_in(connection, &run(1, "key")).unwrap();
                assert!(matches!(submission, Submission::New));
                assert_eq!(ids(&mut backend), []);
                assert_eq!(watcher.wait(std::time::Duration::ZERO).unwrap(), None);
                Ok::<_, DieselError>(())
            })
            .unwrap();
        assert_eq!(watcher.wait(std::time::Duration::from_secs(60)).unwrap(), Some(Change::Runs));
        let stored = backend.run(run(1, "key").id).unwrap().unwrap();
        assert_eq!((stored.status, stored.options), (RunStatus::Queued, run(1, "key").options));
        let tagged = RunQuery { tag: Some("tag".to_owned()), ..RunQuery::default() };
        assert_eq!(backend.runs(&tagged).unwrap().len(), 1);
    }

    #[test]
    fn a_transaction_that_is_rolled_back_leaves_no_run() {
        let Some(database) = test_database() else { return };
        let mut backend = open(&database);
        let undone = users(&database).transaction(|connection| {
            submit_in(connection, &run(1, "key")).unwrap();
            Err::<(), _>(DieselError::RollbackTransaction)
        });
        assert!(matches!(undone, Err(DieselError::RollbackTransaction)));
        assert_eq!(ids(&mut backend), []);
        assert_eq!(
            database.query("select from anio_tags union all select from anio_plans").unwrap().len(),
            0
        );
    }

    #[test]
    fn without_a_transaction_it_is_one_of_its_own() {
        let Some(database) = test_database() else { return };
        let mut backend = open(&database);
        let mut users = users(&database);
        submit_in(&mut users, &run(1, "key")).unwrap();
        assert_eq!(ids(&mut backend), [run(1, "key").id]);
        let Submission::Known(known) = submit_in(&mut users, &run(2, "key")).unwrap() else { panic!("new") };
        assert_eq!(known.id, run(1, "key").id);
        assert!(matches!(submit_in(&mut users, &run(1, "key")).unwrap(), Submission::New));
    }

    #[test]
    fn who_submits_the_key_of_an_open_transaction_waits_for_its_end() {
        let Some(database) = test_database() else { return };
        let mut backend = open(&database);
        let (submitted, wait) = mpsc::channel();
        let waiting = "select from pg_stat_activity where wait_event_type = 'Lock'
                       and datname = current_database()";
        let other = thread::scope(|scope| {
            let transaction = scope.spawn(|| {
                users(&database).transaction(|connection| {
                    submit_in(connection, &run(1, "key")).unwrap();
                    submitted.send(()).unwrap();
                    while database.query(waiting).unwrap().is_empty() {
                        thread::sleep(std::time::Duration::from_millis(2));
                    }
                    Ok::<_, DieselError>(())
                })
            });
            wait.recv().unwrap();
            let other = backend.submit(&run(2, "key"), (plan().fingerprint(), &plan())).unwrap();
            transaction.join().unwrap().unwrap();
            other
        });
        let Submission::Known(known) = other else { panic!("{other:?}") };
        assert_eq!(known.id, run(1, "key").id);
    }

    #[test]
    fn a_database_without_the_tables_says_so_and_the_transaction_goes_on() {
        let Some(database) = test_database() else { return };
        let mut users = users(&database);
        users
            .transaction(|connection| {
                connection.batch_execute("create table orders (id integer)")?;
                let error = submit_in(connection, &run(1, "key")).unwrap_err();
                assert!(matches!(error, StoreError::NoTables { .. }), "{error:?}");
                Ok::<_, DieselError>(())
            })
            .unwrap();
        assert_eq!(database.query("select from pg_class where relname = 'orders'").unwrap().len(), 1);
        drop(open(&database));
        database.query("insert into anio_migrations values ('9999', '9999_later', 1)").unwrap();
        let error = submit_in(&mut users, &run(1, "key")).unwrap_err();
        assert!(matches!(error, StoreError::NewerSchema { .. }), "{error:?}");
    }

    #[test]
    fn a_statement_that_fails_leaves_the_transaction_as_it_was() {
        let Some(database) = test_database() else { return };
        let mut backend = open(&database);
        database
            .query(
                "create function say() returns trigger language plpgsql as
                 $$ begin raise exception using errcode = '40001', message = 'no'; end $$;
                 create trigger say before insert on anio_runs execute function say();
                 create table orders (id integer)",
            )
            .unwrap();
        users(&database)
            .transaction(|connection| {
                let error = submit_in(connection, &run(1, "key")).unwrap_err();
                assert!(matches!(error, StoreError::Busy { .. }), "{error:?}");
                connection.batch_execute("insert into orders values (1)")
            })
            .unwrap();
        assert_eq!(database.query("select from orders").unwrap().len(), 1);
        assert_eq!(ids(&mut backend), []);
    }
}
