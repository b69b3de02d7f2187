//! Where items come from.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt};
use tokio_util::sync::CancellationToken;

use super::WorkQueue;
use crate::cancel::{CalledOff, Cancel};
use crate::error::{Cause, Error};
use crate::panic::Caught;
use crate::stream::failing;

/// What a producer came to.
pub(super) struct Produced<T> {
    pub(super) error: Option<Error>,
    /// The item that the queue did not take any more.
    pub(super) refused: Option<T>,
}

/// Starts to fill a queue until the token is cancelled.
pub(super) type Produce<'a, Q> =
    Box<dyn FnOnce(Arc<Q>, CancellationToken) -> BoxFuture<'a, Produced<<Q as WorkQueue>::Item>> + Send + 'a>;

impl<T> Produced<T> {
    fn ended(result: Result<(), Error>) -> Self {
        Self { error: result.err(), refused: None }
    }
}

/// Pushes what a stream brings. An item that was brought is pushed, or comes back.
pub(super) fn from_stream<'a, Q, S, X>(source: S) -> Produce<'a, Q>
where
    Q: WorkQueue,
    S: Stream<Item = Result<Q::Item, X>> + Send + 'a,
    X: Into<Cause> + 'a,
{
    let mut source = failing(source);
    Box::new(move |queue, stopped| {
        let produce = async move {
            let mut stopped = CalledOff::new(&Cancel::new(stopped));
            while let Some(next) = poll_fn(|context| next_of(&mut source, &mut stopped, context)).await {
                let item = match next {
                    Ok(item) => item,
                    Err(error) => return Produced::ended(Err(error)),
                };
                // A stop closes the queue, which ends this wait.
                if let Err(unsent) = queue.push(item).await {
                    return Produced { error: None, refused: Some(unsent.item) };
                }
            }
            Produced::ended(Ok(()))
        };
        produce.boxed()
    })
}

/// The next item, unless the producer is stopped.
fn next_of<S: Stream + Unpin>(
    source: &mut S,
    stopped: &mut CalledOff,
    context: &mut Context<'_>,
) -> Poll<Option<S::Item>> {
    if stopped.is_so() {
        return Poll::Ready(None);
    }
    match source.poll_next_unpin(context) {
        Poll::Pending => stopped.poll(context).map(|()| None),
        next @ Poll::Ready(_) => next,
    }
}

/// Lets a function push by itself.
pub(super) fn from_function<'a, Q, F, Fut, X>(f: F) -> Produce<'a, Q>
where
    Q: WorkQueue,
    F: FnOnce(Arc<Q>) -> Fut + Send + 'a,
    Fut: Future<Output = Result<(), X>> + Send + 'a,
    X: Into<Cause>,
{
    Box::new(move |queue, stopped| {
        let produce = async move {
            let called = async move { f(queue).await.map_err(Error::from_cause) };
            let result = stopped.run_until_cancelled(Caught::new(called)).await;
            Produced::ended(result.map_or(Ok(()), Result::flatten))
        };
        produce.boxed()
    })
}
