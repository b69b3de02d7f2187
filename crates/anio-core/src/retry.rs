//! When a failed attempt is tried again, and how long that waits.

mod condition;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

pub use self::condition::{RetryCondition, is_transient};
use crate::error::WorkflowError;
use crate::name::RunId;

/// The longest delay, time-out or cap that a task may state: 365 days.
pub const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The most attempts that a task may state.
pub const ATTEMPTS_MAX: u32 = 1_000_000;

/// How many attempts a task run has, and how long it waits between them.
///
/// `attempts` counts all attempts, the first included. An attempt that a crash of the worker cut short
/// does not count: it is executed again (see `docs/durability.md`).
///
/// ```
/// use std::time::Duration;
/// use anio_core::{Backoff, RetryPolicy};
///
/// let policy = RetryPolicy::attempts(3).with_backoff(Backoff::exponential(Duration::from_millis(200)));
/// assert_eq!(policy.attempts, 3);
/// assert_eq!(policy.backoff.delay(1), Duration::from_millis(200));
/// assert_eq!(policy.backoff.delay(2), Duration::from_millis(400));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// All attempts, the first included; at least 1.
    pub attempts: u32,
    /// The delay before each further attempt.
    pub backoff: Backoff,
    /// Whether the delay is spread out, so that tasks that failed together do not return together.
    pub jitter: Jitter,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::attempts(1)
    }
}

impl RetryPolicy {
    /// A policy of so many attempts in all, without delay between them.
    pub const fn attempts(attempts: u32) -> Self {
        Self { attempts, backoff: Backoff::Fixed { delay: Duration::ZERO }, jitter: Jitter::None }
    }

    /// The same policy with another backoff.
    #[must_use]
    pub const fn with_backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// The same policy with another jitter.
    #[must_use]
    pub const fn with_jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// Checks the policy's numbers for a task of this name.
    ///
    /// # Errors
    /// [`WorkflowError::InvalidOption`] for zero attempts, too many attempts, or a delay over 365 days.
    pub fn check(&self, task: &str) -> Result<(), WorkflowError> {
        let invalid =
            |option, problem| Err(WorkflowError::InvalidOption { task: task.to_owned(), option, problem });
        if self.attempts == 0 {
            return invalid("retry attempts", "is 0; it counts all attempts, the first included");
        }
        if self.attempts > ATTEMPTS_MAX {
            return invalid("retry attempts", "is more than 1,000,000");
        }
        if self.backoff.longest() > DURATION_MAX {
            return invalid("retry backoff", "is longer than 365 days");
        }
        Ok(())
    }

    /// The delay after the failure number `n_failures` (1 for the first) of a task run.
    ///
    /// With [`Jitter::Full`] it is uniform between zero and the backoff's delay, taken from a hash of
    /// the run, the task, its map index and the failure, so that a replay computes the same delay.
    /// ("Full jitter" as in Marc Brooker, *Exponential Backoff and Jitter*, AWS Architecture Blog, 2015.)
    pub fn delay(&self, run: RunId, task: &str, map_index: Option<u32>, n_failures: u32) -> Duration {
        let delay = self.backoff.delay(n_failures);
        match self.jitter {
            Jitter::None => delay,
            Jitter::Full => {
                let mut key = Vec::with_capacity(task.len() + 32);
                key.extend_from_slice(run.as_uuid().as_bytes());
                key.extend_from_slice(&map_index.map_or(-1, i64::from).to_le_bytes());
                key.extend_from_slice(task.as_bytes());
                let hash = xxh3_64_with_seed(&key, u64::from(n_failures));
                let micros = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
                let spread = ((u128::from(micros) + 1) * u128::from(hash)) >> 64;
                Duration::from_micros(u64::try_from(spread).unwrap_or(micros))
            }
        }
    }
}

/// The delay before a further attempt, as a function of how often the task run has failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Backoff {
    /// The same delay every time.
    Fixed {
        /// The delay.
        delay: Duration,
    },
    /// The first delay, twice it, three times it, … up to the cap.
    Linear {
        /// The first delay, and by how much it grows.
        first: Duration,
        /// The cap; the delay never exceeds it.
        max: Duration,
    },
    /// The first delay, doubled every time, up to the cap.
    Exponential {
        /// The first delay.
        first: Duration,
        /// The cap; the delay never exceeds it.
        max: Duration,
    },
}

