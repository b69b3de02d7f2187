//! What the output of the macros refers to. Not for people: it changes without notice.

mod arguments;
mod called;
mod node;
mod pairs;
mod probe;
mod steps;
mod until;

pub use std::any::type_name;
pub use std::sync::OnceLock;
pub use std::time::Duration;
pub use std::vec::Vec;

use anio_core::WorkflowBuilder;
pub use anio_core::output::Gather;
pub use anio_core::task::{Callback, Callbacks, Dependency, Edge, Ending, TaskCall, TaskDefinition};
pub use anio_core::{
    Backoff, Condition, Context, Jitter, Lane, RetryCondition, RetryPolicy, TaskError, TaskHandle,
    TaskOptions, Workflow,
};
pub use inventory;

pub use self::arguments::{
    Element, Held, ItemOf, List, body, check_input, copied, count, each, element, finish, input_copied,
    input_shared, item, settled_copied, settled_map, settled_read, settled_shared, shared,
};
pub use self::called::{CallbackFuture, Holds, called, rate, skipped};
pub use self::node::{
    Closure, Name, Node, Refers, check_all_of, check_asked, check_rest, check_task, closure,
};
pub use self::pairs::{OneOf, check_pairs, pair};
pub use self::probe::{Probe, ViaBox, ViaClone, ViaInto, ViaJson, ViaNothing};
pub use self::steps::{Given, Step, StepOf, finish_step, previous_copied, previous_read, previous_shared};
pub use self::until::until;
pub use crate::extract::{Each, Input, Pair, Previous, Settled, State};
pub use crate::task_type::{Codec, Declared, Many, One, ResultType, Shape, Tag, TaskType, Tree};

/// The value of a task's result.
pub type OkOf<R> = <R as ResultType>::Ok;

/// A workflow that is linked into the program; the engine finds them all at start.
#[derive(Clone, Copy, Debug)]
pub struct Registered {
    /// Its name.
    pub name: &'static str,
    /// Builds it, once.
    pub workflow: fn() -> Workflow,
}

inventory::collect!(Registered);

/// All workflows that are linked into the program.
pub(crate) fn registered() -> impl Iterator<Item = Workflow> {
    inventory::iter::<Registered>().map(|registered| (registered.workflow)())
}

/// Builds the workflow of these tasks and of all that they depend on by path.
///
/// # Panics
/// When the graph is wrong, which the macros find before the program is built.
pub fn build(name: &str, description: &str, tasks: &[&'static Node], callbacks: Callbacks) -> Workflow {
    let mut builder = Workflow::builder(name).description(description);
    if let Some(callback) = callbacks.on_success {
        builder = builder.on_run_success(callback);
    }
    if let Some(callback) = callbacks.on_failure {
        builder = builder.on_run_failure(callback);
    }
    let definitions = node::definitions(tasks);
    match definitions.into_iter().fold(builder, WorkflowBuilder::define).build() {
        Ok(workflow) => workflow,
        Err(errors) => panic!("workflow {name:?}: {errors}"),
    }
}
