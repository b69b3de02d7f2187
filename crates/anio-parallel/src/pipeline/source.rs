//! Where the items of a pipeline come from.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, Stream, StreamExt};

use super::sink::Answer;
use super::timer;
use crate::channel::{Receiver, Sender, rendezvous};
use crate::error::{Cause, Error};

/// A source of items, read by one task of the pipeline, never further ahead than the first queue has room.
///
/// Iterators are sources by themselves. Nothing is asked for and no clock runs before the pipeline does.
/// The code of a source runs on tokio: what it computes or blocks per item should be short; for more,
/// see [`producer`](Source::producer).
///
/// ```
/// use std::time::Duration;
/// use anio_parallel::{Pipeline, pipeline::Source};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), anio_parallel::Error> {
/// // A line of work, a heartbeat, and a signal that ends both.
/// let jobs = Source::producer(|out| async move {
///     for job in ["sweep", "dust"] {
///         tokio::time::sleep(Duration::from_secs(12)).await;
///         out.send(job.to_owned()).await?;
///     }
///     Ok::<_, anio_parallel::Error>(())
/// });
/// let beats = Source::tick(Duration::from_secs(10)).map(|n| format!("beat {n}"));
/// let end = tokio::time::sleep(Duration::from_secs(35));
///
/// let report = Pipeline::source(jobs.merge(beats).until(end)).collect::<Vec<String>>().run().await?;
/// assert_eq!(report.value, ["beat 1", "sweep", "beat 2", "dust", "beat 3"].map(String::from)[..]);
/// # Ok(()) }
/// ```
#[must_use = "a source does nothing until a pipeline runs"]
pub struct Source<T> {
    pub(super) items: BoxStream<'static, Result<T, Error>>,
}

impl<T: Send + 'static> Source<T> {
    /// The items of a stream.
    pub fn stream(items: impl Stream<Item = T> + Send + 'static) -> Self {
        Self { items: items.map(Ok).boxed() }
    }

    /// The items of a stream of results. An error stops the pipeline, with the number that the item would
    /// have had, or is treated as [asked for](super::Pipeline::settle).
    pub fn try_stream<E: Into<Cause>>(items: impl Stream<Item = Result<T, E>> + Send + 'static) -> Self {
        Self { items: items.map(|item| item.map_err(Error::from_cause)).boxed() }
    }

    /// The items of an iterator of results, see [`try_stream`](Source::try_stream).
    pub fn try_iter<E: Into<Cause>>(
        items: impl IntoIterator<Item = Result<T, E>, IntoIter: Send + 'static>,
    ) -> Self {
        let items = items.into_iter().map(|item| item.map_err(Error::from_cause));
        Self { items: stream::iter(items).boxed() }
    }

    /// What an async function sends. The source ends when the function has returned and every clone of
    /// the sender is gone, or at once when it returns an error.
    ///
    /// Sending waits until the pipeline takes the item, so a producer is at most one item ahead. It fails
    /// when the pipeline wants no more; a producer that returns that error does no harm. The function is
    /// dropped then at its next `.await`.
    ///
    /// Code that blocks goes onto a thread of its own, which takes the sender along. Not onto the pool:
    /// waiting for room it would hold one of the threads, perhaps the only one, that later stages compute on.
    ///
    /// ```
    /// use anio_parallel::{Error, Pipeline, Source};
    /// use tokio::task::spawn_blocking;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// let lines = Source::producer(|out| async move {
    ///     let read = move || "a file\nof two lines".lines().try_for_each(|line| out.send_blocking(line));
    ///     spawn_blocking(read).await.map_err(Error::from_cause)?.map_err(Error::from)
    /// });
    /// let report = Pipeline::source(lines).cpu_stage("count", 1, str::len).collect::<Vec<_>>().run().await?;
    /// assert_eq!(report.value, [6, 12]);
    /// # Ok(()) }
    /// ```
    pub fn producer<F, Fut>(f: F) -> Self
    where
        F: FnOnce(Sender<T>) -> Fut + Send + 'static,
        Fut: Future<Output: Answer> + Send + 'static,
    {
        let (sender, items) = rendezvous();
        let producing = async move { f(sender).await.into_flow().map(drop) };
        Self { items: Producer { producing: Some(producing.boxed()), items: Some(items) }.boxed() }
    }

    /// The same source with other items, by a function that is called for one after the other.
    pub fn map<R: Send + 'static>(self, mut f: impl FnMut(T) -> R + Send + 'static) -> Source<R> {
        Source { items: self.items.map(move |item| item.map(&mut f)).boxed() }
    }

    /// This source and another as one, which ends when both have ended.
    pub fn merge(self, other: impl IntoSource<Item = T>) -> Self {
        Self::select([self, other.into_source()])
    }

    /// Several sources as one, which ends when all have ended. Whichever has an item is next; of several
    /// that have one, each has its turn.
    pub fn select(sources: impl IntoIterator<Item = Self>) -> Self {
        Self { items: stream::select_all(sources.into_iter().map(|source| source.items)).boxed() }
    }

    /// The same source, which ends when the future is ready.
    pub fn until(self, end: impl Future<Output: Send> + Send + 'static) -> Self {
        Self { items: self.items.take_until(end.boxed()).boxed() }
    }
}

