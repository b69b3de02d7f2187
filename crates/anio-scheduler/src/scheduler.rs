//! The handle on a worker: what the rest of the program asks of its loop.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anio_core::run::RunState;
use anio_core::{Output, RunId, TaskName, Timestamp, Workflow, WorkflowName};
use anio_store::Store;
use anio_store::record::{
    Batch, ClaimedRun, NewRun, News, RunOptions, RunRecord, RunStatus, Submission, WorkerId,
};
use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::Clock;
use crate::config::{Config, INBOX_MESSAGES_MAX};
use crate::error::Error;
use crate::executor::Around;
use crate::ids::Ids;
use crate::keeper::Keeper;
use crate::limit::Answer;
use crate::map::Map;
use crate::metrics::{Counters, Metrics};
use crate::progress::{Board, TaskProgress};
use crate::worker::Worker;

/// A run that has ended: its final state, shared by all who waited.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The state; replaying the stored facts gives the same.
    pub state: Arc<RunState>,
    /// Its workflow.
    pub workflow: Workflow,
}

/// What comes into the scheduler's inbox.
#[derive(Debug)]
pub(crate) enum Message {
    Submit {
        workflow: Workflow,
        inputs: Vec<Output>,
        options: RunOptions,
        reply: oneshot::Sender<Result<Vec<RunId>, Error>>,
    },
    /// Check a submission that the store takes by itself.
    Check {
        run: RunId,
        workflow: Workflow,
        input: Output,
        /// The trace that the run was asked to belong to.
        traceparent: Option<String>,
        reply: oneshot::Sender<Result<(Timestamp, Option<String>), Error>>,
    },
    Register {
        workflow: Workflow,
        reply: oneshot::Sender<Result<(), Error>>,
    },
    /// Answer when the run ends, or with `None` when this worker does not hold it.
    Watch {
        run: RunId,
        reply: oneshot::Sender<Option<Finished>>,
    },
    /// Answer with what changes whenever facts of the run become durable; `None` when it is not held here.
    Follow {
        run: RunId,
        reply: oneshot::Sender<Option<watch::Receiver<u64>>>,
    },
    Worker {
        reply: oneshot::Sender<WorkerId>,
    },
    Find {
        name: String,
        reply: oneshot::Sender<Result<Workflow, Error>>,
    },
    Shutdown {
        grace: Duration,
        reply: oneshot::Sender<()>,
    },
    // From the keeper:
    Workflows {
        reply: oneshot::Sender<Vec<WorkflowName>>,
    },
    Queued,
    /// Look at once for what others have changed.
    Look,
    /// Others have changed a run; answer when it has been told.
    Heed {
        news: News,
        reply: oneshot::Sender<()>,
    },
    News {
        worker: WorkerId,
        news: Vec<News>,
        next_due: Option<Timestamp>,
    },
    /// Task runs were given up, durably.
    GivenUp {
        worker: WorkerId,
        run: RunId,
        tasks: Vec<(TaskName, Option<u32>)>,
    },
    Claimed {
        worker: WorkerId,
        runs: Vec<ClaimedRun>,
        has_more: bool,
    },
    LeaseLost {
        worker: WorkerId,
    },
    /// What came of a reservation under the shared rate of a resource.
    Reserved {
        resource: usize,
        answer: Answer,
    },
}

/// A running scheduler. Cheap to clone; when the last one is dropped the loop stops as in a crash: its runs
/// resume at the next start.
#[derive(Clone, Debug)]
pub struct Scheduler {
    inbox: mpsc::Sender<Message>,
    store: Store,
    board: Board,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    metrics: Arc<Counters>,
}

