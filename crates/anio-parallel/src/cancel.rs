//! Cancellation as work sees it: one atomic load per look, however many threads look.
//!
//! A `CancellationToken` takes a lock whenever it is asked. Loops that ask per item on all cores would
//! meet at that lock; so a flag stands in front of it, which the token raises through a waker.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Wake, Waker};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::error::Error;
use crate::scope::Scope;

/// Stops the work of this scope here if it was called off; for `?` in loops that compute.
///
/// Outside every scope nothing is ever called off. In a closure for **plain** rayon (`par_iter`, `join`)
/// take [`Cancel::current`] before, or wrap the closure in [`carry`](crate::carry()): rayon runs it on
/// whatever thread is free, and that thread may be in the middle of other work.
///
/// ```
/// use anio_parallel::{Error, check};
///
/// fn sum(numbers: &[u64]) -> Result<u64, Error> {
///     let mut sum = 0;
///     for number in numbers {
///         check()?;
///         sum += number;
///     }
///     Ok(sum)
/// }
/// assert_eq!(sum(&[1, 2, 3])?, 6);
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// [`Error::Cancelled`] when it was.
pub fn check() -> Result<(), Error> {
    if is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
}

/// Whether the work of this scope was called off. See [`check`].
pub fn is_cancelled() -> bool {
    Scope::with_current(|scope| scope.is_some_and(|scope| scope.cancel().is_cancelled()))
}

/// A look at whether work was called off, to take along into closures. Cheap to clone, cheap to ask.
///
/// ```
/// use anio_parallel::{Cancel, Error};
/// use rayon::prelude::*;
///
/// let cancel = Cancel::current();
/// let squares: Result<Vec<u64>, Error> =
///     (0..100_u64).into_par_iter().map(|n| cancel.check().map(|()| n * n)).collect();
/// assert_eq!(squares?.len(), 100);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone)]
pub struct Cancel(Arc<Inner>);

struct Inner {
    token: CancellationToken,
    /// Made when first asked: most tasks never ask.
    flag: OnceLock<Flag>,
}

struct Flag {
    raised: Arc<Raised>,
    /// Holds the place in the token's list of those to wake.
    _registered: Mutex<Pin<Box<WaitForCancellationFutureOwned>>>,
}

struct Raised(AtomicBool);

impl Wake for Raised {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

impl Cancel {
    /// That of the scope that this task or thread is in.
    pub fn current() -> Self {
        Scope::current().cancel().clone()
    }

    pub(crate) fn new(token: CancellationToken) -> Self {
        Self(Arc::new(Inner { token, flag: OnceLock::new() }))
    }

    /// The token behind it.
    pub fn token(&self) -> &CancellationToken {
        &self.0.token
    }

    /// Whether the work was called off.
    pub fn is_cancelled(&self) -> bool {
        let flag = self.0.flag.get_or_init(|| Flag::on(&self.0.token));
        flag.raised.0.load(Ordering::Acquire)
    }

    /// Passes on that the work was called off, as an error for `?`.
    ///
    /// # Errors
    /// [`Error::Cancelled`] when it was.
    pub fn check(&self) -> Result<(), Error> {
        if self.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancel").field("is_cancelled", &self.0.token.is_cancelled()).finish()
    }
}

/// Waits for a token beside other waiting, again and again, without taking its lock at each look.
pub(crate) struct CalledOff {
    cancel: Cancel,
    cancelled: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Whom the token will wake.
    waiting: Option<Waker>,
}

impl CalledOff {
    pub(crate) fn new(cancel: &Cancel) -> Self {
        let cancelled = Box::pin(cancel.token().clone().cancelled_owned());
        Self { cancel: cancel.clone(), cancelled, waiting: None }
    }

    pub(crate) fn is_so(&self) -> bool {
        self.cancel.is_cancelled()
    }

    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        // The flag stands before this future in the token's list: it is raised when the waker is called.
        if self.cancel.is_cancelled() {
            return Poll::Ready(());
        }
        if self.waiting.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            return Poll::Pending;
        }
        self.waiting = Some(context.waker().clone());
        self.cancelled.as_mut().poll(context)
    }
}

impl Flag {
    fn on(token: &CancellationToken) -> Self {
        let raised = Arc::new(Raised(AtomicBool::new(false)));
        let mut registered = Box::pin(token.clone().cancelled_owned());
        let waker = Waker::from(Arc::clone(&raised));
        if registered.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            raised.0.store(true, Ordering::Release);
        }
        Self { raised, _registered: Mutex::new(registered) }
    }
}
