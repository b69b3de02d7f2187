//! What one attempt is given: the outputs before it, the run's input, the context, shared values.

use std::any::type_name;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::de::DeserializeOwned;

use super::{States, TaskHandle};
use crate::context::{Context, Scope};
use crate::error::{OutputError, TaskError, TaskFailure};
use crate::name::TaskName;
use crate::output::Output;

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
    /// Whether the output is a list of just the two values that this task run makes one of.
    pub is_pair: bool,
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
    previous: Option<Output>,
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
        let context = Arc::new(Mutex::new(Context::over(scope)));
        Self { handle, input, arguments, previous: None, context, states }
    }

    /// Adds what the step before returned, for a task that goes step by step.
    #[must_use]
    pub fn with_previous(mut self, previous: Option<Output>) -> Self {
        self.previous = previous;
        self
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

    /// The two values that this task run of a task over pairs makes one of, in the order of the list.
    ///
    /// # Errors
    /// [`TaskError::DependencyNotSatisfied`] when the task is over no pairs; [`TaskError::Data`] when one of
    /// them does not read as a `T`.
    pub fn pair<T: DeserializeOwned + Send + Sync + 'static>(&self) -> Result<[Element<T>; 2], TaskError> {
        const WHAT: &str = "(a list to take two by two)";
        let pair = self.arguments.iter().flatten().find(|argument| argument.is_pair);
        let list = self.read(pair, WHAT, |value, _| value.get::<Vec<T>>())?;
        let element = |index| Element { list: Arc::clone(&list), index };
        (list.len() == 2).then(|| [element(0), element(1)]).ok_or_else(|| self.missing(WHAT))
    }

    /// What the step before returned, in a task that goes step by step; `None` in the first.
    ///
    /// # Errors
    /// [`TaskError::Data`] when it does not read as a `T`.
    pub fn previous<T: DeserializeOwned + Send + Sync + 'static>(&self) -> Result<Option<Arc<T>>, TaskError> {
        self.previous_with(Output::get)
    }

    /// Reads what the step before returned by a function of one's own.
    ///
    /// # Errors
    /// [`TaskError::Data`] when the function fails.
    pub fn previous_with<R>(
        &self,
        read: impl FnOnce(&Output) -> Result<R, OutputError>,
    ) -> Result<Option<R>, TaskError> {
        let read = self.previous.as_ref().map(read).transpose();
        read.map_err(|error| self.data_error("what the step before returned", &error))
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
        let (run_id, task) = (self.handle.run_id(), self.handle.task());
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