impl Scheduler {
    /// Takes a lease, takes up the runs that a crash left behind, and starts the loop on the current tokio
    /// runtime.
    ///
    /// Of the `linked` workflows, those that need a resource which this worker does not have are known and not
    /// executed here: their runs are left to others, and a submission is refused.
    ///
    /// # Errors
    /// Those of the store, of the configuration, [`Error::DuplicateWorkflow`], [`Error::MissingResource`] and
    /// [`Error::MissingPool`].
    pub async fn start(
        store: Store,
        config: Config,
        workflows: Vec<Workflow>,
        linked: Vec<Workflow>,
    ) -> Result<Self, Error> {
        config.check()?;
        let mut known = Map::default();
        for workflow in workflows {
            register(&mut known, &config, workflow)?;
        }
        for workflow in linked {
            if let Err(error) = config.check_needs(&workflow) {
                tracing::info!(%error, "its runs are left to other workers");
            }
            insert(&mut known, workflow)?;
        }
        let board = Board::default();
        let pool = config
            .lanes
            .pool(config.cpu_threads)
            .map_err(|error| Error::InvalidConfig { option: "cpu_threads", problem: error.to_string() })?;
        let pools =
            config.pools.iter().map(|(name, n_threads)| Ok((name.clone(), config.lanes.pool(*n_threads)?)));
        let pools: Result<BTreeMap<_, _>, anio_parallel::Error> = pools.collect();
        let pools =
            pools.map_err(|error| Error::InvalidConfig { option: "pool", problem: error.to_string() })?;
        let fit = known.values().filter(|workflow| config.check_needs(workflow).is_ok());
        store.unpark(fit.map(|workflow| workflow.name().clone()).collect()).await?;
        // So that no transaction of a user is the first to store a plan, and lets all others wait for its end.
        let plans = known.values().map(|w| (w.plan().fingerprint(), w.plan().record().clone())).collect();
        store.commit(Batch { plans, ..Batch::default() }).await?;
        let (inbox, messages) = mpsc::channel(INBOX_MESSAGES_MAX);
        let keeper = Keeper::start(&store, &config, Arc::new(Counters::new()), inbox.downgrade()).await?;
        let around = Around { lanes: config.lanes, pool, pools: Arc::new(pools), board: board.clone() };
        let (clock, ids) = (Arc::clone(&config.clock), Arc::clone(&config.ids));
        let worker = Worker::new(config, store.clone(), inbox.downgrade(), messages, keeper, known, around);
        let metrics = worker.metrics();
        tokio::spawn(worker.run());
        Ok(Self { inbox, store, board, clock, ids, metrics })
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The time by this worker's clock.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// What the attempts of a run that this worker executes now say of their progress.
    pub fn progress(&self, run: RunId) -> Vec<TaskProgress> {
        self.board.of_run(run)
    }

    /// What this worker has done since it started, and what it is doing.
    pub fn metrics(&self) -> Metrics {
        self.metrics.snapshot()
    }

    /// Submits a run for each input, all with the same options and in one commit; durable when this returns,
    /// or none of them is. With an idempotency key there must be one input: the run that has the key comes
    /// back where there is one.
    ///
    /// # Errors
    /// [`Error::InvalidInput`], [`Error::DuplicateWorkflow`], [`Error::MissingResource`],
    /// [`Error::MissingPool`], [`Error::Stopped`], those of the store: [`StoreError::IdempotencyConflict`](anio_store::StoreError::IdempotencyConflict),
    /// [`StoreError::InvalidOption`](anio_store::StoreError::InvalidOption).
    ///
    /// # Cancel safety
    /// When the future is dropped the runs may have been submitted or not.
    pub async fn submit(
        &self,
        workflow: Workflow,
        inputs: Vec<Output>,
        options: RunOptions,
    ) -> Result<Vec<RunId>, Error> {
        options.check(workflow.name())?;
        match <[Output; 1]>::try_from(inputs) {
            Ok([input]) if options.idempotency_key.is_some() => {
                Ok(vec![self.submit_keyed(workflow, input, options).await?])
            }
            Ok([input]) => {
                let inputs = vec![input];
                self.ask(|reply| Message::Submit { workflow, inputs, options, reply }).await?
            }
            Err(inputs) => self.ask(|reply| Message::Submit { workflow, inputs, options, reply }).await?,
        }
    }

    async fn submit_keyed(
        &self,
        workflow: Workflow,
        input: Output,
        mut options: RunOptions,
    ) -> Result<RunId, Error> {
        let (id, plan) = (RunId::from_uuid(self.ids.next()), workflow.plan());
        let (checked, given) = (workflow.clone(), input.clone());
        let traceparent = options.traceparent.take();
        let check = |reply| Message::Check { run: id, workflow: checked, input: given, traceparent, reply };
        let (submitted_at, traceparent) = self.ask(check).await??;
        options.traceparent = traceparent;
        let run = NewRun {
            id,
            workflow: workflow.name().clone(),
            plan: plan.fingerprint(),
            input,
            options,
            submitted_at,
            claim: false,
        };
        match self.store.submit(run, (plan.fingerprint(), plan.record().clone())).await? {
            Submission::New => {
                self.metrics.submitted(1);
                self.look().await?;
                Ok(id)
            }
            Submission::Known(known) => Ok(known.id),
        }
    }

    /// Looks at once for queued runs, and for what others have changed about this worker's runs.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub async fn look(&self) -> Result<(), Error> {
        self.inbox.send(Message::Look).await.map_err(|_| Error::Stopped { reason: None })
    }

