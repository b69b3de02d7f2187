//! Runs that are submitted inside a transaction of the user's own, on a SQLite file with an open store.
#![cfg(feature = "sqlite")]
#![expect(clippy::unwrap_used, reason = "what fails stops a test")]

use anio_core::{Output, RunId, TaskError, TaskOptions, Timestamp, Workflow};
use anio_store::record::{Claim, NewWorker, RunOptions, RunQuery, RunStatus, WorkerId};
use anio_store::{Store, StoreError, StoreOptions};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel::sqlite::SqliteConnection;
use futures::executor::block_on;
use tempfile::TempDir;
use uuid::Uuid;

/// A user's database with a table of orders, and a store that is open on it.
struct Shop {
    store: Store,
    connection: SqliteConnection,
    workflow: Workflow,
    _directory: TempDir,
}

#[derive(Debug)]
enum Failed {
    Store(StoreError),
    Diesel(DieselError),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<DieselError> for Failed {
    fn from(error: DieselError) -> Self {
        Self::Diesel(error)
    }
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    n: i64,
}

impl Shop {
    fn open() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("shop.db").display().to_string();
        let store = block_on(Store::open(&file, StoreOptions::default())).unwrap();
        let mut connection = SqliteConnection::establish(&file).unwrap();
        connection.batch_execute("pragma busy_timeout = 10000; create table orders (item text)").unwrap();
        let workflow = Workflow::builder("ship")
            .task("t", TaskOptions::new(), |_| async { Ok::<_, TaskError>(()) })
            .build()
            .unwrap();
        Self { store, connection, workflow, _directory: directory }
    }

    /// Orders an item and submits its run, in one transaction.
    fn order(&mut self, item: &str, options: RunOptions) -> Result<RunId, Failed> {
        let Self { store, connection, workflow, .. } = self;
        connection.immediate_transaction(|connection| {
            diesel::sql_query("insert into orders values (?)")
                .bind::<diesel::sql_types::Text, _>(item)
                .execute(connection)?;
            let input = Output::new(item.to_owned()).unwrap();
            Ok(store.submit_in(connection, workflow, input, options)?)
        })
    }

    fn n_orders(&mut self) -> i64 {
        let query = diesel::sql_query("select count(*) as n from orders");
        query.get_result::<Number>(&mut self.connection).unwrap().n
    }

    fn n_runs(&self) -> usize {
        block_on(self.store.runs(RunQuery::default())).unwrap().len()
    }
}

fn keyed(key: &str) -> RunOptions {
    RunOptions { idempotency_key: Some(key.to_owned()), ..RunOptions::default() }
}

#[test]
fn a_committed_transaction_leaves_a_run_that_a_worker_takes() {
    let mut shop = Shop::open();
    let options = RunOptions { priority: 7, tags: vec!["lamp".to_owned()], ..keyed("order 1") };
    let id = shop.order("lamp", options.clone()).unwrap();
    block_on(async {
        let run = shop.store.run(id).await.unwrap().unwrap();
        assert_eq!((run.status, run.options), (RunStatus::Queued, options));
        assert_eq!(run.input.json().get(), "\"lamp\"");
        assert!(run.submitted_at > Timestamp::default());
        let tagged = RunQuery { tag: Some("lamp".to_owned()), ..RunQuery::default() };
        assert_eq!(shop.store.runs(tagged).await.unwrap().len(), 1);
        let worker = WorkerId(Uuid::from_u128(1));
        let lease = std::time::Duration::from_secs(60);
        shop.store.register(NewWorker { id: worker, name: "w".to_owned(), lease }).await.unwrap();
        let claim = Claim { worker, workflows: vec![shop.workflow.name().clone()], limit: 9 };
        let claimed = shop.store.claim(claim).await.unwrap();
        assert_eq!(claimed[0].run.id, id);
        assert_eq!(claimed[0].plan.as_deref(), Some(shop.workflow.plan().record()));
    });
}