impl Source<u64> {
    /// A tick per period (at least 1 ms), by its number: tick n is due n periods after the pipeline
    /// started, however long the work between takes, so that ticks do not drift.
    ///
    /// Ticks wait in the first queue up to its [capacity](super::Pipeline::cap). Those that become due
    /// while there is no room are missed: the first of them comes late, the others never, and the next is
    /// in time again; a gap in the numbers shows it. It never ends by itself: see
    /// [`until`](Source::until) and [`take`](super::Pipeline::take).
    ///
    /// The pipeline panics, as an error of the source, outside a tokio runtime with timers.
    ///
    /// ```
    /// use std::time::Duration;
    /// use anio_parallel::{Pipeline, pipeline::Source};
    /// use tokio::time::{Instant, sleep};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), anio_parallel::Error> {
    /// let started = Instant::now();
    /// let work = |_| sleep(Duration::from_millis(70));
    /// Pipeline::source(Source::tick(Duration::from_millis(100))).take(10).sink(work).run().await?;
    /// assert_eq!(started.elapsed().as_millis(), 10 * 100 + 70);
    /// # Ok(()) }
    /// ```
    pub fn tick(period: Duration) -> Self {
        Self::stream(timer::tick(period))
    }
}

impl Source<()> {
    /// One item, this long after the pipeline started.
    pub fn after(delay: Duration) -> Self {
        Self::stream(timer::after(delay))
    }
}

impl<T> fmt::Debug for Source<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("size_hint", &self.items.size_hint()).finish()
    }
}

/// What a pipeline can read from: a [`Source`], or anything that can be iterated over.
pub trait IntoSource {
    /// What it gives.
    type Item;

    /// As a source.
    fn into_source(self) -> Source<Self::Item>;
}

impl<T> IntoSource for Source<T> {
    type Item = T;

    fn into_source(self) -> Self {
        self
    }
}

impl<I> IntoSource for I
where
    I: IntoIterator<IntoIter: Send + 'static, Item: Send + 'static>,
{
    type Item = I::Item;

    fn into_source(self) -> Source<I::Item> {
        Source::stream(stream::iter(self))
    }
}

/// An async function and what it sends.
struct Producer<T: 'static> {
    producing: Option<BoxFuture<'static, Result<(), Error>>>,
    /// `None` once the function has failed.
    items: Option<Receiver<T>>,
}

impl<T> Stream for Producer<T> {
    type Item = Result<T, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        // First the function: what it sends now can be taken at once.
        if let Some(producing) = &mut this.producing
            && let Poll::Ready(result) = producing.poll_unpin(context)
        {
            this.producing = None;
            if let Err(error) = result {
                this.items = None;
                return Poll::Ready(Some(Err(error)));
            }
        }
        match &mut this.items {
            Some(items) => items.poll_next_unpin(context).map(|item| item.map(Ok)),
            None => Poll::Ready(None),
        }
    }
}
