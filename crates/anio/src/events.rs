//! What happens to a run, as a stream.

use std::collections::VecDeque;
use std::time::Duration;

use anio_store::Changes;
use anio_store::record::{FactRecord, RunStatus};
use futures::Stream;
use tokio::sync::watch;

use crate::Result;
use crate::run_handle::RunHandle;

/// How often a run that another process executes is looked at, whatever is told of changes.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Something that has happened to a run and is durable.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum RunEvent {
    /// A fact of a task run.
    Fact(FactRecord),
    /// The run has ended.
    Ended(RunStatus),
}

impl RunHandle {
    /// What happens to the run, from its first fact on, each when it is durable; the last is
    /// [`RunEvent::Ended`].
    ///
    /// Pushed, not polled: by the scheduler where this process executes the run, by the database where another
    /// does (Postgres notifies; a SQLite file is looked at a few times a second, at most 500 ms late). The
    /// stream is slow only for who reads it slowly: nothing waits for it and nothing is dropped.
    ///
    /// # Errors
    /// An item is an error when the store cannot be read or the engine has stopped; it is the last item.
    pub fn events(&self) -> impl Stream<Item = Result<RunEvent>> + Send + use<> {
        let follower = Follower {
            run: self.clone(),
            n_seen: 0,
            read: VecDeque::new(),
            progress: None,
            changes: None,
            is_done: false,
        };
        futures::stream::unfold(follower, async |mut follower| Some((follower.next().await?, follower)))
    }
}

/// Reads a run's facts as they become durable.
struct Follower {
    run: RunHandle,
    n_seen: u64,
    read: VecDeque<RunEvent>,
    /// From the scheduler, where this process executes the run.
    progress: Option<watch::Receiver<u64>>,
    /// From the database, where another does.
    changes: Option<Changes>,
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
        let scheduler = self.run.scheduler();
        if let Some(progress) = &mut self.progress {
            if progress.changed().await.is_err() {
                self.progress = None; // The run has ended or left this worker; what is stored tells which.
            }
        } else {
            self.progress = scheduler.follow(self.run.id()).await?;
            match &mut self.changes {
                Some(changes) if self.progress.is_none() => {
                    // Told of nothing, it looks all the same.
                    drop(tokio::time::timeout(LOOK_EVERY, changes.changed()).await);
                }
                // Before the first look, so that nothing is missed between the two.
                None if self.progress.is_none() => self.changes = Some(scheduler.store().changes().await?),
                _ => {}
            }
        }
        // First the state, then the facts: a run that has ended gets no more of them.
        let status = self.run.status().await?;
        let facts = scheduler.store().facts_from(self.run.id(), self.n_seen).await?;
        self.n_seen += facts.len() as u64;
        self.read.extend(facts.into_iter().map(RunEvent::Fact));
        if status.is_terminal() {
            self.read.push_back(RunEvent::Ended(status));
            self.is_done = true;
        }
        Ok(())
    }
}
