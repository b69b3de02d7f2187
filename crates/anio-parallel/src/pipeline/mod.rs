//! Pipelines in worker style: stages with workers of their own, joined by bounded queues.
//!
//! ```text
//! source --queue--> stage "parse", 2 workers --queue--> stage "enrich", 8 workers --queue--> sink
//! ```
//!
//! ```
//! use anio_parallel::Pipeline;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), anio_parallel::Error> {
//! let report = Pipeline::source(["3", "1", "2"])
//!     .try_cpu_stage("parse", 2, |text| text.parse::<u64>())
//!     .stage("enrich", 8, |n| async move { n * 10 })
//!     .fold(0, |sum, n| *sum += n)
//!     .run()
//!     .await?;
//! assert_eq!(report.value, 60);
//! assert_eq!(report.stage("parse").map(|stage| stage.n_out), Some(3));
//! # Ok(()) }
//! ```
//!
//! # Pipelines and streams
//! The forms of [`ParStreamExt`](crate::ParStreamExt) do much of the same, and are polled: they work while
//! somebody reads. A pipeline is for a whole line of work with two ends: every stage works on whether the
//! next has time or not, until the queue between them is full; it counts what happens; it ends as one.
//!
//! # Stages and workers
//! [`stage`](Pipeline::stage) is for async functions: each worker is a tokio task.
//! [`cpu_stage`](Pipeline::cpu_stage) is for functions that compute: each worker has one job at a time on
//! the [pool](crate::Pool) of the scope. So a stage works on as many items at a time as it has workers.
//! Functions that can fail go into [`try_stage`](Pipeline::try_stage) and
//! [`try_cpu_stage`](Pipeline::try_cpu_stage). A stage that makes several items of one, or none, returns
//! a vector or an `Option` and is followed by [`flatten`](Pipeline::flatten).
//!
//! # Order
//! A stage with one worker keeps the order of items. One with more gives them on as they are done, unless
//! it is [`ordered`](Pipeline::ordered).
//!
//! # Back-pressure
//! A queue holds at most [`cap`](Pipeline::cap) items. A worker that finds the next queue full waits, and
//! so, in the end, does the source: besides what the sink has taken, there are never more items on their
//! way than the queues hold and there are workers, the source counted as one.
//!
//! # Errors
//! The first error stops the pipeline: what waits is dropped, async functions end at their next `.await`,
//! and [`run`](Runnable::run) returns the error when no worker is left. It carries the name of the stage
//! and the number that the item had in the source, from 0. A panic is an error like any other. With
//! [`settle`](Pipeline::settle) or [`errors_to`](Pipeline::errors_to), a failed item is left out and the
//! rest goes on.
//!
//! ```
//! use anio_parallel::Pipeline;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let pages = Pipeline::source(0..100_u32).try_stage("fetch", 4, |page| async move {
//!     if page == 50 { Err(format!("no page {page}")) } else { Ok(page) }
//! });
//! let error = pages.sink(|_| async {}).run().await.unwrap_err();
//! assert_eq!((error.stage(), error.index()), (Some("fetch"), Some(50)));
//! assert_eq!(error.to_string(), r#"stage "fetch", item 50: no page 50"#);
//! # }
//! ```
//!
//! # An end before the end
//! When the sink answers `ControlFlow::Break(())`, or a [`take`](Pipeline::take) has let its last item
//! through, all stages before are called off, and the pipeline has succeeded: async functions are dropped,
//! functions that compute are waited for, which can see it by [`check`](crate::check()). Their errors from
//! then on count for nothing.
//!
//! ```
//! use std::ops::ControlFlow;
//! use anio_parallel::Pipeline;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), anio_parallel::Error> {
//! let squares = Pipeline::source(1_u64..).stage("square", 1, |n| async move { n * n });
//! let report = squares
//!     .fold(0, |sum, square| {
//!         *sum += square;
//!         if *sum > 1000 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
//!     })
//!     .run()
//!     .await?;
//! assert_eq!(report.value, (1..=14).map(|n| n * n).sum::<u64>());
//! # Ok(()) }
//! ```
//!
//! # What is seen from outside
//! Each item runs, in each stage, in a span `item` (level info, target `anio_parallel::item`, fields
//! `index` and `stage`), a child of the span in which the pipeline is run. At the end there is one event
//! per stage (level debug, target `anio_parallel::pipeline`) with its counts: `items_in`, `items_out`,
//! `errors`, `queued`, `queued_max`, `busy_us`. [`Report`] has the same, [`Stats`] while it runs. Progress
//! is reported by the items that came to the sink, under the [name](Pipeline::named) of the pipeline.

