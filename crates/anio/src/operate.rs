//! What an operator does with runs: stop them, hold them, do them again, delete them, ask what a changed
//! program would do with them.

use std::time::Duration;

use anio_core::run::{Clearing, Conclusion, Fact, FactKind, TaskRunKey};
use anio_core::{RunId, Timestamp};
use anio_scheduler::record_of;
use anio_store::record::{Prune, Reopening, Request, Requested, RunStatus};

use crate::engine::Engine;
use crate::run_handle::RunHandle;
use crate::{Error, Result};

/// About how many rows one step of pruning deletes: a few milliseconds.
const PRUNE_ROWS_MAX: u32 = 1_000;

impl RunHandle {
    /// Cancels the run. The request is durable when this returns; the worker that has the run, this process or
    /// another, then starts nothing more, tells the run's bodies to stop (`async` ones are dropped at their next
    /// await point, plain ones see their token), and records what they did. [`RunHandle::wait`] returns an
    /// outcome with [`RunStatus::Cancelled`] when the last has ended, and for ever. A run that nobody ever
    /// had, or that is paused or parked, is cancelled when this returns; one that waits for its next worker after a
    /// crash or a stop is cancelled by that, or at once when this is called again. A worker in another process
    /// learns of it at once on Postgres, and within a quarter of a second on SQLite.
    ///
    /// A run all of whose tasks have settled already may still end as it was about to.
    ///
    /// Cancelling a cancelled run does nothing.
    ///
    /// # Errors
    /// [`Error::InvalidState`] when the run has succeeded or failed, [`Error::UnknownRun`], those of the store.
    ///
    /// # Cancel safety
    /// Dropped before it returns, the run may have been cancelled or not.
    pub async fn cancel(&self) -> Result<()> {
        self.request(Request::Cancel, "cancel").await
    }

    /// Pauses the run: nothing of it starts until [`RunHandle::resume`], not after a restart either. Bodies that
    /// run go on to their end and are recorded; the run is [`RunStatus::Paused`] when the last has. Pausing a
    /// paused run does nothing.
    ///
    /// # Errors
    /// [`Error::InvalidState`] when the run has ended, is parked or is being cancelled; [`Error::UnknownRun`],
    /// those of the store.
    ///
    /// # Cancel safety
    /// As for [`RunHandle::cancel`].
    pub async fn pause(&self) -> Result<()> {
        self.request(Request::Pause, "pause").await
    }

    /// Lets a paused run go on.
    ///
    /// # Errors
    /// [`Error::InvalidState`] when the run is not paused; [`Error::UnknownRun`], those of the store.
    ///
    /// # Cancel safety
    /// As for [`RunHandle::cancel`].
    pub async fn resume(&self) -> Result<()> {
        self.request(Request::Resume, "resume").await
    }

    /// Cancels one task of the run, with all its elements where it is mapped: it begins no other attempt, and
    /// its body, where it runs, is told to stop. A task that waits for others is cancelled when its turn comes.
    /// Its end is a failure ([`FailureKind::Cancelled`](crate::error::FailureKind::Cancelled)) for those that
    /// depend on it. One that has ended stays as it is.
    ///
    /// # Errors
    /// [`Error::InvalidState`] when the run has ended; [`Error::UnknownTask`], [`Error::UnknownRun`],
    /// [`Error::UnknownWorkflow`], those of the store.
    ///
    /// # Cancel safety
    /// As for [`RunHandle::cancel`].
    pub async fn cancel_task(&self, task: &str) -> Result<()> {
        self.give_up(task, None).await
    }

    /// Cancels one element of a mapped task; see [`RunHandle::cancel_task`]. An element that the task turns out
    /// not to have is of no consequence.
    ///
    /// # Errors
    /// As for [`RunHandle::cancel_task`].
    ///
    /// # Cancel safety
    /// As for [`RunHandle::cancel`].
    pub async fn cancel_element(&self, task: &str, index: u32) -> Result<()> {
        self.give_up(task, Some(index)).await
    }

    async fn request(&self, request: Request, asked: &'static str) -> Result<()> {
        let requested = self.scheduler().store().request(self.id(), request).await?;
        self.requested(requested, asked).await
    }

    async fn give_up(&self, task: &str, map_index: Option<u32>) -> Result<()> {
        let record = self.record().await?;
        let workflow = self.scheduler().workflow(record.workflow.as_str()).await?;
        let Some(position) = workflow.plan().position(task) else {
            let names = workflow.plan().tasks().iter().map(|task| task.name.as_str());
            let suggestion = anio_core::name::did_you_mean(task, names).map(str::to_owned);
            let workflow = workflow.name().to_string();
            return Err(Error::UnknownTask { workflow, task: task.to_owned(), suggestion });
        };
        let key = TaskRunKey { task: position, map_index };
        let fact = Fact { key, attempt: 0, at: self.scheduler().now(), kind: FactKind::Cancelled };
        let fact = record_of(self.id(), &workflow, fact);
        let requested = self.scheduler().store().append(self.id(), vec![fact]).await?;
        self.requested(requested, "cancel a task of").await
    }

    async fn requested(&self, requested: Requested, asked: &'static str) -> Result<()> {
        match requested {
            // It is durable; an engine that has stopped has nothing to tell.
            Requested::Sent | Requested::Done(_) => self.scheduler().heed(self.id()).await.or(Ok(())),
            Requested::Refused(status) => Err(Error::InvalidState { run: self.id(), status, asked }),
            Requested::UnknownRun => Err(Error::UnknownRun { run: self.id() }),
        }
    }
}

