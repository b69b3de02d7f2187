//! Streams in parallel: items are spawned, on tokio or on the pool, instead of polled in one future.
//!
//! [`ParStreamExt`] is for streams of plain items, [`TryParStreamExt`] for streams of results, such as
//! those that the forms of the first give. `stream.map(Ok::<_, Error>)` goes from the one to the other.
//!
//! The forms take scope and span where they are called; what they start gets a child of the scope's
//! token, and each item a span `item`, as in [`ParMap`](crate::ParMap). They work while they are polled,
//! except [`broadcast`](ParStreamExt::broadcast) and [`scatter`](ParStreamExt::scatter), which have a
//! task of their own.
//!
//! On the first error (a failed item, a panic, an error of the source, the scope called off) they stop
//! pulling, give out what comes before it, call off and wait for what still runs, give out the error, and
//! end. A stage that is [`settled`](crate::Stage::settled) goes on instead.

mod batching;
mod broadcast;
mod driver;
mod gather;
mod job;
mod reduce;
mod scatter;
pub(crate) mod source;
mod spread;

use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt};

pub use broadcast::Branch;
pub use gather::{gather, gather_ordered};
pub use scatter::{Numbered, Shard};

use crate::error::{Cause, Error};
use crate::stage::Stage;
use batching::Batching;
use job::Starter;
pub(crate) use source::failing;
use spread::{Order, Spread};

/// Parallel forms of a stream of plain items.
///
/// A [`Stage`] says over how many workers an item's function is spread; a number will do.
///
/// ```
/// use anio_parallel::ParStreamExt;
/// use futures::{TryStreamExt, stream};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), anio_parallel::Error> {
/// let lengths: Vec<usize> = stream::iter(["a", "bb", "ccc"])
///     .par_then(2, |word| async move { word.len() })
///     .try_collect()
///     .await?;
/// assert_eq!(lengths, [1, 2, 3]);
/// # Ok(()) }
/// ```
pub trait ParStreamExt: Stream + Sized {
    /// Calls an async function for each item, each on a tokio task of its own, at most n at a time.
    /// Results come in the order of the items.
    ///
    /// # Panics
    /// When polled outside a tokio runtime.
    fn par_then<'a, R, F, Fut>(self, stage: impl Into<Stage>, f: F) -> BoxStream<'a, Result<R, Error>>
    where
        Self: Send + 'a,
        Self::Item: Send + 'static,
        F: Fn(Self::Item) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = R> + Send + 'static,
        R: Send + 'static,
    {
        then(self.map(Ok::<_, Error>), stage.into(), Order::Kept, move |item| {
            let called = f(item);
            async move { Ok::<_, Error>(called.await) }
        })
    }

