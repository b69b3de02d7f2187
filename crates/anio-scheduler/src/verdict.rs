//! What a body's error stands for, also where helpers and errors of the task's own have wrapped it.

use std::error::Error as StdError;
use std::panic::{AssertUnwindSafe, catch_unwind};

use anio_core::error::BoxedTaskError;
use anio_core::retry::is_transient;
use anio_core::run::{AttemptError, Retry};
use anio_core::{RetryCondition, TaskError};
use anio_parallel::Error as ParallelError;
use tokio::time::error::Elapsed;

/// What is to be made of a body's error.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// The body saw its token, or a helper did, and gave up; the error counts if nobody had called it off.
    CalledOff(TaskError),
    Failed(TaskError),
}

/// Looks for what anio-parallel says of work that was called off or panicked, and for the task's own errors
/// that went through its helpers. What the task said last, outermost, holds.
pub(crate) fn verdict(error: TaskError) -> Verdict {
    match seen(&error) {
        Some(Seen::CalledOff) => Verdict::CalledOff(error),
        Some(Seen::Panicked { message, location }) => {
            Verdict::Failed(TaskError::Panicked { message, location })
        }
        Some(Seen::Data) => Verdict::Failed(TaskError::Data { message: error.to_string() }),
        Some(Seen::Fatal) => Verdict::Failed(TaskError::fatal(error)),
        Some(Seen::RetryAfter(delay)) => Verdict::Failed(TaskError::retry_after(delay, error)),
        None => Verdict::Failed(error),
    }
}

/// What is stored of an attempt's error, and what follows it: by its type, and by the task's condition.
pub(crate) fn failed(error: TaskError, condition: RetryCondition) -> AttemptError {
    let is_allowed = allows(condition, &error);
    let error = AttemptError::from(error);
    match error.retry {
        Retry::Policy | Retry::After(_) if !is_allowed => AttemptError { retry: Retry::Never, ..error },
        _ => error,
    }
}

fn allows(condition: RetryCondition, error: &TaskError) -> bool {
    match condition {
        RetryCondition::All => true,
        RetryCondition::Transient => error.is_transient() || holds_transient(error),
        condition => catch_unwind(AssertUnwindSafe(|| condition.allows(error))).unwrap_or_else(|_| {
            tracing::error!("the function in `retry_condition` panicked; the policy alone decides");
            true
        }),
    }
}

