//! Persistent DAG workflows: annotated tasks run in parallel and resume after a crash.

#[doc(hidden)]
pub mod __private;
mod engine;
mod events;
mod extract;
mod operate;
#[cfg(feature = "otel")]
pub mod otel;
mod outcome;
pub mod prelude;
mod run_handle;
mod submit;
mod task_type;
mod traceparent;

pub use anio_core::*;
#[cfg(feature = "macros")]
#[doc = include_str!("docs/task.md")]
pub use anio_macros::task;
#[cfg(feature = "macros")]
#[doc = include_str!("docs/workflow_macro.md")]
pub use anio_macros::workflow_macro as workflow;

#[doc(inline)]
pub use anio_parallel as parallel;
pub use anio_scheduler::{Error, Metrics, RunForecast, TaskProgress, TraceContext, metrics};
pub use anio_store::record::{FactRecord, Request, RunOptions, RunQuery, RunRecord, RunStatus, WorkerId};
pub use anio_store::{Durability, Store, StoreError};

pub use crate::engine::{Engine, EngineBuilder};
pub use crate::events::RunEvent;
pub use crate::extract::{Each, Input, Pair, Previous, Settled, State};
pub use crate::outcome::{Outcome, TaskSummary};
pub use crate::run_handle::RunHandle;
pub use crate::submit::Submit;
pub use crate::task_type::TaskType;

/// What the engine's own functions return. (What a task returns is [`prelude::Result`].)
pub type Result<T, E = Error> = std::result::Result<T, E>;
