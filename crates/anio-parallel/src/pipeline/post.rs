//! One stage of one run: what all its workers share.

use std::ops::ControlFlow;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::failure::Failures;
use super::outlet::Given;
use super::queue::{Queue, Turn};
use super::stats::Step;
use crate::carrier::Carrier;
use crate::stream::Numbered;

pub(super) struct Post {
    pub(super) step: Arc<Step>,
    /// Its token is the stage's own, within that of the run: the run is called off by an error, a stage
    /// also when nobody wants its items any more.
    pub(super) carrier: Carrier,
    failures: Arc<Failures>,
}

impl Post {
    pub(super) const fn new(step: Arc<Step>, carrier: Carrier, failures: Arc<Failures>) -> Self {
        Self { step, carrier, failures }
    }

    pub(super) fn is_called_off(&self) -> bool {
        self.carrier.scope().cancel().is_cancelled()
    }

    pub(super) async fn called_off(&self) {
        self.token().cancelled().await;
    }

    /// The stage's own token.
    pub(super) fn token(&self) -> &CancellationToken {
        self.carrier.scope().token()
    }

    /// The next item from the queue; `None` after the last, or when the stage is called off.
    pub(super) async fn next<T>(&self, queue: &Queue<T>) -> Option<(Numbered<T>, Turn)> {
        if self.is_called_off() {
            return None;
        }
        // Where there is always an item and always room, nothing else would let other tasks run.
        tokio::task::coop::consume_budget().await;
        let next = tokio::select! {
            biased;
            next = queue.next() => next?,
            () = self.called_off() => return None,
        };
        self.step.add_in();
        Some(next)
    }

    /// Goes on from what giving an item away has come to.
    pub(super) fn settle(&self, index: u64, given: Given) -> ControlFlow<()> {
        match given {
            Ok(flow) => flow,
            // An echo, or the failure of something that nobody wants.
            Err(_) if self.is_called_off() => ControlFlow::Break(()),
            Err(error) => {
                self.step.add_error();
                self.failures.note(error.at(Some(&self.step.name), Some(index)))
            }
        }
    }

    /// Lets a worker work, in the scope of the stage and the span of the run.
    pub(super) async fn employ(self: Arc<Self>, worker: impl Future<Output = ()> + Send) {
        // What the function of an item panics with does not come here: only what a source or an item
        // panics with when it is dropped, which no other item can make good.
        if let Err(panicked) = self.carrier.run_async(worker).await {
            self.step.add_error();
            self.failures.stop(panicked.at(Some(&self.step.name), None));
        }
    }
}
