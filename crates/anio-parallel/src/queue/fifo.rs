//! First in, first out.

use std::collections::VecDeque;
use std::fmt;

use super::WorkQueue;
use super::bounded::{Bounded, Shelf};
use crate::channel::Unsent;

/// A queue that gives items out in the order in which they came.
///
/// ```
/// use anio_parallel::Reason;
/// use anio_parallel::queue::{Fifo, WorkQueue};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let queue = Fifo::new(10);
/// queue.push("first").await.unwrap();
/// queue.push("second").await.unwrap();
/// queue.close();
/// let refused = queue.push("third").await.unwrap_err();
/// assert_eq!((refused.item, refused.reason), ("third", Reason::Closed));
/// assert_eq!(queue.pop().await, Some("first"));
/// assert_eq!(queue.pop().await, Some("second"));
/// assert_eq!(queue.pop().await, None);
/// # }
/// ```
pub struct Fifo<T>(Bounded<VecDeque<T>>);

impl<T: Send + 'static> Fifo<T> {
    /// A queue for at most `n_items_max` items, at least one.
    pub fn new(n_items_max: usize) -> Self {
        Self(Bounded::new(n_items_max, VecDeque::new()))
    }
}

impl<T: Send> Shelf for VecDeque<T> {
    type Item = T;

    fn put(&mut self, item: T) {
        self.push_back(item);
    }

    fn take(&mut self) -> Option<T> {
        self.pop_front()
    }

    fn len(&self) -> usize {
        Self::len(self)
    }
}

impl<T: Send + 'static> WorkQueue for Fifo<T> {
    type Item = T;

    fn push(&self, item: T) -> impl Future<Output = Result<(), Unsent<T>>> + Send {
        self.0.push(item)
    }

    fn pop(&self) -> impl Future<Output = Option<T>> + Send {
        self.0.pop()
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn close(&self) {
        self.0.close();
    }

    fn drain(&self) -> Vec<T> {
        self.0.drain()
    }
}

impl<T: Send + 'static> fmt::Debug for Fifo<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fifo").field("len", &self.len()).finish_non_exhaustive()
    }
}
