//! A SQLite file on a disk that fails now and then: what a store says of it.
//!
//! One test in a process of its own, since there is one faulty disk per process.
#![cfg(feature = "sqlite")]

use anio_faulty_disk::{Cache, Odds, Plan};
use anio_store::backend::Backend;
use anio_store::record::RunQuery;
use anio_store::sqlite::Sqlite;
use anio_store::{Durability, StoreError};

/// Opens a file, makes its tables, and reads.
fn use_once(name: &std::path::Path) -> Result<(), StoreError> {
    let mut sqlite = Sqlite::open(name, Durability::Full)?;
    sqlite.migrate()?;
    sqlite.runs(&RunQuery::default()).map(drop)
}

#[test]
fn a_failing_disk_is_told_of_as_what_it_is() {
    let odds = Some(Odds { seed: 1, per_million: 5000 });
    anio_faulty_disk::install(Plan { odds, cache: Cache::Lost, ..Plan::default() });
    let directory = tempfile::tempdir().unwrap();
    let (mut n_good, mut n_bad) = (0, 0);
    for n in 0..200 {
        match use_once(&directory.path().join(format!("{n}.db"))) {
            Ok(()) => n_good += 1,
            Err(StoreError::Disk { .. } | StoreError::CannotOpen { .. }) => n_bad += 1,
            Err(error) => panic!("file {n}: {error:?}"),
        }
    }
    assert!(n_good > 0 && n_bad > 0, "{n_good} good, {n_bad} bad");
}
