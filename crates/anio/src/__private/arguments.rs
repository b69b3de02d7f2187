//! How a body gets its arguments and hands back its value.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use anio_core::context::Writes;
use anio_core::error::OutputError;
use anio_core::task::{Settled as Became, Task, TaskCall};
use anio_core::{Output, TaskError, TaskFailure, TaskReturn};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::extract::Settled;
use crate::task_type::{Tag, TaskType};

struct Body<F>(F);

type BoxedReturn<'a> = Pin<Box<dyn Future<Output = Result<TaskReturn, TaskError>> + Send + 'a>>;

// The signature is what `async_trait` makes of `Task::run`; by hand, the future is boxed as it is.
impl<F, Fut> Task for Body<F>
where
    F: Fn(TaskCall) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<TaskReturn, TaskError>> + Send + 'static,
{
    fn run<'task, 'future>(&'task self, call: TaskCall) -> BoxedReturn<'future>
    where
        'task: 'future,
        Self: 'future,
    {
        Box::pin((self.0)(call))
    }
}

/// The body of a task.
pub fn body<F, Fut>(body: F) -> Arc<dyn Task>
where
    F: Fn(TaskCall) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<TaskReturn, TaskError>> + Send + 'static,
{
    Arc::new(Body(body))
}

/// Serialises what the function returned.
///
/// # Errors
/// [`TaskError::Data`] when it does not serialise.
pub fn finish<M: Tag<R>, R>(
    call: &TaskCall,
    value: M::Element,
    writes: Writes,
) -> Result<TaskReturn, TaskError> {
    (M::codec().write)(call.handle(), value, writes)
}

/// A value under a name of two tokens, so that a mismatch is shown under the whole of a type.
#[derive(Debug)]
pub struct Held<T> {
    /// The value.
    pub value: T,
}

/// The output of a dependency, shared.
///
/// # Errors
/// [`TaskError::Data`] when it does not read.
pub fn shared<D: TaskType>(call: &TaskCall, position: usize) -> Result<Arc<D::Output>, TaskError> {
    call.argument_with(position, |value, _| D::read(value))
}

/// The output of a dependency, copied.
///
/// # Errors
/// [`TaskError::Data`] when it does not read.
pub fn copied<D: TaskType>(call: &TaskCall, position: usize) -> Result<D::Output, TaskError> {
    call.argument_with(position, |value, _| D::copy(value))
}

/// What became of a dependency, its output copied.
///
/// # Errors
/// [`TaskError::Data`] when it does not read.
pub fn settled_copied<D: TaskType>(
    call: &TaskCall,
    position: usize,
) -> Result<Settled<D::Output>, TaskError> {
    settled(call, position, copied::<D>)
}

/// What became of a dependency, its output shared.
///
/// # Errors
/// [`TaskError::Data`] when it does not read.
pub fn settled_read<D: TaskType>(
    call: &TaskCall,
    position: usize,
) -> Result<Settled<Arc<D::Output>>, TaskError> {
    settled(call, position, shared::<D>)
}

fn settled<T>(
    call: &TaskCall,
    position: usize,
    read: impl FnOnce(&TaskCall, usize) -> Result<T, TaskError>,
) -> Result<Settled<T>, TaskError> {
    Ok(match call.settled_at(position)? {
        Became::Succeeded(_) => Settled::Succeeded(read(call, position)?),
        Became::Failed(failure, attempts) => Settled::Failed(TaskFailure::clone(failure), *attempts),
        Became::Skipped(reason) => Settled::Skipped(reason.clone()),
    })
}

/// The same with a reference to the output.
pub fn settled_shared<T>(settled: &Settled<Arc<T>>) -> Settled<&T> {
    match settled {
        Settled::Succeeded(output) => Settled::Succeeded(output),
        Settled::Failed(failure, attempts) => Settled::Failed(failure.clone(), *attempts),
        Settled::Skipped(reason) => Settled::Skipped(reason.clone()),
    }
}

/// The same with the output as a parameter's type.
pub fn settled_map<T, U>(settled: Settled<T>, typed: impl FnOnce(Held<T>) -> U) -> Settled<U> {
    match settled {
        Settled::Succeeded(value) => Settled::Succeeded(typed(Held { value })),
        Settled::Failed(failure, attempts) => Settled::Failed(failure, attempts),
        Settled::Skipped(reason) => Settled::Skipped(reason),
    }
}

/// A list whose elements a task can take.
#[diagnostic::on_unimplemented(
    message = "`Each` and `Pair` take elements of a list, and this task returns `{Self}`",
    label = "not of a `Vec`",
    note = "let the task return a `Vec`, or take its output whole, as `T` or `&T`"
)]
pub trait List: 'static {
    /// What is in it.
    type Item: 'static;

    /// All of it.
    fn items(&self) -> &[Self::Item];
}

