//! What the code of a task finds around it: a pool, a token, a place for its progress.
//!
//! A scope is entered around a task's body, for a future at every poll and for a plain function while it
//! runs. Helpers take it along to every thread and task that they use, and give what they start a child
//! of its token. Code that spawns by itself takes it along with [`Scope::run`] or [`Scope::run_plain`].

use std::cell::RefCell;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tokio_util::sync::CancellationToken;

use crate::cancel::Cancel;
use crate::error::Error;
use crate::panic;
use crate::pool::Pool;
use crate::progress::Progress;

thread_local! {
    static CURRENT: RefCell<Option<Scope>> = const { RefCell::new(None) };
}

/// A pool, a token and a place for progress. Cheap to clone.
///
/// ```
/// use anio_parallel::{Pool, Scope, check};
/// use tokio_util::sync::CancellationToken;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), anio_parallel::Error> {
/// let token = CancellationToken::new();
/// let scope = Scope::new(Pool::new(2)?, token.clone());
/// token.cancel();
/// assert!(scope.run(async { check() }).await.is_err());
/// assert!(check().is_ok(), "outside, nothing was called off");
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Scope(Arc<Inner>);

struct Inner {
    pool: Pool,
    cancel: Cancel,
    progress: Option<Arc<dyn Progress>>,
}

impl Scope {
    /// A scope with this pool and this token, and without a place for progress.
    pub fn new(pool: Pool, token: CancellationToken) -> Self {
        Self::with(pool, Cancel::new(token), None)
    }

    fn with(pool: Pool, cancel: Cancel, progress: Option<Arc<dyn Progress>>) -> Self {
        Self(Arc::new(Inner { pool, cancel, progress }))
    }

    /// The scope that this task or thread is in; outside every scope, one with the default pool and a
    /// token that nobody cancels.
    pub fn current() -> Self {
        static OUTSIDE: LazyLock<Scope> =
            LazyLock::new(|| Scope::new(Pool::unscoped(), CancellationToken::new()));
        Self::with_current(|scope| scope.unwrap_or(&OUTSIDE).clone())
    }

    /// The same with another pool.
    #[must_use]
    pub fn on(&self, pool: &Pool) -> Self {
        Self::with(pool.clone(), self.0.cancel.clone(), self.0.progress.clone())
    }

    /// The same with a place for progress.
    #[must_use]
    pub fn progress_to(&self, progress: Arc<dyn Progress>) -> Self {
        Self::with(self.0.pool.clone(), self.0.cancel.clone(), Some(progress))
    }

    /// A scope within this one: its token is cancelled with this one's, and by itself alone. It has no
    /// place for progress: whoever makes it counts what happens in it.
    #[must_use]
    pub fn child(&self) -> Self {
        Self::new(self.0.pool.clone(), self.token().child_token())
    }

    /// Its pool.
    pub fn pool(&self) -> &Pool {
        &self.0.pool
    }

    /// Its token.
    pub fn token(&self) -> &CancellationToken {
        self.0.cancel.token()
    }

    /// Its token, in the form that is cheap to ask.
    pub fn cancel(&self) -> &Cancel {
        &self.0.cancel
    }

    /// Its place for progress, if it has one.
    pub fn progress(&self) -> Option<&Arc<dyn Progress>> {
        self.0.progress.as_ref()
    }

    /// Passes on that the scope's work was called off, as an error for `?`.
    ///
    /// # Errors
    /// [`Error::Cancelled`] when it was.
    pub fn check(&self) -> Result<(), Error> {
        self.0.cancel.check()
    }

    /// Polls the future in this scope, and drops it there.
    pub fn run<F: Future>(self, future: F) -> impl Future<Output = F::Output> + use<F> {
        InScope { future: Some(future), scope: Some(self) }
    }

    /// Polls the future in this scope, and drops it there; a panic becomes an error.
    ///
    /// # Errors
    /// [`Error::Panicked`], with its place; what the future left half-changed is dropped.
    pub fn run_caught<F: Future>(self, future: F) -> impl Future<Output = Result<F::Output, Error>> + use<F> {
        self.run(panic::Caught::new(future))
    }

    /// Calls the function in this scope.
    pub fn run_plain<R>(self, f: impl FnOnce() -> R) -> R {
        let _entered = self.enter();
        f()
    }

    pub(crate) fn enter(&self) -> Entered {
        Entered { previous: CURRENT.replace(Some(self.clone())) }
    }

    pub(crate) fn with_current<R>(f: impl FnOnce(Option<&Self>) -> R) -> R {
        CURRENT.with_borrow(|scope| f(scope.as_ref()))
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("pool", &self.0.pool)
            .field("cancel", &self.0.cancel)
            .finish_non_exhaustive()
    }
}

/// Brings the scope from before back when dropped. Guards of a thread are dropped in the reverse of
/// their order, also where rayon runs other work in the middle of a wait.
#[derive(Debug)]
pub(crate) struct Entered {
    previous: Option<Scope>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        // The scope that ends is dropped after the borrow: it may be the last that holds its pool.
        let ended = CURRENT.replace(self.previous.take());
        drop(ended);
    }
}

/// A scope that a future lends to the thread for a poll. Unlike [`Entered`] it takes no count of its own,
/// which all cores that poll items of one scope would contend for.
pub(crate) struct Lent<'a>(&'a mut Option<Scope>);

impl<'a> Lent<'a> {
    pub(crate) fn enter(scope: &'a mut Option<Scope>) -> Self {
        CURRENT.with_borrow_mut(|current| std::mem::swap(current, scope));
        Self(scope)
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        CURRENT.with_borrow_mut(|current| std::mem::swap(current, self.0));
    }
}

pin_project! {
    struct InScope<F> {
        #[pin]
        future: Option<F>,
        scope: Option<Scope>,
    }

    impl<F> PinnedDrop for InScope<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let _lent = Lent::enter(this.scope);
            this.future.set(None);
        }
    }
}

impl<F: Future> Future for InScope<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _lent = Lent::enter(this.scope);
        this.future.as_pin_mut().expect("the future is there until the drop").poll(context)
    }
}
