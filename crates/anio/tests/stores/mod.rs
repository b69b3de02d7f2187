//! The stores that each test runs on: memory, SQLite in memory, a SQLite file, Postgres.

use std::future::Future;

fn block_on(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(std::time::Duration::from_secs(60), test).await }).unwrap();
}

/// Runs the test on each store, one after the other, each empty.
pub(crate) fn on_every_store(test: impl AsyncFn(String)) {
    eprintln!("memory");
    block_on(test("memory:".to_owned()));
    eprintln!("sqlite mem");
    block_on(test("sqlite::memory:".to_owned()));
    on_sqlite_file(&test);
    #[cfg(feature = "postgres")]
    if let Some(database) = anio_testkit::postgres::test_database() {
        block_on(test(database.url().clone()));
    }
}

/// Runs the test on a new SQLite file.
pub(crate) fn on_sqlite_file(test: impl AsyncFn(String)) {
    let directory = tempfile::tempdir().unwrap();
    block_on(test(format!("sqlite://{}", directory.path().join("test.db").display())));
}
