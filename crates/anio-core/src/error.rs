//! What can go wrong, by type: in building a workflow, in a task, in its data.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;

type Source = Box<dyn StdError + Send + Sync + 'static>;

/// One thing that is wrong with a workflow.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WorkflowError {
    /// A name is empty, too long, or has characters that names may not have.
    #[error(
        "{what} name {name:?} {problem}; a name has 1 to 255 bytes, no control characters and no outer white space"
    )]
    InvalidName {
        /// What the name is of: `workflow` or `task`.
        what: &'static str,
        /// The name, cut to 40 characters.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Two tasks have one name.
    #[error("task {task:?} is defined twice; give one of them another name")]
    DuplicateTask {
        /// The name.
        task: String,
    },
    /// A task names one task as a dependency twice.
    #[error("task {task:?}: dependency {dependency:?} is named twice")]
    DuplicateDependency {
        /// The task.
        task: String,
        /// The dependency.
        dependency: String,
    },
    /// A dependency is not a task of the workflow.
    #[error("task {task:?}: dependency {dependency:?} is unknown{}", suggest(.suggestion.as_deref()))]
    UnknownDependency {
        /// The task.
        task: String,
        /// What it depends on.
        dependency: String,
        /// A task of a similar name, where there is one.
        suggestion: Option<String>,
    },
    /// A condition names what is not a task of the workflow.
    #[error("task {task:?}: its condition names {named:?}, which is unknown{}", suggest(.suggestion.as_deref()))]
    UnknownInCondition {
        /// The task.
        task: String,
        /// What its condition names.
        named: String,
        /// A task of a similar name, where there is one.
        suggestion: Option<String>,
    },
    /// A condition names a task that does not come before the task that has the condition.
    #[error(
        "task {task:?}: its condition names {named:?}, which does not come before it; add `after({named})`"
    )]
    NotBefore {
        /// The task.
        task: String,
        /// What its condition names.
        named: String,
    },
    /// The tasks wait for one another in a circle.
    #[error("the tasks wait for one another: {}", .path.join(" -> "))]
    Cycle {
        /// The circle; the first name stands at the end again.
        path: Vec<String>,
    },
    /// An option of a task has a value that it may not have.
    #[error("task {task:?}: {option} {problem}")]
    InvalidOption {
        /// The task.
        task: String,
        /// The option.
        option: &'static str,
        /// What is wrong with its value.
        problem: &'static str,
    },
    /// The workflow has no task at all.
    #[error("workflow {workflow:?} has no tasks")]
    NoTasks {
        /// The workflow.
        workflow: String,
    },
    /// The workflow has more tasks than the engine takes.
    #[error("workflow {workflow:?} has {n_tasks} tasks, more than the limit of 1,000,000")]
    TooManyTasks {
        /// The workflow.
        workflow: String,
        /// How many it has.
        n_tasks: usize,
    },
    /// `.after(..)` was called before any `.task(..)`.
    #[error("`after` names the dependencies of the task before it, and there is none")]
    NoTaskBefore,
}

fn suggest(name: Option<&str>) -> String {
    name.map(|name| format!("; did you mean {name:?}?")).unwrap_or_default()
}

/// All that is wrong with a workflow, found at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkflowErrors(pub Vec<WorkflowError>);

impl fmt::Display for WorkflowErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            fmt::Display::fmt(error, f)?;
        }
        Ok(())
    }
}

impl StdError for WorkflowErrors {}

impl From<WorkflowError> for WorkflowErrors {
    fn from(error: WorkflowError) -> Self {
        Self(vec![error])
    }
}

/// A value could not be written as JSON or read back as the wanted type.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OutputError {
    /// The value has no JSON form.
    #[error("a value of type {wanted} does not serialise: {source}")]
    Serialize {
        /// The type.
        wanted: &'static str,
        /// What serde says.
        source: serde_json::Error,
    },
    /// The JSON does not read as the wanted type.
    #[error("the stored value does not read as {wanted}: {source}")]
    Parse {
        /// The type.
        wanted: &'static str,
        /// What serde says.
        source: serde_json::Error,
    },
}

