//! A source as the forms read it: with this crate's error, and with its panics caught.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::Stream;

use crate::error::{Cause, Error};
use crate::panic;

/// Ends after its end, or after a panic of the source, whatever it is asked then.
pub(crate) struct Failing<S>(Option<Pin<Box<S>>>);

pub(crate) fn failing<S>(source: S) -> Failing<S> {
    Failing(Some(Box::pin(source)))
}

impl<S, T, X> Stream for Failing<S>
where
    S: Stream<Item = Result<T, X>>,
    X: Into<Cause>,
{
    type Item = Result<T, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(source) = &mut self.0 else { return Poll::Ready(None) };
        let next = match panic::catch(|| source.as_mut().poll_next(context)) {
            Ok(next) => ready!(next).map(|item| item.map_err(Error::from_cause)),
            Err(panicked) => {
                self.0 = None;
                return Poll::Ready(Some(Err(panicked)));
            }
        };
        if next.is_none() {
            self.0 = None;
        }
        Poll::Ready(next)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.as_ref().map_or((0, Some(0)), Stream::size_hint)
    }
}
