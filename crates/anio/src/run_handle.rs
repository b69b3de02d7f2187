//! A run that was submitted.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use anio_core::RunId;
use anio_core::run::RunState;
use anio_scheduler::{Scheduler, TaskProgress};
use anio_store::record::{FactRecord, RunRecord, RunStatus};
use futures::Stream;
use tokio::sync::watch;

use crate::outcome::{Outcome, TaskSummary};
use crate::{Error, Result};

/// How often a run is looked at that another process executes: at first, and at the most.
const LOOK_EVERY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// Something that has happened to a run and is durable.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum RunEvent {
    /// A fact of a task run.
    Fact(FactRecord),
    /// The run has ended.
    Ended(RunStatus),
}

/// A handle on a run. Cheap to clone; dropping it does nothing to the run.
#[derive(Clone, Debug)]
pub struct RunHandle {
    id: RunId,
    scheduler: Scheduler,
}

impl RunHandle {
    pub(crate) fn new(id: RunId, scheduler: Scheduler) -> Self {
        Self { id, scheduler }
    }

    /// The run's identity.
    pub fn id(&self) -> RunId {
        self.id
    }

    /// Waits for the run to end; its last fact is durable then. A run that failed is an [`Outcome`] too.
    ///
    /// A run that another process executes is looked at in the store, at most every 500 ms.
    ///
    /// # Errors
    /// [`Error::Parked`] when the run cannot go on by itself, [`Error::Stopped`] when the engine stops
    /// first, those of the store.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn wait(&self) -> Result<Outcome> {
        let mut pause = LOOK_EVERY.0;
        loop {
            if let Some(finished) = self.scheduler.watch(self.id).await? {
                let failed = finished.state.failure().is_some();
                let status = if failed { RunStatus::Failed } else { RunStatus::Succeeded };
                return Ok(Outcome::new(status, finished.workflow, finished.state));
            }
            let record = self.record().await?;
            match record.status {
                status if status.is_terminal() => return self.outcome(record).await,
                RunStatus::Parked => {
                    let reason = record.parked_reason.unwrap_or_default();
                    return Err(Error::Parked { run: self.id, reason });
                }
                _ => {}
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LOOK_EVERY.1);
        }
    }

    /// The run's state, as it is stored.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn status(&self) -> Result<RunStatus> {
        Ok(self.record().await?.status)
    }

    /// All task runs as far as their facts are stored, in topological order; a mapped task by its elements.
    /// An attempt shows as running once it has run for 10 ms.
    ///
    /// # Errors
    /// [`Error::UnknownWorkflow`] when the run's workflow is not known to this program, those of the store.
    pub async fn tasks(&self) -> Result<Vec<TaskSummary>> {
        let record = self.record().await?;
        let outcome = self.outcome(record).await?;
        Ok(outcome.tasks())
    }

    /// How far the tasks that run now say they are, by [`TaskHandle::progress`](crate::TaskHandle::progress)
    /// and by the helpers of [`anio::parallel`](crate::parallel): one entry per count, ordered by task and
    /// element. A task that has reported nothing, has ended, or runs in another process has none.
    ///
    /// A snapshot out of memory: look as often as you draw. Nothing of it is stored.
    ///
    /// ```
    /// use anio::prelude::*;
    /// use anio::TaskCall;
    ///
    /// # #[tokio::main]
    /// # async fn main() -> anio::Result<()> {
    /// let thumbnails = Workflow::builder("thumbnails")
    ///     .task("draw", TaskOptions::new(), |call: TaskCall| async move {
    ///         call.handle().progress(3, 10);
    ///         call.handle().cancelled().await;
    ///         Ok::<_, TaskError>(())
    ///     })
    ///     .build()?;
    /// let engine = Engine::builder().store("memory:").start().await?;
    /// let run = engine.submit(thumbnails, ()).await?;
    /// let draw = loop {
    ///     if let Some(draw) = run.progress().into_iter().next() {
    ///         break draw;
    ///     }
    ///     tokio::task::yield_now().await;
    /// };
    /// assert_eq!((draw.task.as_str(), draw.done, draw.total), ("draw", 3, Some(10)));
    /// # Ok(()) }
    /// ```
    pub fn progress(&self) -> Vec<TaskProgress> {
        self.scheduler.progress(self.id)
    }

    /// What happens to the run, from its first fact on, each when it is durable; the last is
    /// [`RunEvent::Ended`].
    ///
    /// A run that this process executes is pushed; one that another process executes is looked at every
    /// 500 ms. The stream is slow only for who reads it slowly: nothing waits for it and nothing is dropped.
    ///
    /// # Errors
    /// An item is an error when the store cannot be read or the engine has stopped; it is the last item.
    pub fn events(&self) -> impl Stream<Item = Result<RunEvent>> + Send + use<> {
        let follower =
            Follower { run: self.clone(), n_seen: 0, read: VecDeque::new(), progress: None, is_done: false };
        futures::stream::unfold(follower, async |mut follower| Some((follower.next().await?, follower)))
    }

    async fn record(&self) -> Result<RunRecord> {
        let record = self.scheduler.store().run(self.id).await?.ok_or(Error::UnknownRun { run: self.id })?;
        self.scheduler.judge(record).await
    }

    /// What the stored facts add up to.
    async fn outcome(&self, record: RunRecord) -> Result<Outcome> {
        let workflow = self.scheduler.workflow(record.workflow.as_str()).await?;
        let facts = self.scheduler.store().facts(self.id).await?;
        let mut state = RunState::new(self.id, Arc::clone(workflow.plan()), record.input, u32::MAX);
        anio_scheduler::replay(&mut state, &facts)
            .map_err(|reason| Error::Parked { run: self.id, reason })?;
        Ok(Outcome::new(record.status, workflow, Arc::new(state)))
    }
}

/// Reads a run's facts as they become durable.
struct Follower {
    run: RunHandle,
    n_seen: usize,
    read: VecDeque<RunEvent>,
    progress: Option<watch::Receiver<u64>>,
    is_done: bool,
}

impl Follower {
    async fn next(&mut self) -> Option<Result<RunEvent>> {
        loop {
            if let Some(event) = self.read.pop_front() {
                return Some(Ok(event));
            }
            if self.is_done {
                return None;
            }
            if let Err(error) = self.read_on().await {
                self.is_done = true;
                return Some(Err(error));
            }
        }
    }

    /// Waits until there may be more, and reads it.
    async fn read_on(&mut self) -> Result<()> {
        if let Some(progress) = &mut self.progress {
            if progress.changed().await.is_err() {
                self.progress = None; // The run has ended or left this worker; what is stored tells which.
            }
        } else {
            self.progress = self.run.scheduler.follow(self.run.id).await?;
            if self.progress.is_none() && self.n_seen > 0 {
                tokio::time::sleep(LOOK_EVERY.1).await;
            }
        }
        // First the state, then the facts: a run that has ended gets no more of them.
        let status = self.run.status().await?;
        let facts = self.run.scheduler.store().facts(self.run.id).await?;
        let new = facts.into_iter().skip(self.n_seen).map(RunEvent::Fact);
        self.read.extend(new);
        self.n_seen += self.read.len();
        if status.is_terminal() {
            self.read.push_back(RunEvent::Ended(status));
            self.is_done = true;
        }
        Ok(())
    }
}
