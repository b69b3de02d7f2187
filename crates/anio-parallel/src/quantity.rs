//! Rates and durations written as text: `"500/s"`, `"30s"`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::error::Error;

const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// How many items in how much time.
///
/// As text: a whole number, a slash, and a unit of time with or without a number: `"500/s"`, `"30/min"`,
/// `"100/10s"`. Units are those of durations: ms, s, m (or min), h, d.
///
/// ```
/// use std::time::Duration;
/// use anio_parallel::Rate;
///
/// let rate: Rate = "500/s".parse()?;
/// assert_eq!(rate.interval(), Duration::from_millis(2));
/// assert_eq!("100/10s".parse::<Rate>()?.per_second(), 10.0);
/// assert_eq!(rate.to_string(), "500/s");
///
/// let error = "500".parse::<Rate>().unwrap_err();
/// assert!(error.to_string().starts_with("\"500\" is not a rate"));
/// # Ok::<(), anio_parallel::QuantityError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    n_items: u32,
    per: Duration,
}

/// Why a text, or a number, stands for no rate, duration or number of threads. The message says what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuantityError {
    /// It is not written like a rate.
    #[error(
        "{text:?} is not a rate; a rate is a whole number per unit of time: \"500/s\", \"30/min\", \"100/10s\""
    )]
    NotARate {
        /// What was written.
        text: String,
    },
    /// A rate of zero, or above one item per microsecond, or per nothing or per more than 365 days.
    #[error(
        "{text:?} is out of range; a rate is above 0 and at most 1 per µs, and its time at most 365 days"
    )]
    RateOutOfRange {
        /// What was written.
        text: String,
    },
    /// It is not written like a duration.
    #[error(
        "{text:?} is not a duration; a duration is a whole number with a unit: ms, s, m (or min), h, d; such as \"30s\""
    )]
    NotADuration {
        /// What was written.
        text: String,
    },
    /// It is not written like a number of threads.
    #[error(
        "{text:?} is no number of threads; write a whole number, \"8\", so many for each core, \"2x\", or \"auto\""
    )]
    NotThreads {
        /// What was written.
        text: String,
    },
    /// More than 365 days.
    #[error("{text:?} is longer than 365 days")]
    TooLong {
        /// What was written.
        text: String,
    },
    /// A duration of zero where there must be some.
    #[error("{what} is zero; it takes at least a millisecond")]
    Zero {
        /// Whose duration.
        what: &'static str,
    },
}

impl Rate {
    /// So many items in so much time.
    ///
    /// # Errors
    /// [`QuantityError::RateOutOfRange`] for zero, for more than one item per microsecond, and for a time
    /// above 365 days.
    pub fn new(n_items: u32, per: Duration) -> Result<Self, QuantityError> {
        let is_allowed = n_items > 0 && u128::from(n_items) <= per.as_micros() && per <= DURATION_MAX;
        let rate = Self { n_items, per };
        if is_allowed { Ok(rate) } else { Err(QuantityError::RateOutOfRange { text: rate.to_string() }) }
    }

    /// Items per second.
    pub fn per_second(self) -> f64 {
        f64::from(self.n_items) / self.per.as_secs_f64()
    }

    /// The time between two items, rounded down to nanoseconds.
    pub fn interval(self) -> Duration {
        self.per / self.n_items
    }

    /// When an item is due, counted from the first, which is item 0.
    #[cfg(feature = "load")]
    pub(crate) fn due(self, item: u64) -> Duration {
        let nanos = u128::from(item) * self.per.as_nanos() / u128::from(self.n_items);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// How many items are due before so much time is over.
    #[cfg(feature = "load")]
    pub(crate) fn n_due(self, time: Duration) -> u64 {
        let n_items = (time.as_nanos() * u128::from(self.n_items)).div_ceil(self.per.as_nanos());
        u64::try_from(n_items).unwrap_or(u64::MAX)
    }
}

impl FromStr for Rate {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let not_a_rate = || QuantityError::NotARate { text: text.to_owned() };
        let (n_items, per) = text.split_once('/').ok_or_else(not_a_rate)?;
        let (n_items, per) = (n_items.trim(), per.trim());
        if n_items.is_empty() || !n_items.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(not_a_rate());
        }
        let per = if per.starts_with(|first: char| first.is_ascii_digit()) {
            duration(per)
        } else {
            duration(&format!("1{per}"))
        };
        let out_of_range = || QuantityError::RateOutOfRange { text: text.to_owned() };
        let per = per.map_err(|error| match error {
            QuantityError::TooLong { .. } => out_of_range(),
            _ => not_a_rate(),
        })?;
        let n_items = n_items.parse().map_err(|_| out_of_range())?;
        Self::new(n_items, per).map_err(|_| out_of_range())
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.per == Duration::from_secs(1) {
            write!(f, "{}/s", self.n_items)
        } else if self.per.subsec_nanos() == 0 {
            write!(f, "{}/{}s", self.n_items, self.per.as_secs())
        } else {
            write!(f, "{}/{}ms", self.n_items, self.per.as_secs_f64() * 1e3)
        }
    }
}

