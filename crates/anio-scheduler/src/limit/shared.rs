//! A rate that all workers of the database share: starts are reserved there and come by here.
//!
//! ```text
//!   idle ── somebody lacks nothing else ──► wanted ──► asked ──┬─► reserved ── all have started ──► idle
//!                                                              └─► refused until ── then ──► idle
//! ```
//!
//! A few starts at a time, for those who wait and have a slot; the next are asked for when these have begun. They
//! are good from an instant on, and should be made use of there: who comes late with several has lost all but one
//! of them, so that a worker that was held up does not make up for it beside others who were not. The one stays, so
//! that who lacked a slot or a unit for long does not lose its turn again and again.

use std::time::Duration;

use anio_core::task::Rate;
use anio_store::rate::Reservation;
use tokio::time::Instant;

use super::pace::{TOGETHER, n_together};

/// A rate that all workers share, as one of them sees it.
#[derive(Debug)]
pub(super) struct SharedPace {
    name: String,
    interval: Duration,
    burst: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Wanted,
    Asked,
    Reserved { n: u32, from: Instant },
    RefusedUntil(Instant),
}

/// What one who wants to start has to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// For nothing.
    Now,
    /// For this instant.
    At(Instant),
    /// For what comes of a reservation.
    Unknown,
}

/// What came of a reservation: of a turn, or of asking again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// So many may start, from then on.
    Granted(u32, Instant),
    /// None; ask again then.
    AskAgain(Instant),
}

impl SharedPace {
    pub(super) fn new(name: &str, rate: Rate) -> Self {
        let interval = rate.interval();
        Self { name: name.to_owned(), interval, burst: n_together(interval).get(), state: State::Idle }
    }

    /// From one start to the next.
    pub(super) fn interval(&self) -> Duration {
        self.interval
    }

    pub(super) fn turn(&self, now: Instant) -> Turn {
        match self.state {
            State::Reserved { from: at, .. } | State::RefusedUntil(at) if at > now => Turn::At(at),
            State::Reserved { .. } => Turn::Now,
            State::Idle | State::Wanted | State::Asked | State::RefusedUntil(_) => Turn::Unknown,
        }
    }

    /// Counts a start.
    pub(super) fn take(&mut self, now: Instant) {
        if let State::Reserved { n, from } = self.state {
            let n = if is_late(from, now) { 1 } else { n };
            self.state = if n > 1 { State::Reserved { n: n - 1, from } } else { State::Idle };
        }
    }

    /// Somebody lacks nothing else.
    pub(super) fn want(&mut self) {
        if matches!(self.state, State::Idle | State::RefusedUntil(_)) {
            self.state = State::Wanted;
        }
    }

    /// Nobody has waited for it: what was reserved for those who do not come any more is lost.
    pub(super) fn forget(&mut self, now: Instant) {
        if matches!(self.state, State::Reserved { from, .. } if is_late(from, now)) {
            self.state = State::Idle;
        }
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.state == State::Wanted
    }

    /// What is to be asked for where so many wait.
    pub(super) fn ask(&mut self, n_waiting: u32) -> Reservation {
        self.state = State::Asked;
        let n = n_waiting.clamp(1, self.burst);
        Reservation { name: self.name.clone(), n, interval: self.interval, burst: self.burst }
    }

    pub(super) fn answer(&mut self, answer: Answer) {
        self.state = match answer {
            Answer::Granted(n, from) => State::Reserved { n, from },
            Answer::AskAgain(until) => State::RefusedUntil(until),
        };
    }
}

fn is_late(from: Instant, now: Instant) -> bool {
    now.saturating_duration_since(from) > TOGETHER
}
