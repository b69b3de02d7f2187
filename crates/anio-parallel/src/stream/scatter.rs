//! One source, several readers, each item for one of them.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::{Stream, StreamExt};

use super::driver::{Driver, Outlet};
use super::source::failing;
use crate::channel::{Receiver, Sender, channel};
use crate::error::{Cause, Error};

/// An item with its number in the source, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Numbered<T> {
    /// The number.
    pub index: u64,
    /// The item.
    pub value: T,
}

impl<T> Numbered<T> {
    /// Another item with the same number.
    pub fn map<R>(self, f: impl FnOnce(T) -> R) -> Numbered<R> {
        Numbered { index: self.index, value: f(self.value) }
    }

    /// What came of a fallible function, with the same number.
    ///
    /// # Errors
    /// That of the function.
    pub fn try_map<R, E>(self, f: impl FnOnce(T) -> Result<R, E>) -> Result<Numbered<R>, E> {
        Ok(Numbered { index: self.index, value: f(self.value)? })
    }
}

/// One reader of a [`scatter`](super::ParStreamExt::scatter): a stream of results.
pub struct Shard<T: 'static> {
    receiver: Receiver<Result<Numbered<T>, Error>>,
    _driver: Driver,
}

impl<T> Stream for Shard<T> {
    type Item = Result<Numbered<T>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.receiver.poll_next_unpin(context)
    }
}

impl<T> fmt::Debug for Shard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard").field("n_waiting", &self.receiver.len()).finish_non_exhaustive()
    }
}

pub(super) fn start<S, T, X>(source: S, n_shards: usize) -> Vec<Shard<T>>
where
    S: Stream<Item = Result<T, X>> + Send + 'static,
    T: Send + 'static,
    X: Into<Cause>,
{
    let (sender, receiver) = channel(n_shards);
    let driver = Driver::start(failing(source), Shards { sender, n_given: 0 });
    (0..n_shards).map(|_| Shard { receiver: receiver.clone(), _driver: driver.clone() }).collect()
}

struct Shards<T> {
    sender: Sender<Result<Numbered<T>, Error>>,
    n_given: u64,
}

impl<T: Send + 'static> Outlet<T> for Shards<T> {
    async fn give(&mut self, value: T) -> bool {
        let index = self.n_given;
        self.n_given += 1;
        self.sender.send(Ok(Numbered { index, value })).await.is_ok()
    }

    async fn fail(&mut self, error: Error) {
        // Where nobody reads any more, nobody asks what ended the source.
        drop(self.sender.send(Err(error)).await);
    }
}