/// What stands for a `T`: a `T` itself, or text that says it.
pub trait StandsFor<T> {
    /// The `T`.
    ///
    /// # Errors
    /// [`Error::Quantity`] for a text that says none.
    fn meaning(self) -> Result<T, Error>;
}

impl<T> StandsFor<T> for T {
    fn meaning(self) -> Result<T, Error> {
        Ok(self)
    }
}

impl StandsFor<Rate> for &str {
    fn meaning(self) -> Result<Rate, Error> {
        Ok(self.parse()?)
    }
}

impl StandsFor<Duration> for &str {
    fn meaning(self) -> Result<Duration, Error> {
        Ok(duration(self)?)
    }
}

/// Reads a duration of at most 365 days.
fn duration(text: &str) -> Result<Duration, QuantityError> {
    let not_a_duration = || QuantityError::NotADuration { text: text.to_owned() };
    let too_long = || QuantityError::TooLong { text: text.to_owned() };
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit_ms: u64 = match unit.trim() {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(not_a_duration()),
    };
    if number.is_empty() {
        return Err(not_a_duration());
    }
    // Digits alone fail only by being too many.
    let number: u64 = number.parse().map_err(|_| too_long())?;
    let duration = number.checked_mul(unit_ms).map(Duration::from_millis);
    duration.filter(|duration| *duration <= DURATION_MAX).ok_or_else(too_long)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read() {
        for (text, n_items, per_ms) in [
            ("500/s", 500, 1_000),
            ("30/min", 30, 60_000),
            ("30 / m", 30, 60_000),
            ("100/10s", 100, 10_000),
            ("5/200ms", 5, 200),
            ("1/365d", 1, 31_536_000_000),
            ("1000000/s", 1_000_000, 1_000),
        ] {
            assert_eq!(text.parse(), Rate::new(n_items, Duration::from_millis(per_ms)), "{text}");
        }
    }

    #[test]
    fn what_is_no_rate_is_named_with_what_is_allowed() {
        let written = |text: &str| text.to_owned();
        for text in ["", "500", "/s", "500/", "fast", "1.5/s", "-1/s", "5/x", "5/s/s", "+5/s"] {
            let error = text.parse::<Rate>().unwrap_err();
            assert_eq!(error, QuantityError::NotARate { text: written(text) });
            assert!(error.to_string().starts_with(&format!("{text:?} is not a rate; ")), "{error}");
        }
        for text in ["0/s", "5/0s", "1000001/s", "1/366d", "99999999999/s", "1/99999999999999999999s"] {
            assert_eq!(
                text.parse::<Rate>(),
                Err(QuantityError::RateOutOfRange { text: written(text) }),
                "{text}"
            );
        }
    }

    #[test]
    fn durations_are_read_as_everywhere_in_the_project() {
        for (text, ms) in [("200ms", 200), ("30s", 30_000), ("5m", 300_000), ("1 h", 3_600_000), ("0s", 0)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "30", "s", "soon", "1.5s", "-1s"] {
            assert_eq!(duration(text), Err(QuantityError::NotADuration { text: text.to_owned() }));
        }
        for text in ["366d", "99999999999999999999s"] {
            assert_eq!(duration(text), Err(QuantityError::TooLong { text: text.to_owned() }));
        }
    }

    #[cfg(feature = "load")]
    #[test]
    fn what_is_due_before_a_time_is_due_before_it_and_no_more() {
        for text in ["500/s", "3/s", "7/10s", "999999/s", "1/365d"] {
            let rate: Rate = text.parse().unwrap();
            for time in [1, 333, 1_000, 10_001, 86_400_000].map(Duration::from_millis) {
                let n = rate.n_due(time);
                assert!(n == 0 || rate.due(n - 1) < time, "{text}, {time:?}");
                assert!(rate.due(n) >= time, "{text}, {time:?}");
            }
        }
    }

    #[test]
    fn a_rate_is_written_so_that_it_can_be_read_again() {
        for text in ["500/s", "30/60s", "5/200ms"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
    }
}
