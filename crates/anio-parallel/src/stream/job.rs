//! One item at work: a tokio task or a job on the pool.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use crate::carrier::Carrier;
use crate::cpu;
use crate::error::Error;

/// Resolves to what became of the item; the error does not say yet which item it was. Dropping it ends a task; a job on the pool ends by its token.
pub(super) enum Job<R> {
    Task(AbortOnDropHandle<Result<Result<R, Error>, Error>>),
    Cpu(oneshot::Receiver<Result<R, Error>>),
    Done,
}

/// Starts items of one stage, all in one scope within that of the caller.
pub(super) struct Starter {
    carrier: Carrier,
    stage: Option<Arc<str>>,
}

impl Starter {
    pub(super) const fn new(carrier: Carrier, stage: Option<Arc<str>>) -> Self {
        Self { carrier, stage }
    }

    /// Starts an async item on tokio.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(super) fn spawn<F, R>(&self, index: u64, future: F) -> Job<R>
    where
        F: Future<Output = Result<R, Error>> + Send + 'static,
        R: Send + 'static,
    {
        let item = self.carrier.run_item_async(self.stage.as_ref(), index, future);
        Job::Task(AbortOnDropHandle::new(tokio::spawn(item)))
    }

    /// Starts an item that computes on the pool.
    pub(super) fn compute<R: Send + 'static>(
        &self,
        index: u64,
        work: impl FnOnce() -> Result<R, Error> + Send + 'static,
    ) -> Job<R> {
        let stage = self.stage.clone();
        let pool = self.carrier.scope().pool();
        Job::Cpu(cpu::start(pool, self.carrier.clone(), move |carrier| {
            let _inside = carrier.enter();
            carrier.run_item(stage.as_ref(), index, work).flatten()
        }))
    }
}

impl<R> Job<R> {
    /// Asks a task to end at its next await point; it is still waited for.
    pub(super) fn abort(&self) {
        if let Self::Task(task) = self {
            task.abort();
        }
    }
}

impl<R> Future for Job<R> {
    type Output = Result<R, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // A task is cut short by an abort or the end of the runtime, never by a panic: that is caught
        // within. A job without an answer was lost with its pool.
        let done = match &mut *self {
            Self::Task(task) => {
                ready!(Pin::new(task).poll(context)).map_or(Err(Error::Cancelled), Result::flatten)
            }
            Self::Cpu(answer) => ready!(Pin::new(answer).poll(context)).unwrap_or(Err(Error::Cancelled)),
            Self::Done => panic!("a job was polled after it was done"),
        };
        if let Self::Task(task) = std::mem::replace(&mut *self, Self::Done) {
            // There is nothing left to abort, and trying would reach into another core's memory.
            drop(task.detach());
        }
        Poll::Ready(done)
    }
}

impl<R> fmt::Debug for Job<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Task(_) => "Job::Task",
            Self::Cpu(_) => "Job::Cpu",
            Self::Done => "Job::Done",
        })
    }
}
