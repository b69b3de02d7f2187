//! A run that is about to be submitted, and what it may be given beside its input.

use std::future::IntoFuture;
use std::time::Duration;

use anio_core::{Output, Timestamp, Workflow};
use anio_store::StoreError;
use anio_store::record::RunOptions;
use futures::future::BoxFuture;

use crate::Result;
use crate::engine::Engine;
use crate::run_handle::RunHandle;
use crate::traceparent;

/// What a traceparent is like.
const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A run that is about to be submitted; awaiting it makes it durable and gives its [`RunHandle`].
///
/// ```
/// use std::time::Duration;
/// use anio::prelude::*;
/// use anio::TaskCall;
///
/// # #[tokio::main]
/// # async fn main() -> anio::Result<()> {
/// let invoice = Workflow::builder("invoice")
///     .task("send", TaskOptions::new(), |_: TaskCall| async { Ok::<_, TaskError>(()) })
///     .build()?;
/// let engine = Engine::open("sqlite::memory:").await?;
///
/// let first = engine.submit(invoice.clone(), 42).idempotency_key("order-42").await?;
/// let again = engine.submit(invoice.clone(), 42).idempotency_key("order-42").await?;
/// assert_eq!(first.id(), again.id(), "the same key is the same run");
///
/// let later = engine
///     .submit(invoice, 43)
///     .after(Duration::from_secs(3600))
///     .within(Duration::from_secs(7200))
///     .tag("eu")
///     .await?;
/// assert_eq!(later.status().await?, RunStatus::Queued);
/// later.cancel().await?;
/// assert_eq!(later.wait().await?.status(), RunStatus::Cancelled);
/// # engine.shutdown().await
/// # }
/// ```
#[must_use = "a run is submitted when this is awaited"]
#[derive(Debug)]
pub struct Submit<'a> {
    engine: &'a Engine,
    workflow: Workflow,
    input: Result<Output>,
    options: RunOptions,
}

impl<'a> Submit<'a> {
    pub(crate) fn new(engine: &'a Engine, workflow: Workflow, input: Result<Output>) -> Self {
        Self { engine, workflow, input, options: RunOptions::default() }
    }

    /// Among queued runs the higher goes first. Default: 0.
    pub fn priority(mut self, priority: i32) -> Self {
        self.options.priority = priority;
        self
    }

    /// Of all runs of this workflow at most one has this key (1 to 255 bytes), also when two processes submit
    /// at once: where there is one with an equal input, that run is what comes back, in whatever state it is.
    ///
    /// # Errors
    /// Awaited, [`StoreError::IdempotencyConflict`](crate::StoreError::IdempotencyConflict) when the run with
    /// this key has another input.
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.options.idempotency_key = Some(key.into());
        self
    }

    /// The run starts at this time, or as soon after it as a worker has room; it is queued until then.
    pub fn at(mut self, time: impl Into<Timestamp>) -> Self {
        self.options.due_at = Some(time.into());
        self
    }

    /// The run starts after this time from now; see [`Submit::at`].
    pub fn after(self, delay: Duration) -> Self {
        let time = self.engine.scheduler.now().after(delay);
        self.at(time)
    }

    /// When this time comes and the run has not ended, it is stopped as by [`RunHandle::cancel`] and fails,
    /// naming the task that it was at. A run that is paused then fails when it is resumed.
    pub fn deadline(mut self, time: impl Into<Timestamp>) -> Self {
        self.options.deadline = Some(time.into());
        self
    }

    /// The run has to end within this time from now; see [`Submit::deadline`].
    pub fn within(self, limit: Duration) -> Self {
        let time = self.engine.scheduler.now().after(limit);
        self.deadline(time)
    }

    /// The run belongs to the trace of the one who asks for it: the
    /// [W3C `traceparent`](https://www.w3.org/TR/trace-context/#traceparent-header) that came with the request. The
    /// run's spans are below the span that it names, in whichever process. For engines with
    /// [`EngineBuilder::trace_context`](crate::EngineBuilder::trace_context); with others the run's row keeps it.
    /// Default: each run is a trace of its own, whatever span is current.
    ///
    /// # Errors
    /// Awaited, [`StoreError::InvalidOption`] for a text that is none; nothing was stored then.
    ///
    /// ```
    /// use anio::prelude::*;
    /// use anio::TaskCall;
    ///
    /// # #[tokio::main]
    /// # async fn main() -> anio::Result<()> {
    /// # let traced = Workflow::builder("traced")
    /// #     .task("greet", TaskOptions::new(), |_: TaskCall| async { Ok::<_, TaskError>(()) })
    /// #     .build()?;
    /// let engine = Engine::open("memory:").await?;
    /// let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    /// engine.submit(traced.clone(), ()).traceparent(header).await?;
    ///
    /// let error = engine.submit(traced, ()).traceparent("00-1-1-1").await.unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "workflow \"traced\": traceparent \"00-1-1-1\" is none: it is like \
    ///      00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    /// );
    /// # engine.shutdown().await
    /// # }
    /// ```
    pub fn traceparent(mut self, traceparent: impl Into<String>) -> Self {
        self.options.traceparent = Some(traceparent.into());
        self
    }

    /// A word to find the run by (1 to 255 bytes); may be called up to 64 times.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.options.tags.push(tag.into());
        self
    }

    fn check_traceparent(&self) -> Result<()> {
        let Some(text) = self.options.traceparent.as_deref() else { return Ok(()) };
        if traceparent::parse(text).is_some() {
            return Ok(());
        }
        let text: String = text.chars().take(64).collect();
        let problem = format!("{text:?} is none: it is like {EXAMPLE}");
        let workflow = self.workflow.name().to_string();
        Err(StoreError::InvalidOption { workflow, option: "traceparent", problem }.into())
    }
}

impl<'a> IntoFuture for Submit<'a> {
    type Output = Result<RunHandle>;
    type IntoFuture = BoxFuture<'a, Result<RunHandle>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            self.check_traceparent()?;
            let scheduler = &self.engine.scheduler;
            let ids = scheduler.submit(self.workflow, vec![self.input?], self.options).await?;
            let id = ids.into_iter().next().expect("one input makes one run");
            Ok(RunHandle::new(id, scheduler.clone()))
        })
    }
}