    /// [`par_then`](ParStreamExt::par_then) with results as they come.
    ///
    /// # Panics
    /// When polled outside a tokio runtime.
    fn par_then_unordered<'a, R, F, Fut>(
        self,
        stage: impl Into<Stage>,
        f: F,
    ) -> BoxStream<'a, Result<R, Error>>
    where
        Self: Send + 'a,
        Self::Item: Send + 'static,
        F: Fn(Self::Item) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = R> + Send + 'static,
        R: Send + 'static,
    {
        then(self.map(Ok::<_, Error>), stage.into(), Order::AsTheyCome, move |item| {
            let called = f(item);
            async move { Ok::<_, Error>(called.await) }
        })
    }

    /// Calls a function that computes for each item, on the pool, at most n at a time. Results come in
    /// the order of the items.
    ///
    /// A job costs some microseconds beyond the function; smaller items go better in
    /// [batches](ParStreamExt::batching).
    fn par_map<'a, R, F>(self, stage: impl Into<Stage>, f: F) -> BoxStream<'a, Result<R, Error>>
    where
        Self: Send + 'a,
        Self::Item: Send + 'static,
        F: Fn(Self::Item) -> R + Send + Sync + 'static,
        R: Send + 'static,
    {
        map(self.map(Ok::<_, Error>), stage.into(), Order::Kept, move |item| Ok::<_, Error>(f(item)))
    }

    /// [`par_map`](ParStreamExt::par_map) with results as they come.
    fn par_map_unordered<'a, R, F>(self, stage: impl Into<Stage>, f: F) -> BoxStream<'a, Result<R, Error>>
    where
        Self: Send + 'a,
        Self::Item: Send + 'static,
        F: Fn(Self::Item) -> R + Send + Sync + 'static,
        R: Send + 'static,
    {
        map(self.map(Ok::<_, Error>), stage.into(), Order::AsTheyCome, move |item| Ok::<_, Error>(f(item)))
    }

    /// Calls an async function for each item, each on a tokio task of its own, at most n at a time, and
    /// waits for all.
    ///
    /// # Errors
    /// The first panic, or [`Error::Cancelled`]; nothing runs any more then.
    ///
    /// # Panics
    /// When polled outside a tokio runtime.
    fn par_for_each<'a, F, Fut>(
        self,
        stage: impl Into<Stage>,
        f: F,
    ) -> impl Future<Output = Result<(), Error>> + Send + 'a
    where
        Self: Send + 'a,
        Self::Item: Send + 'static,
        F: Fn(Self::Item) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        finish(self.par_then_unordered(stage, f))
    }

    /// Puts items together: at most `n_items_max` (at least one), and none waits longer than `delay_max`
    /// for the others. A batch is never empty.
    ///
    /// # Panics
    /// When polled outside a tokio runtime with timers.
    ///
    /// ```
    /// use std::time::Duration;
    /// use anio_parallel::ParStreamExt;
    /// use futures::{StreamExt, stream};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let batches = stream::iter(0..5).batching(2, Duration::from_secs(1)).collect::<Vec<_>>().await;
    /// assert_eq!(batches, [vec![0, 1], vec![2, 3], vec![4]]);
    /// # }
    /// ```
    fn batching<'a>(self, n_items_max: usize, delay_max: Duration) -> BoxStream<'a, Vec<Self::Item>>
    where
        Self: Send + 'a,
        Self::Item: Send + 'a,
    {
        Batching::new(self, n_items_max, delay_max).boxed()
    }

    /// Gives every item to `n_branches` readers. A branch holds at most `n_items_max` items (at least
    /// one); the slowest holds the source back, one that is dropped holds nothing back. The source is
    /// read by a task, which ends with the source or when all branches are gone.
    ///
    /// # Panics
    /// When called outside a tokio runtime.
    ///
    /// ```
    /// use anio_parallel::ParStreamExt;
    /// use futures::{TryStreamExt, stream};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), anio_parallel::Error> {
    /// let (numbers, checks) = stream::iter([3, 4]).tee(1);
    /// let (numbers, n_checks) = tokio::try_join!(
    ///     numbers.try_collect::<Vec<_>>(),
    ///     checks.try_fold(0, |n, _| async move { Ok(n + 1) }),
    /// )?;
    /// assert_eq!((numbers, n_checks), (vec![3, 4], 2));
    /// # Ok(()) }
    /// ```
    fn broadcast(self, n_branches: usize, n_items_max: usize) -> Vec<Branch<Self::Item>>
    where
        Self: Send + 'static,
        Self::Item: Clone + Send + 'static,
    {
        broadcast::start(self.map(Ok::<_, Error>), n_branches, n_items_max)
    }

    /// [`broadcast`](ParStreamExt::broadcast) to two.
    ///
    /// # Panics
    /// When called outside a tokio runtime.
    fn tee(self, n_items_max: usize) -> (Branch<Self::Item>, Branch<Self::Item>)
    where
        Self: Send + 'static,
        Self::Item: Clone + Send + 'static,
    {
        broadcast::start_two(self.map(Ok::<_, Error>), n_items_max)
    }

    /// Deals items out to `n_shards` readers, each to the one that asks first, with its number in the
    /// source. At most `n_shards` items wait. [`gather`] and [`gather_ordered`] bring them together.
    ///
    /// # Panics
    /// When called outside a tokio runtime.
    ///
    /// ```
    /// use anio_parallel::{Error, ParStreamExt, TryParStreamExt, gather_ordered};
    /// use futures::{TryStreamExt, stream};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// let shards = stream::iter(0..6_u64).scatter(3);
    /// let worked = shards.into_iter().map(|shard| {
    ///     shard.try_par_then(1, |item| async move { Ok::<_, Error>(item.map(|n| n * n)) })
    /// });
    /// let squares: Vec<u64> = gather_ordered(worked).try_collect().await?;
    /// assert_eq!(squares, [0, 1, 4, 9, 16, 25]);
    /// # Ok(()) }
    /// ```
    fn scatter(self, n_shards: usize) -> Vec<Shard<Self::Item>>
    where
        Self: Send + 'static,
        Self::Item: Send + 'static,
    {
        scatter::start(self.map(Ok::<_, Error>), n_shards)
    }

    /// Combines all items into one, on the pool, as a tree: at most n jobs at a time, neighbours with
    /// neighbours, ⌈log₂ of the number of items⌉ deep. `None` for no item.
    ///
    /// The shape of the tree depends on the number of items alone, so that the result is the same for
    /// any number of workers and threads, also where the function rounds. It must be associative for the
    /// shape not to matter; it need not be commutative.
    ///
    /// # Errors
    /// The first panic, or [`Error::Cancelled`]; nothing runs any more then.
    ///
    /// ```
    /// use anio_parallel::ParStreamExt;
    /// use futures::stream;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), anio_parallel::Error> {
    /// let words = stream::iter(["a", "b", "c"].map(String::from));
    /// assert_eq!(words.par_reduce(2, |a, b| a + &b).await?.as_deref(), Some("abc"));
    /// # Ok(()) }
    /// ```
    fn par_reduce<'a, F>(
        self,
        stage: impl Into<Stage>,
        f: F,
    ) -> impl Future<Output = Result<Option<Self::Item>, Error>> + Send + 'a
    where
        Self: Send + 'a,
        Self::Item: Send + 'static,
        F: Fn(Self::Item, Self::Item) -> Self::Item + Send + Sync + 'static,
    {
        let f = move |left, right| Ok(f(left, right));
        reduce::reduce(self.map(Ok::<_, Error>), stage.into(), f)
    }
}

