//! What the tests of Anio need from outside Rust: a Postgres server that is thrown away, and a receiver for
//! traces.
//!
//! ```no_run
//! use anio_testkit::postgres;
//!
//! // In a test: says that it is skipped where Postgres is switched off, fails in one line where it is missing.
//! let Some(database) = postgres::test_database() else { return };
//! assert_eq!(database.query("select 1 + 1").unwrap(), [[Some("2".to_owned())]]);
//! ```
//!
//! The crate uses std alone, so that it costs a test nothing to build and `xtask` can share it. It runs on
//! Unix only, as do the kill-9 tests that it serves.

pub mod otlp;
pub mod postgres;
