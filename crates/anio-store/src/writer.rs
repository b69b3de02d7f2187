//! The thread that owns a connection: gathers, commits, and tries again.
//!
//! While one transaction is on its way to the disk, requests gather in the inbox; all that wait when it
//! returns make the next one. There is no timer and no threshold: a lone batch is committed at once, and
//! under load the batches grow by themselves.
//!
//! ```text
//!   inbox ──► drain ──► merge ──► one fenced transaction ──► an answer to each
//!                          │ refused                │ busy, disconnected, outcome unknown
//!                          ▼                        ▼
//!                    one by one              wait, reconnect, send the same commit again
//! ```
//!
//! The thread that reads is the same with another connection and no batches. In a simulation a task serves in
//! the thread's place: the functions here are `async` for it alone, and never wait on a thread.

use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anio_core::plant::{Plant, is_planted};
use flume::Receiver;

use crate::backend::Backend;
use crate::error::StoreError;
use crate::record::{Batch, WorkerId};
use crate::schedule::{Pace, at_once};

/// The first and the longest wait before a call is tried again.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Who is told how a request went.
pub(crate) type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// What the thread is asked to do.
pub(crate) enum Request {
    /// Make a batch durable, with others where some wait.
    Commit(Batch, Answer<()>),
    /// Any other verb.
    Call(Box<dyn Call>),
    /// Close the connection and end.
    Close(oneshot::Sender<()>),
}

/// A verb with its arguments and its answer.
pub(crate) trait Call: Send {
    /// Speaks the verb, and keeps what it came to when it went well.
    fn attempt(&mut self, backend: &mut dyn Backend) -> Result<(), StoreError>;

    /// Whether the verb may be spoken again when nobody knows whether it took effect.
    fn is_idempotent(&self) -> bool;

    /// Answers what it came to.
    fn succeed(self: Box<Self>);

    /// Answers that it went wrong.
    fn fail(self: Box<Self>, error: StoreError);
}

/// What a thread tells while it works.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Whether calls are no longer tried again.
    pub(crate) closing: AtomicBool,
    /// How many statements the connection has sent.
    pub(crate) n_statements: AtomicU64,
}

/// A connection with its thread's state.
pub(crate) struct Connection {
    backend: Box<dyn Backend>,
    /// How long a call is tried again.
    patience: Duration,
    /// The number of each worker's last commit.
    numbers: HashMap<WorkerId, u64>,
    /// Whether something went well before: then a database that can only be read changes its role, and will be
    /// written again.
    has_succeeded: bool,
    shared: Arc<Shared>,
    pace: Pace,
}

impl Connection {
    pub(crate) fn new(
        backend: Box<dyn Backend>,
        patience: Duration,
        shared: Arc<Shared>,
        pace: Pace,
    ) -> Self {
        Self { backend, patience, numbers: HashMap::new(), has_succeeded: false, shared, pace }
    }

    /// Serves on this thread until the last sender is gone, or until it is told to close.
    pub(crate) fn serve(mut self, inbox: &Receiver<Request>) {
        while let Ok(first) = inbox.recv() {
            if let ControlFlow::Break(closed) = at_once(self.round(first, inbox)) {
                self.end(closed);
                return;
            }
        }
    }

    /// Serves as a task until the last sender is gone, or until it is told to close.
    pub(crate) async fn serve_scheduled(mut self, inbox: Receiver<Request>) {
        while let Ok(first) = inbox.recv_async().await {
            if let ControlFlow::Break(closed) = self.round(first, &inbox).await {
                self.end(closed);
                return;
            }
        }
    }

    fn end(self, closed: oneshot::Sender<()>) {
        drop(self);
        let _ = closed.send(());
    }

    /// Does all that waits, the first of it in hand; breaks with whom to tell that the connection is closed.
    async fn round(&mut self, first: Request, inbox: &Receiver<Request>) -> ControlFlow<oneshot::Sender<()>> {
        let mut gathered = Vec::new();
        let mut requests: VecDeque<Request> = [first].into_iter().chain(inbox.drain()).collect();
        while let Some(request) = requests.pop_front() {
            match request {
                Request::Commit(batch, answer) => {
                    gathered.push((batch, answer));
                    let together = match requests.front() {
                        Some(Request::Commit(next, _)) => may_join(&gathered, next),
                        _ => false,
                    };
                    if !together {
                        self.commit(&mut gathered).await;
                    }
                }
                Request::Call(call) => self.call(call).await,
                Request::Close(closed) => return ControlFlow::Break(closed),
            }
            self.shared.n_statements.store(self.backend.n_statements(), Ordering::Relaxed);
        }
        ControlFlow::Continue(())
    }

