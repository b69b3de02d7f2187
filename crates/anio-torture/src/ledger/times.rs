//! How long something took, many times over, so that sessions add up: a histogram of microseconds with two
//! digits (`HdrHistogram`, Tene), kept as pairs of a value and how often it was.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// The digits of a value that are kept.
const DIGITS: u8 = 2;

/// A distribution of times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<(u64, u64)>", into = "Vec<(u64, u64)>")]
pub struct Times(Histogram<u64>);

/// What is told of a distribution, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Percentiles {
    /// How many times there are.
    pub n: u64,
    /// The time that half of them do not exceed.
    pub p50_ms: Option<f64>,
    /// The time that 99 in a hundred do not exceed.
    pub p99_ms: Option<f64>,
    /// The longest.
    pub max_ms: Option<f64>,
}

impl Times {
    /// Adds those of another.
    pub fn add(&mut self, other: &Self) {
        for value in other.0.iter_recorded() {
            self.record(value.value_iterated_to(), value.count_at_value());
        }
    }

    /// What is told of it.
    pub fn percentiles(&self) -> Percentiles {
        let ms =
            |micros: u64| (!self.0.is_empty()).then(|| Duration::from_micros(micros).as_secs_f64() * 1000.0);
        Percentiles {
            n: self.0.len(),
            p50_ms: ms(self.0.value_at_quantile(0.50)),
            p99_ms: ms(self.0.value_at_quantile(0.99)),
            max_ms: ms(self.0.max()),
        }
    }

    fn record(&mut self, micros: u64, n: u64) {
        self.0.record_n(micros, n).expect("a histogram that grows takes every number");
    }
}

impl Default for Times {
    fn default() -> Self {
        Self(Histogram::new(DIGITS).expect("two digits are within what a histogram can keep"))
    }
}

impl Extend<Duration> for Times {
    fn extend<I: IntoIterator<Item = Duration>>(&mut self, times: I) {
        for time in times {
            self.record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), 1);
        }
    }
}

impl From<Vec<(u64, u64)>> for Times {
    fn from(pairs: Vec<(u64, u64)>) -> Self {
        let mut times = Self::default();
        for (micros, n) in pairs {
            times.record(micros, n);
        }
        times
    }
}

impl From<Times> for Vec<(u64, u64)> {
    fn from(times: Times) -> Self {
        times.0.iter_recorded().map(|value| (value.value_iterated_to(), value.count_at_value())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_is_the_same_whether_it_is_written_and_added_or_not() {
        let times = |range: std::ops::Range<u64>| {
            let mut times = Times::default();
            times.extend(range.map(|n| Duration::from_micros(n * n)));
            times
        };
        let mut sum = times(0..300);
        let text = serde_json::to_string(&times(300..1000)).unwrap();
        sum.add(&serde_json::from_str(&text).unwrap());
        assert_eq!(Vec::from(sum.clone()), Vec::from(times(0..1000)));
        assert_eq!(
            (sum.percentiles().n, sum.percentiles().p50_ms),
            (1000, times(0..1000).percentiles().p50_ms)
        );
        assert_eq!(Times::default().percentiles().p99_ms, None);
    }
}