impl<T: 'static> List for Vec<T> {
    type Item = T;

    fn items(&self) -> &[T] {
        self
    }
}

/// What is in the list that a task returns.
pub type ItemOf<D> = <<D as TaskType>::Output as List>::Item;

/// One element of a list, shared with the list.
pub struct Element<L> {
    list: Arc<L>,
    index: usize,
}

impl<L> Element<L> {
    /// The element at an index that the list has.
    pub(super) fn new(list: Arc<L>, index: usize) -> Self {
        Self { list, index }
    }
}

/// The element itself.
pub fn item<L: List>(element: &Element<L>) -> &L::Item {
    &element.list.items()[element.index]
}

impl<L> fmt::Debug for Element<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<element {}>", self.index)
    }
}

/// How many elements there are.
///
/// # Errors
/// [`OutputError::Parse`] when the output does not read as the list.
pub fn count<D: TaskType>(output: &Output) -> Result<usize, OutputError>
where
    D::Output: List,
{
    Ok(D::read(output)?.items().len())
}

/// The element that this task run is for, shared.
///
/// # Errors
/// [`TaskError::Data`] when the list does not read; [`TaskError::DependencyNotSatisfied`] when it has no
/// such element.
pub fn element<D: TaskType>(call: &TaskCall, position: usize) -> Result<Element<D::Output>, TaskError>
where
    D::Output: List,
{
    let (list, index) = call.argument_with(position, |value, element| Ok((D::read(value)?, element)))?;
    let index = index.map(|index| index as usize).filter(|index| *index < list.items().len());
    let index = index.ok_or_else(|| TaskError::DependencyNotSatisfied {
        dependency: D::NAME.to_owned(),
        task_id: call.handle().task().to_string(),
    })?;
    Ok(Element::new(list, index))
}

/// A copy of an element: a clone, or by way of JSON.
///
/// # Errors
/// [`TaskError::Data`] when it does not pass through JSON.
pub fn each<T: Serialize + DeserializeOwned>(
    call: &TaskCall,
    element: &T,
    cloner: Option<fn(&T) -> T>,
) -> Result<T, TaskError> {
    if let Some(clone) = cloner {
        return Ok(clone(element));
    }
    let json = serde_json::to_string(element);
    json.and_then(|json| serde_json::from_str(&json)).map_err(|error| {
        let (task, run) = (call.handle().task(), call.handle().run_id());
        TaskError::Data { message: format!("task {task:?} of run {run} cannot read its element: {error}") }
    })
}

/// The run's input, shared.
///
/// # Errors
/// [`TaskError::Data`] when it does not read.
pub fn input_shared<T>(call: &TaskCall) -> Result<Arc<T>, TaskError>
where
    T: DeserializeOwned + Send + Sync + 'static,
{
    call.input::<T>()
}

/// The run's input, copied.
///
/// # Errors
/// [`TaskError::Data`] when it does not read.
pub fn input_copied<T>(call: &TaskCall, cloner: Option<fn(&T) -> T>) -> Result<T, TaskError>
where
    T: DeserializeOwned + Send + Sync + 'static,
{
    match cloner {
        Some(clone) => Ok(clone(&*call.input::<T>()?)),
        None => call.input_with(Output::parse),
    }
}

/// Whether an input reads as a `T`.
///
/// # Errors
/// [`OutputError::Parse`] when it does not.
pub fn check_input<T>(input: &Output) -> Result<(), OutputError>
where
    T: DeserializeOwned + Send + Sync + 'static,
{
    input.get::<T>().map(drop)
}
