//! A task: how it is described, what it is given, what it gives back.

mod call;
mod callback;
mod handle;
mod rate;
mod states;
mod until;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;

pub use self::call::{Argument, Element, Settled, TaskCall};
pub use self::callback::{Callback, Callbacks, Ending};
pub use self::handle::{Cancellation, Never, Progress, TaskHandle};
pub use self::rate::{InvalidRate, Rate};
pub use self::states::States;
pub(crate) use self::until::Tally;
pub use self::until::Until;
use crate::condition::Condition;
use crate::context::Writes;
use crate::error::{OutputError, TaskError, WorkflowError};
use crate::output::{Gather, Output};
use crate::retry::{DURATION_MAX, RetryCondition, RetryPolicy};

/// Where the body of a task runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Lane {
    /// On tokio: for work that waits. An `async fn`.
    #[default]
    Async,
    /// On the worker's rayon pool, one thread per core by default: for work that computes. A plain `fn`.
    Cpu,
    /// On tokio's blocking threads: for synchronous input and output. A plain `fn` marked `blocking`.
    Blocking,
}

/// How a task is executed: retries, time-out, priority, limits, lane.
///
/// ```
/// use std::time::Duration;
/// use anio_core::{RetryPolicy, TaskOptions};
///
/// let options = TaskOptions::new().retry(RetryPolicy::attempts(3)).timeout(Duration::from_secs(30));
/// assert_eq!(options.retry.attempts, 3);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskOptions {
    /// How often it is tried. Default: once.
    pub retry: RetryPolicy,
    /// After which failures it is tried again. Default: all that another attempt may mend.
    pub retry_condition: RetryCondition,
    /// The longest that one attempt may take, at most 365 days. Default: no limit.
    pub timeout: Option<Duration>,
    /// Among ready tasks the higher goes first. Default: 0.
    pub priority: i32,
    /// The most task runs of this task that execute at one time on a worker. Default: no limit of its own.
    pub concurrency: Option<u32>,
    /// How much of which of the worker's named resources one task run takes while it executes. Default:
    /// nothing.
    pub needs: BTreeMap<String, u32>,
    /// How often task runs of this task start on a worker. Default: as often as they can.
    pub rate: Option<Rate>,
    /// Where it runs. Default: on tokio.
    pub lane: Lane,
    /// On which of the worker's named pools it computes; for [`Lane::Cpu`]. Default: on the worker's own.
    pub pool: Option<String>,
}

impl TaskOptions {
    /// One attempt, no time-out, priority 0, no limit of its own, on tokio.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the retry policy.
    #[must_use]
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// Sets after which failures it is tried again.
    #[must_use]
    pub fn retry_condition(mut self, condition: RetryCondition) -> Self {
        self.retry_condition = condition;
        self
    }

    /// Sets the time-out of one attempt.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets the priority; the higher goes first.
    #[must_use]
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// Sets how many task runs of this task execute at one time on a worker.
    #[must_use]
    pub fn concurrency(mut self, concurrency: u32) -> Self {
        self.concurrency = Some(concurrency);
        self
    }

    /// Sets how much of a named resource of the worker one task run takes while it executes.
    #[must_use]
    pub fn needs(mut self, resource: impl Into<String>, units: u32) -> Self {
        self.needs.insert(resource.into(), units);
        self
    }

    /// Sets how often task runs of this task start on a worker.
    #[must_use]
    pub fn rate(mut self, rate: Rate) -> Self {
        self.rate = Some(rate);
        self
    }

    /// Sets where the body runs.
    #[must_use]
    pub fn lane(mut self, lane: Lane) -> Self {
        self.lane = lane;
        self
    }

    /// Sets on which of the worker's named pools the body computes.
    #[must_use]
    pub fn pool(mut self, pool: impl Into<String>) -> Self {
        self.pool = Some(pool.into());
        self
    }

    /// Checks the numbers for a task of this name.
    ///
    /// # Errors
    /// [`WorkflowError::InvalidOption`] for zero attempts, a zero or absurd time-out, zero concurrency, a pool of
    /// a task that does not compute.
    pub fn check(&self, task: &str) -> Result<(), WorkflowError> {
        self.retry.check(task)?;
        let invalid =
            |option, problem| Err(WorkflowError::InvalidOption { task: task.to_owned(), option, problem });
        match self.timeout {
            Some(timeout) if timeout.is_zero() => {
                return invalid("timeout", "is 0; leave it out for no limit");
            }
            Some(timeout) if timeout > DURATION_MAX => return invalid("timeout", "is longer than 365 days"),
            _ => {}
        }
        if self.concurrency == Some(0) {
            return invalid("concurrency", "is 0; leave it out for no limit");
        }
        if self.needs.values().any(|units| *units == 0) {
            return invalid("needs", "takes 0 of a resource; leave it out");
        }
        if self.pool.is_some() && self.lane != Lane::Cpu {
            return invalid("pool", "is for tasks that compute, on `Lane::Cpu`");
        }
        Ok(())
    }
}

/// Tells how many elements an output that is a list has.
pub type ListLen = fn(&Output) -> Result<usize, OutputError>;

/// Reads a run's input as the type that a body wants.
pub type CheckInput = fn(&Output) -> Result<(), OutputError>;

