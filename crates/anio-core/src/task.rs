//! A task: how it is described, what it is given, what it gives back.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::condition::Condition;
use crate::context::{Context, Scope, Writes};
use crate::error::{OutputError, TaskError, TaskFailure, WorkflowError};
use crate::name::{RunId, TaskName, WorkflowName};
use crate::output::{Gather, Output};
use crate::retry::{DURATION_MAX, RetryPolicy};

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
    /// The longest that one attempt may take, at most 365 days. Default: no limit.
    pub timeout: Option<Duration>,
    /// Among ready tasks the higher goes first. Default: 0.
    pub priority: i32,
    /// The most task runs of this task that execute at one time on a worker. Default: no limit of its own.
    pub concurrency: Option<u32>,
    /// Where it runs. Default: on tokio.
    pub lane: Lane,
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

    /// Sets where the body runs.
    #[must_use]
    pub fn lane(mut self, lane: Lane) -> Self {
        self.lane = lane;
        self
    }

    /// Checks the numbers for a task of this name.
    ///
    /// # Errors
    /// [`WorkflowError::InvalidOption`] for zero attempts, a zero or absurd time-out, zero concurrency.
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
}

impl Edge {
    /// The edge's word in fingerprints and drawings.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Value => "value",
            Self::Settled => "settled",
            Self::Each(_) => "each",
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
    /// The name of the type of its output, part of the workflow's fingerprint.
    pub output_type: &'static str,
    /// Whether the body reads or writes the context; where not, none is prepared.
    pub uses_context: bool,
    /// For a mapped task: builds the typed list of its outputs.
    pub gather: Option<Gather>,
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
            output_type: "",
            uses_context: false,
            gather: None,
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

/// What became of a dependency.
#[derive(Clone, Debug)]
pub enum Settled {
    /// It succeeded, with this output.
    Succeeded(Output),
    /// It failed for good: why, and after how many attempts.
    Failed(Arc<TaskFailure>, u32),
    /// It was skipped, for this reason.
    Skipped(String),
}

/// One argument of a task: what became of a dependency.
#[derive(Clone, Debug)]
pub struct Argument {
    /// The dependency.
    pub task: TaskName,
    /// What became of it: its output (for a mapped dependency, the list), or why there is none.
    pub settled: Settled,
    /// Which element of the list this task run is for; `None` for the whole output.
    pub element: Option<u32>,
}

impl Argument {
    /// The dependency's output, where it succeeded.
    pub fn value(&self) -> Option<&Output> {
        match &self.settled {
            Settled::Succeeded(output) => Some(output),
            Settled::Failed(..) | Settled::Skipped(_) => None,
        }
    }
}

/// All that one attempt is given.
#[derive(Debug)]
pub struct TaskCall {
    handle: TaskHandle,
    input: Output,
    arguments: Vec<Option<Argument>>,
    context: Arc<Mutex<Context>>,
    states: Arc<States>,
}

impl TaskCall {
    /// Puts an attempt's data together. `arguments` are in the order of the task's dependencies, `None`
    /// for those that only order.
    pub fn new(
        handle: TaskHandle,
        input: Output,
        arguments: Vec<Option<Argument>>,
        scope: Arc<Scope>,
        states: Arc<States>,
    ) -> Self {
        Self { handle, input, arguments, context: Arc::new(Mutex::new(Context::over(scope))), states }
    }

    /// Which attempt of which task run this is.
    pub fn handle(&self) -> &TaskHandle {
        &self.handle
    }

    /// The run's input.
    ///
    /// # Errors
    /// [`TaskError::Data`] when the input does not read as a `T`.
    pub fn input<T: DeserializeOwned + Send + Sync + 'static>(&self) -> Result<Arc<T>, TaskError> {
        self.input.get().map_err(|error| self.data_error("the run's input", &error))
    }

