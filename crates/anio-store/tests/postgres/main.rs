//! What only Postgres can do to a store; what every database does is in the suite for all of them.

#![cfg(feature = "postgres")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod control;
#[cfg(unix)]
mod frozen;
mod net;
mod queries;
mod session;
mod support;
