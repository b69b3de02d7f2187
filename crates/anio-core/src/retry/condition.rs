//! After which failures a task is tried again. Whether an attempt is left, the policy says.

use std::error::Error as StdError;
use std::io;

use crate::error::{BoxedTaskError, FailureKind, TaskError};

/// After which failures a task is tried again, as far as its [`RetryPolicy`](crate::RetryPolicy) has an attempt left.
///
/// Decided by the type of the error and never by its message. An error that is fatal ends its task run whatever
/// stands here; an attempt that a crash cut short is no failure, and is executed again.
///
/// ```
/// use anio_core::{RetryCondition, TaskError};
///
/// let refused = || TaskError::from(std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
/// let unreadable = || TaskError::from("x".parse::<u32>().unwrap_err());
/// assert!(RetryCondition::Transient.allows(&refused()));
/// assert!(!RetryCondition::Transient.allows(&unreadable()));
/// assert!(RetryCondition::All.allows(&unreadable()));
/// assert!(!RetryCondition::Never.allows(&refused()));
/// let patient = RetryCondition::When(|error| matches!(error, TaskError::Timeout { .. }));
/// assert!(!patient.allows(&refused()));
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub enum RetryCondition {
    /// After all that another attempt may mend.
    #[default]
    All,
    /// After those that pass by themselves: [`TaskError::is_transient`].
    Transient,
    /// After none.
    Never,
    /// After those of which the function says so. A function that panics has said yes.
    When(fn(&TaskError) -> bool),
}

impl RetryCondition {
    /// Whether another attempt may follow this error.
    ///
    /// # Panics
    /// When the function does.
    pub fn allows(self, error: &TaskError) -> bool {
        match self {
            Self::All => true,
            Self::Transient => error.is_transient(),
            Self::Never => false,
            Self::When(says) => says(error),
        }
    }
}

impl PartialEq for RetryCondition {
    /// Functions are told apart by their addresses: one may have several, and several may have one.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::When(one), Self::When(other)) => std::ptr::fn_addr_eq(*one, *other),
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

impl Eq for RetryCondition {}

impl TaskError {
    /// Whether it is of those that pass by themselves: a time-out; one that asks for another attempt by
    /// [`TaskError::retry_after`]; [`TaskError::ExecutionFailed`], by which a task says that its work failed, rather
    /// than its data; and any error that has among its sources an [`io::Error`] of the network, of a time-out, or
    /// of something that is busy.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::RetryAfter { .. } | Self::ExecutionFailed { .. } => true,
            Self::Stored(failure) => failure.kind == FailureKind::Timeout,
            Self::Failed(source) => is_transient(&**source),
            _ => false,
        }
    }
}

/// Whether an error, or one of its sources, is an [`io::Error`] that passes by itself; or a [`TaskError`] that does.
pub fn is_transient(error: &(dyn StdError + 'static)) -> bool {
    std::iter::successors(Some(error), |&error| error.source()).any(|error| {
        let io = error.downcast_ref().is_some_and(|error: &io::Error| passes(error.kind()));
        io || error.downcast_ref().is_some_and(|BoxedTaskError(error)| error.is_transient())
    })
}

fn passes(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{
        AddrInUse, BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable,
        Interrupted, NetworkDown, NetworkUnreachable, NotConnected, ResourceBusy, TimedOut, UnexpectedEof,
        WouldBlock,
    };
    matches!(
        kind,
        AddrInUse
            | BrokenPipe
            | ConnectionAborted
            | ConnectionRefused
            | ConnectionReset
            | HostUnreachable
            | Interrupted
            | NetworkDown
            | NetworkUnreachable
            | NotConnected
            | ResourceBusy
            | TimedOut
            | UnexpectedEof
            | WouldBlock
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the page is not there")]
    struct Page(#[source] io::Error);

    fn io(kind: io::ErrorKind) -> io::Error {
        io::Error::new(kind, "timed out, perhaps")
    }

    #[test]
    fn what_passes_by_itself_is_told_by_type_and_not_by_words() {
        let (second, task_id) = (Duration::from_secs(1), String::new);
        let passing = [
            TaskError::Timeout { task_id: task_id(), timeout_seconds: 1 },
            TaskError::retry_after(second, "busy"),
            TaskError::ExecutionFailed {
                message: String::new(),
                task_id: task_id(),
                timestamp: chrono::DateTime::UNIX_EPOCH,
            },
            TaskError::from(io(io::ErrorKind::ConnectionReset)),
            TaskError::from(Page(io(io::ErrorKind::TimedOut))),
        ];
        for error in passing {
            assert!(error.is_transient(), "{error:?}");
        }
        let staying = [
            TaskError::message("connection refused: timed out"),
            TaskError::from(io(io::ErrorKind::PermissionDenied)),
            TaskError::from(Page(io(io::ErrorKind::NotFound))),
            TaskError::fatal(io(io::ErrorKind::TimedOut)),
            TaskError::ValidationFailed { message: "timeout".to_owned() },
            TaskError::Panicked { message: "timeout".to_owned(), location: None },
            TaskError::Unknown { task_id: task_id(), message: "timeout".to_owned() },
        ];
        for error in staying {
            assert!(!error.is_transient(), "{error:?}");
        }
    }

    #[test]
    fn conditions_are_equal_where_they_say_the_same() {
        fn patient(_: &TaskError) -> bool {
            true
        }
        assert_eq!(RetryCondition::default(), RetryCondition::All);
        assert_ne!(RetryCondition::All, RetryCondition::Never);
        assert_eq!(RetryCondition::When(patient), RetryCondition::When(patient));
        assert_ne!(RetryCondition::When(patient), RetryCondition::Transient);
    }
}
