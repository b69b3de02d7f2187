//! Joins a producer, a queue, executors and a handler, and sees to it that nothing gets lost between them.

use std::fmt;
use std::future::poll_fn;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use futures::future::OptionFuture;
use futures::{Stream, StreamExt, stream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::handler::Told;
use super::produce::{self, Produce, Produced};
use super::worker::{Message, Worker};
use super::{Called, End, Executor, Handler, Summary, Verdict, WorkQueue};
use crate::cancel::{CalledOff, Cancel};
use crate::carrier::Carrier;
use crate::error::{Cause, Error};
use crate::progress::Meter;

/// A job over a work queue, put together part by part and started with [`run`](Runner::run).
///
/// ```
/// use anio_parallel::queue::{Fifo, Runner};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), anio_parallel::Error> {
/// let mut sum = 0;
/// let done = Runner::new(Fifo::new(5))
///     .items(1..=100_u64)
///     .execute(4, |n| async move { n.checked_mul(n).ok_or("too large") })
///     .handle(|square| sum += square.unwrap_or(0))
///     .run()
///     .await
///     .ok()?;
/// assert_eq!((done.n_handled, sum), (100, 338_350));
/// # Ok(()) }
/// ```
///
/// Each item goes by itself from the producer to an executor and on to the handler, and no more of them than there are
/// executors are begun and not handled. That costs less than a microsecond of computing, and where threads wait for one
/// another a wake-up or two: of no account for items of 100 µs, half or more of the time for items of 1 µs. Such short
/// ones are better pushed many at a time, or given to [`ParMap`](crate::ParMap).
///
/// It takes scope and span where it is run: each item has a span `item`, as in
/// [`ParMap`](crate::ParMap), and the scope's token calls it off.
#[must_use = "nothing runs before `run`"]
pub struct Runner<'a, Q: WorkQueue, E = (), H = ()> {
    queue: Arc<Q>,
    name: Option<Arc<str>>,
    n_total: Option<u64>,
    produce: Option<Produce<'a, Q>>,
    n_executors: usize,
    executor: E,
    handler: H,
}

impl<Q: WorkQueue> Runner<'_, Q> {
    /// A job over this queue. Who wants to push to it from elsewhere, too, makes it an `Arc` and keeps a
    /// clone.
    pub fn new(queue: Q) -> Self {
        Self {
            queue: Arc::new(queue),
            name: None,
            n_total: None,
            produce: None,
            n_executors: 1,
            executor: (),
            handler: (),
        }
    }
}

