//! What is done with an item.

use crate::error::Cause;

/// Works on items, one at a time. Each executor of a runner is a clone of its own, and one that panicked
/// is replaced with a fresh one.
///
/// ```
/// use std::num::ParseIntError;
/// use anio_parallel::queue::{Executor, Fifo, Runner};
///
/// #[derive(Clone, Default)]
/// struct Parser {
///     n_parsed: u32,
/// }
///
/// impl Executor<&'static str> for Parser {
///     type Output = (u32, i32);
///     type Error = ParseIntError;
///
///     async fn execute(&mut self, text: &'static str) -> Result<(u32, i32), ParseIntError> {
///         self.n_parsed += 1;
///         Ok((self.n_parsed, text.parse()?))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), anio_parallel::Error> {
/// let mut numbers = Vec::new();
/// let runner = Runner::new(Fifo::new(2)).items(["7", "8"]).executors(1, Parser::default());
/// runner.handle(|parsed| numbers.extend(parsed)).run().await.ok()?;
/// assert_eq!(numbers, [(1, 7), (2, 8)]);
/// # Ok(()) }
/// ```
pub trait Executor<T>: Send {
    /// What comes out.
    type Output: Send + 'static;
    /// Why nothing comes out.
    type Error: Into<Cause>;

    /// Works on one item. Work that computes goes through [`cpu`](crate::cpu()).
    ///
    /// # Errors
    /// Whatever is wrong with this item; the others go on.
    fn execute(&mut self, item: T) -> impl Future<Output = Result<Self::Output, Self::Error>> + Send;
}

/// An executor made of an async function or closure.
#[derive(Clone, Debug)]
pub struct Called<F>(pub(super) F);

impl<T, R, X, F, Fut> Executor<T> for Called<F>
where
    F: FnMut(T) -> Fut + Send,
    Fut: Future<Output = Result<R, X>> + Send,
    R: Send + 'static,
    X: Into<Cause>,
{
    type Output = R;
    type Error = X;

    fn execute(&mut self, item: T) -> impl Future<Output = Result<R, X>> + Send {
        (self.0)(item)
    }
}
