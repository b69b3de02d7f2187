//! A whole pipeline at work: starts the workers, waits for them, and says what came of it.

use std::fmt;
use std::sync::Arc;

use futures::StreamExt;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Settings;
use super::failure::Failures;
use super::outlet::Outlet;
use super::post::Post;
use super::queue::Queue;
use super::report::Report;
use super::sink::{self, Take};
use super::source::Source;
use super::stage::{Work, labour};
use super::stats::{StageReport, Stats, Step};
use crate::carrier::Carrier;
use crate::channel::{Sender, channel};
use crate::error::Error;
use crate::progress::Meter;
use crate::stream::Numbered;
use crate::stream::source::failing;

/// A pipeline with both ends, which can be run.
#[must_use = "nothing happens until it is run"]
pub struct Runnable<A> {
    steps: Vec<Arc<Step>>,
    settings: Settings,
    /// How many items come to the sink, where that is known.
    total: Option<u64>,
    start: Start<A>,
}

/// Starts all workers; the value comes when the sink has ended.
type Start<A> = Box<dyn FnOnce(&mut Crew, Meter) -> oneshot::Receiver<A> + Send>;

impl<A: Send + 'static> Runnable<A> {
    pub(super) fn new(
        steps: Vec<Step>,
        settings: Settings,
        total: Option<u64>,
        start: impl FnOnce(&mut Crew, Meter) -> oneshot::Receiver<A> + Send + 'static,
    ) -> Self {
        let steps = steps.into_iter().map(Arc::new).collect();
        Self { steps, settings, total, start: Box::new(start) }
    }

    /// What the stages count, to be looked at from elsewhere while the pipeline runs.
    ///
    /// ```
    /// use anio_parallel::Pipeline;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), anio_parallel::Error> {
    /// let pipeline = Pipeline::source(0..3).sink(|_| async {});
    /// let stats = pipeline.stats();
    /// pipeline.run().await?;
    /// assert_eq!(stats.snapshot()[1].n_in, 3);
    /// # Ok(()) }
    /// ```
    pub fn stats(&self) -> Stats {
        Stats::new(&self.steps)
    }

    /// Runs it, in the scope and span in which the future is first polled, until the last item is
    /// through, the sink wants no more, or an item fails. No worker is left when it returns.
    ///
    /// # Errors
    /// [`Error::Failed`] or [`Error::Panicked`] of the first item that stopped it, with the name of the
    /// stage and the item's number in the source, unless a helper that the function used has noted
    /// another place; what a handler of errors returned; [`Error::Cancelled`] when the scope was called
    /// off.
    ///
    /// # Panics
    /// When polled outside a tokio runtime.
    ///
    /// # Cancel safety
    /// Dropping the future ends the workers at their next `.await`; functions that compute end at their
    /// next [`check`](crate::check()). Items on their way are dropped.
    pub async fn run(self) -> Result<Report<A>, Error> {
        self.run_until(&CancellationToken::new()).await
    }

    /// [`run`](Runnable::run), called off also by this token.
    ///
    /// # Errors
    /// As for [`run`](Runnable::run), and [`Error::Cancelled`] when the token is cancelled.
    ///
    /// # Panics
    /// When polled outside a tokio runtime.
    ///
    /// # Cancel safety
    /// As for [`run`](Runnable::run).
    pub async fn run_until(self, token: &CancellationToken) -> Result<Report<A>, Error> {
        let stats = self.stats();
        let started = Instant::now();
        let here = Carrier::current();
        let whole = here.child();
        let meter = Meter::start(here.scope(), self.settings.name, self.total);
        let own = whole.scope().token().clone();
        let _guard = own.clone().drop_guard();
        let failures = Arc::new(Failures::new(self.settings.policy, own.clone()));

        let mut crew = Crew::new(self.steps, &whole, &failures, self.settings.cap);
        let value = (self.start)(&mut crew, meter);
        let mut tasks = crew.into_tasks();
        loop {
            tokio::select! {
                biased;
                () = token.cancelled(), if !own.is_cancelled() => own.cancel(),
                ended = tasks.join_next() => match ended {
                    None => break,
                    // Workers catch panics; one is cut short by the end of the runtime only.
                    Some(ended) => if ended.is_err() { own.cancel() },
                },
            }
        }

        let stages = stats.snapshot();
        stages.iter().for_each(StageReport::tell);
        let errors = failures.take()?;
        if own.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let value = value.await.map_err(|_| Error::Cancelled)?;
        Ok(Report { value, stages, errors, elapsed: started.elapsed() })
    }
}

