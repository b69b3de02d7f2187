//! The engine: what a program opens, submits to and shuts down.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use anio_core::task::Rate;
use anio_core::{Context, Output, RunId, Workflow};
use anio_parallel::Threads;
use anio_scheduler::{Config, Metrics, RunForecast, Scheduler, TraceContext};
use anio_store::record::{RunOptions, RunQuery, RunRecord, WorkerId};
use anio_store::{Durability, Store, StoreOptions};
use serde::Serialize;

use crate::outcome::Outcome;
use crate::run_handle::RunHandle;
use crate::submit::Submit;
use crate::{Error, Result};

/// An open engine: a worker with a lease on its database. Cheap to clone.
///
/// Opening it takes up the runs that an earlier process left behind: on SQLite at once, on Postgres as soon
/// as the dead worker's session is seen gone or its lease (15 s by default) has run out.
///
/// When the last clone is dropped without [`Engine::shutdown`], what runs is dropped as in a crash, and
/// resumes at the next start.
///
/// ```
/// use anio::prelude::*;
///
/// #[workflow]
/// mod greeting {
///     use anio::prelude::*;
///
///     #[task]
///     pub async fn name(input: Input<String>) -> Result<String> {
///         Ok(input.to_uppercase())
///     }
///
///     #[task]
///     pub async fn greet(name: &String) -> Result<String> {
///         Ok(format!("hello {name}"))
///     }
/// }
///
/// #[tokio::main]
/// async fn main() -> anio::Result<()> {
///     let engine = Engine::open("sqlite::memory:").await?;
///     let outcome = engine.run(greeting::workflow(), "ada".to_owned()).await?;
///     assert_eq!(outcome.output::<greeting::greet>()?, "hello ADA");
///     engine.shutdown().await
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Engine {
    pub(crate) scheduler: Scheduler,
    shutdown_grace: Duration,
}

impl Engine {
    /// Opens an engine with default options on the store of this URL: `sqlite://path`, `sqlite:path`,
    /// `sqlite::memory:`, a bare path that ends in `.db` or `.sqlite`, `postgres://…` or `postgresql://…`.
    ///
    /// # Errors
    /// [`Error::Store`] when the store cannot be opened, with the reason; nothing was changed then.
    /// [`Error::DuplicateWorkflow`] when two workflows of this program have one name.
    /// [`Error::MissingResource`] when a task of one needs more of a resource than the engine has,
    /// [`Error::MissingPool`] when one computes on a pool that the engine has not got.
    pub async fn open(url: impl AsRef<str>) -> Result<Self> {
        Self::builder().store(url.as_ref()).start().await
    }

    /// Begins an engine with options.
    pub fn builder() -> EngineBuilder {
        EngineBuilder::default()
    }

    /// An engine over a scheduler that runs already: for simulations, which hold its store and its time.
    #[doc(hidden)]
    pub fn over(scheduler: Scheduler, shutdown_grace: Duration) -> Self {
        Self { scheduler, shutdown_grace }
    }

    /// Submits a run of a workflow on an input. The run is durable when the returned [`Submit`] has been
    /// awaited, and executes whatever becomes of this process.
    ///
    /// The input is what the workflow's `Input<T>` parameters read; a [`Context`] or any value whose JSON is
    /// an object also fills the run's context.
    pub fn submit<I>(&self, workflow: Workflow, input: I) -> Submit<'_>
    where
        I: Serialize + Send + Sync + 'static,
    {
        let name = workflow.name().to_string();
        let input = Output::new(input)
            .map_err(|error| Error::InvalidInput { workflow: name, problem: error.to_string() });
        Submit::new(self, workflow, input)
    }

