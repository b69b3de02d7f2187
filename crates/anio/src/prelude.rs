//! What a program that defines tasks needs: `use anio::prelude::*`.
//!
//! It has the attributes `#[task]` and `#[workflow]`. The macro of free functions is called by its path,
//! `anio::workflow! { .. }`: Rust lets a module import one macro of a name only, be it an attribute or not.

pub use std::ops::ControlFlow;

pub use anio_core::{
    Backoff, Context, Jitter, RetryPolicy, RunId, TaskError, TaskHandle, TaskOptions, Workflow,
};
#[cfg(feature = "macros")]
pub use anio_macros::task;
#[cfg(feature = "macros")]
#[doc = include_str!("docs/workflow_attribute.md")]
pub use anio_macros::workflow;
pub use serde_json::json;

pub use crate::{
    Each, Engine, Input, Outcome, Pair, Previous, RunHandle, RunQuery, RunStatus, Settled, State,
};

/// What a task returns.
pub type Result<T, E = TaskError> = std::result::Result<T, E>;