mod failure;
mod outlet;
mod post;
mod queue;
mod report;
mod run;
mod sink;
mod source;
mod stage;
mod stats;
mod timer;

use std::fmt;
use std::sync::Arc;

pub use report::Report;
pub use run::Runnable;
pub use sink::Answer;
pub use source::{IntoSource, Source};
pub use stats::{StageReport, Stats};

use crate::error::{Cause, Error};
use failure::Policy;
use outlet::Outlet;
use run::Crew;
use sink::{Each, Fold};
use stage::{Computes, Waits, Work};
use stats::Step;

/// How many items a queue holds where nothing else is said.
const CAP: usize = 16;

/// A pipeline that has a source, perhaps stages, and no sink yet. See the [module](self).
///
/// What concerns a stage ([`ordered`](Pipeline::ordered), [`take`](Pipeline::take),
/// [`flatten`](Pipeline::flatten)) stands right behind it; what concerns the whole
/// ([`cap`](Pipeline::cap), [`named`](Pipeline::named), [`settle`](Pipeline::settle),
/// [`errors_to`](Pipeline::errors_to)) stands anywhere, and the last word counts.
#[must_use = "nothing happens until it has a sink and is run"]
pub struct Pipeline<T> {
    steps: Vec<Step>,
    settings: Settings,
    /// How many items come out here: at least, and at most.
    size: (u64, Option<u64>),
    start: Start<T>,
}

/// Starts everything before the outlet.
type Start<T> = Box<dyn FnOnce(&mut Crew, Outlet<T>) + Send>;

struct Settings {
    name: Arc<str>,
    cap: usize,
    policy: Policy,
}

