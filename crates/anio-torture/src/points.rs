//! Crash points, all of them: a process is harmed before and after each call by which it changes the database,
//! one process per call, and what it leaves behind is finished by another and checked.
//!
//! ```text
//!   undisturbed ──► how often each verb is called
//!   for each verb, each call of it, each harm:
//!     process 1: the script, harmed there ──► process 2: finishes ──► the checker
//! ```
//!
//! The harm is done from outside of the engine: by a [`Backend`](anio_store::backend::Backend) that wraps another.

pub mod backend;
pub mod blueprints;
mod command;
pub mod play;
pub mod point;
pub mod script;

pub use self::command::{Command, Tour};
