//! Callbacks: what is called when a task run, or a run, has ended.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::context::Context;
use crate::error::{TaskError, TaskFailure};
use crate::name::RunId;

/// What a callback is told of an end.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Ending {
    /// The run.
    pub run_id: RunId,
    /// The task; of a run's own callback, its workflow.
    pub name: String,
    /// Which element, where the task is mapped.
    pub map_index: Option<u32>,
    /// How many attempts the task run had; 0 in a run's own callback.
    pub attempts: u32,
    /// Why it failed; `None` when it succeeded.
    pub failure: Option<TaskFailure>,
    /// What those see who come after it: its own keys too, where it succeeded. In a run's own callback,
    /// the run's final context.
    pub context: Context,
}

impl Ending {
    /// Puts together what a callback is told.
    pub fn new(
        run_id: RunId,
        name: impl Into<String>,
        map_index: Option<u32>,
        attempts: u32,
        failure: Option<TaskFailure>,
        context: Context,
    ) -> Self {
        Self { run_id, name: name.into(), map_index, attempts, failure, context }
    }

    /// The failure as an error, for callbacks that take one; for a success, an error that says so.
    pub fn error(&self) -> TaskError {
        match &self.failure {
            Some(failure) => TaskError::from(failure.clone()),
            None => TaskError::message("it succeeded"),
        }
    }
}

type Called = Pin<Box<dyn Future<Output = Result<(), TaskError>> + Send>>;

/// A function that is called when a task run, or a run, has ended.
///
/// It is called after the end is durable, and at least once: when the worker dies before the callback's
/// return is durable, it is called again. Its own error is logged and changes nothing; so does a panic.
///
/// ```
/// use anio_core::task::{Callback, Ending};
///
/// let callback = Callback::new(|ending: Ending| async move {
///     println!("{} ended", ending.name);
///     Ok(())
/// });
/// ```
#[derive(Clone)]
pub struct Callback(Arc<dyn Fn(Ending) -> Called + Send + Sync>);

impl Callback {
    /// Makes a callback of an async closure.
    pub fn new<F, Fut>(call: F) -> Self
    where
        F: Fn(Ending) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), TaskError>> + Send + 'static,
    {
        Self(Arc::new(move |ending| Box::pin(call(ending))))
    }

    /// Calls it.
    ///
    /// # Errors
    /// The callback's own.
    pub async fn call(&self, ending: Ending) -> Result<(), TaskError> {
        (self.0)(ending).await
    }
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Callback")
    }
}

/// The callbacks of a task, or of a workflow.
#[derive(Clone, Debug, Default)]
pub struct Callbacks {
    /// Called after a success.
    pub on_success: Option<Callback>,
    /// Called after a failure for good: an error, a panic, a time-out, a poison task.
    pub on_failure: Option<Callback>,
}

impl Callbacks {
    /// The one for this end.
    pub fn of(&self, succeeded: bool) -> Option<&Callback> {
        if succeeded { self.on_success.as_ref() } else { self.on_failure.as_ref() }
    }
}
