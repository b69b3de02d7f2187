//! Tells those who wait when anybody has changed the database.
//!
//! ```text
//!   Watcher ──► one thread ──► counters ──► each Changes: what has changed since it last asked
//! ```
//!
//! In a simulation a task of its schedule looks in the thread's place.
//!
//! However much has changed between two questions, it is told once. The thread looks while somebody waits; the
//! rest of the time it looks every few seconds, so that nothing piles up on a connection.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use crate::backend::Watcher;
use crate::error::StoreError;
use crate::record::Change;
use crate::schedule::Schedule;

/// How long one look lasts: as long may it take until the thread sees that nobody is left.
const LOOK: Duration = Duration::from_secs(1);

/// How often a task looks that stands for the thread.
const LOOK_SCHEDULED: Duration = Duration::from_millis(50);

/// How often is looked while nobody waits.
const IDLE: Duration = Duration::from_secs(5);

/// The first and the longest wait after an error.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Tells when the database was changed; see [`Store::changes`](crate::Store::changes). Clones are told each
/// by itself.
pub struct Changes {
    bell: Arc<Bell>,
    id: u64,
    seen: Counts,
}

impl Changes {
    /// Waits until something may have changed since the last call (the first: since this was made). Tells of
    /// all that has changed in between at once; it may tell of changes that were none. `None` when nothing
    /// will be told any more: the store was closed, or its backend cannot tell.
    ///
    /// While the database is out of reach nothing is told, and [`Change::Any`] when it is back.
    ///
    /// # Cancel safety
    /// Cancel safe: what was not told is told by the next call.
    pub async fn changed(&mut self) -> Option<Change> {
        Changed { changes: self }.await
    }
}

impl Clone for Changes {
    fn clone(&self) -> Self {
        let id = self.bell.state().enter();
        Self { bell: Arc::clone(&self.bell), id, seen: self.seen }
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        self.bell.state().n_handles -= 1;
        self.bell.wanted.notify_all();
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").finish_non_exhaustive()
    }
}

/// How often each kind was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    runs: u64,
    facts: u64,
}

impl Counts {
    /// What has changed since then.
    fn since(self, then: Self) -> Option<Change> {
        match (self.runs != then.runs, self.facts != then.facts) {
            (false, false) => None,
            (true, false) => Some(Change::Runs),
            (false, true) => Some(Change::Facts),
            (true, true) => Some(Change::Any),
        }
    }
}

struct Changed<'a> {
    changes: &'a mut Changes,
}

impl Future for Changed<'_> {
    type Output = Option<Change>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let changes = &mut *self.changes;
        let mut state = changes.bell.state();
        let told = state.counts.since(changes.seen);
        if told.is_some() || state.is_over {
            changes.seen = state.counts;
            return Poll::Ready(told);
        }
        state.waiting.insert(changes.id, context.waker().clone());
        drop(state);
        changes.bell.wanted.notify_all();
        Poll::Pending
    }
}

impl Drop for Changed<'_> {
    fn drop(&mut self) {
        self.changes.bell.state().waiting.remove(&self.changes.id);
    }
}

/// What the thread and those who wait share.
#[derive(Default)]
struct Bell {
    state: Mutex<State>,
    /// Somebody waits, or nobody is left.
    wanted: Condvar,
}

#[derive(Default)]
struct State {
    counts: Counts,
    waiting: BTreeMap<u64, Waker>,
    n_handles: usize,
    next_id: u64,
    /// Nothing will be told any more.
    is_over: bool,
}

impl State {
    /// One more who wants to know; returns who it is.
    fn enter(&mut self) -> u64 {
        self.n_handles += 1;
        self.next_id += 1;
        self.next_id
    }
}

