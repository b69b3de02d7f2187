//! The last of a pipeline: takes items one by one.

use std::ops::ControlFlow;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::DropGuard;

use super::post::Post;
use super::queue::Queue;
use crate::error::{Cause, Error};
use crate::progress::Meter;

/// What the function of a sink, or of a producer, may return: nothing, whether to go on, or either of
/// them as a result.
///
/// `ControlFlow::Break(())` from a sink says that this was the last item it wants: the stages before it
/// are called off, and the pipeline has succeeded.
pub trait Answer {
    /// Whether to go on.
    ///
    /// # Errors
    /// That of the function.
    fn into_flow(self) -> Result<ControlFlow<()>, Error>;
}

impl Answer for () {
    fn into_flow(self) -> Result<ControlFlow<()>, Error> {
        Ok(ControlFlow::Continue(()))
    }
}

impl Answer for ControlFlow<()> {
    fn into_flow(self) -> Result<ControlFlow<()>, Error> {
        Ok(self)
    }
}

impl<A: Answer, E: Into<Cause>> Answer for Result<A, E> {
    fn into_flow(self) -> Result<ControlFlow<()>, Error> {
        self.map_err(Error::from_cause)?.into_flow()
    }
}

/// What a sink does with its items.
pub(super) trait Take<T>: Send + 'static {
    type Value: Send + 'static;

    fn take(&mut self, item: T) -> impl Future<Output = Result<ControlFlow<()>, Error>> + Send;

    fn finish(self) -> Self::Value;
}

/// The sink's only worker, a task of its own. Its value is sent when it has come to an end of its own.
pub(super) async fn drain<T, S>(
    post: Arc<Post>,
    queue: Queue<T>,
    mut sink: S,
    meter: Meter,
    value: oneshot::Sender<S::Value>,
    _before: Arc<DropGuard>,
) where
    T: Send + 'static,
    S: Take<T>,
{
    while let Some((item, _turn)) = post.next(&queue).await {
        let index = item.index;
        let started = Instant::now();
        let taking = async { sink.take(item.value).await };
        let taken = tokio::select! {
            biased;
            taken = post.carrier.run_item_async(Some(&post.step.name), index, taking) => taken.flatten(),
            () = post.called_off() => return,
        };
        post.step.add_busy(started);
        if taken.is_ok() {
            post.step.add_out();
        }
        meter.add_one();
        if post.settle(index, taken).is_break() {
            break;
        }
    }
    // Nobody receives it where the run was dropped.
    let _ = value.send(sink.finish());
}

/// An async function per item.
pub(super) struct Each<F>(pub(super) F);

impl<T, F, Fut> Take<T> for Each<F>
where
    T: Send + 'static,
    F: FnMut(T) -> Fut + Send + 'static,
    Fut: Future<Output: Answer> + Send,
{
    type Value = ();

    async fn take(&mut self, item: T) -> Result<ControlFlow<()>, Error> {
        (self.0)(item).await.into_flow()
    }

    fn finish(self) {}
}

/// A value that every item is put into.
pub(super) struct Fold<A, F> {
    pub(super) value: A,
    pub(super) f: F,
}

impl<T, A, F, V> Take<T> for Fold<A, F>
where
    T: Send + 'static,
    A: Send + 'static,
    F: FnMut(&mut A, T) -> V + Send + 'static,
    V: Answer,
{
    type Value = A;

    async fn take(&mut self, item: T) -> Result<ControlFlow<()>, Error> {
        (self.f)(&mut self.value, item).into_flow()
    }

    fn finish(self) -> A {
        self.value
    }
}