impl Backoff {
    /// The same delay every time.
    pub const fn fixed(delay: Duration) -> Self {
        Self::Fixed { delay }
    }

    /// Growing by `first` every time, up to one hour; [`Backoff::max`] sets another cap.
    pub const fn linear(first: Duration) -> Self {
        Self::Linear { first, max: Duration::from_secs(3600) }
    }

    /// Doubling every time, up to one hour; [`Backoff::max`] sets another cap.
    pub const fn exponential(first: Duration) -> Self {
        Self::Exponential { first, max: Duration::from_secs(3600) }
    }

    /// The same backoff with another cap; a fixed delay is cut to it.
    #[must_use]
    pub fn max(self, cap: Duration) -> Self {
        match self {
            Self::Fixed { delay } => Self::Fixed { delay: delay.min(cap) },
            Self::Linear { first, .. } => Self::Linear { first, max: cap },
            Self::Exponential { first, .. } => Self::Exponential { first, max: cap },
        }
    }

    /// The delay after the failure number `n_failures` (1 for the first), without jitter.
    pub fn delay(&self, n_failures: u32) -> Duration {
        match *self {
            Self::Fixed { delay } => delay,
            Self::Linear { first, max } => first.saturating_mul(n_failures).min(max),
            Self::Exponential { first, max } => {
                let doublings = n_failures.saturating_sub(1).min(31);
                first.saturating_mul(1 << doublings).min(max)
            }
        }
    }

    fn longest(&self) -> Duration {
        match *self {
            Self::Fixed { delay } => delay,
            Self::Linear { first, max } | Self::Exponential { first, max } => first.max(max),
        }
    }
}

/// Whether delays are spread out at random.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Jitter {
    /// The delay as computed.
    #[default]
    None,
    /// Uniform between zero and the delay.
    Full,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(policy: &Backoff) -> Vec<u64> {
        (1..=5).map(|n| policy.delay(n).as_secs()).collect()
    }

    #[test]
    fn each_backoff_grows_as_it_says() {
        let s = Duration::from_secs;
        assert_eq!(seconds(&Backoff::fixed(s(2))), [2, 2, 2, 2, 2]);
        assert_eq!(seconds(&Backoff::linear(s(2)).max(s(7))), [2, 4, 6, 7, 7]);
        assert_eq!(seconds(&Backoff::exponential(s(2)).max(s(20))), [2, 4, 8, 16, 20]);
        assert_eq!(Backoff::exponential(s(2)).delay(u32::MAX), s(3600));
    }

    #[test]
    fn jitter_is_the_same_on_replay_and_spreads_over_the_whole_delay() {
        let policy = RetryPolicy::attempts(9)
            .with_backoff(Backoff::fixed(Duration::from_secs(1)))
            .with_jitter(Jitter::Full);
        let run = RunId::from_uuid(uuid::Uuid::from_u128(7));
        let delays: Vec<_> = (0..1000).map(|i| policy.delay(run, "a", Some(i), 1)).collect();
        let again: Vec<_> = (0..1000).map(|i| policy.delay(run, "a", Some(i), 1)).collect();
        assert_eq!(delays, again);
        assert!(delays.iter().all(|d| *d <= Duration::from_secs(1)));
        let mean = delays.iter().sum::<Duration>() / 1000;
        assert!(mean > Duration::from_millis(450) && mean < Duration::from_millis(550), "{mean:?}");
    }

    #[test]
    fn absurd_policies_are_refused() {
        assert!(RetryPolicy::attempts(0).check("a").is_err());
        assert!(RetryPolicy::attempts(2_000_000).check("a").is_err());
        let long = RetryPolicy::attempts(2).with_backoff(Backoff::fixed(DURATION_MAX * 2));
        assert!(long.check("a").is_err());
        assert!(RetryPolicy::attempts(1).check("a").is_ok());
    }
}
