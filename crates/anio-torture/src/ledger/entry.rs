//! One line of the ledger: the figures of a session.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Times;

/// The figures of a session, or of several added up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The subcommand that made them.
    pub method: String,
    /// The backend, or what else stands in its place.
    pub backend: String,
    /// When the session began, and of which revision of the program.
    pub session: String,
    /// The seeds that were played; left out where there are none.
    #[serde(default, skip_serializing_if = "Seeds::is_none")]
    pub seeds: Seeds,
    /// What was counted, by a name that reads well with spaces for its underscores.
    pub counts: BTreeMap<String, u64>,
    /// What was measured.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub times: BTreeMap<String, Times>,
    /// Rules that did not hold, and surprises.
    pub violations: u64,
    /// How long it took, all that went on side by side added up.
    pub seconds: f64,
}

/// A range of seeds, both ends included; empty while the last is before the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seeds {
    /// The lowest.
    pub first: u64,
    /// The highest.
    pub last: u64,
}

impl Default for Seeds {
    fn default() -> Self {
        Self::NONE
    }
}

impl Seeds {
    /// No seeds.
    pub const NONE: Self = Self { first: u64::MAX, last: 0 };

    /// Whether there are none.
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }

    /// Widens the range to this seed.
    pub fn include(&mut self, seed: u64) {
        (self.first, self.last) = (self.first.min(seed), self.last.max(seed));
    }
}

impl Entry {
    /// Figures without anything in them.
    pub fn new(method: impl Into<String>, backend: impl Into<String>, session: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            backend: backend.into(),
            session: session.into(),
            seeds: Seeds::NONE,
            counts: BTreeMap::new(),
            times: BTreeMap::new(),
            violations: 0,
            seconds: 0.0,
        }
    }

    /// Counts so many more of something.
    pub fn count(&mut self, what: &str, n: u64) {
        *self.counts.entry(what.to_owned()).or_default() += n;
    }

    /// How many of something there are.
    pub fn of(&self, what: &str) -> u64 {
        self.counts.get(what).copied().unwrap_or_default()
    }

    /// Adds times to those of something.
    pub fn time(&mut self, what: &str, times: impl IntoIterator<Item = Duration>) {
        self.times.entry(what.to_owned()).or_default().extend(times);
    }

    /// Adds the figures of another, whatever its session.
    pub fn add(&mut self, other: &Self) {
        if !other.seeds.is_none() {
            self.seeds.include(other.seeds.first);
            self.seeds.include(other.seeds.last);
        }
        for (what, n) in &other.counts {
            self.count(what, *n);
        }
        for (what, times) in &other.times {
            self.times.entry(what.clone()).or_default().add(times);
        }
        self.violations += other.violations;
        self.seconds += other.seconds;
    }

    /// Whether both are of one session.
    pub fn is_of_session(&self, other: &Self) -> bool {
        (&self.method, &self.backend, &self.session) == (&other.method, &other.backend, &other.session)
    }

    /// For people and for other programs: percentiles in place of distributions.
    pub fn summary(&self) -> Value {
        let mut summary = json!(self);
        summary["times"] =
            self.times.iter().map(|(what, times)| (what.clone(), json!(times.percentiles()))).collect();
        summary
    }
}