    /// Submits a run for each input, all in one commit: all are durable when this returns, or none is.
    ///
    /// # Errors
    /// As for [`Engine::submit`].
    pub async fn submit_many<I>(
        &self,
        workflow: Workflow,
        inputs: impl IntoIterator<Item = I>,
    ) -> Result<Vec<RunHandle>>
    where
        I: Serialize + Send + Sync + 'static,
    {
        let name = workflow.name().clone();
        let invalid = |error: anio_core::error::OutputError| Error::InvalidInput {
            workflow: name.to_string(),
            problem: error.to_string(),
        };
        let inputs: Result<Vec<_>> =
            inputs.into_iter().map(|input| Output::new(input).map_err(invalid)).collect();
        let ids = self.scheduler.submit(workflow, inputs?, RunOptions::default()).await?;
        Ok(ids.into_iter().map(|id| RunHandle::new(id, self.scheduler.clone())).collect())
    }

    /// Submits a run and waits for its end. A run whose tasks failed is an [`Outcome`] too:
    /// [`Outcome::status`] tells, and [`Outcome::ok`] turns it into an error.
    ///
    /// # Errors
    /// As for [`Engine::submit`] and [`RunHandle::wait`].
    pub async fn run<I>(&self, workflow: Workflow, input: I) -> Result<Outcome>
    where
        I: Serialize + Send + Sync + 'static,
    {
        self.submit(workflow, input).await?.wait().await
    }

    /// Runs the workflow of this name on a context and waits for its end.
    ///
    /// # Errors
    /// [`Error::UnknownWorkflow`], and as for [`Engine::run`].
    pub async fn execute(&self, name: &str, context: Context) -> Result<Outcome> {
        let workflow = self.scheduler.workflow(name).await?;
        self.run(workflow, context).await
    }

    /// Makes a workflow known that was built at run time, so that its runs from before are taken up.
    ///
    /// # Errors
    /// [`Error::DuplicateWorkflow`], [`Error::Stopped`].
    pub async fn register(&self, workflow: Workflow) -> Result<()> {
        self.scheduler.register(workflow).await
    }

    /// The runs in the store, the last submitted first. One that waits for a workflow which this program does
    /// not know shows as parked, and says so (in the store it is queued: another worker may know it).
    ///
    /// # Errors
    /// Those of the store.
    pub async fn runs(&self, query: RunQuery) -> Result<Vec<RunRecord>> {
        let mut runs = Vec::new();
        for record in self.scheduler.store().runs(query).await? {
            runs.push(self.scheduler.judge(record).await?);
        }
        Ok(runs)
    }

    /// A handle on a run, whichever process submitted it.
    ///
    /// # Errors
    /// [`Error::UnknownRun`], those of the store.
    pub async fn run_handle(&self, id: RunId) -> Result<RunHandle> {
        match self.scheduler.store().run(id).await? {
            Some(_) => Ok(RunHandle::new(id, self.scheduler.clone())),
            None => Err(Error::UnknownRun { run: id }),
        }
    }

    /// Tells of each run in the store that has not ended whether it would go on under these workflows, or be
    /// parked, and why; see [`EngineBuilder::check`], which asks before anything is started.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn check(&self, workflows: &[Workflow]) -> Result<Vec<RunForecast>> {
        anio_scheduler::forecast(self.scheduler.store(), workflows).await
    }

    /// The identity of the lease that this engine holds now, as the table `anio_workers` shows it.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub async fn worker(&self) -> Result<WorkerId> {
        self.scheduler.worker().await
    }

    /// What this engine has done since it was opened, and what it is doing: runs, task runs and attempts by
    /// how they ended, those that wait and those that execute. Each number is told in
    /// [`metrics`](crate::metrics).
    ///
    /// Of this process only, out of memory; nothing of it is durable. It takes no lock and asks nobody: look
    /// as often as you like. When [`RunHandle::wait`] has returned, all that the run did here is counted.
    ///
    /// With the feature `metrics` the same numbers go through the `metrics` facade, so that its exporters show
    /// them: `anio_runs_submitted_total`, `anio_tasks_succeeded_total`, `anio_attempts_executing` and so on.
    /// Install the exporter before the engine is opened; one that comes later is told nothing.
    ///
    /// ```
    /// use anio::prelude::*;
    ///
    /// # #[tokio::main]
    /// # async fn main() -> anio::Result<()> {
    /// let counted = Workflow::builder("counted")
    ///     .task("greet", TaskOptions::new(), |_| async { Ok::<_, TaskError>("hello") })
    ///     .build()?;
    /// let engine = Engine::open("memory:").await?;
    /// engine.run(counted, ()).await?;
    /// let metrics = engine.metrics();
    /// assert_eq!((metrics.runs.submitted, metrics.runs.succeeded), (1, 1));
    /// assert_eq!((metrics.tasks.succeeded, metrics.attempts.begun, metrics.now.executing), (1, 1, 0));
    /// # engine.shutdown().await
    /// # }
    /// ```
    pub fn metrics(&self) -> Metrics {
        self.scheduler.metrics()
    }

    /// The store, for looking at what this engine keeps.
    pub fn store(&self) -> &Store {
        self.scheduler.store()
    }

    /// Stops: starts nothing more, waits for what runs (10 s by default, see
    /// [`EngineBuilder::shutdown_grace`]), records it, and gives the lease back. Runs that have not ended go
    /// on at the next start, or at once where another worker is alive.
    ///
    /// # Errors
    /// [`Error::Stopped`] when it had stopped already.
    pub async fn shutdown(&self) -> Result<()> {
        self.scheduler.shutdown(self.shutdown_grace).await
    }
}