impl<S: Stream> ParStreamExt for S {}

/// Parallel forms of a stream of results, with functions that can fail.
///
/// Any error will do, of the source and of the function: it becomes the [`Error::Failed`] of its item,
/// and an [`Error`] of an earlier stage stays what it is.
///
/// ```
/// use anio_parallel::{ParStreamExt, TryParStreamExt};
/// use futures::{TryStreamExt, stream};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let error = stream::iter(["1", "2", "x", "4"])
///     .par_then(2, |text| async move { text })
///     .try_par_map(2, |text| text.parse::<u32>())
///     .try_for_each(|_| async { Ok(()) })
///     .await
///     .unwrap_err();
/// assert_eq!(error.to_string(), "item 2: invalid digit found in string");
/// # }
/// ```
pub trait TryParStreamExt<T, X>: Stream<Item = Result<T, X>> + Sized
where
    T: Send + 'static,
    X: Into<Cause> + 'static,
{
    /// [`par_then`](ParStreamExt::par_then) with a function that can fail.
    ///
    /// # Panics
    /// When polled outside a tokio runtime.
    fn try_par_then<'a, R, E, F, Fut>(self, stage: impl Into<Stage>, f: F) -> BoxStream<'a, Result<R, Error>>
    where
        Self: Send + 'a,
        F: Fn(T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, E>> + Send + 'static,
        R: Send + 'static,
        E: Into<Cause> + 'static,
    {
        then(self, stage.into(), Order::Kept, f)
    }

    /// [`par_then_unordered`](ParStreamExt::par_then_unordered) with a function that can fail.
    ///
    /// # Panics
    /// When polled outside a tokio runtime.
    fn try_par_then_unordered<'a, R, E, F, Fut>(
        self,
        stage: impl Into<Stage>,
        f: F,
    ) -> BoxStream<'a, Result<R, Error>>
    where
        Self: Send + 'a,
        F: Fn(T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, E>> + Send + 'static,
        R: Send + 'static,
        E: Into<Cause> + 'static,
    {
        then(self, stage.into(), Order::AsTheyCome, f)
    }

    /// [`par_map`](ParStreamExt::par_map) with a function that can fail.
    fn try_par_map<'a, R, E, F>(self, stage: impl Into<Stage>, f: F) -> BoxStream<'a, Result<R, Error>>
    where
        Self: Send + 'a,
        F: Fn(T) -> Result<R, E> + Send + Sync + 'static,
        R: Send + 'static,
        E: Into<Cause>,
    {
        map(self, stage.into(), Order::Kept, f)
    }

    /// [`par_map_unordered`](ParStreamExt::par_map_unordered) with a function that can fail.
    fn try_par_map_unordered<'a, R, E, F>(
        self,
        stage: impl Into<Stage>,
        f: F,
    ) -> BoxStream<'a, Result<R, Error>>
    where
        Self: Send + 'a,
        F: Fn(T) -> Result<R, E> + Send + Sync + 'static,
        R: Send + 'static,
        E: Into<Cause>,
    {
        map(self, stage.into(), Order::AsTheyCome, f)
    }

    /// [`par_for_each`](ParStreamExt::par_for_each) with a function that can fail.
    ///
    /// # Errors
    /// The first error; nothing runs any more then.
    ///
    /// # Panics
    /// When polled outside a tokio runtime.
    fn try_par_for_each<'a, E, F, Fut>(
        self,
        stage: impl Into<Stage>,
        f: F,
    ) -> impl Future<Output = Result<(), Error>> + Send + 'a
    where
        Self: Send + 'a,
        F: Fn(T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Cause> + 'static,
    {
        finish(self.try_par_then_unordered(stage, f))
    }

    /// [`broadcast`](ParStreamExt::broadcast) of the items of a stream of results; an error goes to every
    /// branch and ends it.
    ///
    /// # Panics
    /// When called outside a tokio runtime.
    fn try_broadcast(self, n_branches: usize, n_items_max: usize) -> Vec<Branch<T>>
    where
        Self: Send + 'static,
        T: Clone,
    {
        broadcast::start(self, n_branches, n_items_max)
    }

    /// [`tee`](ParStreamExt::tee) of the items of a stream of results.
    ///
    /// # Panics
    /// When called outside a tokio runtime.
    fn try_tee(self, n_items_max: usize) -> (Branch<T>, Branch<T>)
    where
        Self: Send + 'static,
        T: Clone,
    {
        broadcast::start_two(self, n_items_max)
    }

    /// [`scatter`](ParStreamExt::scatter) of the items of a stream of results; an error goes to one of
    /// the shards and ends all.
    ///
    /// # Panics
    /// When called outside a tokio runtime.
    fn try_scatter(self, n_shards: usize) -> Vec<Shard<T>>
    where
        Self: Send + 'static,
    {
        scatter::start(self, n_shards)
    }

    /// [`par_reduce`](ParStreamExt::par_reduce) with a function that can fail.
    ///
    /// # Errors
    /// The first error; nothing runs any more then.
    fn try_par_reduce<'a, E, F>(
        self,
        stage: impl Into<Stage>,
        f: F,
    ) -> impl Future<Output = Result<Option<T>, Error>> + Send + 'a
    where
        Self: Send + 'a,
        F: Fn(T, T) -> Result<T, E> + Send + Sync + 'static,
        E: Into<Cause>,
    {
        let f = move |left, right| f(left, right).map_err(Error::from_cause);
        reduce::reduce(self, stage.into(), f)
    }
}

