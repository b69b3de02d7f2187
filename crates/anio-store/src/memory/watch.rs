//! What all connections to one memory share, and how they tell each other of changes.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::state::State;
use crate::backend::Watcher;
use crate::error::StoreError;
use crate::record::Change;

/// The state, and the bell that rings when it has changed.
#[derive(Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // A panic in the middle of a change is a broken invariant of this module; the state is as it was
        // before the change, because changes are checked before they are made.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn change(&self) -> Changing<'_> {
        Changing { state: self.state(), changed: &self.changed }
    }
}

/// The state while it is being changed; whoever watches is told at the end.
pub(super) struct Changing<'a> {
    state: MutexGuard<'a, State>,
    changed: &'a Condvar,
}

impl Deref for Changing<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for Changing<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        self.state.n_changes += 1;
        self.changed.notify_all();
    }
}

/// One who watches.
pub(super) struct Watch {
    shared: Arc<Shared>,
    n_seen: u64,
}

impl Watch {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        let n_seen = shared.state().n_changes;
        Self { shared: Arc::clone(shared), n_seen }
    }
}

impl Watcher for Watch {
    fn wait(&mut self, timeout: Duration) -> Result<Option<Change>, StoreError> {
        let n_seen = self.n_seen;
        let (state, _) = self
            .shared
            .changed
            .wait_timeout_while(self.shared.state(), timeout, |state| state.n_changes == n_seen)
            .unwrap_or_else(PoisonError::into_inner);
        self.n_seen = state.n_changes;
        Ok((self.n_seen != n_seen).then_some(Change::Any))
    }
}
