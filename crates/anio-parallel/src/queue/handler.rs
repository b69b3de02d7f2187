//! What is done with a result.

use std::ops::ControlFlow;

use crate::error::Error;

/// Takes results and errors, one at a time, in the order in which they come.
///
/// An [`Error`] knows its item's [index](Error::index): its place, from 0, in the order in which items were begun.
///
/// ```
/// use std::ops::ControlFlow;
/// use anio_parallel::Error;
/// use anio_parallel::queue::{Fifo, Handler, Runner};
///
/// /// Writes down what came, and wants no more after the first error.
/// struct Ledger(Vec<u32>);
///
/// impl Handler<u32> for &mut Ledger {
///     async fn handle(&mut self, result: Result<u32, Error>) -> ControlFlow<()> {
///         match result {
///             Ok(n) => self.0.push(n),
///             Err(_) => return ControlFlow::Break(()),
///         }
///         ControlFlow::Continue(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let mut ledger = Ledger(Vec::new());
/// let runner = Runner::new(Fifo::new(1)).items(0..100_u32);
/// let checked = |n: u32| async move { if n < 3 { Ok(n) } else { Err("too large") } };
/// let done = runner.execute(1, checked).handler(&mut ledger).run().await;
/// assert_eq!(ledger.0, [0, 1, 2]);
/// assert_eq!((done.n_handled, done.n_failed), (4, 1));
/// # }
/// ```
pub trait Handler<R>: Send {
    /// Takes one result. `Break` stops the runner: nothing more is begun. What runs is finished, and its
    /// results are handled too, at most as many as there are executors; what they ask for then changes
    /// nothing.
    fn handle(&mut self, result: Result<R, Error>) -> impl Future<Output = ControlFlow<()>> + Send;
}

/// What the function that handles a result may return: nothing, or whether to go on.
pub trait Verdict {
    /// Whether to go on.
    fn flow(self) -> ControlFlow<()>;
}

impl Verdict for () {
    fn flow(self) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

impl Verdict for ControlFlow<()> {
    fn flow(self) -> Self {
        self
    }
}

/// A handler made of a closure.
#[derive(Clone, Debug)]
pub struct Told<F>(pub(super) F);

impl<R, V, F> Handler<R> for Told<F>
where
    F: FnMut(Result<R, Error>) -> V + Send,
    R: Send,
    V: Verdict,
{
    fn handle(&mut self, result: Result<R, Error>) -> impl Future<Output = ControlFlow<()>> + Send {
        std::future::ready((self.0)(result).flow())
    }
}
