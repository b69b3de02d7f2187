//! What a store waits by where it has no threads: a simulation that holds the time.
//!
//! A connection is served by a thread that blocks. With a [`Schedule`] the same code is served by a task: what
//! would block waits by the schedule, and each verb takes as long as the schedule says.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

/// Something to be waited for.
pub type Wait = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Who serves the connections of a store without threads, and how long everything takes there.
///
/// For simulations: see [`Store::scheduled`](crate::Store::scheduled).
pub trait Schedule: Send + Sync + 'static {
    /// Polls what serves a connection until it ends.
    fn spawn(&self, connection: Wait);

    /// The way of a verb to the database, and that of its answer back: each is waited for.
    fn travel(&self) -> Wait;

    /// Lets so much time pass.
    fn pause(&self, time: Duration) -> Wait;

    /// The time now, by which patience ends.
    fn now(&self) -> Instant;
}

/// How a connection waits.
pub(crate) enum Pace {
    /// It has a thread of its own, which blocks: no future of it ever waits.
    Thread,
    /// It waits by a schedule.
    Scheduled(Arc<dyn Schedule>),
}

impl Pace {
    pub(crate) fn now(&self) -> Instant {
        match self {
            Self::Thread => Instant::now(),
            Self::Scheduled(schedule) => schedule.now(),
        }
    }

    pub(crate) async fn pause(&self, time: Duration) {
        match self {
            Self::Thread => thread::park_timeout(time),
            Self::Scheduled(schedule) => schedule.pause(time).await,
        }
    }

    pub(crate) async fn travel(&self) {
        if let Self::Scheduled(schedule) = self {
            schedule.travel().await;
        }
    }
}

/// The outcome of a future that never waits: one of a connection that has a thread.
pub(crate) fn at_once<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("with a thread of its own a connection blocks"),
    }
}
