//! What goes along to another thread or task: the scope, the current span, and the subscriber that the
//! span belongs to.
//!
//! A span is cloned and entered where the work runs. No parent is ever set from outside: with
//! tracing-opentelemetry 0.34 that fails once the span was entered, and the children are lost.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tracing::dispatcher::{self, DefaultGuard, Dispatch};
use tracing::{Span, info_span};

use crate::error::Error;
use crate::panic;
use crate::pool::Pool;
use crate::scope::{Entered, Lent, Scope};

/// Wraps a closure for plain rayon: wherever it is called, it finds the scope and the span of here.
///
/// ```
/// use anio_parallel::{Error, Scope, carry, check, prelude::*};
///
/// let scope = Scope::current().child();
/// scope.token().cancel();
/// let results: Vec<Result<(), Error>> =
///     scope.run_plain(|| (0..8).into_par_iter().map(carry(|_| check())).collect());
/// assert!(results.iter().all(Result::is_err));
/// ```
pub fn carry<A, R>(f: impl Fn(A) -> R + Send + Sync) -> impl Fn(A) -> R + Send + Sync {
    let here = Carrier::current();
    move |argument| here.run(|| f(argument))
}

/// The scope and the span of here, to be entered elsewhere. Cheap to clone.
///
/// ```
/// use anio_parallel::{Carrier, Scope};
///
/// let scope = Scope::current().child();
/// let here = scope.clone().run_plain(Carrier::current);
/// scope.token().cancel();
/// let called_off = std::thread::spawn(move || here.run(anio_parallel::is_cancelled)).join().unwrap();
/// assert!(called_off);
/// ```
#[derive(Clone, Debug)]
pub struct Carrier {
    scope: Scope,
    span: Span,
    /// The span's subscriber: threads of a pool have only the global one.
    dispatch: Option<Dispatch>,
}

impl Carrier {
    /// The scope and the span of here.
    pub fn current() -> Self {
        let span = Span::current();
        let dispatch = span.with_subscriber(|(_, dispatch)| dispatch.clone());
        Self { scope: Scope::current(), span, dispatch }
    }

    /// Its scope.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The same with a scope within this one, see [`Scope::child`].
    #[must_use]
    pub fn child(&self) -> Self {
        Self { scope: self.scope.child(), ..self.clone() }
    }

    #[must_use]
    pub(crate) fn on(mut self, pool: &Pool) -> Self {
        self.scope = self.scope.on(pool);
        self
    }

    /// Calls the function in its scope and span.
    pub fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        let _entered = self.enter();
        let _in_span = self.span.enter();
        // A thread that waits inside rayon may take up this work in the middle of other work of the
        // same span. A span that a thread has entered twice is not its current one; a child of it is.
        if !self.span.is_disabled() && Span::current().id() != self.span.id() {
            return info_span!(target: "anio_parallel::item", parent: &self.span, "cpu").in_scope(f);
        }
        f()
    }

    /// Polls the future in its scope and span; a panic becomes an error.
    pub fn run_async<F: Future>(&self, future: F) -> impl Future<Output = Result<F::Output, Error>> + use<F> {
        self.carried(self.span.clone(), future)
    }

    /// The same in a span of an item's own.
    pub(crate) fn run_item_async<F: Future>(
        &self,
        stage: Option<&Arc<str>>,
        index: u64,
        future: F,
    ) -> impl Future<Output = Result<F::Output, Error>> + use<F> {
        let span = self.with_dispatch(|| self.item_span(stage, index));
        self.carried(span, future)
    }

    fn carried<F>(&self, span: Span, future: F) -> Carried<panic::Caught<F>> {
        let (scope, dispatch) = (Some(self.scope.clone()), self.dispatch.clone());
        Carried { future: Some(panic::Caught::new(future)), span, scope, dispatch }
    }

    /// Calls the function of an item in its own span, once the carrier was entered; a panic becomes an
    /// error.
    pub(crate) fn run_item<R>(
        &self,
        stage: Option<&Arc<str>>,
        index: u64,
        f: impl FnOnce() -> R,
    ) -> Result<R, Error> {
        let span = self.item_span(stage, index);
        let _in_span = span.enter();
        panic::catch(f)
    }

    /// The parent is named: see [`Carrier::run`] for why the thread's current span will not do.
    fn item_span(&self, stage: Option<&Arc<str>>, index: u64) -> Span {
        let stage = stage.map(|stage| &**stage);
        info_span!(target: "anio_parallel::item", parent: &self.span, "item", index, stage)
    }

    fn with_dispatch<R>(&self, f: impl FnOnce() -> R) -> R {
        match &self.dispatch {
            Some(dispatch) => dispatcher::with_default(dispatch, f),
            None => f(),
        }
    }

    /// Enters the scope and the subscriber, not the span.
    pub(crate) fn enter(&self) -> Inside {
        Inside { _dispatch: self.dispatch.as_ref().map(dispatcher::set_default), _scope: self.scope.enter() }
    }
}

pub(crate) struct Inside {
    _dispatch: Option<DefaultGuard>,
    _scope: Entered,
}

pin_project! {
    struct Carried<F> {
        #[pin]
        future: Option<F>,
        span: Span,
        scope: Option<Scope>,
        dispatch: Option<Dispatch>,
    }

    impl<F> PinnedDrop for Carried<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let _dispatch = this.dispatch.as_ref().map(dispatcher::set_default);
            {
                let _lent = Lent::enter(this.scope);
                let _in_span = this.span.enter();
                this.future.set(None);
            }
            // A registry lets go of a span's parent through the thread's subscriber: the span goes first.
            *this.span = Span::none();
        }
    }
}

impl<F: Future> Future for Carried<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let _dispatch = this.dispatch.as_ref().map(dispatcher::set_default);
        let _lent = Lent::enter(this.scope);
        let _in_span = this.span.enter();
        this.future.as_pin_mut().expect("the future is there until the drop").poll(context)
    }
}
