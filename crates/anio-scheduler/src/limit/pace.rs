//! How often something may start: a rate, kept by the `governor` crate.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anio_core::task::Rate;
use governor::clock::Clock;
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::time::Instant;

/// Starts that a rate spreads over less than this may come together: timers are no finer than a millisecond,
/// and a loop that must wake for each start would not keep up with a high rate.
pub(super) const TOGETHER: Duration = Duration::from_millis(50);

/// How many starts of such an interval may come together.
pub(super) fn n_together(interval: Duration) -> NonZeroU32 {
    let n = u32::try_from(TOGETHER.as_nanos() / interval.as_nanos().max(1)).unwrap_or(u32::MAX);
    NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN)
}

/// The time as the loop has last looked at it, in nanoseconds since its start: all that is asked in one turn
/// is answered for one moment.
#[derive(Clone, Debug)]
pub(super) struct LoopClock {
    start: Instant,
    now: Arc<AtomicU64>,
}

impl LoopClock {
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), now: Arc::default() }
    }

    pub(super) fn set(&self, now: Instant) {
        let since = now.saturating_duration_since(self.start).as_nanos();
        self.now.store(u64::try_from(since).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn at(&self, time: Nanos) -> Instant {
        self.start + Duration::from(time)
    }
}

impl Clock for LoopClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::from(self.now.load(Ordering::Relaxed))
    }
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, LoopClock, StateInformationMiddleware>;

/// Spreads starts over time.
#[derive(Debug)]
pub(super) struct Pace {
    limiter: Limiter,
    clock: LoopClock,
    opens: Instant,
}

impl Pace {
    pub(super) fn new(rate: Rate, clock: &LoopClock) -> Self {
        let interval = rate.interval();
        let quota = Quota::with_period(interval)
            .expect("a rate has an interval above zero")
            .allow_burst(n_together(interval));
        let limiter = RateLimiter::direct_with_clock(quota, clock.clone()).with_middleware();
        Self { limiter, clock: clock.clone(), opens: clock.at(clock.now()) }
    }

    /// From when on the next may start.
    pub(super) fn opens(&self) -> Instant {
        self.opens
    }

    /// Counts a start, now.
    ///
    /// A start that must pass several rates is counted by all or by none, so each must be able to say when
    /// it opens without counting: it is asked once more after a start that it has no further room for,
    /// which is refused, counts nothing, and says when.
    pub(super) fn take(&mut self) {
        let refusal = match self.limiter.check() {
            Ok(state) if state.remaining_burst_capacity() > 0 => return,
            Ok(_) => self.limiter.check().err(),
            Err(refusal) => Some(refusal),
        };
        if let Some(refusal) = refusal {
            self.opens = self.clock.at(refusal.earliest_possible());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When the first `n` starts come, for a loop that wakes when it is told to.
    fn starts(rate: &str, n: usize) -> Vec<Duration> {
        let clock = LoopClock::new();
        let mut pace = Pace::new(rate.parse().unwrap(), &clock);
        let mut now = clock.start;
        let mut starts = Vec::new();
        while starts.len() < n {
            now = now.max(pace.opens());
            clock.set(now);
            pace.take();
            starts.push(now - clock.start);
        }
        starts
    }

    #[test]
    fn the_starts_of_a_low_rate_are_spread_evenly() {
        let ms = Duration::from_millis;
        assert_eq!(starts("10/s", 5), [ms(0), ms(100), ms(200), ms(300), ms(400)]);
        assert_eq!(starts("2/min", 3), [ms(0), ms(30_000), ms(60_000)]);
    }

    #[test]
    fn a_high_rate_lets_few_start_together_and_holds_over_time() {
        let starts = starts("1000/s", 1051);
        assert_eq!(starts[49], Duration::ZERO);
        assert_eq!(starts[50], Duration::from_millis(1));
        assert_eq!(starts[1050], Duration::from_millis(1001));
    }

    #[test]
    fn a_long_pause_saves_up_no_starts() {
        let clock = LoopClock::new();
        let mut pace = Pace::new("10/s".parse().unwrap(), &clock);
        let late = clock.start + Duration::from_secs(60);
        for now in [clock.start, late] {
            clock.set(now);
            assert!(pace.opens() <= now);
            pace.take();
        }
        assert_eq!(pace.opens(), late + Duration::from_millis(100));
    }
}