    async fn call(&mut self, mut call: Box<dyn Call>) {
        let again = call.is_idempotent();
        match self.persist(again, |backend| call.attempt(backend)).await {
            Ok(()) => call.succeed(),
            Err(error) => call.fail(error),
        }
    }

    /// Commits what has gathered as one transaction; where that is refused, batch by batch, so that only
    /// the guilty one fails.
    async fn commit(&mut self, gathered: &mut Vec<(Batch, Answer<()>)>) {
        let (batches, answers): (Vec<Batch>, Vec<Answer<()>>) = gathered.drain(..).unzip();
        let (merged, sizes) = merge(batches);
        let outcome = self.commit_one(&merged).await;
        match outcome {
            Err(error) if answers.len() > 1 && !is_of_the_connection(&error) => {
                for (batch, answer) in split(merged, &sizes).into_iter().zip(answers) {
                    let _ = answer.send(self.commit_one(&batch).await);
                }
            }
            Err(error) => {
                for answer in answers {
                    let _ = answer.send(Err(error.for_another()));
                }
            }
            // An answer that nobody waits for is dropped.
            Ok(()) => answers.into_iter().for_each(|answer| drop(answer.send(Ok(())))),
        }
    }

    async fn commit_one(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let Some(worker) = batch.worker else { return self.commit_of_client(batch).await };
        let number = 1 + match self.numbers.get(&worker) {
            Some(last) => *last,
            None => self.persist(true, |backend| backend.last_commit(worker)).await?,
        };
        let is_guessed = is_planted(Plant::UnknownIsFailure) || is_planted(Plant::UnknownIsSuccess);
        let outcome = self.persist(!is_guessed, |backend| backend.commit(batch, number)).await;
        match &outcome {
            Err(StoreError::OutcomeUnknown { .. }) if is_guessed => {
                self.numbers.insert(worker, number);
                return if is_planted(Plant::UnknownIsFailure) {
                    Box::pin(self.commit_one(batch)).await
                } else {
                    Ok(())
                };
            }
            // Perhaps it is stored under this number: the next commit must not pass for it.
            Ok(()) | Err(StoreError::OutcomeUnknown { .. }) => {
                self.numbers.insert(worker, number);
            }
            Err(StoreError::LeaseLost) => {
                self.numbers.remove(&worker);
            }
            Err(_) => {}
        }
        outcome
    }

    /// Without a worker there is no number: a commit that was sent again is known by its first run.
    async fn commit_of_client(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let mut in_doubt = false;
        self.persist(true, |backend| {
            let outcome = backend.commit(batch, 0);
            in_doubt |= matches!(outcome, Err(StoreError::OutcomeUnknown { .. }));
            match (outcome, batch.runs.first()) {
                (Err(StoreError::Database { source }), Some(run)) if in_doubt => {
                    let stored = backend.run(run.id)?.is_some();
                    if stored { Ok(()) } else { Err(StoreError::Database { source }) }
                }
                (outcome, _) => outcome,
            }
        })
        .await
    }

