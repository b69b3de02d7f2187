//! What a panic said, and where: the hook sees the place, `catch_unwind` only the message.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Once;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::error::Error;

thread_local! {
    static LOCATION: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Calls the function; a panic becomes [`Error::Panicked`].
///
/// What the function leaves half-changed is not looked at again: every caller drops it.
pub(crate) fn catch<R>(f: impl FnOnce() -> R) -> Result<R, Error> {
    install_hook();
    // What an earlier panic on this thread left, caught by somebody else, says nothing about this one.
    LOCATION.set(None);
    catch_unwind(AssertUnwindSafe(f)).map_err(|payload| Error::Panicked {
        stage: None,
        index: None,
        message: message(&*payload),
        location: LOCATION.take(),
    })
}

pin_project! {
    /// A future whose panics, at a poll or when it is dropped after the last one, are errors.
    pub(crate) struct Caught<F> {
        #[pin]
        future: Option<F>,
    }
}

impl<F> Caught<F> {
    pub(crate) fn new(future: F) -> Self {
        Self { future: Some(future) }
    }
}

impl<F: Future> Future for Caught<F> {
    type Output = Result<F::Output, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut future = self.project().future;
        let polled = catch(|| {
            let poll = future.as_mut().as_pin_mut().map(|future| future.poll(context));
            if matches!(poll, Some(Poll::Ready(_))) {
                future.set(None);
            }
            poll
        });
        match polled {
            Ok(Some(Poll::Ready(value))) => Poll::Ready(Ok(value)),
            Ok(Some(Poll::Pending)) => Poll::Pending,
            Ok(None) => unreachable!("a future is not polled after it was ready"),
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

/// Notes the place of every panic for the thread that panics, and passes on to the hook from before.
fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            LOCATION.set(info.location().map(ToString::to_string));
            previous(info);
        }));
    });
}

pub(crate) fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}
