//! Rates that all workers of one database share: what is reserved of one, and what comes of it.
//!
//! A rate is one number in the database, by the database's clock: the *theoretical arrival time* of the generic
//! cell rate algorithm in its form of virtual scheduling (ITU-T Recommendation I.371). It is when the next start
//! would be due if all came evenly spread; what is reserved moves it on by one interval for each start, and so
//! many as the burst may come ahead of it:
//!
//! ```text
//!   tat   ── reserve n ──►  max(tat, now) + n · interval
//!   they may start from     max(tat − (burst − n) · interval, now)   on, all together
//! ```
//!
//! So within any time no more may start than the burst and what the rate allows of that time. Who reserves is told
//! when, and waits by itself; nobody asks the database twice. Nothing is given back: what a worker had reserved
//! when it died never starts.

use std::time::Duration;

use anio_core::Timestamp;

/// So far ahead of the present starts may be reserved at the least: this far, or four of their intervals.
const AHEAD_MIN: Duration = Duration::from_secs(10);

/// Starts under a rate that all workers share, to be reserved for one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// The name of the rate; workers that name the same share it.
    pub name: String,
    /// How many; 1 to `burst`.
    pub n: u32,
    /// From one start to the next; at least 1 µs. Where workers differ about it, each start is counted by the
    /// interval of the worker that reserves it.
    pub interval: Duration,
    /// How many may start at one instant; at least 1.
    pub burst: u32,
}

/// What came of a [`Reservation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserved {
    /// Whether all of them are reserved, or none: too many have been reserved ahead of the present already (ten
    /// seconds' worth, or four intervals where those are longer), which bounds what workers that die again and
    /// again can take away.
    pub is_granted: bool,
    /// From when on they may start or, where none is reserved, when it is worth asking again; by the database's
    /// clock.
    pub at: Timestamp,
    /// What that clock said when it answered, or a little earlier.
    pub now: Timestamp,
}

impl Reserved {
    /// How long it is until then, from when the answer came.
    pub fn wait(&self) -> Duration {
        self.at.since(self.now)
    }
}

impl Reservation {
    /// By how much it moves the theoretical arrival time, in microseconds.
    pub(crate) fn step(&self) -> i64 {
        let step = self.interval.as_nanos() * u128::from(self.n_at_once());
        micros(step.div_ceil(1000))
    }

    /// How long before the theoretical arrival time they may start, in microseconds.
    pub(crate) fn slack(&self) -> i64 {
        micros(self.interval.as_nanos() * u128::from(self.burst.max(1) - self.n_at_once()) / 1000)
    }

    /// So far ahead of the present they may be reserved, in microseconds.
    pub(crate) fn ahead(&self) -> i64 {
        micros(AHEAD_MIN.max(self.interval * 4).as_micros())
    }

    /// The theoretical arrival time is never further ahead of the present than this, in microseconds: where it is,
    /// the clock was set back, or it comes from a much slower rate of the same name.
    pub(crate) fn ahead_max(&self) -> i64 {
        self.ahead().saturating_add(self.slack()).saturating_add(self.step())
    }

    fn n_at_once(&self) -> u32 {
        self.n.clamp(1, self.burst.max(1))
    }

    /// What comes of it where this is the theoretical arrival time now, and what that becomes.
    pub(crate) fn made(&self, tat: Option<Timestamp>, now: Timestamp) -> (Timestamp, Reserved) {
        let now_micros = now.as_micros();
        let tat = tat.map_or(now_micros, Timestamp::as_micros).min(now_micros + self.ahead_max());
        let at = (tat - self.slack()).max(now_micros);
        let is_granted = at <= now_micros + self.ahead();
        let (tat, at) =
            if is_granted { (tat.max(now_micros) + self.step(), at) } else { (tat, at - self.ahead()) };
        (Timestamp::from_micros(tat), Reserved { is_granted, at: Timestamp::from_micros(at), now })
    }
}

fn micros(n: u128) -> i64 {
    // Half of what there is, so that a few of them and a time can be added up.
    i64::try_from(n).unwrap_or(i64::MAX).min(i64::MAX / 8)
}

#[cfg(test)]
mod tests;