/// A read or write of the context did not work.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ContextError {
    /// No task before this one wrote the key, and the run's input has not got it.
    #[error("context key {key:?} is not there{}", suggest(.suggestion.as_deref()))]
    KeyNotFound {
        /// The key.
        key: String,
        /// A key of a similar name, where there is one.
        suggestion: Option<String>,
    },
    /// `insert` found the key taken; `update` replaces.
    #[error("context key {key:?} exists already; `update` replaces it")]
    KeyExists {
        /// The key.
        key: String,
    },
    /// Two tasks of which neither waits for the other wrote the key differently.
    #[error(
        "context key {key:?} was written differently by {first} and {second}, and neither waits for the other"
    )]
    Conflict {
        /// The key.
        key: String,
        /// One writer.
        first: String,
        /// The other writer.
        second: String,
    },
    /// The value does not read as the wanted type.
    #[error("context key {key:?} does not read as {wanted}: {source}")]
    Parse {
        /// The key.
        key: String,
        /// The type.
        wanted: &'static str,
        /// What serde says.
        source: serde_json::Error,
    },
    /// The value has no JSON form.
    #[error("context key {key:?}: a value of type {wanted} does not serialise: {source}")]
    Serialize {
        /// The key.
        key: String,
        /// The type.
        wanted: &'static str,
        /// What serde says.
        source: serde_json::Error,
    },
    /// A key is empty, too long, or has characters that names may not have.
    #[error("context key {key:?} is not a name: 1 to 255 bytes, no control characters, no outer white space")]
    InvalidKey {
        /// The key, cut to 40 characters.
        key: String,
    },
    /// The JSON that should become a context is not an object.
    #[error("a context is a JSON object: {source}")]
    NotAnObject {
        /// What serde says.
        source: serde_json::Error,
    },
}

/// Why an attempt of a task failed. Every `std::error::Error` becomes one by `?`.
///
/// By default the task's retry policy decides what follows; [`TaskError::fatal`] ends the task run at
/// once, and [`TaskError::retry_after`] asks for a delay of its own. The engine decides by these
/// variants, never by a message.
///
/// `TaskError` itself is no `std::error::Error`, which is what lets `?` take every error; it converts
/// into `Box<dyn std::error::Error + Send + Sync>`, where what it says about retries is kept: see
/// [`BoxedTaskError`].
///
/// ```
/// use anio_core::TaskError;
///
/// fn parse(text: &str) -> Result<u32, TaskError> {
///     Ok(text.parse::<u32>()?)
/// }
/// let error = parse("x").unwrap_err();
/// assert_eq!(error.to_string(), "invalid digit found in string");
/// assert!(TaskError::fatal("no such customer").is_fatal());
/// ```
#[non_exhaustive]
pub enum TaskError {
    /// The task's work failed; made by hand, with its task and time.
    ExecutionFailed {
        /// What happened.
        message: String,
        /// The task.
        task_id: String,
        /// When.
        timestamp: DateTime<Utc>,
    },
    /// The task's data is not what it should be.
    ValidationFailed {
        /// What is wrong.
        message: String,
    },
    /// The attempt took longer than the task's time-out.
    Timeout {
        /// The task.
        task_id: String,
        /// The time-out in whole seconds, rounded up.
        timeout_seconds: u64,
    },
    /// A dependency did not bring what the task needs.
    DependencyNotSatisfied {
        /// The dependency.
        dependency: String,
        /// The task.
        task_id: String,
    },
    /// The context did not give or take a value.
    ContextError {
        /// The task.
        task_id: String,
        /// Why.
        error: ContextError,
    },
    /// Anything else, in words.
    Unknown {
        /// The task.
        task_id: String,
        /// What happened.
        message: String,
    },
    /// Any error, by `?`.
    Failed(Source),
    /// Any error that no further attempt can mend: the task run fails at once.
    Fatal(Source),
    /// Any error, with the delay after which to try again, in place of the policy's. The policy's
    /// number of attempts still holds.
    RetryAfter {
        /// The delay, from the end of this attempt.
        delay: Duration,
        /// Why the attempt failed.
        source: Source,
    },
    /// The task panicked.
    Panicked {
        /// The panic's message.
        message: String,
        /// File, line and column, where known.
        location: Option<String>,
    },
    /// The output or a context value did not serialise, was too large, or did not read back. No further
    /// attempt can mend it.
    Data {
        /// What, with its task, type and run.
        message: String,
    },
    /// The task was told to stop: its run was cancelled, or its worker shuts down.
    Cancelled,
    /// The task decides by its own inputs not to run: it is skipped, as by a condition that does not hold,
    /// and no further attempt follows. Of a mapped task's element it is a failure like any other.
    Skipped {
        /// Why.
        reason: String,
    },
    /// A failure that was stored, read back: what `on_failure` is told.
    Stored(TaskFailure),
}

impl TaskError {
    /// An error that no further attempt can mend: the task run fails at once.
    pub fn fatal(error: impl Into<Source>) -> Self {
        Self::Fatal(error.into())
    }

    /// An error with the delay after which to try again, at most 365 days.
    pub fn retry_after(delay: Duration, error: impl Into<Source>) -> Self {
        Self::RetryAfter { delay: delay.min(crate::retry::DURATION_MAX), source: error.into() }
    }

    /// An error in words, retryable under the task's policy.
    pub fn message(message: impl Into<String>) -> Self {
        Self::Failed(message.into().into())
    }

    /// Whether no further attempt follows, whatever the policy says.
    pub const fn is_fatal(&self) -> bool {
        matches!(self, Self::Fatal(_) | Self::Data { .. })
    }

