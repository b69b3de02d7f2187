//! One source, several readers, every item for each.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;
use tokio::sync::mpsc;

use super::driver::{Driver, Outlet};
use super::source::failing;
use crate::error::{Cause, Error};

/// One reader of a [`broadcast`](super::ParStreamExt::broadcast): a stream of results.
pub struct Branch<T> {
    receiver: mpsc::Receiver<Result<T, Error>>,
    _driver: Driver,
}

impl<T> Stream for Branch<T> {
    type Item = Result<T, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.receiver.poll_recv(context)
    }
}

impl<T> fmt::Debug for Branch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Branch").field("len", &self.receiver.len()).finish_non_exhaustive()
    }
}

pub(super) fn start<S, T, X>(source: S, n_branches: usize, n_items_max: usize) -> Vec<Branch<T>>
where
    S: Stream<Item = Result<T, X>> + Send + 'static,
    T: Clone + Send + 'static,
    X: Into<Cause>,
{
    let (senders, receivers): (Vec<_>, Vec<_>) =
        (0..n_branches).map(|_| mpsc::channel(n_items_max.max(1))).unzip();
    let driver = Driver::start(failing(source), Branches(senders));
    receivers.into_iter().map(|receiver| Branch { receiver, _driver: driver.clone() }).collect()
}

pub(super) fn start_two<S, T, X>(source: S, n_items_max: usize) -> (Branch<T>, Branch<T>)
where
    S: Stream<Item = Result<T, X>> + Send + 'static,
    T: Clone + Send + 'static,
    X: Into<Cause>,
{
    let mut branches = start(source, 2, n_items_max).into_iter();
    let two = branches.next().zip(branches.next());
    two.expect("two branches were asked for")
}

struct Branches<T>(Vec<mpsc::Sender<Result<T, Error>>>);

impl<T: Clone + Send + 'static> Outlet<T> for Branches<T> {
    async fn give(&mut self, item: T) -> bool {
        self.send(Ok(item)).await;
        !self.0.is_empty()
    }

    async fn fail(&mut self, error: Error) {
        self.send(Err(error)).await;
    }
}

impl<T: Clone> Branches<T> {
    /// Waits for each branch to have room, and forgets those that are gone.
    async fn send(&mut self, item: Result<T, Error>) {
        let mut branch = 0;
        while branch < self.0.len() {
            if self.0[branch].send(item.clone()).await.is_ok() {
                branch += 1;
            } else {
                self.0.remove(branch);
            }
        }
    }
}
