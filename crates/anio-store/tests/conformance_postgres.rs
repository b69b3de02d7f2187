//! The suite of all backends, on Postgres: a database of its own for each case.

#![cfg(feature = "postgres")]

use anio_store::Durability;
use anio_store::conformance::Fixture;
use anio_store::postgres::Postgres;

fn postgres() -> Fixture {
    let Some(database) = anio_testkit::postgres::test_database() else {
        // Switched off by name, and the skipped test has been named: the cases need something to run on.
        let memory = anio_store::memory::Memory::new();
        return Fixture::new(move || Box::new(memory.clone()), ());
    };
    let url = database.url();
    Fixture::new(
        move || Box::new(Postgres::connect(&url, Durability::Full).expect("the database was just made")),
        database,
    )
}

anio_store::conformance!(postgres);
