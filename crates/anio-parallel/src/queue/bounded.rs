//! What the queues have in common: at most so many items, waiting on both sides, and an end.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

use crate::channel::{Reason, Unsent};

/// Items on a shelf, which decides on their order.
pub(super) trait Shelf: Send {
    type Item: Send;
    fn put(&mut self, item: Self::Item);
    fn take(&mut self) -> Option<Self::Item>;
    fn len(&self) -> usize;
}

pub(super) struct Bounded<S> {
    state: Mutex<State<S>>,
    /// A permit for each place that is free.
    room: Semaphore,
    /// A permit for each item, and for each that was drained: a permit allows a look and promises nothing.
    filled: Semaphore,
}

struct State<S> {
    shelf: S,
    is_closed: bool,
}

impl<S: Shelf> Bounded<S> {
    pub(super) fn new(n_items_max: usize, shelf: S) -> Self {
        Self {
            state: Mutex::new(State { shelf, is_closed: false }),
            room: Semaphore::new(n_items_max.clamp(1, Semaphore::MAX_PERMITS)),
            filled: Semaphore::new(0),
        }
    }

    pub(super) async fn push(&self, item: S::Item) -> Result<(), Unsent<S::Item>> {
        let closed = |item| Err(Unsent { item, reason: Reason::Closed });
        let Ok(place) = self.room.acquire().await else { return closed(item) };
        let mut state = self.lock();
        if state.is_closed {
            return closed(item);
        }
        state.shelf.put(item);
        drop(state);
        place.forget();
        self.filled.add_permits(1);
        Ok(())
    }

    pub(super) async fn pop(&self) -> Option<S::Item> {
        loop {
            // Closed, and the rest is there for whoever comes.
            if let Ok(permit) = self.filled.acquire().await {
                permit.forget();
            }
            let mut state = self.lock();
            let taken = state.shelf.take();
            if taken.is_none() && !state.is_closed {
                continue;
            }
            drop(state);
            self.room.add_permits(usize::from(taken.is_some()));
            return taken;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.lock().shelf.len()
    }

    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.room.close();
        self.filled.close();
    }

    pub(super) fn drain(&self) -> Vec<S::Item> {
        let mut state = self.lock();
        let drained: Vec<S::Item> = std::iter::from_fn(|| state.shelf.take()).collect();
        drop(state);
        self.room.add_permits(drained.len());
        drained
    }

    fn lock(&self) -> MutexGuard<'_, State<S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