impl Engine {
    /// Lets a failed run go on from where it failed: its failed and cancelled task runs (of a mapped task, only
    /// those elements) are done again, and all tasks after them; what succeeded is kept, what never began
    /// begins. Attempts are counted on, with the whole retry policy before them; the history keeps all of them.
    /// The run has no deadline any more. Durable when this returns.
    ///
    /// # Errors
    /// [`Error::InvalidState`] when the run has not failed; [`Error::UnknownRun`], [`Error::UnknownWorkflow`],
    /// [`Error::Parked`] when it cannot go on under this program, those of the store.
    ///
    /// # Cancel safety
    /// Dropped before it returns, the run may go on or not.
    pub async fn retry_failed(&self, run: RunId) -> Result<RunHandle> {
        self.reopen(run, Clearing::Failed, &[RunStatus::Failed], "retry the failed tasks of").await
    }

    /// Does a task of an ended run again, and all tasks after it; all else is kept. See
    /// [`Engine::retry_failed`].
    ///
    /// # Errors
    /// [`Error::InvalidState`] when the run has not ended or was cancelled, [`Error::Clear`] for an unknown
    /// task, and as for [`Engine::retry_failed`].
    ///
    /// # Cancel safety
    /// As for [`Engine::retry_failed`].
    pub async fn rerun_from(&self, run: RunId, task: &str) -> Result<RunHandle> {
        self.clear(run, &[task]).await
    }

    /// Does some tasks of an ended run again, and all tasks after them (what they made would be out of date);
    /// all else is kept. See [`Engine::retry_failed`].
    ///
    /// # Errors
    /// As for [`Engine::rerun_from`].
    ///
    /// # Cancel safety
    /// As for [`Engine::retry_failed`].
    pub async fn clear(&self, run: RunId, tasks: &[&str]) -> Result<RunHandle> {
        let clearing = Clearing::From(tasks.iter().map(ToString::to_string).collect());
        self.reopen(run, clearing, &[RunStatus::Failed, RunStatus::Succeeded], "run again tasks of").await
    }

    /// Does one element of a mapped task again, and all tasks after that task. See [`Engine::clear`].
    ///
    /// # Errors
    /// As for [`Engine::rerun_from`].
    ///
    /// # Cancel safety
    /// As for [`Engine::retry_failed`].
    pub async fn clear_element(&self, run: RunId, task: &str, index: u32) -> Result<RunHandle> {
        let clearing = Clearing::Element(task.to_owned(), index);
        self.reopen(run, clearing, &[RunStatus::Failed, RunStatus::Succeeded], "run again a task of").await
    }

    async fn reopen(
        &self,
        run: RunId,
        clearing: Clearing,
        from: &[RunStatus],
        asked: &'static str,
    ) -> Result<RunHandle> {
        let handle = self.run_handle(run).await?;
        loop {
            let record = handle.record().await?;
            if !from.contains(&record.status) {
                return Err(Error::InvalidState { run, status: record.status, asked });
            }
            let epoch = record.epoch;
            let mut state = handle.state_of(&record).await?;
            if let Some(failure) = record.failure {
                state.conclude(Conclusion::Failed(failure));
            }
            let cleared = state
                .clearing(&clearing, self.scheduler.now())
                .map_err(|error| Error::Clear { run, error })?;
            let workflow = self.scheduler.workflow(record.workflow.as_str()).await?;
            let facts = cleared.into_iter().map(|fact| record_of(run, &workflow, fact));
            let reopening = Reopening { run, epoch, facts: facts.collect() };
            match self.scheduler.store().reopen(reopening).await? {
                Requested::UnknownRun => return Err(Error::UnknownRun { run }),
                // Somebody else was faster: look again.
                Requested::Refused(_) => {}
                Requested::Done(_) | Requested::Sent => {
                    self.scheduler.look().await?;
                    return Ok(handle);
                }
            }
        }
    }

    /// Deletes runs that ended longer ago than this, with all that is stored of them: in one of these states,
    /// or in any where none is named. Returns how many.
    ///
    /// It is done in many short transactions, so running work waits for none of them longer than some
    /// milliseconds. A run is deleted wholly: interrupted, the next call goes on where this one was. What SQLite
    /// frees is used again; the file does not shrink by itself.
    ///
    /// ```
    /// use std::time::Duration;
    /// use anio::prelude::*;
    /// # #[tokio::main]
    /// # async fn main() -> anio::Result<()> {
    /// # let engine = Engine::open("sqlite::memory:").await?;
    /// let month = Duration::from_secs(30 * 24 * 60 * 60);
    /// assert_eq!(engine.prune(month, &[RunStatus::Succeeded]).await?, 0);
    /// # engine.shutdown().await
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of the store; what was deleted before stays deleted.
    ///
    /// # Cancel safety
    /// Cancel safe: dropped, it stops after the step that is under way.
    pub async fn prune(&self, older_than: Duration, statuses: &[RunStatus]) -> Result<u64> {
        let micros = i64::try_from(older_than.as_micros()).unwrap_or(i64::MAX);
        let finished_before = Timestamp::from_micros(self.scheduler.now().as_micros().saturating_sub(micros));
        let mut prune =
            Prune { finished_before, statuses: statuses.to_vec(), after: None, n_rows_max: PRUNE_ROWS_MAX };
        let mut n_runs = 0;
        loop {
            let pruned = self.scheduler.store().prune(prune.clone()).await?;
            n_runs += pruned.n_runs;
            match pruned.next {
                Some(next) => prune.after = Some(next),
                None => return Ok(n_runs),
            }
        }
    }
}
