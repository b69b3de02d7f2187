//! The loop that owns all runs of this worker process.
//!
//! Everything comes in through the inbox (and the answers of bodies, which have a channel of their own);
//! [`Worker::apply`] hands events to the state machine of the run they belong to, and [`Worker::perform`]
//! is the one place where its effects meet the world. At most one batch is being committed at a time; what
//! the runs ask to persist meanwhile gathers for the next.

mod bodies;
mod commit;
mod control;
mod lease;
mod stop;
mod submit;

use std::collections::HashSet;
use std::sync::Arc;

use anio_core::run::{Conclusion, Effect, Event, FactKind, TaskRunKey};
use anio_core::{Fingerprint, RunId, Timestamp, Workflow, WorkflowName};
use anio_store::Store;
use anio_store::error::StoreError;
use anio_store::record::{EndRecord, FactRecord, RunStatus};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::commit::Commit;
use self::stop::{StopPhase, Stopping};
use crate::callback::{Callbacks, Called};
use crate::config::{Config, INBOX_MESSAGES_MAX};
use crate::error::Error;
use crate::executor::{Around, BodyOutcome, Executor, Returned, Slot, Ticket};
use crate::keeper::Keeper;
use crate::limit::Limits;
use crate::live_run::{LiveRun, final_failure, record_of};
use crate::map::Map;
use crate::metrics::{Counters, IsEnd};
use crate::pending::Pending;
use crate::ready::Lane;
use crate::scheduler::{Finished, Message, register};
use crate::timer::Timers;

/// The loop that owns all runs of this worker.
pub(crate) struct Worker {
    config: Config,
    store: Store,
    /// For keepers to come; weak, so that the loop ends when the last handle is gone.
    inbox: mpsc::WeakSender<Message>,
    messages: mpsc::Receiver<Message>,
    returns: mpsc::UnboundedReceiver<Returned>,
    executor: Executor,
    calls: mpsc::UnboundedReceiver<Called>,
    callbacks: Callbacks,
    /// Callbacks that have not returned.
    n_calls: usize,
    keeper: Keeper,
    workflows: Map<WorkflowName, Workflow>,
    runs: Map<RunId, LiveRun>,
    metrics: Arc<Counters>,
    /// Bodies on tokio and on blocking threads.
    plain: Lane,
    cpu: Lane,
    limits: Limits,
    timers: Timers,
    pending: Pending,
    commit: Option<Commit>,
    cancellation: CancellationToken,
    /// Kept between events for its memory.
    effects: Vec<Effect>,
    /// Attempts that were asked for when it was too late to begin them.
    interrupted: Vec<(RunId, TaskRunKey, u32)>,
    stored_plans: HashSet<Fingerprint>,
    /// Runs that this worker will hold once their submission is durable.
    n_submitting: usize,
    next_turn: u64,
    /// Whether there may be queued runs in the database.
    has_queued: bool,
    is_claiming: bool,
    /// When the next run is due that waits for its time.
    next_due: Option<Timestamp>,
    /// Before this the queue is not looked at again for runs that are due.
    due_looks_from: Instant,
    /// Why the store gave up.
    given_up: Option<String>,
    stopping: Option<Stopping>,
}

enum Wake {
    Returned(Option<Returned>),
    Called(Option<Called>),
    Message(Option<Message>),
    Committed(Result<(), StoreError>),
    Timer,
}

