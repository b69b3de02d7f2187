//! Persistent DAG workflows: annotated tasks run in parallel and resume after a crash.

#[doc(hidden)]
pub mod __private;
mod engine;
mod extract;
#[cfg(feature = "otel")]
pub mod otel;
mod outcome;
pub mod prelude;
mod run_handle;
mod task_type;

pub use anio_core::*;
#[cfg(feature = "macros")]
#[doc = include_str!("docs/task.md")]
pub use anio_macros::task;
#[cfg(feature = "macros")]
#[doc = include_str!("docs/workflow_macro.md")]
pub use anio_macros::workflow_macro as workflow;

#[doc(inline)]
pub use anio_parallel as parallel;
pub use anio_scheduler::{Error, TaskProgress, TraceContext};
pub use anio_store::record::{FactRecord, RunQuery, RunRecord, RunStatus, WorkerId};
pub use anio_store::{Durability, Store, StoreError};

pub use crate::engine::{Engine, EngineBuilder, Submit};
pub use crate::extract::{Each, Input, Settled, State};
pub use crate::outcome::{Outcome, TaskSummary};
pub use crate::run_handle::{RunEvent, RunHandle};
pub use crate::task_type::TaskType;

/// What the engine's own functions return. (What a task returns is [`prelude::Result`].)
pub type Result<T, E = Error> = std::result::Result<T, E>;
