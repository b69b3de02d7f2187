//! The state machine of a run.

mod fact;

pub use fact::{Fact, FactKind, RunEnd, RunFailure, TaskRunKey};