/// Collects the options of an engine.
///
/// ```
/// use std::time::Duration;
/// use anio::prelude::*;
///
/// # #[tokio::main]
/// # async fn main() -> anio::Result<()> {
/// let engine = Engine::builder()
///     .store("sqlite::memory:")
///     .concurrency(8)
///     .lease(Duration::from_secs(30))
///     .start()
///     .await?;
/// assert!(engine.runs(RunQuery::default()).await?.is_empty());
/// let error = Engine::builder().store("sqlite::memory:").concurrency(0).start().await.unwrap_err();
/// assert_eq!(error.to_string(), "engine option concurrency: is 0; it may be 1 to 1000000");
/// # engine.shutdown().await
/// # }
/// ```
#[derive(Debug, Default)]
#[must_use = "the engine starts with `.start().await`"]
pub struct EngineBuilder {
    url: Option<String>,
    store: Option<Store>,
    workflows: Vec<Workflow>,
    config: Config,
    states: anio_core::task::States,
    store_options: StoreOptions,
    /// An option whose text says nothing, and what is wrong with it.
    problem: Option<(&'static str, String)>,
}

impl EngineBuilder {
    /// The store's URL, as for [`Engine::open`].
    pub fn store(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }

    /// A store that is open already, in place of a URL; the options of stores count for nothing then. Engines
    /// may share one: each is a worker with a lease of its own. A [`Backend`](anio_store::backend::Backend) of
    /// one's own comes in this way, by `Store::with_backend` of the crate `anio-store`.
    ///
    /// ```
    /// use anio::prelude::*;
    ///
    /// # #[tokio::main]
    /// # async fn main() -> anio::Result<()> {
    /// let one = Engine::open("sqlite::memory:").await?;
    /// let other = Engine::builder().open_store(one.store().clone()).start().await?;
    /// assert_ne!(one.worker().await?, other.worker().await?);
    /// one.shutdown().await?;
    /// assert!(other.runs(RunQuery::default()).await?.is_empty());
    /// # other.shutdown().await
    /// # }
    /// ```
    pub fn open_store(mut self, store: Store) -> Self {
        self.store = Some(store);
        self
    }

    /// Adds a workflow that was built at run time, so that its runs from before are taken up. Those of
    /// `#[workflow]` and `workflow!` are known by themselves.
    pub fn workflow(mut self, workflow: Workflow) -> Self {
        self.workflows.push(workflow);
        self
    }

    /// Registers a value that tasks take as `State<T>`: a pool, a client, settings. One per type; the last
    /// one counts.
    pub fn state<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        self.states.insert(Arc::new(value));
        self
    }

    /// How many bodies on tokio and on blocking threads run at one time; 1 to 1,000,000. Default: 64.
    pub fn concurrency(mut self, n: usize) -> Self {
        self.config.concurrency = n;
        self
    }