/// What passes along an edge from a dependency to its dependant.
#[derive(Clone, Copy, Debug)]
pub enum Edge {
    /// Nothing: the dependant only waits.
    Order,
    /// The dependency's output, whole.
    Value,
    /// What became of the dependency, whatever that is: the dependant does not need it to succeed.
    Settled,
    /// One element of the dependency's output per task run of the dependant; the function tells how
    /// many there are.
    Each(ListLen),
    /// The elements of the dependency's output, two by two: each task run of the dependant makes one of two,
    /// of elements or of what other task runs made, until one is left, which is the dependant's output. The
    /// function tells how many elements there are.
    Pairs(ListLen),
}

impl Edge {
    /// The edge's word in fingerprints and drawings.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Value => "value",
            Self::Settled => "settled",
            Self::Each(_) => "each",
            Self::Pairs(_) => "pairs",
        }
    }
}

/// A dependency of a task, by name.
#[derive(Clone, Debug)]
pub struct Dependency {
    /// The task that it waits for.
    pub task: String,
    /// What passes along.
    pub edge: Edge,
}

/// A task as it is put into a workflow.
#[derive(Clone)]
pub struct TaskDefinition {
    /// Its name, unique in the workflow.
    pub name: String,
    /// What it waits for; the arguments of its body come in this order.
    pub dependencies: Vec<Dependency>,
    /// How it is executed.
    pub options: TaskOptions,
    /// When it runs; `None`: when every dependency whose success it needs has succeeded.
    pub condition: Option<Condition>,
    /// What is called when a task run of it has ended.
    pub callbacks: Callbacks,
    /// The name of the type of its output, part of the workflow's fingerprint.
    pub output_type: &'static str,
    /// Whether the body reads or writes the context; where not, none is prepared.
    pub uses_context: bool,
    /// For a task of many task runs: builds the typed list of their outputs.
    pub gather: Option<Gather>,
    /// For a task that is mapped by `each`: when it has enough, and the elements that are left are skipped.
    pub until: Option<Until>,
    /// Whether the task goes step by step: its task runs come one after the other, each given what the one
    /// before returned ([`TaskCall::previous`]), until one returns JSON null. Its output is the list of the
    /// others' outputs. A task that is mapped over it does not wait for the end: it has each element as soon
    /// as its step is durable.
    pub steps: bool,
    /// Reads the run's input as the type that the body wants, so that a wrong one is refused at submit.
    pub check_input: Option<CheckInput>,
    /// A hash of the body's source, for information; 0 when unknown.
    pub body_hash: u64,
    /// The body.
    pub task: Arc<dyn Task>,
}

impl TaskDefinition {
    /// A task without dependencies, with default options.
    pub fn new(name: impl Into<String>, task: Arc<dyn Task>) -> Self {
        Self {
            name: name.into(),
            dependencies: Vec::new(),
            options: TaskOptions::default(),
            condition: None,
            callbacks: Callbacks::default(),
            output_type: "",
            uses_context: false,
            gather: None,
            until: None,
            steps: false,
            check_input: None,
            body_hash: 0,
            task,
        }
    }
}

impl fmt::Debug for TaskDefinition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskDefinition")
            .field("name", &self.name)
            .field("dependencies", &self.dependencies)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// The body of a task. `#[task]` implements it; by hand it is for those who build workflows of their own.
///
/// On [`Lane::Cpu`] and [`Lane::Blocking`] the future is polled on a thread of that lane and should
/// never wait.
#[async_trait]
pub trait Task: Send + Sync + 'static {
    /// Executes one attempt.
    ///
    /// It may be dropped at any await point: when the attempt times out, when its run is cancelled, or
    /// when the worker shuts down.
    async fn run(&self, call: TaskCall) -> Result<TaskReturn, TaskError>;
}

/// What one successful attempt gives back.
#[derive(Clone, Debug)]
pub struct TaskReturn {
    /// The output, serialised.
    pub output: Output,
    /// What it wrote into the context.
    pub writes: Writes,
}

/// A task made of a closure.
pub(crate) struct ClosureTask<F>(pub(crate) F);

#[async_trait]
impl<F, Fut, T, E> Task for ClosureTask<F>
where
    F: Fn(TaskCall) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T, E>> + Send + 'static,
    T: Serialize + Send + Sync + 'static,
    E: Into<TaskError> + Send,
{
    async fn run(&self, call: TaskCall) -> Result<TaskReturn, TaskError> {
        let (context, handle) = (call.shared_context(), call.handle().clone());
        let value = (self.0)(call).await.map_err(Into::into)?;
        let writes =
            std::mem::take(&mut *context.lock().unwrap_or_else(PoisonError::into_inner)).into_writes();
        into_return(&handle, value, writes)
    }
}

/// Serialises a body's value and puts the attempt's result together.
///
/// # Errors
/// [`TaskError::Data`], naming task, run and type, when the value does not serialise.
pub fn into_return<T>(handle: &TaskHandle, value: T, writes: Writes) -> Result<TaskReturn, TaskError>
where
    T: Serialize + Send + Sync + 'static,
{
    let output = Output::new(value).map_err(|error| {
        let (run_id, task) = (handle.run_id(), handle.task());
        TaskError::Data {
            message: format!("task {task:?} of run {run_id} returned what cannot be stored: {error}"),
        }
    })?;
    Ok(TaskReturn { output, writes })
}
