//! The task that reads a source for several readers.

use std::sync::Arc;

use futures::{Stream, StreamExt};
use tokio_util::sync::DropGuard;
use tokio_util::task::AbortOnDropHandle;

use crate::carrier::Carrier;
use crate::error::Error;

/// Ends the task when the last reader is gone.
#[derive(Clone)]
pub(super) struct Driver {
    _task: Arc<(AbortOnDropHandle<()>, DropGuard)>,
}

/// Where the items of a source go.
pub(super) trait Outlet<T>: Send + 'static {
    /// Passes an item on; `false` when nobody wants any more.
    fn give(&mut self, item: T) -> impl Future<Output = bool> + Send;
    /// Passes on what ended the source.
    fn fail(&mut self, error: Error) -> impl Future<Output = ()> + Send;
}

impl Driver {
    /// Reads the source to its end or first error, in a scope within that of the caller.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(super) fn start<S, T, O>(mut source: S, mut outlet: O) -> Self
    where
        S: Stream<Item = Result<T, Error>> + Send + Unpin + 'static,
        T: Send + 'static,
        O: Outlet<T>,
    {
        let inside = Carrier::current().child();
        let token = inside.scope().token().clone();
        let guard = token.clone().drop_guard();
        let task = tokio::spawn(async move {
            let reading = inside.run_async(async {
                while let Some(item) = source.next().await {
                    if !outlet.give(item?).await {
                        break;
                    }
                }
                Ok(())
            });
            let ended = tokio::select! {
                ended = reading => ended.flatten(),
                () = token.cancelled() => Err(Error::Cancelled),
            };
            drop(source);
            if let Err(error) = ended {
                outlet.fail(error).await;
            }
        });
        Self { _task: Arc::new((AbortOnDropHandle::new(task), guard)) }
    }
}
