//! The most urgent first.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::fmt;

use super::WorkQueue;
use super::bounded::{Bounded, Shelf};
use crate::channel::Unsent;

/// A queue that gives out the item with the highest priority, and of equal ones that which came first.
///
/// Items that wait for room in a full queue are not in it yet: they come in in the order in which they
/// were pushed, whatever their priority.
///
/// ```
/// use anio_parallel::queue::{Priority, WorkQueue};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let queue = Priority::by_key(10, |(urgency, _): &(u8, &str)| *urgency);
/// for item in [(1, "sweep"), (9, "fire"), (1, "dust")] {
///     queue.push(item).await.unwrap();
/// }
/// let order = [queue.pop().await, queue.pop().await, queue.pop().await];
/// assert_eq!(order.map(|item| item.unwrap().1), ["fire", "sweep", "dust"]);
/// # }
/// ```
pub struct Priority<T, K>(Bounded<Heap<T, K>>);

impl<T: Send + 'static, K: Ord + Send + 'static> Priority<T, K> {
    /// A queue for at most `n_items_max` items, at least one. The function, called once for each item,
    /// tells its priority: higher goes first.
    pub fn by_key(n_items_max: usize, priority: impl Fn(&T) -> K + Send + Sync + 'static) -> Self {
        let heap = Heap { entries: BinaryHeap::new(), n_put: 0, priority: Box::new(priority) };
        Self(Bounded::new(n_items_max, heap))
    }
}

struct Heap<T, K> {
    entries: BinaryHeap<Entry<T, K>>,
    n_put: u64,
    priority: Box<dyn Fn(&T) -> K + Send + Sync>,
}

struct Entry<T, K> {
    rank: (K, Reverse<u64>),
    item: T,
}

impl<T: Send, K: Ord + Send> Shelf for Heap<T, K> {
    type Item = T;

    fn put(&mut self, item: T) {
        let rank = ((self.priority)(&item), Reverse(self.n_put));
        self.n_put += 1;
        self.entries.push(Entry { rank, item });
    }

    fn take(&mut self) -> Option<T> {
        self.entries.pop().map(|entry| entry.item)
    }

    fn len(&self) -> usize {
        self.entries.len()
    }
}

impl<T, K: Ord> Ord for Entry<T, K> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank.cmp(&other.rank)
    }
}

impl<T, K: Ord> PartialOrd for Entry<T, K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T, K: Ord> Eq for Entry<T, K> {}

impl<T, K: Ord> PartialEq for Entry<T, K> {
    fn eq(&self, other: &Self) -> bool {
        self.rank == other.rank
    }
}

impl<T: Send + 'static, K: Ord + Send + 'static> WorkQueue for Priority<T, K> {
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

impl<T: Send + 'static, K: Ord + Send + 'static> fmt::Debug for Priority<T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Priority").field("len", &self.len()).finish_non_exhaustive()
    }
}