    /// What is stored of this error: its kind, its message and the messages of its sources.
    pub fn to_failure(&self) -> TaskFailure {
        let kind = match self {
            Self::Panicked { .. } => FailureKind::Panic,
            Self::Timeout { .. } => FailureKind::Timeout,
            Self::Cancelled => FailureKind::Cancelled,
            Self::Data { .. } => FailureKind::Data,
            Self::Stored(failure) => return failure.clone(),
            _ => FailureKind::Error,
        };
        let mut causes = Vec::new();
        let mut cause = self.source();
        while let Some(error) = cause {
            causes.push(error.to_string());
            cause = error.source();
        }
        TaskFailure { kind, message: self.to_string(), causes }
    }

    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Failed(error) | Self::Fatal(error) | Self::RetryAfter { source: error, .. } => {
                error.source()
            }
            Self::ContextError { error, .. } => error.source(),
            _ => None,
        }
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ExecutionFailed { message, .. }
            | Self::ValidationFailed { message }
            | Self::Data { message }
            | Self::Unknown { message, .. } => f.write_str(message),
            Self::Timeout { timeout_seconds, .. } => write!(f, "timed out after {timeout_seconds} s"),
            Self::DependencyNotSatisfied { dependency, .. } => {
                write!(f, "dependency {dependency:?} did not bring what the task needs")
            }
            Self::ContextError { error, .. } => fmt::Display::fmt(error, f),
            Self::Failed(error) | Self::Fatal(error) | Self::RetryAfter { source: error, .. } => {
                fmt::Display::fmt(error, f)
            }
            Self::Panicked { message, location: Some(location) } => {
                write!(f, "panicked at {location}: {message}")
            }
            Self::Panicked { message, location: None } => write!(f, "panicked: {message}"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::Skipped { reason } => write!(f, "decided not to run: {reason}"),
            Self::Stored(failure) => fmt::Display::fmt(failure, f),
        }
    }
}

impl fmt::Debug for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failure = self.to_failure();
        write!(f, "{:?}: {}", failure.kind, failure.message)?;
        failure.causes.iter().try_for_each(|cause| write!(f, ": {cause}"))
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for TaskError {
    fn from(error: E) -> Self {
        Self::Failed(Box::new(error))
    }
}

impl From<TaskFailure> for TaskError {
    fn from(failure: TaskFailure) -> Self {
        Self::Stored(failure)
    }
}

impl From<TaskError> for Source {
    fn from(error: TaskError) -> Self {
        match error {
            TaskError::Failed(source) => source,
            other => Box::new(BoxedTaskError(other)),
        }
    }
}

/// A [`TaskError`] in a box of errors: one that is fatal, or names a delay, is still so when the box comes
/// back as a task's error.
///
/// ```
/// use anio_core::TaskError;
/// use anio_core::error::BoxedTaskError;
///
/// let boxed: Box<dyn std::error::Error + Send + Sync> = TaskError::fatal("no such customer").into();
/// assert_eq!(boxed.to_string(), "no such customer");
/// assert!(boxed.downcast_ref::<BoxedTaskError>().unwrap().0.is_fatal());
/// ```
#[derive(Debug)]
pub struct BoxedTaskError(pub TaskError);

impl fmt::Display for BoxedTaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl StdError for BoxedTaskError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

/// What kind of thing ended an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureKind {
    /// The task returned an error.
    Error,
    /// The task panicked.
    Panic,
    /// The attempt took longer than the task's time-out.
    Timeout,
    /// The output or a context value did not serialise, was too large, or did not read back.
    Data,
    /// The task run was in flight during too many deaths of its worker.
    Poison,
    /// The task was told to stop.
    Cancelled,
}

/// A failure as it is stored: what kind, in what words, and what caused it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskFailure {
    /// What kind of thing happened.
    pub kind: FailureKind,
    /// The error's own message.
    pub message: String,
    /// The messages of its sources, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
}

impl TaskFailure {
    /// A failure of this kind in these words.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), causes: Vec::new() }
    }
}

impl fmt::Display for TaskFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.causes.iter().try_for_each(|cause| write!(f, ": {cause}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_keeps_the_chain_of_sources() {
        #[derive(Debug, Error)]
        #[error("cannot load")]
        struct Outer(#[source] std::io::Error);
        let error: TaskError = Outer(std::io::Error::other("disk on fire")).into();
        let failure = error.to_failure();
        assert_eq!(failure.to_string(), "cannot load: disk on fire");
        assert_eq!(failure.kind, FailureKind::Error);
    }

    #[test]
    fn text_becomes_an_error() {
        assert_eq!(TaskError::message("no").to_string(), "no");
        assert!(!TaskError::message("no").is_fatal());
        assert!(TaskError::fatal("no").is_fatal());
    }
}
