//! Times, counted in a histogram.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::ser::{Serialize, SerializeStruct, Serializer};

/// Digits that are kept of every time: 1 in 1000.
const DIGITS: u8 = 3;

/// How wide the longest bar of a drawing is.
const BAR_WIDTH: u64 = 40;

/// How long requests took: exact in number, and to three digits in time.
///
/// As JSON: the count, and in microseconds the shortest, the mean, percentiles and the longest.
#[derive(Clone)]
pub struct Latency(Histogram<u64>);

impl Latency {
    /// How many requests there were.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time within which so many per cent of the requests were answered; zero if there was none.
    /// `percentile(50.0)` is the median.
    pub fn percentile(&self, per_cent: f64) -> Duration {
        // The histogram's cells are wider than a nanosecond: what lies in the last is at most the longest.
        Duration::from_nanos(self.0.value_at_percentile(per_cent).min(self.0.max()))
    }

    /// The shortest time.
    pub fn min(&self) -> Duration {
        Duration::from_nanos(self.0.min())
    }

    /// The longest time.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.0.max())
    }

    /// The mean.
    pub fn mean(&self) -> Duration {
        Duration::from_secs_f64(self.0.mean() / 1e9)
    }

    pub(super) fn record(&mut self, time: Duration) {
        let recorded = self.0.record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        recorded.expect("a histogram that resizes itself has room for every number");
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("a histogram that resizes itself has room for another");
    }

    /// A bar for each step of 1, 2, 5, 10 … from the shortest to the longest time.
    pub(super) fn draw(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<(u64, u64)> = self.rows().collect();
        let most = rows.iter().map(|(_, n)| *n).max().unwrap_or(0).max(1);
        for (bound, n) in rows {
            let per_cent = n as f64 / self.count() as f64 * 100.0;
            // What is there is seen.
            let bar = "█".repeat(usize::try_from((n * BAR_WIDTH).div_ceil(most)).unwrap_or(0));
            writeln!(
                f,
                "≤ {:>7} {n:>9} {per_cent:>5.1} % {bar}",
                format!("{:?}", Duration::from_nanos(bound))
            )?;
        }
        Ok(())
    }

    fn rows(&self) -> impl Iterator<Item = (u64, u64)> {
        let steps = (0..19).flat_map(|power| [1, 2, 5].map(|digit| digit * 10_u64.pow(power)));
        let mut below = 0;
        let rows = steps.map(move |bound| {
            let row = (bound, self.0.count_between(below, bound));
            below = bound + 1;
            row
        });
        let (min, max) = (self.0.min(), self.0.max());
        let is_empty = self.count() == 0;
        let rows = rows.skip_while(move |(bound, _)| is_empty || *bound < min);
        // The step above the longest time is the last.
        let mut is_over = false;
        rows.take_while(move |(bound, _)| !std::mem::replace(&mut is_over, *bound >= max))
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self(Histogram::new(DIGITS).expect("three digits are among what a histogram can keep"))
    }
}

impl fmt::Debug for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [median, slow] = [50.0, 99.0].map(|per_cent| self.percentile(per_cent));
        f.debug_struct("Latency")
            .field("count", &self.count())
            .field("p50", &median)
            .field("p99", &slow)
            .finish_non_exhaustive()
    }
}

impl Serialize for Latency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let at = |per_cent| micros(self.percentile(per_cent));
        let mut latency = serializer.serialize_struct("Latency", 10)?;
        latency.serialize_field("count", &self.count())?;
        latency.serialize_field("min_us", &micros(self.min()))?;
        latency.serialize_field("mean_us", &micros(self.mean()))?;
        latency.serialize_field("p50_us", &at(50.0))?;
        latency.serialize_field("p75_us", &at(75.0))?;
        latency.serialize_field("p90_us", &at(90.0))?;
        latency.serialize_field("p95_us", &at(95.0))?;
        latency.serialize_field("p99_us", &at(99.0))?;
        latency.serialize_field("p99_9_us", &at(99.9))?;
        latency.serialize_field("max_us", &micros(self.max()))?;
        latency.end()
    }
}
