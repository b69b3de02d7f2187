//! `net`: what can fail between a worker and Postgres, and in Postgres itself.
//!
//! ```text
//!   workers ──► proxy ──► a Postgres of the storm's own
//!                 │           │ killed and started again; sessions ended; read-only for a while;
//!                 │           │ errors by a trigger on Anio's tables; locks and deadlocks by other sessions
//!                 │ cuts at any message and byte, before a commit, in it, before its answer;
//!                 │ delays; swallows; refuses; hangs up
//! ```
//!
//! Two ways: [`weather`] does all of it at random while workers are killed (a storm); [`cuts`] cuts the connections
//! of one worker at one message, one run for each.

pub mod command;
pub mod cuts;
pub mod faults;
pub mod weather;

pub use self::command::Command;