impl<T: Send + 'static> Pipeline<T> {
    /// A pipeline that begins with this source; anything that can be iterated over is one.
    pub fn source(source: impl IntoSource<Item = T>) -> Self {
        let source = source.into_source();
        let (least, most) = source.items.size_hint();
        Self {
            steps: vec![Step::new(Arc::from("source"), 1)],
            settings: Settings { name: Arc::from("pipeline"), cap: CAP, policy: Policy::Stop },
            size: (least as u64, most.map(|most| most as u64)),
            start: Box::new(move |crew, outlet| crew.start_source(source, outlet)),
        }
    }

    /// An async function, called by so many workers (at least one) on tokio.
    pub fn stage<R, F, Fut>(self, name: impl Into<Arc<str>>, n_workers: usize, f: F) -> Pipeline<R>
    where
        F: Fn(T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = R> + Send + 'static,
        R: Send + 'static,
    {
        let f = move |item| {
            let called = f(item);
            async move { Ok(called.await) }
        };
        self.add(name.into(), n_workers, Waits(f))
    }

    /// [`stage`](Pipeline::stage) with a function that can fail.
    pub fn try_stage<R, E, F, Fut>(self, name: impl Into<Arc<str>>, n_workers: usize, f: F) -> Pipeline<R>
    where
        F: Fn(T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, E>> + Send + 'static,
        R: Send + 'static,
        E: Into<Cause> + 'static,
    {
        let f = move |item| {
            let called = f(item);
            async move { called.await.map_err(Error::from_cause) }
        };
        self.add(name.into(), n_workers, Waits(f))
    }

    /// A function that computes, called for so many items (at least one) at a time on the pool of the
    /// scope, and never for more than that has threads.
    ///
    /// A job costs some microseconds beyond the function; smaller items go better in vectors.
    pub fn cpu_stage<R, F>(self, name: impl Into<Arc<str>>, n_workers: usize, f: F) -> Pipeline<R>
    where
        F: Fn(T) -> R + Send + Sync + 'static,
        R: Send + 'static,
    {
        self.add(name.into(), n_workers, Computes(Arc::new(move |item| Ok(f(item)))))
    }

    /// [`cpu_stage`](Pipeline::cpu_stage) with a function that can fail.
    pub fn try_cpu_stage<R, E, F>(self, name: impl Into<Arc<str>>, n_workers: usize, f: F) -> Pipeline<R>
    where
        F: Fn(T) -> Result<R, E> + Send + Sync + 'static,
        R: Send + 'static,
        E: Into<Cause>,
    {
        let f = move |item| f(item).map_err(Error::from_cause);
        self.add(name.into(), n_workers, Computes(Arc::new(f)))
    }

    fn add<W: Work<T>>(mut self, name: Arc<str>, n_workers: usize, work: W) -> Pipeline<W::Out> {
        let step_ix = self.steps.len();
        self.steps.push(Step::new(name, n_workers));
        self.through(move |crew, outlet| crew.start_stage(step_ix, &outlet, work))
    }

    /// The same pipeline with something more at its end, which leads to what comes then.
    fn through<R: 'static>(
        self,
        more: impl FnOnce(&mut Crew, Outlet<R>) -> Outlet<T> + Send + 'static,
    ) -> Pipeline<R> {
        let Self { steps, settings, size, start } = self;
        let start = Box::new(move |crew: &mut Crew, outlet| {
            let outlet = more(crew, outlet);
            start(crew, outlet);
        });
        Pipeline { steps, settings, size, start }
    }

    /// Lets the stage before this give its items on in the order in which it took them, however many
    /// workers it has. A worker whose item is done before its turn waits.
    ///
    /// ```
    /// use std::time::Duration;
    /// use anio_parallel::Pipeline;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), anio_parallel::Error> {
    /// let sleep = |n: u64| async move {
    ///     tokio::time::sleep(Duration::from_millis(10 - n)).await;
    ///     n
    /// };
    /// let report = Pipeline::source(0..10).stage("sleep", 4, sleep).ordered().collect::<Vec<_>>().run().await?;
    /// assert!(report.value.is_sorted());
    /// # Ok(()) }
    /// ```
    pub fn ordered(mut self) -> Self {
        if let Some(step) = self.steps.last_mut() {
            step.is_ordered = true;
        }
        self
    }

    /// Passes on what is in an item, one by one: the elements of a vector, the value of an `Option` if
    /// there is one. It needs no worker; what the iterator computes should be short.
    ///
    /// ```
    /// use anio_parallel::Pipeline;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), anio_parallel::Error> {
    /// let numbers = Pipeline::source(["1 2", "", "3"])
    ///     .stage("split", 1, |line| async move { line.split(' ').collect::<Vec<_>>() })
    ///     .flatten()
    ///     .stage("parse", 1, |word| async move { word.parse::<u32>().ok() })
    ///     .flatten();
    /// assert_eq!(numbers.collect::<Vec<_>>().run().await?.value, [1, 2, 3]);
    /// # Ok(()) }
    /// ```
    pub fn flatten(mut self) -> Pipeline<T::Item>
    where
        T: IntoIterator<Item: Send + 'static, IntoIter: Send>,
    {
        self.size = (0, None);
        self.through(|_, outlet| outlet.flatten())
    }

    /// Lets the first n items through, then ends everything before this; what comes after goes on to its
    /// end.
    pub fn take(mut self, n_items: u64) -> Self {
        let step_ix = self.steps.len() - 1;
        let (least, most) = self.size;
        self.size = (least.min(n_items), Some(most.map_or(n_items, |most| most.min(n_items))));
        self.through(move |crew, outlet| outlet.take(n_items, crew.post(step_ix).token().clone()))
    }

    /// How many items each queue holds, at least one; 16 by default. There is one before each stage, and
    /// one before the sink.
    pub fn cap(mut self, n_items: usize) -> Self {
        self.settings.cap = n_items.max(1);
        self
    }

    /// The name under which progress is reported; `"pipeline"` by default.
    pub fn named(mut self, name: impl Into<Arc<str>>) -> Self {
        self.settings.name = name.into();
        self
    }

    /// Lets the other items go on when one fails or panics. The first thousand errors are in
    /// [`Report::errors`]; all are counted.
    ///
    /// ```
    /// use anio_parallel::Pipeline;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), anio_parallel::Error> {
    /// let report = Pipeline::source(["1", "x", "3"])
    ///     .try_stage("parse", 1, |text| async move { text.parse::<u32>() })
    ///     .settle()
    ///     .fold(0, |sum, n| *sum += n)
    ///     .run()
    ///     .await?;
    /// assert_eq!((report.value, report.n_errors()), (4, 1));
    /// assert_eq!(report.errors[0].index(), Some(1));
    /// # Ok(()) }
    /// ```
    pub fn settle(mut self) -> Self {
        self.settings.policy = Policy::Keep(Vec::new());
        self
    }

    /// Hands the errors of single items to a function, one at a time, as they come. When it returns
    /// `Ok`, the rest goes on; an error that it returns stops the pipeline. Workers wait for it: it
    /// should be short.
    ///
    /// ```
    /// use anio_parallel::{Error, Pipeline};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// // A panic is not to be overlooked.
    /// let go_on = |error: Error| if matches!(error, Error::Panicked { .. }) { Err(error) } else { Ok(()) };
    /// let parse = |text: &'static str| async move {
    ///     assert!(text != "y", "not y again");
    ///     text.parse::<u32>()
    /// };
    /// let pipeline = Pipeline::source(["x", "1", "y"]).try_stage("parse", 1, parse).errors_to(go_on);
    /// let error = pipeline.sink(|_| async {}).run().await.unwrap_err();
    /// assert_eq!((error.stage(), error.index()), (Some("parse"), Some(2)));
    /// # }
    /// ```
    pub fn errors_to(mut self, handler: impl FnMut(Error) -> Result<(), Error> + Send + 'static) -> Self {
        self.settings.policy = Policy::HandOver(Box::new(handler));
        self
    }

    /// Ends with an async function that takes one item after the other. It may answer with a result, and
    /// say that it wants no more: see [`Answer`].
    pub fn sink<F, Fut>(self, f: F) -> Runnable<()>
    where
        F: FnMut(T) -> Fut + Send + 'static,
        Fut: Future<Output: Answer> + Send + 'static,
    {
        self.end(Each(f))
    }

    /// Ends with a value that a function puts items into, one after the other; it becomes
    /// [`Report::value`]. The function may answer as that of a [`sink`](Pipeline::sink); it runs on tokio
    /// and should be short.
    pub fn fold<A, F, V>(self, value: A, f: F) -> Runnable<A>
    where
        A: Send + 'static,
        F: FnMut(&mut A, T) -> V + Send + 'static,
        V: Answer + 'static,
    {
        self.end(Fold { value, f })
    }

    /// Ends with a collection of all items, as they come.
    pub fn collect<C: Default + Extend<T> + Send + 'static>(self) -> Runnable<C> {
        self.fold(C::default(), |all, item| all.extend([item]))
    }

    fn end<S: sink::Take<T>>(mut self, sink: S) -> Runnable<S::Value> {
        let step_ix = self.steps.len();
        self.steps.push(Step::new(Arc::from("sink"), 1));
        let total = self.size.1.filter(|most| *most == self.size.0);
        let start = self.start;
        Runnable::new(self.steps, self.settings, total, move |crew, meter| {
            let (outlet, value) = crew.start_sink(step_ix, sink, meter);
            start(crew, outlet);
            value
        })
    }
}

impl<T> fmt::Debug for Pipeline<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show("Pipeline", self.steps.iter(), &self.settings, f)
    }
}

fn show<'a>(
    what: &str,
    steps: impl Iterator<Item = &'a Step>,
    settings: &Settings,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let stages: Vec<_> = steps.map(|step| (&*step.name, step.n_workers)).collect();
    let mut show = f.debug_struct(what);
    show.field("name", &settings.name).field("stages", &stages).field("cap", &settings.cap);
    show.finish_non_exhaustive()
}
