//! What can go wrong between a user and the engine, by type.

use anio_core::error::WorkflowErrors;
use anio_core::run::ClearError;
use anio_core::{Fingerprint, RunId};
use anio_store::error::StoreError;
use anio_store::record::RunStatus;
use thiserror::Error;

/// An error of the engine. (What goes wrong inside a task is a `TaskError`; it fails the run, not the call.)
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The store failed; what was asked for has not happened, unless the store's error says otherwise.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A workflow is wrong; nothing was started.
    #[error(transparent)]
    Workflow(#[from] WorkflowErrors),
    /// An option of the engine has a value that it may not have; nothing was started.
    #[error("engine option {option}: {problem}")]
    InvalidConfig {
        /// The option.
        option: &'static str,
        /// What is wrong with its value, and what it may be.
        problem: String,
    },
    /// Two different workflows have one name. Give one of them another.
    #[error(
        "two different workflows are named {workflow:?} (fingerprints {first} and {second}); rename one of them"
    )]
    DuplicateWorkflow {
        /// The name.
        workflow: String,
        /// The fingerprint of the one that is known.
        first: Fingerprint,
        /// The fingerprint of the other.
        second: Fingerprint,
    },
    /// A task needs more of a resource than this engine has, so it could never start. Nothing was started; give
    /// the engine as much by `.resource(name, units)`, or let the task need less.
    #[error(
        "workflow {workflow:?}: task {task:?} needs {needs} of resource {resource:?}, and this engine has {has}{}; \
         add `.resource({resource:?}, {needs})` to its builder, or let the task need less",
        suggest(.suggestion.as_deref())
    )]
    MissingResource {
        /// The workflow.
        workflow: String,
        /// The task.
        task: String,
        /// The resource.
        resource: String,
        /// How many units the task needs.
        needs: u32,
        /// How many units the engine has; 0 when it does not know the resource.
        has: u32,
        /// A resource of a similar name that it has.
        suggestion: Option<String>,
    },
    /// A task computes on a pool that this engine has not got, so it could never start. Nothing was started; give
    /// the engine one by `.pool(name, threads)`.
    #[error(
        "workflow {workflow:?}: task {task:?} computes on pool {pool:?}, which this engine has not got; \
         add `.pool({pool:?}, threads)` to its builder{}",
        suggest(.suggestion.as_deref())
    )]
    MissingPool {
        /// The workflow.
        workflow: String,
        /// The task.
        task: String,
        /// The pool.
        pool: String,
        /// A pool of a similar name that it has.
        suggestion: Option<String>,
    },
    /// No workflow of this name is known to the engine.
    #[error("workflow {workflow:?} is unknown{}; add `use your_crate as _;` so that it is linked, or `.workflow(x)`", suggest(.suggestion.as_deref()))]
    UnknownWorkflow {
        /// The name.
        workflow: String,
        /// A known workflow of a similar name.
        suggestion: Option<String>,
    },
    /// The input is not what the workflow's tasks want, or is no JSON, or too large. Nothing was submitted.
    #[error("workflow {workflow:?}: {problem}")]
    InvalidInput {
        /// The workflow.
        workflow: String,
        /// What is wrong, and what is wanted.
        problem: String,
    },
    /// What was asked of a run cannot be asked of it in its present state. Nothing was changed.
    #[error("run {run} is {status}: cannot {asked} it{}", hint(*.status))]
    InvalidState {
        /// The run.
        run: RunId,
        /// Its state.
        status: RunStatus,
        /// What was asked.
        asked: &'static str,
    },
    /// The workflow has no such task.
    #[error("workflow {workflow:?} has no task {task:?}{}", suggest(.suggestion.as_deref()))]
    UnknownTask {
        /// The workflow.
        workflow: String,
        /// The task that was named.
        task: String,
        /// A task of a similar name.
        suggestion: Option<String>,
    },
    /// No task of the run can be run again as was asked. Nothing was changed.
    #[error("run {run}: {error}")]
    Clear {
        /// The run.
        run: RunId,
        /// Why.
        error: ClearError,
    },
    /// There is no run of this identity.
    #[error("run {run} is unknown")]
    UnknownRun {
        /// The run.
        run: RunId,
    },
    /// The run cannot go on by itself.
    #[error("run {run} is parked: {reason}")]
    Parked {
        /// The run.
        run: RunId,
        /// Why, and what to do.
        reason: String,
    },
    /// The run failed.
    #[error("run {run} of workflow {workflow:?} failed: {failure}")]
    RunFailed {
        /// The run.
        run: RunId,
        /// Its workflow.
        workflow: String,
        /// Its first failed task, its attempts and its message.
        failure: String,
    },
    /// A task of the run has no output: it is unknown, or did not succeed.
    #[error("run {run}: task {task:?} has no output: {problem}")]
    NoOutput {
        /// The run.
        run: RunId,
        /// The task.
        task: String,
        /// Why.
        problem: String,
    },
    /// A stored value does not read as the type that is wanted now.
    #[error("run {run}: the output of task {task:?} cannot be read: {problem}")]
    UnreadableOutput {
        /// The run.
        run: RunId,
        /// The task.
        task: String,
        /// What serde says.
        problem: String,
    },
    /// The engine is shutting down or has stopped. Runs that were submitted resume when it starts again.
    #[error("the engine has stopped{}", because(.reason.as_deref()))]
    Stopped {
        /// Why, where it was not asked to.
        reason: Option<String>,
    },
}

fn suggest(name: Option<&str>) -> String {
    name.map(|name| format!("; did you mean {name:?}?")).unwrap_or_default()
}

fn hint(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Succeeded | RunStatus::Failed => {
            "; it has ended (retry_failed and rerun_from let it go on)"
        }
        RunStatus::Cancelled => "; a cancelled run stays so",
        RunStatus::Running | RunStatus::Queued | RunStatus::Paused => "; it has not ended, or is not paused",
        _ => "",
    }
}

fn because(reason: Option<&str>) -> String {
    reason.map(|reason| format!(": {reason}")).unwrap_or_default()
}
