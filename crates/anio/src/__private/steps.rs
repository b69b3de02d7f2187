//! How a task that goes step by step is given what came before, and hands back what comes next.

use std::sync::Arc;

use anio_core::context::Writes;
use anio_core::task::TaskCall;
use anio_core::{Output, TaskError, TaskReturn};

use crate::task_type::Tag;

/// What a step returns in `Ok`: an `Option`.
#[diagnostic::on_unimplemented(
    message = "a task that goes step by step returns an `Option`, not `{Self}`",
    label = "not an `Option`",
    note = "write `-> Result<Option<{Self}>>`: `Some` is one more element of its list and is given to the next step, `None` ends the steps"
)]
pub trait Step: 'static {
    /// The element that it adds to the list.
    type Value: 'static;

    /// The option itself.
    fn into_step(self) -> Option<Self::Value>;
}

impl<T: 'static> Step for Option<T> {
    type Value = T;

    fn into_step(self) -> Self {
        self
    }
}

/// What the function of a step returns in `Some`.
pub type StepOf<R> = <crate::__private::OkOf<R> as Step>::Value;

/// What a step is given, where the one before returned an `E`.
#[diagnostic::on_unimplemented(
    message = "a step is given what the one before returned: `Previous<{E}>`, not `Previous<{Self}>`",
    label = "the steps return `Option<{E}>`",
    note = "let the function return `Result<Option<{Self}>>`, or take `Previous<{E}>` or `Previous<&{E}>`"
)]
pub trait Given<E> {
    /// The same, by value.
    fn given(element: E) -> Self;

    /// The same, by reference.
    fn shared(element: &E) -> &Self;
}

impl<T> Given<T> for T {
    fn given(element: T) -> T {
        element
    }

    fn shared(element: &T) -> &T {
        element
    }
}

/// What the step before returned, copied.
///
/// # Errors
/// [`TaskError::Data`] when it does not read.
pub fn previous_copied<M: Tag<R>, R, T: Given<M::Element>>(call: &TaskCall) -> Result<Option<T>, TaskError> {
    Ok(call.previous_with(|output| M::codec().copy(output))?.map(T::given))
}

/// What the step before returned, shared.
///
/// # Errors
/// [`TaskError::Data`] when it does not read.
pub fn previous_read<M: Tag<R>, R>(call: &TaskCall) -> Result<Option<Arc<M::Element>>, TaskError> {
    call.previous_with(|output| M::codec().shared(output))
}

/// The same, as a reference to what the parameter says.
pub fn previous_shared<T: Given<E>, E>(previous: Option<&Arc<E>>) -> Option<&T> {
    previous.map(|element| T::shared(element))
}

/// Serialises what a step returned; nothing is JSON null.
///
/// # Errors
/// [`TaskError::Data`] when it does not serialise, or is null in JSON, and so would end the steps.
pub fn finish_step<M: Tag<R>, R>(
    call: &TaskCall,
    value: Option<M::Element>,
    writes: Writes,
) -> Result<TaskReturn, TaskError> {
    let Some(value) = value else { return Ok(TaskReturn { output: Output::null(), writes }) };
    let returned = (M::codec().write)(call.handle(), value, writes)?;
    if returned.output.is_null() {
        let (task, run) = (call.handle().task(), call.handle().run_id());
        let message = format!(
            "task {task:?} of run {run} goes step by step and returned a value that is null in JSON, which would end \
             its steps; return `None` to end them, or a value with another form in JSON"
        );
        return Err(TaskError::Data { message });
    }
    Ok(returned)
}