    /// Makes a workflow known, so that its queued runs are taken up.
    ///
    /// # Errors
    /// [`Error::DuplicateWorkflow`], [`Error::MissingResource`], [`Error::MissingPool`], [`Error::Stopped`].
    pub async fn register(&self, workflow: Workflow) -> Result<(), Error> {
        self.ask(|reply| Message::Register { workflow, reply }).await?
    }

    /// The workflow of this name.
    ///
    /// # Errors
    /// [`Error::UnknownWorkflow`], [`Error::Stopped`].
    pub async fn workflow(&self, name: &str) -> Result<Workflow, Error> {
        self.ask(|reply| Message::Find { name: name.to_owned(), reply }).await?
    }

    /// The identity of the lease that this worker holds now; a worker that loses its lease takes another.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub async fn worker(&self) -> Result<WorkerId, Error> {
        self.ask(|reply| Message::Worker { reply }).await
    }

    /// The same record, shown as parked, with the reason, where it waits for a workflow that is unknown here.
    ///
    /// In the store such a run stays queued: another worker may know its workflow.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub async fn judge(&self, mut record: RunRecord) -> Result<RunRecord, Error> {
        if record.status == RunStatus::Queued {
            match self.workflow(record.workflow.as_str()).await {
                Ok(_) => {}
                Err(error @ Error::UnknownWorkflow { .. }) => {
                    record.status = RunStatus::Parked;
                    record.parked_reason = Some(error.to_string());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(record)
    }

    /// Waits for a run that this worker holds to end; `None` when it does not hold it.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn watch(&self, run: RunId) -> Result<Option<Finished>, Error> {
        self.ask(|reply| Message::Watch { run, reply }).await
    }

    /// Lets a run that this worker holds know what has been asked of it in the store; it has been told when
    /// this returns. Looks for queued runs, too.
    ///
    /// # Errors
    /// [`Error::Stopped`], those of the store.
    pub async fn heed(&self, run: RunId) -> Result<(), Error> {
        self.look().await?;
        let Some(record) = self.store.run(run).await? else { return Ok(()) };
        // A pause and a resume of two callers may come in either order: the later change counts.
        let news = News { run, requested: record.requested, n: record.news };
        self.ask(|reply| Message::Heed { news, reply }).await
    }

    /// What changes whenever facts of a run become durable that this worker holds, and closes when it holds
    /// it no more; `None` when it does not hold it.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub async fn follow(&self, run: RunId) -> Result<Option<watch::Receiver<u64>>, Error> {
        self.ask(|reply| Message::Follow { run, reply }).await
    }

    /// Stops starting task runs, waits for running ones for at most `grace`, records what they did, and
    /// gives the lease back: what has not finished goes on wherever a worker starts next.
    ///
    /// # Errors
    /// [`Error::Stopped`] when it has stopped already.
    pub async fn shutdown(&self, grace: Duration) -> Result<(), Error> {
        self.ask(|reply| Message::Shutdown { grace, reply }).await
    }

    async fn ask<T>(&self, message: impl FnOnce(oneshot::Sender<T>) -> Message) -> Result<T, Error> {
        let stopped = || Error::Stopped { reason: None };
        let (reply, answer) = oneshot::channel();
        self.inbox.send(message(reply)).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())
    }
}

pub(crate) fn register(
    known: &mut Map<WorkflowName, Workflow>,
    config: &Config,
    workflow: Workflow,
) -> Result<(), Error> {
    config.check_needs(&workflow)?;
    insert(known, workflow)
}

fn insert(known: &mut Map<WorkflowName, Workflow>, workflow: Workflow) -> Result<(), Error> {
    if let Some(other) = known.get(workflow.name()) {
        let (first, second) = (other.plan().fingerprint(), workflow.plan().fingerprint());
        if first != second {
            return Err(Error::DuplicateWorkflow { workflow: workflow.name().to_string(), first, second });
        }
        return Ok(());
    }
    known.insert(workflow.name().clone(), workflow);
    Ok(())
}
