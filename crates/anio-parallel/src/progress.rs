//! How far work has come, told to whoever wants to show it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::scope::Scope;

/// The least time between two reports of one helper, the first and the last one apart.
const INTERVAL: Duration = Duration::from_millis(100);

/// Takes reports of progress: a progress bar, a log, a field of a handle.
///
/// It is called from the threads that do the work and should return at once.
pub trait Progress: Send + Sync + 'static {
    /// `done` of `total` are done; `total` is `None` where nobody knows. `what` is the name of a stage
    /// or of a helper, or `""` for the task's own count.
    fn report(&self, what: &str, done: u64, total: Option<u64>);
}

/// Reports how far the task has come, to the place that its scope has for it; without one, to nobody.
///
/// Helpers report by themselves. Within the function of a helper's item nothing is reported: the helper
/// counts.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use anio_parallel::{Progress, Scope, progress};
///
/// #[derive(Default)]
/// struct Last(Mutex<(u64, Option<u64>)>);
///
/// impl Progress for Last {
///     fn report(&self, _what: &str, done: u64, total: Option<u64>) {
///         *self.0.lock().unwrap() = (done, total);
///     }
/// }
///
/// let last = Arc::new(Last::default());
/// Scope::current().progress_to(last.clone()).run_plain(|| progress(3, Some(10)));
/// assert_eq!(*last.0.lock().unwrap(), (3, Some(10)));
/// ```
pub fn progress(done: u64, total: Option<u64>) {
    let place = Scope::with_current(|scope| scope.and_then(Scope::progress).cloned());
    if let Some(place) = place {
        place.report("", done, total);
    }
}

/// Counts the items of one helper and reports them now and then.
pub(crate) struct Meter(Option<Counting>);

struct Counting {
    place: Arc<dyn Progress>,
    what: Arc<str>,
    total: Option<u64>,
    done: AtomicU64,
    started: Instant,
    /// When the next report is due, in nanoseconds from the start.
    due: AtomicU64,
}

impl Meter {
    pub(crate) fn start(scope: &Scope, what: impl Into<Arc<str>>, total: Option<u64>) -> Self {
        Self(scope.progress().map(|place| {
            let what = what.into();
            place.report(&what, 0, total);
            Counting {
                place: Arc::clone(place),
                what,
                total,
                done: AtomicU64::new(0),
                started: Instant::now(),
                due: AtomicU64::new(nanos(INTERVAL)),
            }
        }))
    }

    /// One more item is done.
    pub(crate) fn add_one(&self) {
        if let Some(counting) = &self.0 {
            counting.add_one();
        }
    }
}

impl Counting {
    fn add_one(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        let now = nanos(self.started.elapsed());
        let due = self.due.load(Ordering::Relaxed);
        let next = now + nanos(INTERVAL);
        // Of the threads that come late together, one reports.
        if now >= due && self.due.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.place.report(&self.what, done, self.total);
        }
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.place.report(&self.what, self.done.load(Ordering::Relaxed), self.total);
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