    /// The output of a dependency; of a mapped one, the list of its outputs.
    ///
    /// # Errors
    /// [`TaskError::DependencyNotSatisfied`] when the task has no such dependency with data, or it did not
    /// succeed; [`TaskError::Data`] when the output does not read as a `T`.
    pub fn output<T: DeserializeOwned + Send + Sync + 'static>(
        &self,
        dependency: &str,
    ) -> Result<Arc<T>, TaskError> {
        self.read(self.named(dependency), dependency, |value, _| value.get())
    }

    /// What became of a dependency that the task waits for by `after_settled`, or under a condition.
    ///
    /// # Errors
    /// [`TaskError::DependencyNotSatisfied`] when the task has no such dependency.
    pub fn settled(&self, dependency: &str) -> Result<&Settled, TaskError> {
        self.named(dependency).map(|argument| &argument.settled).ok_or_else(|| self.missing(dependency))
    }

    /// What became of the dependency at this position.
    ///
    /// # Errors
    /// As for [`TaskCall::settled`].
    pub fn settled_at(&self, position: usize) -> Result<&Settled, TaskError> {
        let argument = self.arguments.get(position).and_then(Option::as_ref);
        argument.map(|argument| &argument.settled).ok_or_else(|| self.missing("(by position)"))
    }

    /// Reads the run's input by a function of one's own.
    ///
    /// # Errors
    /// [`TaskError::Data`] when the function fails.
    pub fn input_with<R>(
        &self,
        read: impl FnOnce(&Output) -> Result<R, OutputError>,
    ) -> Result<R, TaskError> {
        read(&self.input).map_err(|error| self.data_error("the run's input", &error))
    }

    /// Reads the output at this position by a function of one's own, which is also given the index of the
    /// element that a mapped task's run is for.
    ///
    /// # Errors
    /// [`TaskError::DependencyNotSatisfied`] when no data came from there; [`TaskError::Data`] when the
    /// function fails.
    pub fn argument_with<R>(
        &self,
        position: usize,
        read: impl FnOnce(&Output, Option<u32>) -> Result<R, OutputError>,
    ) -> Result<R, TaskError> {
        self.read(self.arguments.get(position).and_then(Option::as_ref), "(by position)", read)
    }

    /// The element that this task run of a mapped task is for.
    ///
    /// # Errors
    /// [`TaskError::DependencyNotSatisfied`] when the task is not mapped, or the list has no such element;
    /// [`TaskError::Data`] when the list does not read as a `Vec<T>`.
    pub fn element<T: DeserializeOwned + Send + Sync + 'static>(&self) -> Result<Element<T>, TaskError> {
        let mapped = self.arguments.iter().flatten().find(|argument| argument.element.is_some());
        let (list, index) = self.read(mapped, "(a list to map over)", |value, element| {
            Ok((value.get::<Vec<T>>()?, element.unwrap_or(u32::MAX) as usize))
        })?;
        let is_there = index < list.len();
        is_there.then(|| Element { list, index }).ok_or_else(|| self.missing("(a list to map over)"))
    }

    /// The context, to read and write; what is written is stored when the attempt succeeds.
    pub fn context(&self) -> MutexGuard<'_, Context> {
        self.context.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A handle on the same context, for what was written after the call is gone.
    pub fn shared_context(&self) -> Arc<Mutex<Context>> {
        Arc::clone(&self.context)
    }

    /// Takes the context out, for a body that wants `&mut Context` across await points.
    pub fn take_context(&self) -> Context {
        std::mem::take(&mut *self.context())
    }

    /// A value registered with the engine.
    ///
    /// # Errors
    /// [`TaskError::Fatal`] when no value of this type is registered.
    pub fn state<T: Send + Sync + 'static>(&self) -> Result<Arc<T>, TaskError> {
        self.states.get::<T>().ok_or_else(|| {
            let (task, wanted) = (self.handle.task(), type_name::<T>());
            TaskError::fatal(format!(
                "task {task:?} wants State<{wanted}>, which is not registered; \
                 add `.state(value)` to the engine's builder"
            ))
        })
    }

    fn named(&self, dependency: &str) -> Option<&Argument> {
        self.arguments.iter().flatten().find(|argument| argument.task == *dependency)
    }

    fn read<R>(
        &self,
        argument: Option<&Argument>,
        dependency: &str,
        read: impl FnOnce(&Output, Option<u32>) -> Result<R, OutputError>,
    ) -> Result<R, TaskError> {
        let argument = argument.ok_or_else(|| self.missing(dependency))?;
        let value = argument.value().ok_or_else(|| self.missing(argument.task.as_str()))?;
        read(value, argument.element)
            .map_err(|error| self.data_error(&format!("the output of {:?}", argument.task), &error))
    }

    fn missing(&self, dependency: &str) -> TaskError {
        let task_id = self.handle.task().to_string();
        TaskError::DependencyNotSatisfied { dependency: dependency.to_owned(), task_id }
    }

    fn data_error(&self, what: &str, error: &OutputError) -> TaskError {
        let TaskHandle { run_id, task, .. } = &self.handle;
        TaskError::Data { message: format!("task {task:?} of run {run_id} cannot read {what}: {error}") }
    }
}

/// One element of a list, shared with the list.
#[derive(Clone, Debug)]
pub struct Element<T> {
    list: Arc<Vec<T>>,
    index: usize,
}

impl<T> Deref for Element<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.list[self.index]
    }
}

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
        Self { run_id, workflow, task, map_index, attempt, cancellation }
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

/// Values shared by all tasks of an engine, one per type: pools, clients, settings.
#[derive(Clone, Default)]
pub struct States(HashMap<TypeId, Arc<dyn Any + Send + Sync>>);

impl States {
    /// Registers a value; a value of the same type from before is replaced and returned as `true`.
    pub fn insert<T: Send + Sync + 'static>(&mut self, value: Arc<T>) -> bool {
        self.0.insert(TypeId::of::<T>(), value).is_some()
    }

    /// The value of this type.
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        Arc::clone(self.0.get(&TypeId::of::<T>())?).downcast().ok()
    }
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} values>", self.0.len())
    }
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
        let TaskHandle { run_id, task, .. } = handle;
        TaskError::Data {
            message: format!("task {task:?} of run {run_id} returned what cannot be stored: {error}"),
        }
    })?;
    Ok(TaskReturn { output, writes })
}