/// Whether there is an error below that passes by itself, of types that the core does not know.
fn holds_transient(error: &TaskError) -> bool {
    let TaskError::Failed(source) = error else { return false };
    let first: &(dyn StdError + 'static) = &**source;
    std::iter::successors(Some(first), |&error| match error.downcast_ref::<ParallelError>() {
        Some(ParallelError::Failed { source, .. }) => Some(&**source),
        _ => error.source(),
    })
    .any(|error| error.is::<Elapsed>() || is_transient(error))
}

/// What an error holds that decides more than its own variant.
enum Seen {
    CalledOff,
    Panicked { message: String, location: Option<String> },
    Data,
    Fatal,
    RetryAfter(std::time::Duration),
}

fn seen(error: &TaskError) -> Option<Seen> {
    match error {
        TaskError::Cancelled => Some(Seen::CalledOff),
        TaskError::Failed(source) => of_chain(&**source),
        // The task has decided what follows, unless it was called off.
        TaskError::Fatal(source) | TaskError::RetryAfter { source, .. } => {
            of_chain(&**source).filter(|seen| matches!(seen, Seen::CalledOff))
        }
        _ => None,
    }
}

/// Goes down the sources to the first error that decides.
fn of_chain(error: &(dyn StdError + 'static)) -> Option<Seen> {
    let mut next = Some(error);
    while let Some(error) = next {
        next = match error.downcast_ref::<ParallelError>() {
            Some(ParallelError::Cancelled) => return Some(Seen::CalledOff),
            Some(ParallelError::Panicked { stage, index, message, location }) => {
                let message = format!("{}{message}", place(stage.as_deref(), *index));
                return Some(Seen::Panicked { message, location: location.clone() });
            }
            Some(ParallelError::Failed { source, .. }) => Some(&**source),
            _ => error.source(),
        };
        if let Some(BoxedTaskError(inner)) = error.downcast_ref() {
            return match inner {
                TaskError::Fatal(_) => Some(Seen::Fatal),
                TaskError::RetryAfter { delay, .. } => Some(Seen::RetryAfter(*delay)),
                TaskError::Data { .. } => Some(Seen::Data),
                TaskError::Panicked { message, location } => {
                    Some(Seen::Panicked { message: message.clone(), location: location.clone() })
                }
                other => seen(other),
            };
        }
    }
    None
}

fn place(stage: Option<&str>, index: Option<u64>) -> String {
    let stage = stage.map(|stage| format!("stage {stage:?}"));
    let item = index.map(|index| format!("item {index}"));
    let place: Vec<_> = stage.into_iter().chain(item).collect();
    if place.is_empty() { String::new() } else { format!("{}: ", place.join(", ")) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use anio_core::error::FailureKind;
    use anio_parallel::ParMap;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the report is not made")]
    struct Wrapped(#[from] ParallelError);

    fn item_fails(error: impl Fn() -> TaskError + Sync) -> TaskError {
        let result = [0, 1, 2].as_slice().try_par_map(|n| if *n == 2 { Err(error()) } else { Ok(()) });
        TaskError::from(result.err().unwrap_or(ParallelError::Closed))
    }

    fn item_panics() -> ParallelError {
        [0, 1].as_slice().par_map(|n| assert!(*n == 0, "no luck")).err().unwrap_or(ParallelError::Closed)
    }

    #[test]
    fn what_an_item_says_about_retries_holds_for_the_task() {
        let minute = Duration::from_secs(60);
        let check = |error: TaskError, kind, retry, message: &str| {
            let Verdict::Failed(error) = verdict(error) else { panic!("{message}: it is not called off") };
            let AttemptError { failure, retry: decided } = AttemptError::from(error);
            assert_eq!((failure.kind, decided, failure.to_string().as_str()), (kind, retry, message));
        };
        let (error, data) = (FailureKind::Error, FailureKind::Data);
        check(item_fails(|| TaskError::fatal("gone")), error, Retry::Never, "item 2: gone");
        check(item_fails(|| TaskError::message("no")), error, Retry::Policy, "item 2: no");
        let busy = || TaskError::retry_after(Duration::from_secs(60), "busy");
        check(item_fails(busy), error, Retry::After(minute), "item 2: busy");
        let unreadable = || TaskError::Data { message: "not a number".to_owned() };
        check(item_fails(unreadable), data, Retry::Never, "item 2: not a number");
        // Helpers within helpers, and what the task itself says last.
        check(item_fails(|| item_fails(|| TaskError::fatal("gone"))), error, Retry::Never, "item 2: gone");
        let softened = TaskError::retry_after(minute, item_fails(|| TaskError::fatal("gone")));
        check(softened, error, Retry::After(minute), "item 2: gone");
    }

    #[tokio::test]
    async fn a_condition_takes_retries_away_and_gives_none() {
        let refused = || TaskError::from(std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
        let elapsed = tokio::time::timeout(Duration::ZERO, std::future::pending::<()>()).await;
        let minute = Duration::from_secs(60);
        let after = |condition| failed(TaskError::retry_after(minute, "busy"), condition).retry;
        let condition = RetryCondition::Transient;
        for error in [refused(), TaskError::from(elapsed.unwrap_err()), item_fails(refused)] {
            assert_eq!(failed(error, condition).retry, Retry::Policy);
        }
        assert_eq!(after(condition), Retry::After(minute));
        for error in [TaskError::message("connection refused"), item_fails(|| TaskError::message("no"))] {
            assert_eq!(failed(error, condition).retry, Retry::Never);
        }
        assert_eq!(failed(refused(), RetryCondition::Never).retry, Retry::Never);
        assert_eq!(after(RetryCondition::Never), Retry::Never);
        // The function is asked, and neither mends what is fatal nor undoes a decision not to run.
        let yes = RetryCondition::When(|_| true);
        assert_eq!(failed(refused(), yes).retry, Retry::Policy);
        assert_eq!(failed(refused(), RetryCondition::When(|_| false)).retry, Retry::Never);
        assert_eq!(failed(TaskError::fatal("gone"), yes).retry, Retry::Never);
        let skipped = || TaskError::Skipped { reason: "nothing to do".to_owned() };
        assert_eq!(failed(skipped(), RetryCondition::Never).retry, Retry::Skip);
        let panics = RetryCondition::When(|_| panic!("a planned panic"));
        assert_eq!(failed(refused(), panics).retry, Retry::Policy);
    }

    #[test]
    fn a_panic_of_an_item_is_a_panic_of_the_task() {
        for error in [TaskError::from(item_panics()), TaskError::from(Wrapped(item_panics()))] {
            let Verdict::Failed(TaskError::Panicked { message, location }) = verdict(error) else {
                panic!("it is no panic");
            };
            assert_eq!(message, "item 1: no luck");
            assert!(location.is_some_and(|location| location.contains("verdict.rs")));
        }
    }

    #[test]
    fn work_that_was_called_off_is_known_wherever_it_is_wrapped() {
        let cancelled = || TaskError::from(ParallelError::Cancelled);
        let errors = [
            TaskError::Cancelled,
            cancelled(),
            TaskError::from(Wrapped(ParallelError::Cancelled)),
            item_fails(|| TaskError::Cancelled),
            item_fails(cancelled),
            TaskError::fatal(cancelled()),
        ];
        for error in errors {
            assert!(matches!(verdict(error), Verdict::CalledOff(_)));
        }
        assert!(matches!(verdict(TaskError::message("cancelled")), Verdict::Failed(_)));
    }
}