impl<'a, Q: WorkQueue, E, H> Runner<'a, Q, E, H> {
    /// Gives the job a name, which its errors, spans and reports of progress then carry.
    pub fn named(self, name: impl Into<Arc<str>>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// Takes items from an iterator, which is asked whenever the queue has room. The last call of `items`,
    /// `source` and `produce` counts; its end closes the queue. With none of them, the job lasts until
    /// somebody else closes it.
    pub fn items<I>(self, items: I) -> Self
    where
        I: IntoIterator<Item = Q::Item, IntoIter: Send + 'a>,
    {
        let items = items.into_iter();
        let n_total = match items.size_hint() {
            (least, Some(most)) if least == most => Some(least as u64),
            _ => None,
        };
        Self { n_total, ..self.source(stream::iter(items).map(Ok::<_, Error>)) }
    }

    /// Takes items from a stream, which is read whenever the queue has room. An error of the stream, or a
    /// panic, ends it; what came before it is handled.
    pub fn source<S, X>(self, source: S) -> Self
    where
        S: Stream<Item = Result<Q::Item, X>> + Send + 'a,
        X: Into<Cause> + 'a,
    {
        Self { n_total: None, produce: Some(produce::from_stream(source)), ..self }
    }

    /// Lets a function push items by itself. It is dropped at its next await point when the job stops.
    ///
    /// ```
    /// use anio_parallel::queue::{Fifo, Runner, WorkQueue};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), anio_parallel::Error> {
    /// let mut lengths = Vec::new();
    /// Runner::new(Fifo::new(2))
    ///     .produce(|queue| async move {
    ///         queue.push("one").await?;
    ///         queue.push("three").await
    ///     })
    ///     .execute(1, |word| async move { Ok::<_, anio_parallel::Error>(word.len()) })
    ///     .handle(|length| lengths.extend(length))
    ///     .run()
    ///     .await
    ///     .ok()?;
    /// assert_eq!(lengths, [3, 5]);
    /// # Ok(()) }
    /// ```
    pub fn produce<F, Fut, X>(self, f: F) -> Self
    where
        F: FnOnce(Arc<Q>) -> Fut + Send + 'a,
        Fut: Future<Output = Result<(), X>> + Send + 'a,
        X: Into<Cause>,
    {
        Self { n_total: None, produce: Some(produce::from_function(f)), ..self }
    }

    /// Works on items with an async closure, `n_executors` at a time, at least one.
    pub fn execute<F, Fut, R, X>(self, n_executors: usize, f: F) -> Runner<'a, Q, Called<F>, H>
    where
        F: FnMut(Q::Item) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Result<R, X>> + Send,
        R: Send + 'static,
        X: Into<Cause>,
    {
        self.executors(n_executors, Called(f))
    }

    /// Works on items with `n_executors` clones of an executor, at least one.
    pub fn executors<X>(self, n_executors: usize, executor: X) -> Runner<'a, Q, X, H>
    where
        X: Executor<Q::Item> + Clone + 'static,
    {
        let Self { queue, name, n_total, produce, handler, .. } = self;
        Runner { queue, name, n_total, produce, n_executors: n_executors.max(1), executor, handler }
    }

    /// Hands results and errors to a closure, one at a time. It may return `ControlFlow::Break(())` to
    /// stop the job; see [`Handler::handle`].
    pub fn handle<F, V>(self, f: F) -> Runner<'a, Q, E, Told<F>>
    where
        E: Executor<Q::Item>,
        F: FnMut(Result<E::Output, Error>) -> V + Send,
        V: Verdict,
    {
        self.handler(Told(f))
    }

    /// Hands results and errors to a handler, one at a time.
    pub fn handler<X>(self, handler: X) -> Runner<'a, Q, E, X>
    where
        E: Executor<Q::Item>,
        X: Handler<E::Output>,
    {
        let Self { queue, name, n_total, produce, n_executors, executor, .. } = self;
        Runner { queue, name, n_total, produce, n_executors, executor, handler }
    }
}

impl<Q, E, H> Runner<'_, Q, E, H>
where
    Q: WorkQueue,
    E: Executor<Q::Item> + Clone + 'static,
    H: Handler<E::Output>,
{
    /// Runs the job to its end: until the producer has ended and every item is handled, the handler wants
    /// no more, or the scope is called off. However it ends, the queue is closed, and nothing of the job
    /// runs any more.
    ///
    /// A failed item is for the handler to judge and stops nothing; so is a panic of an executor.
    ///
    /// When the scope is called off, executors end at their next await point, their items being handled as
    /// [`Error::Cancelled`]; the rest is [unprocessed](Summary::unprocessed).
    ///
    /// # Panics
    /// When the handler panics, and outside a tokio runtime.
    ///
    /// # Cancel safety
    /// Dropping the future stops the job and closes the queue. What waited in the queue is still there, if
    /// somebody else holds it; what executors had begun, and what the producer had ready, is lost.
    pub async fn run(self) -> Summary<Q::Item> {
        let here = Carrier::current();
        let meter =
            Meter::start(here.scope(), self.name.clone().unwrap_or_else(|| Arc::from("queue")), self.n_total);
        let inside = here.child();
        let _call_off = inside.scope().token().clone().drop_guard();
        let _close = CloseOnDrop(Arc::clone(&self.queue));
        let stop = inside.scope().token().child_token();
        let produce = self.produce.map(|produce| produce(Arc::clone(&self.queue), stop.clone()));

        let (slots, messages) = mpsc::channel(self.n_executors);
        let stopped = Cancel::new(stop.clone());
        let (n_taken, mut tasks) = (Arc::new(AtomicU64::new(0)), JoinSet::new());
        for _ in 0..self.n_executors {
            let worker = Worker {
                queue: Arc::clone(&self.queue),
                executor: self.executor.clone(),
                pristine: self.executor.clone(),
                slots: slots.clone(),
                inside: inside.clone(),
                stopped: stopped.clone(),
                n_taken: Arc::clone(&n_taken),
                name: self.name.clone(),
            };
            tasks.spawn(worker.run());
        }
        drop(slots);

        let called_off = CalledOff::new(inside.scope().cancel());
        let ending = Ending { end: None, n_handled: 0, n_failed: 0, unprocessed: Vec::new() };
        let join = Join { queue: &*self.queue, stop, handler: self.handler, meter, ending };
        let summary = join.run(produce.into(), messages, called_off).await;
        while tasks.join_next().await.is_some() {}
        summary
    }
}

/// The middle of a job: it hears of the producer, the executors and the token, and tells the handler.
struct Join<'q, Q: WorkQueue, H> {
    queue: &'q Q,
    /// Ends producer and executors; what was begun is finished.
    stop: CancellationToken,
    handler: H,
    meter: Meter,
    ending: Ending<Q::Item>,
}

