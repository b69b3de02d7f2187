//! The pure heart of Anio: all that can be decided without I/O.
//!
//! A [`Workflow`] (a petgraph DAG of tasks) is compiled to a [`Plan`] (flat arrays); a run is a pure
//! state machine over that plan, [`run::RunState`], which turns events into effects. Nothing here has a
//! clock, a database, randomness or a thread: the time arrives in the events, and jitter is a hash.
//!
//! ```text
//!   Workflow ──► Plan ──► RunState::apply(event) ──► effects (start this task, make this fact durable, …)
//! ```
//!
//! Users meet these types through the `anio` crate, which re-exports them.

pub mod condition;
pub mod context;
pub mod error;
pub mod name;
pub mod output;
pub mod plan;
#[doc(hidden)]
pub mod plant;
pub mod retry;
pub mod run;
pub mod task;
pub mod time;
pub mod workflow;

pub use condition::Condition;
pub use context::Context;
pub use error::{ContextError, TaskError, TaskFailure, WorkflowError, WorkflowErrors};
pub use name::{RunId, TaskName, WorkflowName};
pub use output::Output;
pub use plan::{Fingerprint, Plan};
pub use retry::{Backoff, Jitter, RetryCondition, RetryPolicy};
pub use task::{Lane, Task, TaskCall, TaskHandle, TaskOptions, TaskReturn};
pub use time::Timestamp;
pub use workflow::{Workflow, WorkflowBuilder};
