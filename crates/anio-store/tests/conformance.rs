//! Memory and SQLite are held to the suite that every backend passes.

use anio_store::conformance::Fixture;
use anio_store::memory::Memory;

fn memory() -> Fixture {
    let memory = Memory::new();
    Fixture::new(move || Box::new(memory.clone()), ())
}

#[cfg(feature = "sqlite")]
#[expect(clippy::unwrap_used, reason = "what fails stops a test")]
fn sqlite() -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("anio.db");
    let connect = move || -> Box<dyn anio_store::backend::Backend> {
        Box::new(anio_store::sqlite::Sqlite::open(&file, anio_store::Durability::Full).unwrap())
    };
    Fixture::new(connect, directory)
}

anio_store::conformance!(memory);

#[cfg(feature = "sqlite")]
anio_store::conformance!(sqlite);
