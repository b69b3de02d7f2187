//! The queue before a stage, and the turns of items where the stage keeps their order.

use std::sync::Arc;

use tokio::sync::{Mutex, oneshot};

use crate::channel::Receiver;
use crate::stream::Numbered;

/// What the workers of a stage take items from. A clone is one more worker.
pub(super) struct Queue<T: 'static> {
    items: Receiver<Numbered<T>>,
    /// Ends when the item that was taken last is passed on. Only where order is kept.
    last: Option<Arc<Mutex<oneshot::Receiver<()>>>>,
}

impl<T> Queue<T> {
    pub(super) fn new(items: Receiver<Numbered<T>>, is_ordered: bool) -> Self {
        // Its sender is gone at once: the first item waits for nobody.
        let last = is_ordered.then(|| Arc::new(Mutex::new(oneshot::channel().1)));
        Self { items, last }
    }

    /// The next item, and when it may be passed on; `None` after the last.
    ///
    /// # Cancel safety
    /// Dropping the future loses no item.
    pub(super) async fn next(&self) -> Option<(Numbered<T>, Turn)> {
        let Some(last) = &self.last else {
            return Some((self.items.recv().await?, Turn(None)));
        };
        let mut last = last.lock().await;
        let item = self.items.recv().await?;
        let (done, this) = oneshot::channel();
        let before = std::mem::replace(&mut *last, this);
        Some((item, Turn(Some((before, done)))))
    }
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self { items: self.items.clone(), last: self.last.clone() }
    }
}

/// An item's place in the order. Dropped, it is the next one's turn.
pub(super) struct Turn(Option<(oneshot::Receiver<()>, oneshot::Sender<()>)>);

impl Turn {
    /// Waits until all items before this one were passed on, or failed.
    pub(super) async fn come(&mut self) {
        if let Some((before, _)) = &mut self.0 {
            // Nothing is ever sent: the turn before is over when its sender is gone.
            let _ = before.await;
        }
    }
}
