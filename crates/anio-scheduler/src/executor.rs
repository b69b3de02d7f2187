//! Executes one attempt: on tokio, on the rayon pool or on a blocking thread; always answers once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anio_core::error::{FailureKind, TaskFailure};
use anio_core::run::{AttemptError, TaskRunKey};
use anio_core::task::{Cancellation, TaskCall, TaskReturn};
use anio_core::{Lane, RetryCondition, RunId, Task, TaskError, TaskName, Timestamp};
use anio_parallel::{Pool, Scope};
use anio_store::record::WorkerId;
use async_trait::async_trait;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use crate::clock::Clock;
use crate::lanes::Lanes;
use crate::limit::Demand;
use crate::progress::{Board, Reporter, Reporting};
use crate::verdict::{Verdict, failed, verdict};
use crate::watch::watched;

/// The answer of an attempt's body.
#[derive(Debug)]
pub(crate) struct Returned {
    pub(crate) ticket: Ticket,
    pub(crate) at: Timestamp,
    pub(crate) outcome: BodyOutcome,
    /// Whether the body has let go of its slot. A plain function that timed out goes on for a while.
    pub(crate) slot: Slot,
}

/// Which attempt a body belongs to, and what it holds while it runs.
#[derive(Clone, Debug)]
pub(crate) struct Ticket {
    pub(crate) run: RunId,
    pub(crate) key: TaskRunKey,
    pub(crate) attempt: u32,
    /// The lease under which it was started: after another, its answer counts no more.
    pub(crate) worker: WorkerId,
    pub(crate) lane: Lane,
    /// What it was given beside its slot.
    pub(crate) held: Option<Arc<Demand>>,
}

#[derive(Debug)]
pub(crate) enum BodyOutcome {
    Ended(Result<TaskReturn, AttemptError>),
    /// The body was dropped, or saw its token and gave up, because the run is called off.
    Interrupted,
    /// The answer was given before; only the slot comes back.
    SlotOnly,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    Free,
    Held,
}

/// One attempt that is to be executed.
pub(crate) struct Attempt {
    pub(crate) ticket: Ticket,
    pub(crate) timeout: Option<Duration>,
    /// After which failures another may follow.
    pub(crate) condition: RetryCondition,
    /// The named pool that it computes on.
    pub(crate) pool: Option<Pool>,
    pub(crate) task: Arc<dyn Task>,
    pub(crate) call: TaskCall,
    /// Cancelled when the run is called off, and when the attempt times out.
    pub(crate) token: CancellationToken,
    pub(crate) value_bytes_max: usize,
    pub(crate) span: Span,
    pub(crate) reporter: Arc<Reporter>,
}

impl Attempt {
    /// What its body finds around it.
    fn scope(&self, pool: Pool) -> Scope {
        let reporter: Arc<dyn anio_parallel::Progress> = self.reporter.clone();
        Scope::new(pool, self.token.clone()).progress_to(reporter)
    }
}

/// What is around all bodies of a worker.
#[derive(Clone, Debug)]
pub(crate) struct Around {
    /// Where plain ones execute.
    pub(crate) lanes: Lanes,
    /// Where they compute.
    pub(crate) pool: Pool,
    /// Where those compute that name a pool.
    pub(crate) pools: Arc<BTreeMap<String, Pool>>,
    /// Where they say how far they are.
    pub(crate) board: Board,
}

