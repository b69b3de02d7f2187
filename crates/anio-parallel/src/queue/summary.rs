//! How a runner ended.

use crate::error::Error;

/// What a runner has done. Every item that was accepted was handled, or is among the unprocessed.
#[derive(Clone, Debug)]
pub struct Summary<T> {
    /// How many results the handler was given, failures included.
    pub n_handled: u64,
    /// How many of them were errors.
    pub n_failed: u64,
    /// What no executor began: the queue's rest, and the item that the producer had ready. Empty unless
    /// the runner was stopped.
    pub unprocessed: Vec<T>,
    /// Why it ended.
    pub end: End,
}

/// Why a runner ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum End {
    /// The producer came to its end, or the queue was closed, and every item was handled.
    Finished,
    /// The handler wanted no more.
    Stopped,
    /// The scope was called off.
    Cancelled,
    /// The producer failed, or panicked. What it had pushed before was handled.
    ProducerFailed(Error),
}

impl<T> Summary<T> {
    /// The summary itself, unless the work was called off or the producer failed. Items that failed are no
    /// error here: the handler has seen them.
    ///
    /// # Errors
    /// [`Error::Cancelled`], or that of the producer.
    pub fn ok(self) -> Result<Self, Error> {
        match self.end {
            End::Finished | End::Stopped => Ok(self),
            End::Cancelled => Err(Error::Cancelled),
            End::ProducerFailed(error) => Err(error),
        }
    }
}