impl Worker {
    pub(crate) fn new(
        config: Config,
        store: Store,
        inbox: mpsc::WeakSender<Message>,
        messages: mpsc::Receiver<Message>,
        keeper: Keeper,
        workflows: Map<WorkflowName, Workflow>,
        around: Around,
    ) -> Self {
        let (sender, returns) = mpsc::unbounded_channel();
        let (callers, calls) = mpsc::unbounded_channel();
        let places = Arc::new(Semaphore::new(config.concurrency));
        let callbacks = Callbacks { returns: callers, places };
        let executor = Executor { around, returns: sender, clock: Arc::clone(&config.clock) };
        Self {
            limits: Limits::new(&config),
            plain: Lane::of(config.concurrency),
            cpu: Lane::of(config.cpu_threads),
            config,
            store,
            inbox,
            messages,
            returns,
            executor,
            calls,
            callbacks,
            n_calls: 0,
            metrics: Arc::clone(&keeper.metrics),
            keeper,
            workflows,
            runs: Map::default(),
            timers: Timers::default(),
            pending: Pending::default(),
            commit: None,
            cancellation: CancellationToken::new(),
            effects: Vec::new(),
            interrupted: Vec::new(),
            stored_plans: HashSet::new(),
            n_submitting: 0,
            next_turn: 0,
            has_queued: true,
            is_claiming: false,
            next_due: None,
            due_looks_from: Instant::now(),
            given_up: None,
            stopping: None,
        }
    }

    /// The numbers that it counts.
    pub(crate) fn metrics(&self) -> Arc<Counters> {
        Arc::clone(&self.metrics)
    }

    /// Runs until a shutdown, until the last handle is gone, or until the store gives up.
    pub(crate) async fn run(mut self) {
        let reason = loop {
            self.claim_if_room();
            self.dispatch();
            self.flush();
            if self.is_drained() {
                break self.end().await;
            }
            match self.wake().await {
                Wake::Message(None) => break None,
                Wake::Message(Some(message)) => self.on_message(message).await,
                Wake::Returned(None) => unreachable!("the loop's executor holds a sender"),
                Wake::Returned(Some(returned)) => self.on_returned(returned),
                Wake::Called(called) => self.on_called(&called.expect("the loop holds a sender")),
                Wake::Committed(result) => {
                    if let Some(reason) = self.on_committed(result).await {
                        break Some(reason);
                    }
                }
                Wake::Timer => self.on_timer(),
            }
            while let Ok(returned) = self.returns.try_recv() {
                self.on_returned(returned);
            }
            for _ in 0..INBOX_MESSAGES_MAX {
                let Ok(message) = self.messages.try_recv() else { break };
                self.on_message(message).await;
            }
            if let Some(reason) = self.given_up.take() {
                break Some(reason);
            }
        };
        if let Some(reason) = reason {
            tracing::error!(%reason, "the engine stops; its runs resume when it starts again");
        }
        self.metrics.gave_all_back();
        self.cancellation.cancel();
    }

