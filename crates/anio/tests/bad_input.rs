//! Bad input at the door: each gets one clear error, and nothing is changed.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use anio::prelude::*;
use anio::{Error, StoreError};

fn open(url: &str) -> Error {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(Engine::open(url)).unwrap_err()
}

fn store_error(url: &str) -> StoreError {
    match open(url) {
        Error::Store(error) => error,
        other => unreachable!("{other}"),
    }
}

fn url_of(path: &Path) -> String {
    format!("sqlite://{}", path.display())
}

#[test]
fn urls_that_name_no_store_are_refused_with_what_is_allowed() {
    for (url, part) in [
        ("mysql://user:secret@host/db", "sqlite"),
        ("", "sqlite"),
        ("flights", "sqlite"),
        ("sqlite://x.db?mode=fast", "mode"),
    ] {
        let error = store_error(url);
        let text = error.to_string();
        assert!(matches!(error, StoreError::InvalidUrl { .. }), "{url}: {text}");
        assert!(text.contains(part) && !text.contains("secret"), "{url}: {text}");
        assert!(!format!("{error:?}").contains("secret"));
    }
}

#[test]
fn a_file_that_is_no_database_is_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.db");
    let text = "these are my notes, and no database at all\n".repeat(100);
    std::fs::write(&path, &text).unwrap();
    assert!(matches!(store_error(&url_of(&path)), StoreError::NotADatabase { .. }));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    let names: Vec<_> =
        std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["notes.db"], "nothing is left beside it");
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let error = store_error("sqlite:///no/such/directory/flights.db").to_string();
    assert!(error.contains("/no/such/directory"), "{error}");
}

#[cfg(feature = "postgres")]
#[test]
fn an_unreachable_postgres_is_named_without_its_password() {
    let error = store_error("postgres://ada:secret@127.0.0.1:1/db?connect_timeout=2");
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
    let text = format!("{error} {error:?}");
    assert!(text.contains("127.0.0.1:1") && !text.contains("secret"), "{text}");
}

#[test]
fn absurd_options_are_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let start = |builder: anio::EngineBuilder| runtime.block_on(builder.start()).unwrap_err().to_string();
    let engine = || Engine::builder().store("memory:");
    assert!(start(Engine::builder()).contains("store"));
    assert!(start(engine().concurrency(0)).contains("concurrency: is 0"));
    assert!(start(engine().cpu_threads(5000)).contains("cpu_threads: is 5000"));
    assert!(start(engine().lease(std::time::Duration::ZERO)).contains("lease"));
    assert!(start(engine().poison_after(0)).contains("poison_after: is 0"));
}
