//! Functions of the user that are called beside the body: callbacks, and what decides whether a task runs.

use std::convert::Infallible;

use anio_core::TaskError;
use anio_core::task::Rate;

/// What a callback gives back when it is called.
#[diagnostic::on_unimplemented(
    message = "a callback is an `async fn` that returns `Result<(), E>`",
    label = "gives `{Self}`",
    note = "`on_success`: `async fn(name: &str, context: &Context) -> Result<(), E>`; `on_failure`: `async fn(name: &str, error: &TaskError, context: &Context) -> Result<(), E>`"
)]
pub trait CallbackFuture: Future<Output = Result<(), Self::Error>> {
    /// Why it failed.
    type Error;
}

impl<F, E> CallbackFuture for F
where
    F: Future<Output = Result<(), E>>,
{
    type Error = E;
}

/// Demands that it is the future of a callback.
pub fn called<F: CallbackFuture>(future: F) -> F {
    future
}

/// What a function gives back that decides whether a task runs.
#[diagnostic::on_unimplemented(
    message = "the function in `when` returns `bool` or `Result<bool, E>`",
    label = "returns `{Self}`",
    note = "it takes the task's parameters in their order, each by reference, and is no `async fn`"
)]
pub trait Holds {
    /// Why it cannot be decided.
    type Error;

    /// Whether the task runs.
    ///
    /// # Errors
    /// The function's own.
    fn holds(self) -> Result<bool, Self::Error>;
}

impl Holds for bool {
    type Error = Infallible;

    fn holds(self) -> Result<bool, Infallible> {
        Ok(self)
    }
}

impl<E> Holds for Result<bool, E> {
    type Error = E;

    fn holds(self) -> Self {
        self
    }
}

/// What a task answers that decided not to run.
pub fn skipped(reason: &str) -> TaskError {
    TaskError::Skipped { reason: reason.to_owned() }
}

/// A rate that the macros have checked.
pub fn rate(text: &str) -> Rate {
    text.parse().expect("the macros let no other text pass")
}
