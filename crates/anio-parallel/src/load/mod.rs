//! Load tests: calls an async function again and again, at a rate or as fast as it answers, and tells how
//! long the answers took.
//!
//! ```text
//! open loop    requests are due at a constant rate, whatever the target does; what is sent late because
//!              all are busy is measured from when it was due
//! closed loop  each of n users sends its next request when it has its answer
//! ```
//!
//! A closed loop asks for less the slower the target gets, and so leaves out the very requests that would
//! have waited ("coordinated omission"). It finds the capacity of a target; how the target behaves at a
//! load, an open loop tells.

#![expect(clippy::cast_precision_loss, reason = "requests are counted, far below 2^52")]

mod bar;
mod latency;
mod recorder;
mod report;
mod user;

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::Poll;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

pub use latency::Latency;
pub use report::{Lag, Report};

use crate::cancel::CalledOff;
use crate::carrier::Carrier;
use crate::error::Error;
use crate::quantity::{QuantityError, Rate, StandsFor};
use crate::scope::Scope;
use bar::Bar;
use recorder::{Recorder, Totals};
use user::{Job, User};

const CONCURRENCY: usize = 32;
const DURATION: Duration = Duration::from_secs(10);

/// A test that is put together part by part and started with [`run`](LoadTest::run).
///
/// ```
/// use std::time::Duration;
/// use anio_parallel::LoadTest;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), anio_parallel::Error> {
/// let report = LoadTest::new(|| async {
///     tokio::time::sleep(Duration::from_millis(5)).await;
///     Ok::<_, std::io::Error>("answer")
/// })
/// .rate("500/s")
/// .concurrency(64)
/// .duration("30s")
/// .warm_up("2s")
/// .run()
/// .await?;
/// assert_eq!((report.n_requests, report.n_errors), (15_000, 0));
/// assert!(report.lagged.is_none());
/// assert!(report.latency.percentile(99.9) < Duration::from_millis(8));
/// println!("{report}\n{}", report.histogram());
/// # Ok(()) }
/// ```
#[must_use = "nothing is sent before `run`"]
pub struct LoadTest<F, X> {
    target: F,
    kind: Arc<dyn Fn(&X) -> String + Send + Sync>,
    rate: Result<Option<Rate>, Error>,
    concurrency: usize,
    duration: Result<Duration, Error>,
    warm_up: Result<Duration, Error>,
    is_quiet: bool,
}