    /// How many threads the pool for CPU work has; 1 to 1,024, or a text such as `"8"`, `"2x"` (two for each core)
    /// or `"auto"`; a text that is none is an error at the start. Default: one per core.
    pub fn cpu_threads<T>(mut self, threads: T) -> Self
    where
        T: TryInto<Threads>,
        T::Error: Display,
    {
        match threads.try_into() {
            Ok(threads) => self.config.cpu_threads = threads.n_threads(),
            Err(error) => self.problem = Some(("cpu_threads", error.to_string())),
        }
        self
    }

    /// Adds a pool for CPU work with this many threads, 1 to 1,024 or a text as for
    /// [`EngineBuilder::cpu_threads`], for the tasks that name it (`#[task(pool = "images")]`): as many of their bodies run at one time, and what is parallel inside them runs on
    /// its threads. So they and those on the worker's own pool do not wait for one another. A body holds one of the
    /// slots of [`EngineBuilder::concurrency`], too, as a blocking one does.
    ///
    /// A workflow whose task names a pool that is not here is refused.
    ///
    /// ```
    /// use anio::Lane;
    /// use anio::prelude::*;
    ///
    /// # #[tokio::main]
    /// # async fn main() -> anio::Result<()> {
    /// let thumbnails = |pool: &str| {
    ///     let options = TaskOptions::new().lane(Lane::Cpu).pool(pool);
    ///     let count = |_| async { Ok::<_, TaskError>(anio::parallel::Pool::current().n_threads()) };
    ///     Workflow::builder("thumbnails").task("shrink", options, count).build().unwrap()
    /// };
    /// let engine = Engine::builder().store("memory:").pool("images", 4).start().await?;
    /// let outcome = engine.run(thumbnails("images"), ()).await?;
    /// assert_eq!(outcome.output_of::<usize>("shrink")?, 4);
    ///
    /// let error = engine.run(thumbnails("image"), ()).await.unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "workflow \"thumbnails\": task \"shrink\" computes on pool \"image\", which this engine has not got; \
    ///      add `.pool(\"image\", threads)` to its builder; did you mean \"images\"?"
    /// );
    /// # engine.shutdown().await
    /// # }
    /// ```
    pub fn pool<T>(mut self, name: impl Into<String>, threads: T) -> Self
    where
        T: TryInto<Threads>,
        T::Error: Display,
    {
        let name = name.into();
        match threads.try_into() {
            Ok(threads) => drop(self.config.pools.insert(name, threads.n_threads())),
            Err(error) => self.problem = Some(("pool", format!("{name:?}: {error}"))),
        }
        self
    }

    /// Declares a resource of this worker, for tasks that need it (`#[task(needs(gpu = 1))]`), and how many
    /// units there are; at least 1. Task runs that execute never need more than that together. A workflow
    /// whose task needs more, or a resource that is not declared, is refused.
    ///
    /// ```
    /// use anio::prelude::*;
    ///
    /// # #[tokio::main]
    /// # async fn main() -> anio::Result<()> {
    /// let train = |needs: u32| {
    ///     let options = TaskOptions::new().needs("gpu", needs);
    ///     Workflow::builder("training").task("train", options, |_| async { Ok::<_, TaskError>(()) }).build().unwrap()
    /// };
    /// let engine = Engine::builder().store("sqlite::memory:").resource("gpu", 2).start().await?;
    /// assert!(engine.run(train(2), ()).await?.is_success());
    /// engine.shutdown().await?;
    ///
    /// let engine = Engine::builder().store("sqlite::memory:").workflow(train(2)).start().await;
    /// assert_eq!(
    ///     engine.unwrap_err().to_string(),
    ///     "workflow \"training\": task \"train\" needs 2 of resource \"gpu\", and this engine has 0; \
    ///      add `.resource(\"gpu\", 2)` to its builder, or let the task need less"
    /// );
    /// # Ok(())
    /// # }
    /// ```
    pub fn resource(mut self, name: impl Into<String>, units: u32) -> Self {
        self.config.resources.insert(name.into(), units);
        self
    }

