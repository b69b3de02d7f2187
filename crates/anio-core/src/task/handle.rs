//! Which attempt a body is, whether it should stop, and how far it says it is.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::error::TaskError;
use crate::name::{RunId, TaskName, WorkflowName};

/// Which attempt of which task run is being executed, and whether it should stop.
///
/// Cheap to clone; a clone can be moved into whatever the task starts.
#[derive(Clone)]
pub struct TaskHandle {
    run_id: RunId,
    workflow: WorkflowName,
    task: TaskName,
    map_index: Option<u32>,
    attempt: u32,
    cancellation: Arc<dyn Cancellation>,
    progress: Option<Arc<dyn Progress>>,
}

impl TaskHandle {
    /// Puts a handle together.
    pub fn new(
        run_id: RunId,
        workflow: WorkflowName,
        task: TaskName,
        map_index: Option<u32>,
        attempt: u32,
        cancellation: Arc<dyn Cancellation>,
    ) -> Self {
        Self { run_id, workflow, task, map_index, attempt, cancellation, progress: None }
    }

    /// Gives what the task says of its progress to somebody.
    #[must_use]
    pub fn with_progress(self, progress: Arc<dyn Progress>) -> Self {
        Self { progress: Some(progress), ..self }
    }

    /// A handle for calling a task function by hand, in a unit test: a nil run, attempt 1, never cancelled.
    pub fn for_test(task: &str) -> Self {
        Self::new(
            RunId::from_uuid(uuid::Uuid::nil()),
            WorkflowName::trusted("test"),
            TaskName::trusted(task),
            None,
            1,
            Arc::new(Never),
        )
    }

    /// The run.
    pub fn run_id(&self) -> RunId {
        self.run_id
    }

    /// The run's workflow.
    pub fn workflow(&self) -> &WorkflowName {
        &self.workflow
    }

    /// The task.
    pub fn task(&self) -> &TaskName {
        &self.task
    }

    /// Which element of a mapped task, from 0; `None` for a task that is not mapped.
    pub fn map_index(&self) -> Option<u32> {
        self.map_index
    }

    /// Which attempt, from 1. It goes on across retries and crashes.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// A text that is the same for every attempt of this task run and for no other task run: what an
    /// outside service takes to recognise a request that it has seen before.
    pub fn idempotency_key(&self) -> String {
        match self.map_index {
            Some(index) => format!("{}/{}/{index}", self.run_id, self.task),
            None => format!("{}/{}", self.run_id, self.task),
        }
    }

    /// Whether the task should stop: its attempt timed out, its run was cancelled, or its worker shuts
    /// down. A task on the CPU or blocking lane should look now and then and return
    /// [`TaskError::Cancelled`]; an `async` task is dropped at its next await point.
    pub fn is_cancelled(&self) -> bool {
        self.cancellation.is_cancelled()
    }

    /// Returns when the task should stop.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn cancelled(&self) {
        self.cancellation.cancelled().await;
    }

    /// Says how far the task has come: `done` of `total`, for whoever watches the run in this process (see
    /// `RunHandle::progress`). The first call, best with 0 done, starts the clock for rates.
    ///
    /// Nothing of it is stored. It costs a lock of the attempt's own and may be called often. Where nobody
    /// knows the total, `anio::parallel::progress` takes `None`; the helpers of `anio::parallel` report by
    /// themselves.
    pub fn progress(&self, done: u64, total: u64) {
        if let Some(progress) = &self.progress {
            progress.report(done, Some(total));
        }
    }

    /// Passes on that the task should stop, as an error for `?`.
    ///
    /// # Errors
    /// [`TaskError::Cancelled`] when it should.
    pub fn check_cancelled(&self) -> Result<(), TaskError> {
        if self.is_cancelled() { Err(TaskError::Cancelled) } else { Ok(()) }
    }
}

impl fmt::Debug for TaskHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskHandle")
            .field("run_id", &self.run_id)
            .field("task", &self.task)
            .field("map_index", &self.map_index)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}

/// How a handle learns that its task should stop; the scheduler implements it.
#[async_trait]
pub trait Cancellation: Send + Sync + 'static {
    /// Whether the task should stop.
    fn is_cancelled(&self) -> bool;
    /// Returns when the task should stop.
    async fn cancelled(&self);
}

/// Takes what a task says of its progress; the scheduler implements it.
pub trait Progress: Send + Sync + 'static {
    /// `done` of `total` are done; `None` where nobody knows the total.
    fn report(&self, done: u64, total: Option<u64>);
}

/// A task that is never told to stop.
#[derive(Debug)]
pub struct Never;

#[async_trait]
impl Cancellation for Never {
    fn is_cancelled(&self) -> bool {
        false
    }

    async fn cancelled(&self) {
        std::future::pending::<()>().await;
    }
}
