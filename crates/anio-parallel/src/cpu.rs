//! Work that computes, started from async code: it runs on the pool, the caller's thread goes on.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;
use tokio_util::sync::DropGuard;

use crate::carrier::Carrier;
use crate::error::{Cause, Error};
use crate::panic;
use crate::pool::Pool;

/// Runs a function that computes on the pool of this scope; the thread that awaits is not blocked.
///
/// Inside, plain rayon (`par_iter`, `join`, `scope`, `par_sort`) uses that pool, and so do the helpers
/// of this crate, which may block there. Scope and span are those in which the future is first polled.
///
/// # Errors
/// [`Error::Panicked`] when the function panics; [`Error::Cancelled`] when the scope was called off
/// before it began. After that it is the function that looks, with [`check`](crate::check()).
///
/// # Cancel safety
/// Nothing starts before the first poll. Dropping the future then cancels the token that the function
/// sees: one that has not begun never begins, one that runs goes on to its next look.
///
/// ```
/// use anio_parallel::{cpu, prelude::*};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), anio_parallel::Error> {
/// let sum = cpu(|| (1..=100_u64).into_par_iter().map(|n| n * n).sum::<u64>()).await?;
/// assert_eq!(sum, 338_350);
/// # Ok(()) }
/// ```
pub fn cpu<R, F>(f: F) -> Cpu<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    Cpu::new(Box::new(move || Ok(f())))
}

/// [`cpu`] for a function that can fail, with one `?` for both. The form for data parallelism out of
/// async code:
///
/// ```
/// use anio_parallel::{ParMap, try_cpu};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), anio_parallel::Error> {
/// let texts = vec!["1", "2", "3"];
/// let numbers = try_cpu(move || texts.try_par_map(|text| text.parse::<u32>())).await?;
/// assert_eq!(numbers, [1, 2, 3]);
/// # Ok(()) }
/// ```
///
/// # Errors
/// As for [`cpu`], and [`Error::Failed`] with what the function returned; an [`Error`] stays what it is.
pub fn try_cpu<R, E, F>(f: F) -> Cpu<R>
where
    F: FnOnce() -> Result<R, E> + Send + 'static,
    R: Send + 'static,
    E: Into<Cause>,
{
    Cpu::new(Box::new(move || f().map_err(Error::from_cause)))
}

type Work<R> = Box<dyn FnOnce() -> Result<R, Error> + Send>;

/// The future of [`cpu`] and [`try_cpu`].
#[must_use = "nothing runs before the first poll"]
pub struct Cpu<R>(State<R>);

enum State<R> {
    Idle(Option<Pool>, Work<R>),
    Running {
        answer: oneshot::Receiver<Result<R, Error>>,
        /// Cancels the function's token when the future is dropped.
        _guard: DropGuard,
    },
    Done,
}

impl<R: Send + 'static> Cpu<R> {
    fn new(work: Work<R>) -> Self {
        Self(State::Idle(None, work))
    }

    /// Takes another pool for this one call. Without effect once it has begun.
    pub fn on(self, pool: &Pool) -> Self {
        match self.0 {
            State::Idle(_, work) => Self(State::Idle(Some(pool.clone()), work)),
            begun => Self(begun),
        }
    }
}

impl<R: Send + 'static> Future for Cpu<R> {
    type Output = Result<R, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if matches!(self.0, State::Idle(..))
            && let State::Idle(pool, work) = std::mem::replace(&mut self.0, State::Done)
        {
            let mut here = Carrier::current().child();
            if let Some(pool) = pool {
                here = here.on(&pool);
            }
            self.0 = begin(&here, work);
        }
        let State::Running { answer, .. } = &mut self.0 else {
            panic!("`cpu` was polled after it was ready");
        };
        // A job that the pool lost has not been run to its end.
        let answer = ready!(Pin::new(answer).poll(context)).unwrap_or(Err(Error::Cancelled));
        self.0 = State::Done;
        Poll::Ready(answer)
    }
}

fn begin<R: Send + 'static>(carrier: &Carrier, work: Work<R>) -> State<R> {
    let guard = carrier.scope().token().clone().drop_guard();
    let pool = carrier.scope().pool().clone();
    let answer = start(&pool, carrier.clone(), move |carrier| carrier.run(|| panic::catch(work)).flatten());
    State::Running { answer, _guard: guard }
}

/// Runs a job on the pool, unless it was called off by then, and sends its answer.
pub(crate) fn start<R: Send + 'static>(
    pool: &Pool,
    carrier: Carrier,
    work: impl FnOnce(&Carrier) -> Result<R, Error> + Send + 'static,
) -> oneshot::Receiver<Result<R, Error>> {
    let (sender, receiver) = oneshot::channel();
    pool.start(move || {
        let answer = carrier.scope().check().and_then(|()| work(&carrier));
        // Whoever gets the answer finds the span let go of.
        drop(carrier);
        // Nobody receives where the future was dropped; the answer's own drop may panic.
        drop(panic::catch(|| drop(sender.send(answer))));
    });
    receiver
}

impl<R> fmt::Debug for Cpu<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            State::Idle(..) => "Cpu(idle)",
            State::Running { .. } => "Cpu(running)",
            State::Done => "Cpu(done)",
        })
    }
}
