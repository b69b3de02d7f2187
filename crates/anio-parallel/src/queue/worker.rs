//! One executor at work, on a tokio task of its own.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use tokio::sync::mpsc;

use super::{Executor, WorkQueue};
use crate::cancel::{CalledOff, Cancel};
use crate::carrier::Carrier;
use crate::error::Error;

/// What an executor tells the runner.
pub(super) enum Message<T, R> {
    Result(Result<R, Error>),
    /// The runner was stopped when the item had just been taken: nothing was done with it.
    Untouched(T),
}

pub(super) struct Worker<Q: WorkQueue, E: Executor<Q::Item>> {
    pub(super) queue: Arc<Q>,
    pub(super) executor: E,
    /// What takes the place of an executor that panicked.
    pub(super) pristine: E,
    /// There are as many slots as executors. One is held from before an item is taken until the runner
    /// takes up what became of it; so no more items than executors are begun and not handled.
    pub(super) slots: mpsc::Sender<Message<Q::Item, E::Output>>,
    /// The scope of the items, which is called off with that of the caller.
    pub(super) inside: Carrier,
    /// Whether to begin no more.
    pub(super) stopped: Cancel,
    /// How many items were taken, by all executors.
    pub(super) n_taken: Arc<AtomicU64>,
    pub(super) name: Option<Arc<str>>,
}

impl<Q: WorkQueue, E: Executor<Q::Item> + Clone> Worker<Q, E> {
    pub(super) async fn run(mut self) {
        let mut stopped = CalledOff::new(&self.stopped);
        let mut called_off = CalledOff::new(self.inside.scope().cancel());
        let slots = self.slots.clone();
        while let Ok(slot) = slots.reserve().await {
            let Some(item) = next(&*self.queue, &mut stopped).await else { return };
            if stopped.is_so() {
                slot.send(Message::Untouched(item));
                return;
            }
            let index = self.n_taken.fetch_add(1, Ordering::Relaxed);
            let result = self.execute(index, item, &mut called_off).await;
            if matches!(result, Err(Error::Panicked { .. })) {
                self.executor = self.pristine.clone();
            }
            slot.send(Message::Result(result.map_err(|error| error.at(self.name.as_ref(), Some(index)))));
        }
    }

    /// A future that is called off is dropped at its next await point.
    async fn execute(
        &mut self,
        index: u64,
        item: Q::Item,
        called_off: &mut CalledOff,
    ) -> Result<E::Output, Error> {
        let executor = &mut self.executor;
        let work = async move { executor.execute(item).await.map_err(Error::from_cause) };
        let mut work = pin!(self.inside.run_item_async(self.name.as_ref(), index, work));
        std::future::poll_fn(|context| match work.as_mut().poll(context) {
            Poll::Ready(result) => Poll::Ready(result.flatten()),
            Poll::Pending => called_off.poll(context).map(|()| Err(Error::Cancelled)),
        })
        .await
    }
}

/// The next item, unless the runner is stopped.
async fn next<Q: WorkQueue>(queue: &Q, stopped: &mut CalledOff) -> Option<Q::Item> {
    if stopped.is_so() {
        return None;
    }
    let mut next = pin!(queue.pop());
    std::future::poll_fn(|context| match next.as_mut().poll(context) {
        Poll::Pending => stopped.poll(context).map(|()| None),
        popped @ Poll::Ready(_) => popped,
    })
    .await
}
