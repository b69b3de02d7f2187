//! Work queues: a producer, a queue, some executors, and a handler of their results.
//!
//! ```text
//! producer ──push──► queue ──pop──► executor 1 … n ──results, one by one──► handler
//!                    bounded;        spawned tasks                          in the future of `run`
//!                    order and pace are the queue's
//! ```
//!
//! A [`Runner`] joins them. What differs from job to job are traits: [`WorkQueue`] ([`Fifo`],
//! [`Priority`], `RateLimited` with the feature `rate`, or one of your own), [`Executor`] and [`Handler`],
//! each with a form for closures. All of it lives in memory: what a crash must not lose belongs into a
//! mapped task of the engine, or into one run per item.

mod bounded;
mod executor;
mod fifo;
mod handler;
mod priority;
mod produce;
#[cfg(feature = "rate")]
mod rate_limited;
mod runner;
mod summary;
mod worker;

use std::sync::Arc;

pub use executor::{Called, Executor};
pub use fifo::Fifo;
pub use handler::{Handler, Told, Verdict};
pub use priority::Priority;
#[cfg(feature = "rate")]
pub use rate_limited::RateLimited;
pub use runner::Runner;
pub use summary::{End, Summary};

use crate::channel::Unsent;

/// Where items wait for an executor. It decides which one is next, and when.
///
/// All methods may be called from any number of tasks at one time. After [`close`](WorkQueue::close)
/// nothing is accepted any more, and what was accepted before still comes out: an item that was pushed is
/// popped or drained exactly once.
pub trait WorkQueue: Send + Sync + 'static {
    /// What waits in it.
    type Item: Send + 'static;

    /// Adds an item, waiting while the queue is full.
    ///
    /// # Errors
    /// [`Reason::Closed`](crate::Reason::Closed) when the queue is closed, also while waiting; the item
    /// comes back.
    ///
    /// # Cancel safety
    /// Dropping the future before it is ready drops the item, and adds nothing.
    fn push(&self, item: Self::Item) -> impl Future<Output = Result<(), Unsent<Self::Item>>> + Send;

    /// Takes the next item, waiting while there is none. `None` when the queue is closed and empty.
    ///
    /// # Cancel safety
    /// Dropping the future loses no item.
    fn pop(&self) -> impl Future<Output = Option<Self::Item>> + Send;

    /// How many items wait in it: those that were pushed, and neither popped nor drained.
    fn len(&self) -> usize;

    /// Whether no item waits in it.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Accepts nothing any more, and wakes those that wait to push, or to pop what will never come. Twice
    /// is as good as once.
    fn close(&self);

    /// Takes out at once all that waits in it, whatever its pace: what a stopped runner leaves.
    fn drain(&self) -> Vec<Self::Item>;
}

impl<Q: WorkQueue> WorkQueue for Arc<Q> {
    type Item = Q::Item;

    fn push(&self, item: Q::Item) -> impl Future<Output = Result<(), Unsent<Q::Item>>> + Send {
        Q::push(self, item)
    }

    fn pop(&self) -> impl Future<Output = Option<Q::Item>> + Send {
        Q::pop(self)
    }

    fn len(&self) -> usize {
        Q::len(self)
    }

    fn close(&self) {
        Q::close(self);
    }

    fn drain(&self) -> Vec<Q::Item> {
        Q::drain(self)
    }
}
