//! Items put together by number and by time.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Stream, StreamExt};
use tokio::time::Sleep;

pub(super) struct Batching<S: Stream> {
    /// `None` once it has ended.
    source: Option<Pin<Box<S>>>,
    batch: Vec<S::Item>,
    n_items_max: usize,
    delay_max: Duration,
    /// Runs from the first item of a batch.
    due: Option<Pin<Box<Sleep>>>,
}

impl<S: Stream> Batching<S> {
    pub(super) fn new(source: S, n_items_max: usize, delay_max: Duration) -> Self {
        let (source, n_items_max) = (Some(Box::pin(source)), n_items_max.max(1));
        Self { source, batch: Vec::new(), n_items_max, delay_max, due: None }
    }

    fn take(&mut self) -> Vec<S::Item> {
        self.due = None;
        std::mem::take(&mut self.batch)
    }
}

impl<S: Stream> Unpin for Batching<S> {}

impl<S: Stream> Stream for Batching<S> {
    type Item = Vec<S::Item>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        while let Some(source) = &mut this.source {
            match source.poll_next_unpin(context) {
                Poll::Ready(Some(item)) => this.batch.push(item),
                Poll::Ready(None) => this.source = None,
                Poll::Pending => break,
            }
            if this.batch.len() == this.n_items_max {
                return Poll::Ready(Some(this.take()));
            }
        }
        if this.batch.is_empty() {
            return if this.source.is_none() { Poll::Ready(None) } else { Poll::Pending };
        }
        // Only here does anyone wait, so only here does the clock run.
        let due = this.due.get_or_insert_with(|| Box::pin(tokio::time::sleep(this.delay_max)));
        if this.source.is_none() || due.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(this.take()));
        }
        Poll::Pending
    }
}
