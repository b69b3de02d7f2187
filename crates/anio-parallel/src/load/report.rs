//! What a load test found.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::latency::Latency;
use crate::quantity::Rate;

/// What a load test found. `Display` makes it a table, [`Report::histogram`] a drawing, serde JSON.
///
/// It is about the requests that were sent after the warm-up. Failed ones count like others in all
/// figures, the times included.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The rate of an open loop; `None` for a closed one.
    pub rate_asked: Option<Rate>,
    /// How many requests might be under way at one time.
    pub concurrency: usize,
    /// How long was measured, in seconds.
    pub seconds: f64,
    /// How many requests were sent, and answered.
    pub n_requests: u64,
    /// How many of the answers were errors.
    pub n_errors: u64,
    /// How many errors of each kind there were.
    pub errors: BTreeMap<String, u64>,
    /// Requests sent per second.
    pub sent_per_second: f64,
    /// Answers per second while it was measured.
    pub throughput: f64,
    /// The time from when a request was due to its answer. In a closed loop it is due when it is sent.
    pub latency: Latency,
    /// The time from when a request was sent to its answer.
    pub service: Latency,
    /// How far the test was behind its schedule at the end; `None` where it kept up, and in a closed loop.
    pub lagged: Option<Lag>,
}

/// How far an open loop fell behind: the target answered too slowly for the rate and the concurrency.
/// What was not sent is not among the requests; the longer the test, the worse their latency would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Lag {
    /// How long the first request that was not sent had been due. In JSON: seconds.
    #[serde(rename = "behind_seconds", serialize_with = "as_seconds")]
    pub behind: Duration,
    /// How many requests were due and not sent.
    pub n_unsent: u64,
}

impl Report {
    /// Draws the latencies as text, a line for each step of 1, 2, 5, 10 … from the shortest to the longest.
    pub fn histogram(&self) -> impl fmt::Display + use<'_> {
        Drawing(&self.latency)
    }
}

struct Drawing<'a>(&'a Latency);

impl fmt::Display for Drawing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.draw(f)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { n_requests, n_errors, concurrency, seconds, sent_per_second, throughput, .. } = self;
        match self.rate_asked {
            Some(rate) => writeln!(f, "open loop at {rate}, at most {concurrency} at a time, {seconds} s")?,
            None => writeln!(f, "closed loop, {concurrency} at a time, {seconds} s")?,
        }
        writeln!(f, "{n_requests} requests, {n_errors} errors")?;
        for (kind, n) in &self.errors {
            writeln!(f, "{n:>10} {kind}")?;
        }
        writeln!(f, "{sent_per_second:.1}/s sent, {throughput:.1}/s answered")?;
        if let Some(Lag { behind, n_unsent }) = self.lagged {
            writeln!(f, "lagged: {behind:.1?} behind at the end, {n_unsent} requests not sent")?;
        }
        writeln!(f, "\n{:8}{:>12}{:>12}", "", "latency", "service")?;
        let mut row = |name: &str, time: &dyn Fn(&Latency) -> Duration| {
            let [latency, service] =
                [&self.latency, &self.service].map(|times| format!("{:.2?}", time(times)));
            writeln!(f, "{name:8}{latency:>12}{service:>12}")
        };
        row("min", &Latency::min)?;
        row("mean", &Latency::mean)?;
        for per_cent in [50.0, 75.0, 90.0, 95.0, 99.0, 99.9] {
            row(&format!("p{per_cent}"), &|times| times.percentile(per_cent))?;
        }
        row("max", &Latency::max)
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn as_seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    time.as_secs_f64().serialize(serializer)
}