#[test]
fn a_rolled_back_transaction_leaves_no_run() {
    let mut shop = Shop::open();
    let Shop { store, connection, workflow, .. } = &mut shop;
    let mut id = None;
    let outcome: Result<(), Failed> = connection.transaction(|connection| {
        connection.batch_execute("insert into orders values ('lamp')")?;
        let options = RunOptions { tags: vec!["x".to_owned()], ..keyed("order 1") };
        id = Some(store.submit_in(connection, workflow, Output::new("lamp").unwrap(), options)?);
        Err(DieselError::RollbackTransaction.into())
    });
    assert!(matches!(outcome, Err(Failed::Diesel(DieselError::RollbackTransaction))));
    assert!(block_on(store.run(id.unwrap())).unwrap().is_none());
    assert_eq!((shop.n_orders(), shop.n_runs()), (0, 0));
    // Its key is free, and the connection goes on.
    assert_ne!(shop.order("lamp", keyed("order 1")).unwrap(), id.unwrap());
    assert_eq!((shop.n_orders(), shop.n_runs()), (1, 1));
}

#[test]
fn nobody_sees_the_run_before_the_transaction_is_committed() {
    let mut shop = Shop::open();
    let Shop { store, connection, workflow, .. } = &mut shop;
    let id = connection.immediate_transaction(|connection| {
        let id = store.submit_in(connection, workflow, Output::new(1).unwrap(), RunOptions::default())?;
        assert!(block_on(store.run(id))?.is_none());
        Ok::<_, Failed>(id)
    });
    assert!(block_on(store.run(id.unwrap())).unwrap().is_some());
}

#[test]
fn a_run_that_is_submitted_outside_a_transaction_is_stored() {
    let mut shop = Shop::open();
    let Shop { store, connection, workflow, .. } = &mut shop;
    let input = Output::new(1).unwrap();
    let id = store.submit_in(connection, workflow, input, RunOptions::default()).unwrap();
    assert!(block_on(store.run(id)).unwrap().is_some());
}

#[test]
fn one_key_with_one_input_is_one_run_and_with_another_an_error() {
    let mut shop = Shop::open();
    let id = shop.order("lamp", keyed("order 1")).unwrap();
    assert_eq!(shop.order("lamp", keyed("order 1")).unwrap(), id);
    let error = shop.order("chair", keyed("order 1")).unwrap_err();
    let Failed::Store(error) = error else { panic!("{error:?}") };
    let text = error.to_string();
    let StoreError::IdempotencyConflict { workflow, key, run } = error else { panic!("{error}") };
    assert_eq!((workflow.as_str(), key.as_str(), run), ("ship", "order 1", id));
    assert!(
        text.contains("\"ship\"") && text.contains("\"order 1\"") && text.contains(&id.to_string()),
        "{text}"
    );
    // The transaction of the second was committed, that of the third rolled back by its error.
    assert_eq!((shop.n_orders(), shop.n_runs()), (2, 1));
}

#[test]
fn what_else_is_in_the_transaction_survives_a_refused_run() {
    let mut shop = Shop::open();
    shop.order("lamp", keyed("order 1")).unwrap();
    let Shop { store, connection, workflow, .. } = &mut shop;
    let outcome: Result<(), Failed> = connection.immediate_transaction(|connection| {
        connection.batch_execute("insert into orders values ('chair')")?;
        for options in [keyed("order 1"), keyed("")] {
            let refused = store.submit_in(connection, workflow, Output::new("chair").unwrap(), options);
            assert!(refused.is_err());
        }
        Ok(())
    });
    outcome.unwrap();
    assert_eq!((shop.n_orders(), shop.n_runs()), (2, 1));
}

#[test]
fn a_database_without_the_tables_says_what_to_do() {
    let shop = Shop::open();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("other.db");
    let mut other = SqliteConnection::establish(file.to_str().unwrap()).unwrap();
    let mut submit = || {
        let (input, options) = (Output::new(1).unwrap(), RunOptions::default());
        shop.store.submit_in(&mut other, &shop.workflow, input, options).unwrap_err()
    };
    let error = submit();
    assert!(matches!(error, StoreError::NoTables { .. }), "{error:?}");
    assert!(error.to_string().contains("open the engine on that database first"), "{error}");
    // Tables of an older version will not do either.
    let store = block_on(Store::open(file.to_str().unwrap(), StoreOptions::default())).unwrap();
    block_on(store.close());
    let mut older = SqliteConnection::establish(file.to_str().unwrap()).unwrap();
    older.batch_execute("delete from anio_migrations where version = '0003'").unwrap();
    assert!(matches!(submit(), StoreError::NoTables { .. }));
    older.batch_execute("insert into anio_migrations values ('0003', '', 0), ('9999', '', 0)").unwrap();
    assert!(matches!(submit(), StoreError::NewerSchema { .. }));
}
