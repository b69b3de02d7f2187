//! Where the workers of a stage put their results: the next queue, or what stands before it.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::stats::Step;
use crate::channel::Sender;
use crate::error::Error;
use crate::panic;
use crate::stream::Numbered;

/// `Break` when nobody wants any more; an error when the item failed on its way.
pub(super) type Given = Result<ControlFlow<()>, Error>;

/// A clone is one more worker; the queue ends when the last is dropped.
pub(super) enum Outlet<T> {
    /// The queue of the next stage. What goes there is counted for this one.
    Queue(Sender<Numbered<T>>, Arc<Step>),
    Through(Arc<dyn Give<T>>),
}

pub(super) trait Give<T>: Send + Sync {
    fn give(&self, item: Numbered<T>) -> BoxFuture<'_, Given>;
}

impl<T: Send + 'static> Outlet<T> {
    /// Passes an item on, waiting for room.
    pub(super) async fn give(&self, item: Numbered<T>) -> Given {
        match self {
            Self::Queue(sender, step) => {
                if sender.send(item).await.is_err() {
                    return Ok(ControlFlow::Break(()));
                }
                step.add_out();
                Ok(ControlFlow::Continue(()))
            }
            Self::Through(other) => other.give(item).await,
        }
    }

    /// Lets n items through, then calls the stage off.
    pub(super) fn take(self, n_items: u64, stage: CancellationToken) -> Self {
        if n_items == 0 {
            stage.cancel();
        }
        Self::Through(Arc::new(Take { outlet: self, n_left: AtomicU64::new(n_items), stage }))
    }

    /// An outlet for what can be taken apart, whose parts come here.
    pub(super) fn flatten<W>(self) -> Outlet<W>
    where
        W: IntoIterator<Item = T, IntoIter: Send> + Send + 'static,
    {
        Outlet::Through(Arc::new(Flatten(self)))
    }
}

impl<T> Clone for Outlet<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Queue(sender, step) => Self::Queue(sender.clone(), Arc::clone(step)),
            Self::Through(other) => Self::Through(Arc::clone(other)),
        }
    }
}

struct Take<T> {
    outlet: Outlet<T>,
    n_left: AtomicU64,
    stage: CancellationToken,
}

impl<T: Send + 'static> Give<T> for Take<T> {
    fn give(&self, item: Numbered<T>) -> BoxFuture<'_, Given> {
        async move {
            let taken = self.n_left.fetch_update(Relaxed, Relaxed, |n_left| n_left.checked_sub(1));
            let Ok(n_left) = taken else { return Ok(ControlFlow::Break(())) };
            if n_left == 1 {
                // What still runs would come too late. What was let through and waits for room is not
                // disturbed: nobody looks at the token while giving.
                self.stage.cancel();
            }
            self.outlet.give(item).await
        }
        .boxed()
    }
}

/// Passes on what is in an item, one by one.
struct Flatten<R>(Outlet<R>);

impl<T> Give<T> for Flatten<T::Item>
where
    T: IntoIterator<IntoIter: Send> + Send + 'static,
    T::Item: Send + 'static,
{
    fn give(&self, item: Numbered<T>) -> BoxFuture<'_, Given> {
        let Numbered { index, value } = item;
        async move {
            let mut parts = panic::catch(|| value.into_iter())?;
            while let Some(value) = panic::catch(|| parts.next())? {
                if self.0.give(Numbered { index, value }).await?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                tokio::task::coop::consume_budget().await;
            }
            Ok(ControlFlow::Continue(()))
        }
        .boxed()
    }
}