    /// Bounds how often task runs start that need a resource, all of them together; each attempt counts. A
    /// [`Rate`], or a text such as `"10/s"`, `"90/min"`, `"1000/h"`; a text that is none is an error at the
    /// start. A resource that has a rate need not be declared by [`EngineBuilder::resource`]; it has units
    /// without limit then.
    ///
    /// The starts are evenly spread; those nearer than 50 ms to one another may come together.
    pub fn resource_rate<R>(mut self, name: impl Into<String>, rate: R) -> Self
    where
        R: TryInto<Rate>,
        R::Error: Display,
    {
        let name = name.into();
        match rate.try_into() {
            Ok(rate) => drop(self.config.resource_rates.insert(name, rate)),
            Err(error) => self.problem = Some(("resource_rate", format!("of {name:?}: {error}"))),
        }
        self
    }

    /// Bounds how often task runs start that need a resource, on all workers together that have opened the same
    /// database and give it under the same name; each attempt counts. A rate and a resource otherwise as for
    /// [`EngineBuilder::resource_rate`]; where a resource has both, both hold. A name has at most 255 bytes.
    ///
    /// A worker reserves starts in the database, by the database's clock: as many as wait and have a slot, at most
    /// those of 50 ms. It costs one small commit for each such few, and nothing where nobody waits. What a worker
    /// has reserved when it dies never starts; after a restart nothing is made up for. Where workers give different
    /// rates, each start is counted by that of the worker that it is made on, so together they are never more
    /// frequent than the fastest of them allows. See `docs/operations.md`.
    ///
    /// ```
    /// use anio::prelude::*;
    ///
    /// # #[tokio::main]
    /// # async fn main() -> anio::Result<()> {
    /// let ask = |_| async { Ok::<_, TaskError>(()) };
    /// let workflow = Workflow::builder("orders").task("ask", TaskOptions::new().needs("api", 1), ask).build()?;
    /// let engine = Engine::builder().store("memory:").shared_resource_rate("api", "1000/h").start().await?;
    /// assert!(engine.run(workflow, ()).await?.is_success());
    /// # engine.shutdown().await
    /// # }
    /// ```
    pub fn shared_resource_rate<R>(mut self, name: impl Into<String>, rate: R) -> Self
    where
        R: TryInto<Rate>,
        R::Error: Display,
    {
        let name = name.into();
        match rate.try_into() {
            Ok(rate) => drop(self.config.shared_resource_rates.insert(name, rate)),
            Err(error) => self.problem = Some(("shared_resource_rate", format!("of {name:?}: {error}"))),
        }
        self
    }