/// What becomes the summary.
struct Ending<T> {
    end: Option<End>,
    n_handled: u64,
    n_failed: u64,
    unprocessed: Vec<T>,
}

impl<Q: WorkQueue, H> Join<'_, Q, H> {
    async fn run<R>(
        mut self,
        mut produce: OptionFuture<impl Future<Output = Produced<Q::Item>> + Unpin>,
        mut messages: mpsc::Receiver<Message<Q::Item, R>>,
        mut called_off: CalledOff,
    ) -> Summary<Q::Item>
    where
        H: Handler<R>,
    {
        let (mut is_producing, mut is_called_off) = (true, false);
        loop {
            // Without a preference: an eager producer must not keep results waiting, nor they it.
            tokio::select! {
                produced = &mut produce, if is_producing => {
                    is_producing = false;
                    // Without a producer, it is somebody else who closes the queue.
                    if let Some(produced) = produced {
                        self.take_up(produced);
                    }
                }
                message = messages.recv() => match message {
                    Some(message) => self.hear(message).await,
                    None => break,
                },
                () = poll_fn(|context| called_off.poll(context)), if !is_called_off => {
                    is_called_off = true;
                    self.stop(End::Cancelled);
                }
            }
        }
        if called_off.is_so() {
            // Executors hear of it by themselves, and may all have ended before this loop looked.
            self.stop(End::Cancelled);
        }
        // All executors have ended. The producer may still be there if somebody else closed the queue.
        self.stop.cancel();
        self.queue.close();
        if is_producing && let Some(produced) = produce.await {
            self.take_up(produced);
        }
        let Ending { end, n_handled, n_failed, mut unprocessed } = self.ending;
        unprocessed.extend(self.queue.drain());
        Summary { n_handled, n_failed, unprocessed, end: end.unwrap_or(End::Finished) }
    }

    fn take_up(&mut self, produced: Produced<Q::Item>) {
        self.ending.unprocessed.extend(produced.refused);
        if let Some(error) = produced.error {
            self.ending.end.get_or_insert(End::ProducerFailed(error));
        }
        self.queue.close();
    }

    async fn hear<R>(&mut self, message: Message<Q::Item, R>)
    where
        H: Handler<R>,
    {
        match message {
            Message::Untouched(item) => self.ending.unprocessed.push(item),
            Message::Result(result) => {
                self.ending.n_handled += 1;
                self.ending.n_failed += u64::from(result.is_err());
                let flow = self.handler.handle(result).await;
                self.meter.add_one();
                if flow == ControlFlow::Break(()) {
                    self.stop(End::Stopped);
                }
            }
        }
    }

    fn stop(&mut self, end: End) {
        self.ending.end.get_or_insert(end);
        self.stop.cancel();
        self.queue.close();
    }
}

impl<Q: WorkQueue + fmt::Debug, E, H> fmt::Debug for Runner<'_, Q, E, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { queue, name, n_executors, .. } = self;
        let mut runner = f.debug_struct("Runner");
        runner.field("queue", queue).field("name", name).field("n_executors", n_executors);
        runner.finish_non_exhaustive()
    }
}

struct CloseOnDrop<Q: WorkQueue>(Arc<Q>);

impl<Q: WorkQueue> Drop for CloseOnDrop<Q> {
    fn drop(&mut self) {
        self.0.close();
    }
}
