//! A run that was submitted.

use std::sync::Arc;
use std::time::Duration;

use anio_core::RunId;
use anio_core::run::{Conclusion, RunState};
use anio_scheduler::{Scheduler, TaskProgress};
use anio_store::Changes;
use anio_store::record::{RunRecord, RunStatus};

use crate::outcome::{Outcome, TaskSummary};
use crate::{Error, Result};

/// How often a run is looked at that another process executes: at first, and at the most.
const LOOK_EVERY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

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
    /// A run that another process executes is looked at in the store when something has changed there (see
    /// [`Store::changes`](crate::Store::changes)), and every 500 ms. A run that is paused is waited for.
    ///
    /// # Errors
    /// [`Error::Parked`] when the run cannot go on by itself, [`Error::Stopped`] when the engine stops
    /// first, those of the store.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn wait(&self) -> Result<Outcome> {
        let mut changes: Option<Changes> = None;
        let mut pause = LOOK_EVERY.0;
        loop {
            if let Some(finished) = self.scheduler.watch(self.id).await? {
                let status = match finished.state.conclusion() {
                    Some(Conclusion::Cancelled) => RunStatus::Cancelled,
                    Some(Conclusion::Failed(_)) => RunStatus::Failed,
                    Some(Conclusion::Succeeded) | None => RunStatus::Succeeded,
                };
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
            // Another process has it, or nobody: it is looked at whenever something changes, and now and then.
            let is_first = pause == LOOK_EVERY.0;
            if is_first && record.status == RunStatus::Queued {
                // Somebody else may have put it there a moment ago.
                self.scheduler.look().await?;
            } else if !is_first && changes.is_none() {
                changes = Some(self.scheduler.store().changes().await?);
            }
            let told = async {
                let change = match &mut changes {
                    Some(changes) => changes.changed().await,
                    None => None,
                };
                if change.is_none() {
                    std::future::pending::<()>().await;
                }
            };
            drop(tokio::time::timeout(pause, told).await);
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

    /// All task runs, in topological order; a mapped task by its elements: which wait, are ready for a slot, run
    /// and since when, wait for their next attempt and until when, have ended and how, were skipped and why.
    ///
    /// All of it is durable: what shows here is so after a crash, too. So an attempt shows as running once it has
    /// run for 10 ms and that is stored, and until then as ready.
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

    pub(crate) fn scheduler(&self) -> &Scheduler {
        &self.scheduler
    }

    pub(crate) async fn record(&self) -> Result<RunRecord> {
        let record = self.scheduler.store().run(self.id).await?.ok_or(Error::UnknownRun { run: self.id })?;
        self.scheduler.judge(record).await
    }

    /// What the stored facts add up to.
    async fn outcome(&self, record: RunRecord) -> Result<Outcome> {
        let workflow = self.scheduler.workflow(record.workflow.as_str()).await?;
        let mut state = self.state_of(&record).await?;
        match (record.status, record.failure) {
            (RunStatus::Cancelled, _) => state.conclude(Conclusion::Cancelled),
            (RunStatus::Failed, Some(failure)) => state.conclude(Conclusion::Failed(failure)),
            _ => {}
        }
        Ok(Outcome::new(record.status, workflow, Arc::new(state)))
    }

    /// The state that the stored facts add up to.
    pub(crate) async fn state_of(&self, record: &RunRecord) -> Result<RunState> {
        let workflow = self.scheduler.workflow(record.workflow.as_str()).await?;
        let facts = self.scheduler.store().facts(self.id).await?;
        let input = record.input.clone();
        let mut state = RunState::new(self.id, Arc::clone(workflow.plan()), input, u32::MAX);
        anio_scheduler::replay(&mut state, &facts)
            .map_err(|reason| Error::Parked { run: self.id, reason })?;
        Ok(state)
    }
}