impl<A> fmt::Debug for Runnable<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::show("Runnable", self.steps.iter().map(|step| &**step), &self.settings, f)
    }
}

/// The stages of one run, while their workers are being started.
pub(super) struct Crew {
    posts: Vec<Arc<Post>>,
    tasks: JoinSet<()>,
    cap: usize,
}

impl Crew {
    fn new(steps: Vec<Arc<Step>>, whole: &Carrier, failures: &Arc<Failures>, cap: usize) -> Self {
        let post = |step| Arc::new(Post::new(step, whole.child(), Arc::clone(failures)));
        Self { posts: steps.into_iter().map(post).collect(), tasks: JoinSet::new(), cap }
    }

    /// The tasks alone: workers hold what else they need, and the end of a stage shows in what they hold.
    fn into_tasks(self) -> JoinSet<()> {
        self.tasks
    }

    pub(super) fn post(&self, step_ix: usize) -> &Arc<Post> {
        &self.posts[step_ix]
    }

    /// The queue before a stage, and the way into it.
    fn queue<T>(&self, step_ix: usize) -> (Sender<Numbered<T>>, Queue<T>) {
        let (sender, items) = channel(self.cap);
        let step = &self.post(step_ix).step;
        step.watch_queue(items.peak());
        (sender, Queue::new(items, step.is_ordered))
    }

    /// Calls off the stage before, and so all before it, when dropped.
    fn before(&self, step_ix: usize) -> Arc<DropGuard> {
        Arc::new(self.post(step_ix - 1).token().clone().drop_guard())
    }

    /// The outlet of the stage before, which leads into a queue.
    fn outlet_into<T>(&self, step_ix: usize, sender: Sender<Numbered<T>>) -> Outlet<T> {
        Outlet::Queue(sender, Arc::clone(&self.post(step_ix - 1).step))
    }

    /// Starts the workers of a stage; what is returned leads to them.
    pub(super) fn start_stage<T, W>(&mut self, step_ix: usize, outlet: &Outlet<W::Out>, work: W) -> Outlet<T>
    where
        T: Send + 'static,
        W: Work<T>,
    {
        let (sender, queue) = self.queue(step_ix);
        let (work, before) = (Arc::new(work), self.before(step_ix));
        let post = Arc::clone(self.post(step_ix));
        for _ in 0..post.step.n_workers {
            let (work, before) = (Arc::clone(&work), Arc::clone(&before));
            let worker = labour(Arc::clone(&post), queue.clone(), outlet.clone(), work, before);
            self.tasks.spawn(Arc::clone(&post).employ(worker));
        }
        self.outlet_into(step_ix, sender)
    }

    /// Starts the sink's worker; what is returned leads to it, and gets its value.
    pub(super) fn start_sink<T, S>(
        &mut self,
        step_ix: usize,
        sink: S,
        meter: Meter,
    ) -> (Outlet<T>, oneshot::Receiver<S::Value>)
    where
        T: Send + 'static,
        S: Take<T>,
    {
        let (sender, queue) = self.queue(step_ix);
        let (value_sender, value) = oneshot::channel();
        let (post, before) = (Arc::clone(self.post(step_ix)), self.before(step_ix));
        let worker = sink::drain(Arc::clone(&post), queue, sink, meter, value_sender, before);
        self.tasks.spawn(post.employ(worker));
        (self.outlet_into(step_ix, sender), value)
    }

    /// Starts the task that reads the source.
    pub(super) fn start_source<T: Send + 'static>(&mut self, source: Source<T>, outlet: Outlet<T>) {
        let post = Arc::clone(self.post(0));
        self.tasks.spawn(Arc::clone(&post).employ(read(post, source, outlet)));
    }
}

async fn read<T: Send + 'static>(post: Arc<Post>, source: Source<T>, outlet: Outlet<T>) {
    let mut items = failing(source.items);
    let mut index = 0;
    while !post.is_called_off() {
        tokio::task::coop::consume_budget().await;
        let started = Instant::now();
        let next = tokio::select! {
            biased;
            next = items.next() => next,
            () = post.called_off() => return,
        };
        post.step.add_busy(started);
        let given = match next {
            Some(Ok(value)) => outlet.give(Numbered { index, value }).await,
            Some(Err(error)) => Err(error),
            None => return,
        };
        if post.settle(index, given).is_break() {
            return;
        }
        index += 1;
    }
}