    /// How long the worker's lease holds without renewal; 1 s to 1 h. It is renewed every quarter of it, at
    /// most every 2 s. On Postgres it bounds how long a dead worker's runs wait. Default: 15 s.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.config.lease = lease;
        self
    }

    /// What a commit waits for. Default: [`Durability::Full`], the disk.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.store_options.durability = durability;
        self
    }

    /// After how many deaths of its worker in a row a task run that was in flight is given up. Default: 3.
    pub fn poison_after(mut self, n_deaths: u32) -> Self {
        self.config.poison_deaths = n_deaths;
        self
    }

    /// How many runs the worker holds in memory at one time; more wait in the database. Default: 16,384.
    pub fn live_runs_max(mut self, n: usize) -> Self {
        self.config.live_runs_max = n;
        self
    }

    /// The largest output, input or context value, in bytes of JSON, up to 1 GiB. Default: 16 MiB.
    pub fn value_bytes_max(mut self, n: usize) -> Self {
        self.config.value_bytes_max = n;
        self
    }

    /// Keeps each run in one trace: its row then names the trace of its first span, and whoever takes it up goes
    /// on there. With the feature `otel` there is `anio::otel::TraceParent` for OpenTelemetry. Default: a new
    /// trace wherever a run is taken up.
    ///
    /// A run that was taken over has the field `anio.recovered` on its span; so has the first attempt after one
    /// that died in the middle, which it names in `anio.died_attempt`, and with whose span it is linked. For that
    /// the record of an attempt's start names its span; of an attempt that left no such record, having run for less
    /// than 10 ms, nothing is known, and no link is made.
    pub fn trace_context(mut self, trace: impl TraceContext) -> Self {
        self.config.trace = Some(Arc::new(trace));
        self
    }

    /// How long [`Engine::shutdown`] waits for bodies to end before it drops them. Default: 10 s.
    pub fn shutdown_grace(mut self, grace: Duration) -> Self {
        self.config.shutdown_grace = grace;
        self
    }

    /// Opens the store, takes a lease, takes up what an earlier process left behind, and starts.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for an option that is out of its range or a store that was not named, and
    /// as for [`Engine::open`].
    pub async fn start(self) -> Result<Engine> {
        let Self { url, store, workflows, mut config, states, store_options, problem } = self;
        if url.is_none() && store.is_none() {
            return Err(no_store());
        }
        if let Some((option, problem)) = problem {
            return Err(Error::InvalidConfig { option, problem });
        }
        config.check()?;
        config.states = Arc::new(states);
        let store = opened(store, url, store_options).await?;
        let shutdown_grace = config.shutdown_grace;
        let linked = crate::__private::registered().collect();
        let scheduler = Scheduler::start(store, config, workflows, linked).await?;
        Ok(Engine { scheduler, shutdown_grace })
    }

    /// Starts nothing, and tells of each run in the store that has not ended whether it would go on under this
    /// program, or be parked, and why: what to ask before a changed program is started. The store's tables are
    /// brought up to this program's version; nothing else is changed, and no lease is taken.
    ///
    /// ```
    /// use anio::prelude::*;
    /// # #[tokio::main]
    /// # async fn main() -> anio::Result<()> {
    /// # let file = std::env::temp_dir().join(format!("anio-check-{}.db", std::process::id()));
    /// # let url = format!("sqlite://{}", file.display());
    /// let flow = |tasks: &[&str]| {
    ///     let builder = Workflow::builder("changed");
    ///     tasks.iter().fold(builder, |builder, task| {
    ///         builder.task(*task, TaskOptions::new(), |_| async { Ok::<_, TaskError>(()) })
    ///     })
    /// };
    /// let engine = Engine::open(&url).await?;
    /// let run = engine.submit(flow(&["load"]).build()?, ()).after(std::time::Duration::from_secs(60)).await?;
    /// engine.shutdown().await?;
    ///
    /// let changed = flow(&["load", "report"]).build()?;
    /// let forecasts = Engine::builder().store(&url).workflow(changed).check().await?;
    /// assert_eq!((forecasts[0].run, forecasts[0].changed, &forecasts[0].parks), (run.id(), true, &None));
    /// let forecasts = Engine::builder().store(&url).check().await?;
    /// assert_eq!(forecasts[0].parks.as_deref(), Some("its workflow is not known to this program"));
    /// # let _ = std::fs::remove_file(file);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As for [`EngineBuilder::start`].
    pub async fn check(self) -> Result<Vec<RunForecast>> {
        let Self { url, store, mut workflows, store_options, .. } = self;
        let is_own = store.is_none();
        let store = opened(store, url, store_options).await?;
        workflows.extend(crate::__private::registered());
        let forecasts = anio_scheduler::forecast(&store, &workflows).await;
        if is_own {
            store.close().await;
        }
        forecasts
    }
}

/// The store that was given, or the one of the URL.
async fn opened(store: Option<Store>, url: Option<String>, options: StoreOptions) -> Result<Store> {
    match (store, url) {
        (Some(store), _) => Ok(store),
        (None, Some(url)) => Ok(Store::open(&url, options).await?),
        (None, None) => Err(no_store()),
    }
}

fn no_store() -> Error {
    Error::InvalidConfig { option: "store", problem: "is not set; call `.store(url)`".to_owned() }
}