impl Bell {
    fn state(&self) -> MutexGuard<'_, State> {
        // Each change of the state is made wholly or not at all.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(self: &Arc<Self>) -> Changes {
        self.handle_of(&mut self.state())
    }

    /// One more handle, unless nobody is left: then the thread is about to end.
    fn one_more(self: &Arc<Self>) -> Option<Changes> {
        let mut state = self.state();
        (state.n_handles > 0).then(|| self.handle_of(&mut state))
    }

    fn handle_of(self: &Arc<Self>, state: &mut State) -> Changes {
        Changes { id: state.enter(), seen: state.counts, bell: Arc::clone(self) }
    }

    fn tell(&self, change: Change) {
        let mut state = self.state();
        state.counts.runs += u64::from(change != Change::Facts);
        state.counts.facts += u64::from(change != Change::Runs);
        std::mem::take(&mut state.waiting).into_values().for_each(Waker::wake);
    }

    fn end(&self) {
        let mut state = self.state();
        state.is_over = true;
        std::mem::take(&mut state.waiting).into_values().for_each(Waker::wake);
        drop(state);
        self.wanted.notify_all();
    }

    /// How long to look, as soon as it is time; `None` when nobody is left.
    fn next_look(&self) -> Option<Duration> {
        let is_idle = |state: &mut State| state.waiting.is_empty() && state.n_handles > 0 && !state.is_over;
        let (state, _) = self
            .wanted
            .wait_timeout_while(self.state(), IDLE, is_idle)
            .unwrap_or_else(PoisonError::into_inner);
        let is_wanted = state.n_handles > 0 && !state.is_over;
        is_wanted.then_some(if state.waiting.is_empty() { Duration::ZERO } else { LOOK })
    }

    fn is_wanted(&self) -> bool {
        let state = self.state();
        state.n_handles > 0 && !state.is_over
    }

    /// Looks now and then until nobody is left.
    async fn watch_scheduled(self: Arc<Self>, mut watcher: Box<dyn Watcher>, schedule: Arc<dyn Schedule>) {
        while self.is_wanted() {
            // After an error the watcher connects again, and tells that anything may have changed.
            if let Ok(Some(change)) = watcher.wait(Duration::ZERO) {
                self.tell(change);
            }
            schedule.pause(LOOK_SCHEDULED).await;
        }
    }

    /// Looks until nobody is left.
    fn watch(&self, mut watcher: Box<dyn Watcher>) {
        let mut pause = PAUSE_MIN;
        while let Some(timeout) = self.next_look() {
            if let Ok(change) = watcher.wait(timeout) {
                pause = PAUSE_MIN;
                if let Some(change) = change {
                    self.tell(change);
                }
            } else {
                // The watcher connects again, and tells that anything may have changed.
                thread::sleep(pause);
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

/// The thread of a store that watches, while there is one.
#[derive(Default)]
pub(crate) struct Watching {
    bell: Mutex<Watch>,
    /// Who has a task instead.
    schedule: Option<Arc<dyn Schedule>>,
}

#[derive(Default)]
struct Watch {
    bell: Option<Arc<Bell>>,
    is_closed: bool,
}

impl Watching {
    fn watch(&self) -> MutexGuard<'_, Watch> {
        self.bell.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For a store without threads.
    pub(crate) fn scheduled(schedule: &Arc<dyn Schedule>) -> Self {
        Self { schedule: Some(Arc::clone(schedule)), ..Self::default() }
    }

    /// One more who wants to know, where a thread watches already.
    pub(crate) fn join(&self) -> Option<Changes> {
        self.watch().join()
    }

    /// Starts a thread; without a watcher nothing is ever told.
    pub(crate) fn start(&self, watcher: Option<Box<dyn Watcher>>) -> Result<Changes, StoreError> {
        let mut watch = self.watch();
        if let Some(changes) = watch.join() {
            return Ok(changes);
        }
        let bell = Arc::new(Bell::default());
        let changes = bell.handle();
        match watcher {
            Some(watcher) if !watch.is_closed => {
                self.serve(Arc::clone(&bell), watcher)?;
                watch.bell = Some(bell);
            }
            _ => bell.end(),
        }
        Ok(changes)
    }

    fn serve(&self, bell: Arc<Bell>, watcher: Box<dyn Watcher>) -> Result<(), StoreError> {
        if let Some(schedule) = &self.schedule {
            schedule.spawn(Box::pin(bell.watch_scheduled(watcher, Arc::clone(schedule))));
            return Ok(());
        }
        thread::Builder::new()
            .name("anio-watcher".to_owned())
            .spawn(move || bell.watch(watcher))
            .map(drop)
            .map_err(|source| StoreError::Database { source: source.into() })
    }

    /// Lets the thread end; nothing is told any more.
    pub(crate) fn close(&self) {
        let mut watch = self.watch();
        watch.is_closed = true;
        if let Some(bell) = watch.bell.take() {
            bell.end();
        }
    }
}

impl Watch {
    fn join(&self) -> Option<Changes> {
        self.bell.as_ref().and_then(Bell::one_more)
    }
}