    async fn wake(&mut self) -> Wake {
        let deadline = self.next_deadline();
        let commit = async {
            match &mut self.commit {
                Some((commit, _)) => commit.await,
                None => std::future::pending().await,
            }
        };
        let timer = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            result = commit => Wake::Committed(result),
            returned = self.returns.recv() => Wake::Returned(returned),
            message = self.messages.recv() => Wake::Message(message),
            called = self.calls.recv() => Wake::Called(called),
            () = timer => Wake::Timer,
        }
    }

    // ------ what comes in ------

    async fn on_message(&mut self, message: Message) {
        match message {
            Message::Submit { workflow, inputs, options, reply } => {
                self.submit(&workflow, inputs, &options, reply);
            }
            Message::Check { run, workflow, input, traceparent, reply } => {
                drop(reply.send(self.check(run, workflow, &input, traceparent.as_deref())));
            }
            Message::Look => self.keeper.look(),
            Message::Heed { news, reply } => {
                self.on_news(vec![news]);
                reply.send(()).unwrap_or(()); // The caller may have left.
            }
            Message::News { worker, news, next_due } => {
                self.mind_due(next_due);
                if worker == self.keeper.worker {
                    self.on_news(news);
                }
            }
            Message::GivenUp { worker, run, tasks } => {
                if worker == self.keeper.worker {
                    self.on_given_up(run, tasks);
                }
            }
            Message::Register { workflow, reply } => {
                let result = register(&mut self.workflows, &self.config, workflow);
                self.has_queued = true;
                drop(reply.send(result));
            }
            Message::Watch { run, reply } => match self.runs.get_mut(&run) {
                Some(live) => live.watchers.push(reply),
                None => drop(reply.send(None)),
            },
            Message::Follow { run, reply } => {
                let live = self.runs.get_mut(&run);
                let progress =
                    live.map(|live| live.progress.get_or_insert_with(|| watch::Sender::new(0)).subscribe());
                drop(reply.send(progress));
            }
            Message::Worker { reply } => drop(reply.send(self.keeper.worker)),
            Message::Find { name, reply } => {
                let found = self.workflows.get(name.as_str()).cloned().ok_or_else(|| {
                    let names = self.workflows.keys().map(WorkflowName::as_str);
                    let suggestion = anio_core::name::did_you_mean(&name, names).map(str::to_owned);
                    Error::UnknownWorkflow { workflow: name, suggestion }
                });
                drop(reply.send(found));
            }
            Message::Shutdown { grace, reply } => self.shut_down(grace, reply),
            Message::Workflows { reply } => {
                let fit = self.workflows.values().filter(|w| self.config.check_needs(w).is_ok());
                drop(reply.send(fit.map(|workflow| workflow.name().clone()).collect()));
            }
            Message::Queued => self.has_queued = true,
            Message::Claimed { worker, runs, has_more } => {
                self.is_claiming = false;
                self.has_queued |= has_more;
                if runs.iter().any(|run| self.runs.contains_key(&run.run.id)) {
                    self.let_go_first().await;
                }
                if worker == self.keeper.worker {
                    for run in &runs {
                        self.take_up(run);
                    }
                }
            }
            Message::Reserved { resource, answer } => self.limits.reserved(resource, answer),
            Message::LeaseLost { worker } => {
                if worker == self.keeper.worker {
                    self.lose_lease().await;
                }
            }
        }
    }

    fn on_returned(&mut self, returned: Returned) {
        let Returned { ticket: Ticket { run, key, attempt, worker, lane, held }, at, outcome, slot } =
            returned;
        if slot == Slot::Free {
            self.lane(lane).n_used -= 1;
            if let Some(demand) = held {
                self.limits.leave(&demand);
            }
        }
        if let Some(live) = self.runs.get_mut(&run).filter(|_| !matches!(outcome, BodyOutcome::SlotOnly)) {
            live.bodies.retain(|body| body.key != key);
        }
        if worker != self.keeper.worker {
            return; // Begun under a lease that is lost: the run may be somewhere else by now.
        }
        match outcome {
            BodyOutcome::Ended(result) => self.apply(run, at, Event::Returned { key, attempt, result }),
            BodyOutcome::Interrupted => self.apply(run, at, Event::Interrupted { key, attempt }),
            BodyOutcome::SlotOnly => {}
        }
    }

    fn on_called(&mut self, called: &Called) {
        self.n_calls -= 1;
        if called.worker == self.keeper.worker {
            let event = called.key.map_or(Event::RunCalled, |key| Event::Called { key });
            self.apply(called.run, self.config.clock.now(), event);
        }
    }

    fn on_timer(&mut self) {
        let now = self.config.clock.now();
        while let Some((deadline, run, key)) = self.timers.pop_due(now) {
            self.apply(run, now, key.map_or(Event::Deadline { deadline }, |key| Event::Due { key }));
        }
        self.look_for_due(now);
        self.stop_further(now);
    }

    // ------ the state machine and the world ------

    fn apply(&mut self, run: RunId, at: Timestamp, event: Event) {
        let Some(live) = self.runs.get_mut(&run) else { return };
        let mut effects = std::mem::take(&mut self.effects);
        let (is_end, n_skipped) = (IsEnd::of(&event), live.state.n_skipped());
        live.state.apply(at, event, &mut effects);
        self.metrics.count(&live.state, &effects, is_end, live.state.n_skipped() - n_skipped);
        for effect in effects.drain(..) {
            self.perform(run, effect);
        }
        self.effects = effects;
        for (run, key, attempt) in std::mem::take(&mut self.interrupted) {
            self.apply(run, at, Event::Interrupted { key, attempt });
        }
    }

    fn perform(&mut self, run: RunId, effect: Effect) {
        match effect {
            Effect::Ready(key) => self.ready(run, key),
            Effect::Execute { key, attempt } => self.execute(run, key, attempt),
            Effect::Persist(fact) => {
                let is_start = matches!(fact.kind, FactKind::Started);
                let trace = self.config.trace.as_ref().filter(|_| is_start).map(Arc::clone);
                let Some(live) = self.mark_dirty(run) else { return };
                if let Some(failure) = final_failure(&fact) {
                    let task = &live.workflow.plan().task(fact.key.task).name;
                    let (map_index, attempt) = (fact.key.map_index, fact.attempt);
                    tracing::warn!(parent: &live.span, %task, map_index, attempt, %failure, "task failed");
                }
                let traceparent = trace.and_then(|trace| live.name_ahead(fact.key, fact.attempt, &*trace));
                let record = FactRecord { traceparent, ..record_of(run, &live.workflow, fact) };
                self.pending.batch.facts.push(record);
            }
            Effect::Note(fact) => self.pending.notes.push(run, fact),
            Effect::Arm { key, at } => self.timers.arm(at, run, key),
            Effect::End(end) => {
                if self.mark_dirty(run).is_some() {
                    let (status, failure) = match end.how {
                        Conclusion::Succeeded => (RunStatus::Succeeded, None),
                        Conclusion::Failed(failure) => (RunStatus::Failed, Some(failure)),
                        Conclusion::Cancelled => (RunStatus::Cancelled, None),
                    };
                    self.pending.batch.ends.push(EndRecord { run, status, failure, at: end.at });
                }
            }
            // What waits for a slot and may not start is found out when its turn comes.
            Effect::Withdraw => {}
            Effect::Vacate(key) => self.vacate(run, key),
            Effect::CallOff(None) => {
                self.runs.get(&run).into_iter().for_each(|live| live.cancellation.cancel());
            }
            Effect::CallOff(Some(key)) => {
                let bodies = self.runs.get(&run).into_iter().flat_map(|live| &live.bodies);
                bodies.filter(|body| body.key == key).for_each(|body| body.token.cancel());
            }
            Effect::Call(key) => self.call(run, Some(key)),
            Effect::CallRun => self.call(run, None),
            Effect::Hold => {
                if self.mark_dirty(run).is_some() {
                    self.pending.batch.holds.push(run);
                }
            }
            Effect::Held => {
                let Some(live) = self.runs.remove(&run) else { return };
                tracing::info!(parent: &live.span, "run paused");
                // Who watches looks in the store; resumed in between, it waits there to be claimed.
                live.watchers.into_iter().for_each(|watcher| drop(watcher.send(None)));
                self.keeper.look();
            }
            Effect::Ended => {
                let Some(live) = self.runs.remove(&run) else { return };
                tracing::debug!(parent: &live.span, failed = live.state.failure().is_some(), "run ended");
                if !live.watchers.is_empty() {
                    let finished = Finished { state: Arc::new(live.state), workflow: live.workflow };
                    live.watchers.into_iter().for_each(|watcher| drop(watcher.send(Some(finished.clone()))));
                }
            }
        }
    }

    /// When the loop must wake by itself.
    fn next_deadline(&self) -> Option<Instant> {
        let now = self.config.clock.now();
        let timer = self.timers.next().map(|at| Instant::now() + at.since(now));
        // While a commit is under way its answer wakes the loop, which then gathers the notes.
        let note = self.pending.notes.next().filter(|_| self.commit.is_none());
        let stop = self
            .stopping
            .as_ref()
            .filter(|stop| stop.phase != StopPhase::Abandoned)
            .map(|stop| stop.deadline);
        let due = self.next_due.map(|at| (Instant::now() + at.since(now)).max(self.due_looks_from));
        let opens = self.limits.opens().filter(|_| self.stopping.is_none());
        [timer, note, stop, opens, due].into_iter().flatten().min()
    }
}
