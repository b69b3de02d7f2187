//! What became of a run.

use std::sync::Arc;

use anio_core::error::OutputError;
use anio_core::run::{RunFailure, RunState, TaskRunStatus, TaskRunView};
use anio_core::{Context, Output, RunId, TaskFailure, Timestamp, Workflow};
use anio_store::record::RunStatus;
use serde::de::DeserializeOwned;

use crate::task_type::TaskType;
use crate::{Error, Result};

/// A run that has ended: its status, its outputs, its tasks, its context.
///
/// Cheap to clone. All that it shows is durable.
#[derive(Clone, Debug)]
pub struct Outcome {
    status: RunStatus,
    workflow: Workflow,
    state: Arc<RunState>,
}

impl Outcome {
    pub(crate) fn new(status: RunStatus, workflow: Workflow, state: Arc<RunState>) -> Self {
        Self { status, workflow, state }
    }

    /// The run's identity.
    pub fn run_id(&self) -> RunId {
        self.state.id()
    }

    /// How the run ended.
    pub fn status(&self) -> RunStatus {
        self.status
    }

    /// Whether the run succeeded.
    pub fn is_success(&self) -> bool {
        self.status == RunStatus::Succeeded
    }

    /// The outcome of a run that succeeded; the failure of one that did not, as an error for `?`.
    ///
    /// # Errors
    /// [`Error::RunFailed`] with the first failed task, its attempts and its message.
    pub fn ok(self) -> Result<Self> {
        if self.is_success() {
            return Ok(self);
        }
        let failure = self.error().map_or_else(|| self.status.to_string(), ToString::to_string);
        Err(Error::RunFailed { run: self.run_id(), workflow: self.workflow.name().to_string(), failure })
    }

    /// A task's output, by the task's type: `outcome.output::<delays::report>()`. Of a mapped task, the list
    /// of its outputs.
    ///
    /// # Errors
    /// [`Error::NoOutput`] when the task did not succeed or is no task of this workflow;
    /// [`Error::UnreadableOutput`] when what is stored does not read as the task's type.
    pub fn output<T: TaskType>(&self) -> Result<T::Output> {
        T::copy(&self.stored(T::NAME)?).map_err(|error| self.unreadable(T::NAME, &error))
    }

    /// A task's output, by the task's name, as a type of one's own choice.
    ///
    /// # Errors
    /// As for [`Outcome::output`].
    pub fn output_of<T: DeserializeOwned>(&self, task: &str) -> Result<T> {
        self.stored(task)?.parse().map_err(|error| self.unreadable(task, &error))
    }

    fn stored(&self, task: &str) -> Result<Output> {
        let no_output =
            |problem: String| Error::NoOutput { run: self.run_id(), task: task.to_owned(), problem };
        let position = self.state.plan().position(task).ok_or_else(|| {
            let names = self.state.plan().tasks().iter().map(|task| task.name.as_str());
            let hint = anio_core::name::did_you_mean(task, names);
            let hint = hint.map(|name| format!("; did you mean {name:?}?")).unwrap_or_default();
            no_output(format!("workflow {:?} has no such task{hint}", self.workflow.name()))
        })?;
        self.state.output(position).ok_or_else(|| {
            let status = self.state.task_runs().find(|run| *run.task == *task).map(|run| run.status);
            no_output(format!("it is {}", status.unwrap_or(TaskRunStatus::Waiting)))
        })
    }

    fn unreadable(&self, task: &str, error: &OutputError) -> Error {
        Error::UnreadableOutput { run: self.run_id(), task: task.to_owned(), problem: error.to_string() }
    }

    /// The run's final context: its input and what all tasks wrote; of two writers of a key, the one that
    /// stands later in topological order.
    pub fn context(&self) -> Context {
        self.state.context()
    }

    /// The run's input.
    pub fn input(&self) -> &Output {
        self.state.input()
    }

    /// All task runs, in topological order; a mapped task by its elements.
    pub fn tasks(&self) -> Vec<TaskSummary> {
        self.state.task_runs().map(TaskSummary::from).collect()
    }

    /// The failures that another task was told of and succeeded, so that they do not fail the run: the first
    /// of each failed task.
    pub fn handled_failures(&self) -> Vec<&RunFailure> {
        self.state.handled_failures().collect()
    }

    /// The first task that failed and whose failure no other task handled, with its attempts and its message;
    /// `None` when the run succeeded.
    pub fn error(&self) -> Option<&RunFailure> {
        self.state.failure()
    }

    /// The workflow.
    pub fn workflow(&self) -> &Workflow {
        &self.workflow
    }
}

/// What is known of one task run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TaskSummary {
    /// The task.
    pub name: String,
    /// Which element, where the task is mapped.
    pub map_index: Option<u32>,
    /// Its state.
    pub status: TaskRunStatus,
    /// Whether it waits for nothing but a slot (or for its run to be resumed).
    pub is_ready: bool,
    /// How many attempts have begun.
    pub attempts: u32,
    /// Why its last attempt failed.
    pub error: Option<TaskFailure>,
    /// The task that it was skipped for, which failed or was skipped; `None` where it decided for itself.
    pub skipped_because: Option<String>,
    /// Why it was skipped, in words.
    pub skip_reason: Option<String>,
    /// When its last attempt began.
    pub started: Option<Timestamp>,
    /// When its last attempt ended.
    pub finished: Option<Timestamp>,
    /// When its next attempt is due, in backoff.
    pub retry_at: Option<Timestamp>,
}

impl From<TaskRunView<'_>> for TaskSummary {
    fn from(view: TaskRunView<'_>) -> Self {
        Self {
            name: view.task.to_string(),
            map_index: view.map_index,
            status: view.status,
            is_ready: view.is_ready,
            attempts: view.attempts,
            error: view.failure.map(|failure| TaskFailure::clone(failure)),
            skipped_because: view.skipped_because.map(ToString::to_string),
            started: view.started_at,
            finished: view.ended_at,
            skip_reason: view.skip_reason,
            retry_at: view.retry_at,
        }
    }
}
