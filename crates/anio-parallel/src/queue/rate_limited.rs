//! A queue that gives out so many items in so much time.

use std::fmt;
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::WorkQueue;
use crate::channel::Unsent;
use crate::error::Error;
use crate::quantity::{Rate, StandsFor};

/// What a burst makes up for: timers that come late, and executors that were all busy.
const BURST_PART: f64 = 1.0 / 20.0;

/// Another queue with a limit to its pace, which all that pop from it share.
///
/// After a pause it gives out at most a burst at once, then one item per interval. By default a burst is
/// what the rate gives in a twentieth of a second, at least one: with one item, every timer that comes a
/// little late costs its lateness (of 1000 items per second some 100), with more it is made up for.
///
/// The next item is set aside while it waits for its time: it is counted by
/// [`len`](WorkQueue::len), drained with the others, and goes to the next executor when the one that
/// waited was stopped. So the queue holds one item more than the one inside it, and on a
/// [`Priority`](super::Priority) an urgent item comes after the one that is set aside.
///
/// ```
/// use anio_parallel::queue::{Fifo, RateLimited, WorkQueue};
/// use tokio::time::{Duration, Instant};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), anio_parallel::Error> {
/// let queue = RateLimited::new(Fifo::new(100), "10/s")?;
/// let started = Instant::now();
/// for n in 0..5 {
///     queue.push(n).await?;
/// }
/// for n in 0..5 {
///     assert_eq!(queue.pop().await, Some(n));
/// }
/// assert!(started.elapsed() >= Duration::from_millis(400), "four intervals");
/// # Ok(()) }
/// ```
pub struct RateLimited<Q: WorkQueue> {
    inner: Q,
    rate: Rate,
    limiter: RateLimiter<NotKeyed, InMemoryState, SinceStart, NoOpMiddleware<Duration>>,
    clock: SinceStart,
    /// Of those that pop, one looks for an item and waits for its time.
    turn: tokio::sync::Mutex<()>,
    set_aside: Mutex<Option<Q::Item>>,
    drained: Notify,
}

impl<Q: WorkQueue> RateLimited<Q> {
    /// Limits a queue to a rate, such as `"500/s"`.
    ///
    /// # Errors
    /// [`Error::Quantity`] for a text that is no rate.
    pub fn new(inner: Q, rate: impl StandsFor<Rate>) -> Result<Self, Error> {
        let rate = rate.meaning()?;
        #[expect(clippy::cast_sign_loss, reason = "a rate is above 0, and at most a million per second")]
        let burst = (rate.per_second() * BURST_PART) as u32;
        Ok(Self::with(inner, rate, burst))
    }

    /// The same queue with bursts of at most `n_items`, at least one.
    #[must_use]
    pub fn burst(self, n_items: u32) -> Self {
        let aside = self.set_aside.into_inner().unwrap_or_else(PoisonError::into_inner);
        Self { set_aside: Mutex::new(aside), ..Self::with(self.inner, self.rate, n_items) }
    }

    fn with(inner: Q, rate: Rate, burst: u32) -> Self {
        let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(rate.interval()).expect("a rate is at most 1 per µs");
        let clock = SinceStart(Instant::now());
        Self {
            inner,
            rate,
            limiter: RateLimiter::direct_with_clock(quota.allow_burst(burst), clock),
            clock,
            turn: tokio::sync::Mutex::new(()),
            set_aside: Mutex::new(None),
            drained: Notify::new(),
        }
    }

    /// Its rate.
    pub const fn rate(&self) -> Rate {
        self.rate
    }

    /// Sees to it that an item is set aside; false when no more will come.
    async fn set_next_aside(&self) -> bool {
        if self.aside().is_some() {
            return true;
        }
        let mut next = pin!(self.inner.pop());
        std::future::poll_fn(|context| {
            // Under the lock, so that nobody counts while the item is in neither place.
            let mut aside = self.aside();
            match next.as_mut().poll(context) {
                Poll::Ready(item) => {
                    *aside = item;
                    Poll::Ready(aside.is_some())
                }
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    fn aside(&self) -> MutexGuard<'_, Option<Q::Item>> {
        self.set_aside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<Q: WorkQueue> WorkQueue for RateLimited<Q> {
    type Item = Q::Item;

    fn push(&self, item: Q::Item) -> impl Future<Output = Result<(), Unsent<Q::Item>>> + Send {
        self.inner.push(item)
    }

    async fn pop(&self) -> Option<Q::Item> {
        let _turn = self.turn.lock().await;
        while self.set_next_aside().await {
            let mut drained = pin!(self.drained.notified());
            drained.as_mut().enable();
            if self.aside().is_none() {
                continue;
            }
            match self.limiter.check() {
                Ok(()) => {
                    let next = self.aside().take();
                    if next.is_some() {
                        return next;
                    }
                }
                Err(not_yet) => {
                    let due = self.clock.0 + not_yet.earliest_possible();
                    tokio::select! {
                        () = tokio::time::sleep_until(due) => {}
                        () = drained => {}
                    }
                }
            }
        }
        None
    }

    fn len(&self) -> usize {
        let aside = self.aside();
        self.inner.len() + usize::from(aside.is_some())
    }

    fn close(&self) {
        self.inner.close();
    }

    fn drain(&self) -> Vec<Q::Item> {
        let mut drained: Vec<Q::Item> = self.aside().take().into_iter().collect();
        drained.extend(self.inner.drain());
        self.drained.notify_waiters();
        drained
    }
}

impl<Q: WorkQueue> fmt::Debug for RateLimited<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimited")
            .field("rate", &self.rate)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// tokio's clock, which tests can stop and move.
#[derive(Clone, Copy)]
struct SinceStart(Instant);

impl Clock for SinceStart {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}