impl<S, T, X> TryParStreamExt<T, X> for S
where
    S: Stream<Item = Result<T, X>>,
    T: Send + 'static,
    X: Into<Cause> + 'static,
{
}

fn then<'a, S, T, X, R, E, F, Fut>(
    source: S,
    stage: Stage,
    order: Order,
    f: F,
) -> BoxStream<'a, Result<R, Error>>
where
    S: Stream<Item = Result<T, X>> + Send + 'a,
    T: Send + 'static,
    X: Into<Cause>,
    F: Fn(T) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<R, E>> + Send + 'static,
    R: Send + 'static,
    E: Into<Cause> + 'static,
{
    let f = Arc::new(f);
    let start = move |starter: &Starter, index, item| {
        let f = Arc::clone(&f);
        starter.spawn(index, async move { f(item).await.map_err(Error::from_cause) })
    };
    Spread::new(failing(source), stage, order, start).boxed()
}

fn map<'a, S, T, X, R, E, F>(source: S, stage: Stage, order: Order, f: F) -> BoxStream<'a, Result<R, Error>>
where
    S: Stream<Item = Result<T, X>> + Send + 'a,
    T: Send + 'static,
    X: Into<Cause>,
    F: Fn(T) -> Result<R, E> + Send + Sync + 'static,
    R: Send + 'static,
    E: Into<Cause>,
{
    let f = Arc::new(f);
    let start = move |starter: &Starter, index, item| {
        let f = Arc::clone(&f);
        starter.compute(index, move || f(item).map_err(Error::from_cause))
    };
    Spread::new(failing(source), stage, order, start).boxed()
}

async fn finish(mut results: BoxStream<'_, Result<(), Error>>) -> Result<(), Error> {
    while let Some(result) = results.next().await {
        result?;
    }
    Ok(())
}
