//! A SQLite file on a disk that is full now and then: what a store does about it.
//!
//! One test in a process of its own, since there is one faulty disk per process.
#![cfg(feature = "sqlite")]
#![expect(clippy::unwrap_used, reason = "what fails stops a test")]

use std::path::Path;

use anio_core::{Output, RunId, Timestamp, WorkflowName};
use anio_faulty_disk::{Cache, Plan, Quota};
use anio_store::backend::Backend;
use anio_store::record::{Batch, NewRun, RunOptions, RunQuery};
use anio_store::sqlite::Sqlite;
use anio_store::{Durability, Store, StoreError, StoreOptions};
use futures::executor::block_on;
use uuid::Uuid;

const KIB: usize = 1 << 10;

/// A run with an input of so many bytes.
fn batch(n: u128, bytes: usize) -> Batch {
    let run = NewRun {
        id: RunId::from_uuid(Uuid::from_u128((0x0190_7000 << 96) + n)),
        workflow: WorkflowName::new("a").unwrap(),
        plan: "0".parse().unwrap(),
        input: Output::new("x".repeat(bytes)).unwrap(),
        options: RunOptions::default(),
        submitted_at: Timestamp::from_micros(1),
        claim: false,
    };
    Batch { runs: vec![run], ..Batch::default() }
}

/// Commits until the disk has been full for a while; every refusal says so. Afterwards everything is there
/// once, what was refused at first too.
fn told_when_full(file: &Path, bytes: usize) {
    let mut sqlite = Sqlite::open(file, Durability::Full).unwrap();
    sqlite.migrate().unwrap();
    let (mut n, mut n_refused) = (0, 0);
    while n_refused < 2 {
        match sqlite.commit(&batch(n, bytes), 0) {
            Ok(()) => n += 1,
            Err(StoreError::Full { .. }) => n_refused += 1,
            Err(error) => panic!("{bytes} bytes, after {n_refused} refusals: {error:?}"),
        }
    }
    while sqlite.commit(&batch(n, bytes), 0).is_err() {}
    let runs = sqlite.runs(&RunQuery { limit: 10_000, ..RunQuery::default() }).unwrap();
    assert_eq!(runs.len() as u128, n + 1);
}

#[test]
fn a_full_disk_is_told_of_as_what_it_is_and_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let quota = Some(Quota { bytes: 16 << 20, refusals: 4 });
    // Nobody is killed, so nothing need be waited for.
    anio_faulty_disk::install(Plan { quota, cache: Cache::Lost, ..Plan::default() });
    // The first fail when they commit; the last has more than a connection keeps in memory, and fails before.
    for (name, bytes) in [("small.db", 200 * KIB), ("large.db", 1000 * KIB), ("huge.db", 20 * KIB * KIB)] {
        told_when_full(&directory.path().join(name), bytes);
    }
    let before = anio_faulty_disk::n_faults();
    block_on(async {
        let file = directory.path().join("patient.db");
        let store = loop {
            // To open a file that has no room for its tables fails at once.
            match Store::open(file.to_str().unwrap(), StoreOptions::default()).await {
                Ok(store) => break store,
                Err(error) => assert!(matches!(error, StoreError::Full { .. }), "{error:?}"),
            }
        };
        for n in 0..20 {
            store.commit(batch(n, 1000 * KIB)).await.unwrap();
        }
        store.close().await;
    });
    assert!(anio_faulty_disk::n_faults() > before, "the disk was never full");
}
