//! The workers of a stage: each takes an item, works on it, and puts the result into the outlet.

use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::DropGuard;

use super::outlet::Outlet;
use super::post::Post;
use super::queue::Queue;
use crate::cpu;
use crate::error::Error;
use crate::stream::Numbered;

/// What a stage does with an item.
pub(super) trait Work<T>: Send + Sync + 'static {
    type Out: Send + 'static;

    fn work(&self, post: &Post, item: Numbered<T>) -> impl Future<Output = Result<Self::Out, Error>> + Send;
}

/// One worker, a task of its own. `_before` calls off the stages before this one when the last worker is
/// gone, for whatever reason.
pub(super) async fn labour<T, W>(
    post: Arc<Post>,
    queue: Queue<T>,
    outlet: Outlet<W::Out>,
    work: Arc<W>,
    _before: Arc<DropGuard>,
) where
    T: Send + 'static,
    W: Work<T>,
{
    while let Some((item, mut turn)) = post.next(&queue).await {
        let index = item.index;
        let result = work.work(&post, item).await;
        turn.come().await;
        if post.is_called_off() {
            return;
        }
        let given = match result {
            Ok(value) => outlet.give(Numbered { index, value }).await,
            Err(error) => Err(error),
        };
        if post.settle(index, given).is_break() {
            return;
        }
    }
}

/// An async function, polled by the worker itself.
pub(super) struct Waits<F>(pub(super) F);

impl<T, F, Fut, R> Work<T> for Waits<F>
where
    T: Send + 'static,
    F: Fn(T) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<R, Error>> + Send,
    R: Send + 'static,
{
    type Out = R;

    async fn work(&self, post: &Post, item: Numbered<T>) -> Result<R, Error> {
        let started = Instant::now();
        let working = async { (self.0)(item.value).await };
        let result = tokio::select! {
            biased;
            result = post.carrier.run_item_async(Some(&post.step.name), item.index, working) => {
                result.flatten()
            }
            () = post.called_off() => Err(Error::Cancelled),
        };
        post.step.add_busy(started);
        result
    }
}

/// A function that computes: one job on the pool per item, while the worker waits. A worker never waits
/// for items or room on a thread of the pool; with few threads, all could come to wait for each other.
pub(super) struct Computes<F>(pub(super) Arc<F>);

impl<T, F, R> Work<T> for Computes<F>
where
    T: Send + 'static,
    F: Fn(T) -> Result<R, Error> + Send + Sync + 'static,
    R: Send + 'static,
{
    type Out = R;

    async fn work(&self, post: &Post, item: Numbered<T>) -> Result<R, Error> {
        let (f, step) = (Arc::clone(&self.0), Arc::clone(&post.step));
        let job = cpu::start(post.carrier.scope().pool(), post.carrier.clone(), move |carrier| {
            let _inside = carrier.enter();
            let started = Instant::now();
            let result = carrier.run_item(Some(&step.name), item.index, || f(item.value)).flatten();
            step.add_busy(started);
            result
        });
        // It is waited for also when it is called off, so that it does not outlive the pipeline. One
        // without an answer was lost with its pool.
        job.await.unwrap_or(Err(Error::Cancelled))
    }
}