impl<F, Fut, R, X> LoadTest<F, X>
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<R, X>> + Send + 'static,
    R: Send + 'static,
    X: fmt::Display + Send + 'static,
{
    /// A test of this target: closed loop, 32 users, for 10 seconds, without a warm-up. Each call is one
    /// request. A panic of the target is an error of that request.
    pub fn new(target: F) -> Self {
        Self {
            target,
            kind: Arc::new(ToString::to_string),
            rate: Ok(None),
            concurrency: CONCURRENCY,
            duration: Ok(DURATION),
            warm_up: Ok(Duration::ZERO),
            is_quiet: false,
        }
    }

    /// Makes it an open loop: requests are due at this rate, such as `"500/s"`.
    pub fn rate(self, rate: impl StandsFor<Rate>) -> Self {
        Self { rate: rate.meaning().map(Some), ..self }
    }

    /// How many requests may be under way at one time, at least one; in a closed loop, the number of users.
    pub fn concurrency(self, n_users: usize) -> Self {
        Self { concurrency: n_users.max(1), ..self }
    }

    /// How long to measure, such as `"30s"`.
    pub fn duration(self, duration: impl StandsFor<Duration>) -> Self {
        Self { duration: duration.meaning(), ..self }
    }

    /// How long to send requests before measuring begins.
    pub fn warm_up(self, warm_up: impl StandsFor<Duration>) -> Self {
        Self { warm_up: warm_up.meaning(), ..self }
    }

    /// Counts errors by what this function says of them. Without it, by their text. A hundred kinds are
    /// told apart, the rest is counted together.
    pub fn error_kind(self, kind: impl Fn(&X) -> String + Send + Sync + 'static) -> Self {
        Self { kind: Arc::new(kind), ..self }
    }

    /// Shows no progress bar. Without this there is one where the standard error is a terminal.
    pub fn quiet(self) -> Self {
        Self { is_quiet: true, ..self }
    }

    /// Runs the test, and waits for the answers to all that was sent: a target that may hang needs a
    /// time-out of its own.
    ///
    /// Requests are sent from tasks of their own, in the scope and span of the caller. tokio's timers have
    /// a resolution of a millisecond, by which a request may be late; the time from when it was really sent
    /// is there too, as [`Report::service`].
    ///
    /// # Errors
    /// [`Error::Quantity`] for a rate or duration that is none; [`Error::Cancelled`] when the scope is
    /// called off. What runs then has ended.
    ///
    /// # Panics
    /// Outside a tokio runtime with timers.
    ///
    /// # Cancel safety
    /// Dropping the future ends the test; requests that are under way are dropped.
    pub async fn run(self) -> Result<Report, Error> {
        let (rate, duration, warm_up) = (self.rate?, self.duration?, self.warm_up?);
        if duration.is_zero() {
            return Err(QuantityError::Zero { what: "the duration of a load test" }.into());
        }
        let here = Carrier::current();
        let inside = here.child();
        let _call_off = inside.scope().token().clone().drop_guard();
        let start = Instant::now();
        let job = Arc::new(Job {
            target: self.target,
            kind: self.kind,
            rate,
            start,
            measured_from: start + warm_up,
            end: start + warm_up + duration,
            n_claimed: AtomicU64::new(0),
            recorder: Recorder::new(),
        });
        let mut users = JoinSet::new();
        for ix in 0..self.concurrency {
            let user = User { job: Arc::clone(&job), ix };
            let called_off = CalledOff::new(inside.scope().cancel());
            users.spawn(until(called_off, inside.run_async(user.run())));
        }
        let bar = if self.is_quiet { Bar::hidden() } else { Bar::on_terminal(warm_up + duration) };
        bar.watch(start, &job.recorder, join(users, inside.scope())).await?;
        let totals = job.recorder.totals();
        Ok(report(&totals, rate, self.concurrency, duration, warm_up))
    }
}

/// The work, dropped at its next await point when it is called off.
async fn until<T>(
    mut called_off: CalledOff,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let mut work = pin!(work);
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Pending => called_off.poll(context).map(|()| Err(Error::Cancelled)),
        ended @ Poll::Ready(_) => ended,
    })
    .await
}

/// Waits for all users. One that cannot go on calls the others off.
async fn join(mut users: JoinSet<Result<(), Error>>, scope: &Scope) -> Result<(), Error> {
    let mut first = Ok(());
    while let Some(ended) = users.join_next().await {
        // A task is cut short by the end of the runtime, never by a panic: that is caught within.
        if let Err(error) = ended.unwrap_or(Err(Error::Cancelled)) {
            scope.token().cancel();
            first = first.and(Err(error));
        }
    }
    first
}

fn report(
    totals: &Totals,
    rate: Option<Rate>,
    concurrency: usize,
    duration: Duration,
    warm_up: Duration,
) -> Report {
    let seconds = duration.as_secs_f64();
    let lagged = rate.and_then(|rate| {
        let n_unsent = rate.n_due(warm_up + duration).saturating_sub(totals.n_sent);
        let first = totals.first_unsent?;
        (n_unsent > 0).then(|| Lag { behind: (warm_up + duration).saturating_sub(rate.due(first)), n_unsent })
    });
    Report {
        rate_asked: rate,
        concurrency,
        seconds,
        n_requests: totals.latency.count(),
        n_errors: totals.errors.values().sum(),
        errors: totals.errors.clone(),
        sent_per_second: totals.latency.count() as f64 / seconds,
        throughput: totals.n_answered_in_time as f64 / seconds,
        latency: totals.latency.clone(),
        service: totals.service.clone(),
        lagged,
    }
}

impl<F, X> fmt::Debug for LoadTest<F, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rate, concurrency, duration, warm_up, .. } = self;
        let mut test = f.debug_struct("LoadTest");
        test.field("rate", rate).field("concurrency", concurrency);
        test.field("duration", duration).field("warm_up", warm_up).finish_non_exhaustive()
    }
}