/// Where bodies run and where their answers go.
#[derive(Clone, Debug)]
pub(crate) struct Executor {
    pub(crate) around: Around,
    /// Unbounded, and yet bounded: each slot sends one answer, two where a plain function timed out.
    pub(crate) returns: UnboundedSender<Returned>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Executor {
    /// What takes an attempt's reports of its progress.
    pub(crate) fn reporter(
        &self,
        run: RunId,
        task: &TaskName,
        index: Option<u32>,
        attempt: u32,
    ) -> Arc<Reporter> {
        Reporter::new(&self.around.board, &self.clock, run, task, (index, attempt))
    }

    /// The pool of this name.
    pub(crate) fn pool(&self, name: &str) -> Pool {
        let pool = self.around.pools.get(name);
        pool.expect("a workflow is registered only where the pools that it names are there").clone()
    }

    /// Starts the body and returns at once.
    pub(crate) fn spawn(&self, attempt: Attempt) {
        let answer = Answer {
            ticket: attempt.ticket.clone(),
            sender: self.returns.clone(),
            clock: Arc::clone(&self.clock),
            is_given: false,
        };
        match attempt.ticket.lane {
            Lane::Async => drop(tokio::spawn(run_async(attempt, self.around.pool.clone(), answer))),
            Lane::Cpu | Lane::Blocking => self.spawn_plain(attempt, answer),
        }
    }

    fn spawn_plain(&self, attempt: Attempt, mut answer: Answer) {
        let computes = attempt.pool.is_some() || attempt.ticket.lane == Lane::Cpu;
        let pool = attempt.pool.clone().unwrap_or_else(|| self.around.pool.clone());
        let threads = computes.then(|| pool.clone());
        let (timeout, token) = (attempt.timeout, attempt.token.clone());
        let (condition, name) = (attempt.condition, attempt.call.handle().task().clone());
        let Some(timeout) = timeout else {
            let body = async move {
                let outcome = run_plain(attempt, pool).await;
                answer.give(outcome, Slot::Free);
            };
            self.around.lanes.spawn(threads.as_ref(), body);
            return;
        };
        // A thread cannot be stopped: at the time-out the answer is given, and the slot follows when the
        // function returns.
        let (done, ended) = tokio::sync::oneshot::channel();
        let body = async move { drop(done.send(run_plain(attempt, pool).await)) };
        self.around.lanes.spawn(threads.as_ref(), body);
        tokio::spawn(async move {
            let mut ended = ended;
            match tokio::time::timeout(timeout, &mut ended).await {
                Ok(Ok(outcome)) => answer.give(outcome, Slot::Free),
                Ok(Err(_)) => answer.give(BodyOutcome::Interrupted, Slot::Free),
                Err(_) => {
                    token.cancel();
                    answer.give(timed_out(timeout, &name, condition), Slot::Held);
                    drop(ended.await);
                    answer.give(BodyOutcome::SlotOnly, Slot::Free);
                }
            }
        });
    }
}

async fn run_async(attempt: Attempt, pool: Pool, mut answer: Answer) {
    if attempt.token.is_cancelled() {
        // It was called off while it waited for a thread of tokio.
        answer.give(BodyOutcome::Interrupted, Slot::Free);
        return;
    }
    let scope = attempt.scope(pool);
    let Attempt { task, call, token, timeout, condition, value_bytes_max, span, reporter, .. } = attempt;
    let outcome = {
        let _reporting = Reporting(reporter);
        let name = call.handle().task().clone();
        let late = timeout.map(|timeout| (timeout, name.clone()));
        let body = scope.run_caught(async move { task.run(call).await });
        let body = watched(name, body).instrument(span);
        let limit = async {
            match late {
                Some((timeout, name)) => {
                    tokio::time::sleep(timeout).await;
                    (timeout, name)
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            result = body => ended(result, value_bytes_max, condition, &token),
            () = token.cancelled() => BodyOutcome::Interrupted,
            (timeout, name) = limit => {
                token.cancel();
                timed_out(timeout, &name, condition)
            }
        }
    };
    answer.give(outcome, Slot::Free);
}

async fn run_plain(attempt: Attempt, pool: Pool) -> BodyOutcome {
    let scope = attempt.scope(pool);
    let Attempt { task, call, token, condition, value_bytes_max, span, reporter, .. } = attempt;
    if token.is_cancelled() {
        return BodyOutcome::Interrupted;
    }
    let _reporting = Reporting(reporter);
    let body = scope.run_caught(async move { task.run(call).await });
    let result = body.instrument(span).await;
    ended(result, value_bytes_max, condition, &token)
}

type Caught = Result<Result<TaskReturn, TaskError>, anio_parallel::Error>;

fn ended(
    result: Caught,
    value_bytes_max: usize,
    condition: RetryCondition,
    token: &CancellationToken,
) -> BodyOutcome {
    let result = match result.map_err(TaskError::from).flatten() {
        Ok(value) => check_size(value, value_bytes_max),
        Err(error) => match verdict(error) {
            Verdict::CalledOff(_) if token.is_cancelled() => return BodyOutcome::Interrupted,
            Verdict::CalledOff(error) | Verdict::Failed(error) => Err(error),
        },
    };
    BodyOutcome::Ended(result.map_err(|error| failed(error, condition)))
}

fn check_size(value: TaskReturn, max: usize) -> Result<TaskReturn, TaskError> {
    let too_large = |what: String, size: usize| {
        let message = format!("{what} has {size} bytes of JSON, over the limit of {max} (`value_bytes_max`)");
        Err(TaskError::Data { message })
    };
    if value.output.n_bytes() > max {
        return too_large("its output".to_owned(), value.output.n_bytes());
    }
    for (key, entry) in &value.writes.set {
        let size = entry.raw().get().len();
        if size > max {
            return too_large(format!("its context value {key:?}"), size);
        }
    }
    Ok(value)
}

fn timed_out(timeout: Duration, task: &TaskName, condition: RetryCondition) -> BodyOutcome {
    let timeout_seconds = timeout.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX);
    let error = failed(TaskError::Timeout { task_id: task.to_string(), timeout_seconds }, condition);
    let failure = TaskFailure::new(FailureKind::Timeout, format!("timed out after {timeout:?}"));
    BodyOutcome::Ended(Err(AttemptError { failure, ..error }))
}

/// Sends the answer; one that is dropped unsent (the runtime shuts down) says so.
struct Answer {
    ticket: Ticket,
    sender: UnboundedSender<Returned>,
    clock: Arc<dyn Clock>,
    is_given: bool,
}

impl Answer {
    fn give(&mut self, outcome: BodyOutcome, slot: Slot) {
        self.is_given = slot == Slot::Free;
        let returned = Returned { ticket: self.ticket.clone(), at: self.clock.now(), outcome, slot };
        // The scheduler is gone when nobody receives; then nobody needs the answer.
        drop(self.sender.send(returned));
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if !self.is_given {
            self.give(BodyOutcome::Interrupted, Slot::Free);
        }
    }
}

/// A handle's view of its token.
pub(crate) struct Token(pub(crate) CancellationToken);

#[async_trait]
impl Cancellation for Token {
    fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }

    async fn cancelled(&self) {
        self.0.cancelled().await;
    }
}

#[cfg(test)]
mod tests;
