//! The engine of the parallel forms: pulls items from a source, starts a job for each, gives the results
//! out in order or as they come.
//!
//! ```text
//! source --pull--> running (<= workers) --done--> ready --give--> consumer
//!                  '----------- <= look-ahead -----------'
//! ```
//!
//! It works when polled, and needs no task of its own: jobs run on tokio or on the pool whether it is
//! polled or not, and before it gives an item out it starts the next, so that all stages of a chain are
//! at work while the consumer is.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::stream::FuturesUnordered;
use futures::{Stream, StreamExt};
use tokio_util::sync::DropGuard;

use super::job::{Job, Starter};
use crate::cancel::CalledOff;
use crate::carrier::Carrier;
use crate::error::Error;
use crate::progress::Meter;
use crate::scope::Scope;
use crate::stage::{OnError, Stage};

/// In which order results are given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Kept,
    AsTheyCome,
}

pub(super) struct Spread<S, F, R> {
    /// `None` once it has ended or nothing more is wanted of it.
    source: Option<S>,
    start: F,
    starter: Starter,
    stage: Stage,
    running: FuturesUnordered<Numbered<Job<R>>>,
    ready: Ready<R>,
    n_pulled: u64,
    end: End,
    scope: Scope,
    called_off: CalledOff,
    meter: Meter,
    /// Cancels the token of the items when the stream is dropped.
    _guard: DropGuard,
}

enum End {
    /// There may be more.
    Open,
    /// What runs is called off and waited for; then this error is given out.
    Stopping(Error),
    Ended,
}

impl<S, F, R, T> Spread<S, F, R>
where
    S: Stream<Item = Result<T, Error>> + Unpin,
    F: FnMut(&Starter, u64, T) -> Job<R>,
{
    pub(super) fn new(source: S, stage: Stage, order: Order, start: F) -> Self {
        let here = Carrier::current();
        let inside = here.child();
        let scope = inside.scope().clone();
        let total = match source.size_hint() {
            (least, Some(most)) if least == most => Some(least as u64),
            _ => None,
        };
        let what = stage.name.clone().unwrap_or_else(|| Arc::from("stream"));
        Self {
            source: Some(source),
            start,
            starter: Starter::new(inside, stage.name.clone()),
            stage,
            running: FuturesUnordered::new(),
            ready: Ready::new(order),
            n_pulled: 0,
            end: End::Open,
            called_off: CalledOff::new(scope.cancel()),
            meter: Meter::start(here.scope(), what, total),
            _guard: scope.token().clone().drop_guard(),
            scope,
        }
    }

    /// Pulls and starts, and takes up what is done, until neither goes on.
    fn pump(&mut self, context: &mut Context<'_>) {
        loop {
            self.pull(context);
            if !self.take_up(context) {
                return;
            }
        }
    }

    fn pull(&mut self, context: &mut Context<'_>) {
        while let Some(source) = &mut self.source
            && self.running.len() < self.stage.n_workers
            && self.running.len() + self.ready.len() < self.stage.n_items_max()
        {
            let Poll::Ready(next) = source.poll_next_unpin(context) else { return };
            let Some(item) = next else {
                self.source = None;
                return;
            };
            let index = self.n_pulled;
            self.n_pulled += 1;
            match item {
                Ok(item) => {
                    let job = (self.start)(&self.starter, index, item);
                    self.running.push(Numbered { index, job });
                }
                Err(error) => self.note(index, Err(error)),
            }
        }
    }

    /// Whether any job was done.
    fn take_up(&mut self, context: &mut Context<'_>) -> bool {
        let mut any = false;
        while let Poll::Ready(Some((index, result))) = self.running.poll_next_unpin(context) {
            self.meter.add_one();
            self.note(index, result.map_err(|error| error.at(self.stage.name.as_ref(), Some(index))));
            any = true;
        }
        any
    }

    fn note(&mut self, index: u64, result: Result<R, Error>) {
        if result.is_err() && self.stage.on_error == OnError::Stop {
            // Items before it still have their turn; after it there is nothing.
            self.source = None;
        }
        self.ready.put(index, result);
    }

    fn stop(&mut self, error: Error) {
        self.source = None;
        self.scope.token().cancel();
        self.running.iter().for_each(|numbered| numbered.job.abort());
        self.end = End::Stopping(error);
    }

    fn poll_stopped(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<R, Error>>> {
        while ready!(self.running.poll_next_unpin(context)).is_some() {}
        match std::mem::replace(&mut self.end, End::Ended) {
            End::Stopping(error) => Poll::Ready(Some(Err(error))),
            End::Open | End::Ended => Poll::Ready(None),
        }
    }
}

impl<S, F, R> Unpin for Spread<S, F, R> {}

impl<S, F, R, T> Stream for Spread<S, F, R>
where
    S: Stream<Item = Result<T, Error>> + Unpin,
    F: FnMut(&Starter, u64, T) -> Job<R>,
{
    type Item = Result<R, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if matches!(this.end, End::Open) {
            if this.scope.cancel().is_cancelled() {
                this.stop(Error::Cancelled);
                return this.poll_stopped(context);
            }
            this.pump(context);
            match this.ready.take() {
                Some(Err(error)) if this.stage.on_error == OnError::Stop => this.stop(error),
                Some(result) => {
                    this.pull(context);
                    return Poll::Ready(Some(result));
                }
                None if this.source.is_none() && this.running.is_empty() => this.end = End::Ended,
                None => {
                    ready!(this.called_off.poll(context));
                    this.stop(Error::Cancelled);
                }
            }
        }
        this.poll_stopped(context)
    }
}

/// A job that says which item it was for.
struct Numbered<J> {
    index: u64,
    job: J,
}

impl<J: Future + Unpin> Future for Numbered<J> {
    type Output = (u64, J::Output);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let output = ready!(Pin::new(&mut self.job).poll(context));
        Poll::Ready((self.index, output))
    }
}

/// Results that wait for the consumer, and for those before them where the order is kept.
enum Ready<R> {
    Kept {
        /// The index of the first slot.
        first: u64,
        slots: VecDeque<Option<Result<R, Error>>>,
        n_filled: usize,
    },
    AsTheyCome(VecDeque<Result<R, Error>>),
}

impl<R> Ready<R> {
    fn new(order: Order) -> Self {
        match order {
            Order::Kept => Self::Kept { first: 0, slots: VecDeque::new(), n_filled: 0 },
            Order::AsTheyCome => Self::AsTheyCome(VecDeque::new()),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Kept { n_filled, .. } => *n_filled,
            Self::AsTheyCome(results) => results.len(),
        }
    }

    fn put(&mut self, index: u64, result: Result<R, Error>) {
        match self {
            Self::Kept { first, slots, n_filled } => {
                // Items are started in order, at most the look-ahead apart.
                let slot = (index - *first) as usize;
                if slots.len() <= slot {
                    slots.resize_with(slot + 1, || None);
                }
                slots[slot] = Some(result);
                *n_filled += 1;
            }
            Self::AsTheyCome(results) => results.push_back(result),
        }
    }

    fn take(&mut self) -> Option<Result<R, Error>> {
        match self {
            Self::Kept { first, slots, n_filled } => {
                let result = slots.front_mut()?.take()?;
                slots.pop_front();
                (*first, *n_filled) = (*first + 1, *n_filled - 1);
                Some(result)
            }
            Self::AsTheyCome(results) => results.pop_front(),
        }
    }
}