    /// Tries until it goes well, or fails for good, or patience ends.
    async fn persist<T: Send>(
        &mut self,
        again_in_doubt: bool,
        mut attempt: impl FnMut(&mut dyn Backend) -> Result<T, StoreError> + Send,
    ) -> Result<T, StoreError> {
        let until = self.pace.now() + self.patience;
        let mut pause = PAUSE_MIN;
        let mut in_doubt = None;
        loop {
            self.pace.travel().await;
            let outcome = attempt(&mut *self.backend);
            self.pace.travel().await;
            let error = match outcome {
                Ok(value) => {
                    self.has_succeeded = true;
                    return Ok(value);
                }
                Err(error) => error,
            };
            let unknown = matches!(error, StoreError::OutcomeUnknown { .. });
            let read_only = matches!(error, StoreError::ReadOnly { .. });
            let may_try = if unknown {
                again_in_doubt
            } else {
                error.is_transient() || (read_only && self.has_succeeded)
            };
            // A session that began while the database could only be read may stay so for ever.
            let broken = unknown || read_only || matches!(error, StoreError::Disconnected { .. });
            if unknown && in_doubt.is_none() {
                in_doubt = Some(error.for_another());
            }
            let out_of_time = self.pace.now() + pause > until || self.shared.closing.load(Ordering::Relaxed);
            if may_try && !out_of_time {
                self.pace.pause(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
            let reconnected = if broken { self.backend.reconnect() } else { Ok(()) };
            if !may_try || out_of_time {
                // Once in doubt, an error of a later attempt says nothing of the first, unless it is that
                // of the fence, which looks.
                return Err(match error {
                    StoreError::LeaseLost => error,
                    error => in_doubt.unwrap_or(error),
                });
            }
            match reconnected {
                Err(error) if !error.is_transient() => return Err(in_doubt.unwrap_or(error)),
                _ => {}
            }
        }
    }
}

/// Whether an error tells of the connection or the disk and not of what was asked: every batch would meet it.
fn is_of_the_connection(error: &StoreError) -> bool {
    use StoreError::{Disk, OutcomeUnknown, ReadOnly};
    error.is_transient() || matches!(error, OutcomeUnknown { .. } | ReadOnly { .. } | Disk { .. })
}

/// Batches of one worker may share a transaction, and those of clients may join.
fn may_join(gathered: &[(Batch, Answer<()>)], next: &Batch) -> bool {
    let worker = gathered.iter().find_map(|(batch, _)| batch.worker);
    next.worker.is_none() || worker.is_none() || worker == next.worker
}

/// How many records of each kind a batch has, and its worker: what it takes to cut it out again.
#[derive(Clone, Copy)]
struct Size {
    worker: Option<WorkerId>,
    plans: usize,
    runs: usize,
    facts: usize,
    ends: usize,
    parks: usize,
    holds: usize,
}

impl Size {
    fn of(batch: &Batch) -> Self {
        Self {
            worker: batch.worker,
            plans: batch.plans.len(),
            runs: batch.runs.len(),
            facts: batch.facts.len(),
            ends: batch.ends.len(),
            parks: batch.parks.len(),
            holds: batch.holds.len(),
        }
    }
}

/// Puts batches together, in their order.
fn merge(batches: Vec<Batch>) -> (Batch, Vec<Size>) {
    let sizes = batches.iter().map(Size::of).collect();
    let mut batches = batches.into_iter().map(|mut batch| {
        if batch.worker.is_none() {
            // Nobody claims a client's runs, whichever worker's batch it joins.
            batch.runs.iter_mut().for_each(|run| run.claim = false);
        }
        batch
    });
    let mut merged = batches.next().unwrap_or_default();
    for mut batch in batches {
        merged.worker = merged.worker.or(batch.worker);
        merged.plans.append(&mut batch.plans);
        merged.runs.append(&mut batch.runs);
        merged.facts.append(&mut batch.facts);
        merged.ends.append(&mut batch.ends);
        merged.parks.append(&mut batch.parks);
        merged.holds.append(&mut batch.holds);
    }
    (merged, sizes)
}

/// Takes apart what `merge` put together.
fn split(merged: Batch, sizes: &[Size]) -> Vec<Batch> {
    let Batch { plans, runs, facts, ends, parks, holds, .. } = merged;
    let (mut plans, mut runs, mut facts) = (plans.into_iter(), runs.into_iter(), facts.into_iter());
    let (mut ends, mut parks, mut holds) = (ends.into_iter(), parks.into_iter(), holds.into_iter());
    let cut = |size: &Size| Batch {
        worker: size.worker,
        plans: plans.by_ref().take(size.plans).collect(),
        runs: runs.by_ref().take(size.runs).collect(),
        facts: facts.by_ref().take(size.facts).collect(),
        ends: ends.by_ref().take(size.ends).collect(),
        parks: parks.by_ref().take(size.parks).collect(),
        holds: holds.by_ref().take(size.holds).collect(),
    };
    sizes.iter().map(cut).collect()
}
