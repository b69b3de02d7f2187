//! Several streams brought together, as their items come or by their numbers.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};

use super::Numbered;
use crate::error::{Cause, Error};

/// Brings shards together, items as they come. On the first error the others are dropped, then the error
/// is given out, then it ends.
///
/// See [`scatter`](super::ParStreamExt::scatter) for where shards come from.
pub fn gather<'a, T, X, S>(shards: impl IntoIterator<Item = S>) -> BoxStream<'a, Result<T, Error>>
where
    S: Stream<Item = Result<Numbered<T>, X>> + Send + 'a,
    T: Send + 'a,
    X: Into<Cause> + 'a,
{
    let items = stream::select_all(shards.into_iter().map(StreamExt::boxed));
    let results = stream::unfold(Some(items), |items| async move {
        let mut items = items?;
        match items.next().await? {
            Ok(item) => Some((Ok(item.value), Some(items))),
            Err(error) => {
                drop(items);
                Some((Err(Error::from_cause(error)), None))
            }
        }
    });
    results.boxed()
}

/// Brings shards together, items by their numbers; those of each shard must rise. One item of each shard
/// is held at most. A number that no shard brings (it was filtered out) is passed over once every shard
/// is past it. On the first error the others are dropped, then the error is given out, then it ends.
///
/// ```
/// use anio_parallel::{Error, gather_ordered, stream::Numbered};
/// use futures::{TryStreamExt, stream};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
/// let shard = |items: [(u64, char); 2]| {
///     stream::iter(items.map(|(index, value)| Ok::<_, Error>(Numbered { index, value })))
/// };
/// let text: String = gather_ordered([shard([(1, 'b'), (4, 'd')]), shard([(0, 'a'), (2, 'c')])])
///     .try_collect()
///     .await?;
/// assert_eq!(text, "abcd");
/// # Ok(()) }
/// ```
pub fn gather_ordered<'a, T, X, S>(shards: impl IntoIterator<Item = S>) -> BoxStream<'a, Result<T, Error>>
where
    S: Stream<Item = Result<Numbered<T>, X>> + Send + 'a,
    T: Send + 'a,
    X: Into<Cause> + 'a,
{
    let lanes = shards.into_iter().map(|shard| Lane::Asked(shard.boxed())).collect();
    Merge { lanes, next: 0 }.boxed()
}

struct Merge<'a, T, X> {
    lanes: Vec<Lane<'a, T, X>>,
    /// The number after the last that was given out.
    next: u64,
}

/// A shard, and the item that it holds ready.
enum Lane<'a, T, X> {
    Asked(BoxStream<'a, Result<Numbered<T>, X>>),
    Holds(Numbered<T>, BoxStream<'a, Result<Numbered<T>, X>>),
    Ended,
}

impl<T, X> Merge<'_, T, X> {
    /// Asks every shard that holds nothing; whether all have answered.
    fn ask(&mut self, context: &mut Context<'_>) -> Result<bool, X> {
        let mut all = true;
        for lane in &mut self.lanes {
            let Lane::Asked(shard) = lane else { continue };
            let Poll::Ready(answer) = shard.poll_next_unpin(context) else {
                all = false;
                continue;
            };
            *lane = match (std::mem::replace(lane, Lane::Ended), answer.transpose()?) {
                (Lane::Asked(shard), Some(item)) => Lane::Holds(item, shard),
                _ => Lane::Ended,
            };
        }
        Ok(all)
    }

    /// Takes the item with the lowest number, which must be the next unless all shards have answered.
    fn take(&mut self, all_answered: bool) -> Option<T> {
        let holding = self.lanes.iter_mut().filter_map(|lane| match lane {
            Lane::Holds(item, _) => Some((item.index, lane)),
            _ => None,
        });
        let (index, lane) = holding.min_by_key(|(index, _)| *index)?;
        if index > self.next && !all_answered {
            return None;
        }
        let Lane::Holds(item, shard) = std::mem::replace(lane, Lane::Ended) else { return None };
        *lane = Lane::Asked(shard);
        self.next = index + 1;
        Some(item.value)
    }
}

impl<T, X> Unpin for Merge<'_, T, X> {}

impl<T, X: Into<Cause>> Stream for Merge<'_, T, X> {
    type Item = Result<T, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let all_answered = match this.ask(context) {
            Ok(all) => all,
            Err(error) => {
                this.lanes.clear();
                return Poll::Ready(Some(Err(Error::from_cause(error))));
            }
        };
        match this.take(all_answered) {
            Some(value) => Poll::Ready(Some(Ok(value))),
            None if all_answered => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}
