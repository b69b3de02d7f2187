//! What is noted of every request, by many users at one time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::latency::Latency;

/// Users share these rather than have one each: a histogram may take some hundred KiB.
const N_PARTS: usize = 8;

const N_KINDS_MAX: usize = 100;
const OTHER_KINDS: &str = "other errors";

pub(super) struct Answer {
    pub(super) latency: Duration,
    pub(super) service: Duration,
    /// Whether it was sent after the warm-up.
    pub(super) is_measured: bool,
    /// Whether it was answered between warm-up and end.
    pub(super) is_in_time: bool,
    pub(super) error: Option<String>,
}

#[derive(Clone, Default)]
pub(super) struct Totals {
    pub(super) latency: Latency,
    pub(super) service: Latency,
    pub(super) errors: BTreeMap<String, u64>,
    pub(super) n_answered_in_time: u64,
    /// Those of the warm-up included.
    pub(super) n_sent: u64,
    pub(super) first_unsent: Option<u64>,
}

pub(super) struct Recorder {
    parts: [Mutex<Totals>; N_PARTS],
    n_answered: AtomicU64,
    n_errors: AtomicU64,
}

impl Recorder {
    pub(super) fn new() -> Self {
        Self { parts: Default::default(), n_answered: AtomicU64::new(0), n_errors: AtomicU64::new(0) }
    }

    pub(super) fn record(&self, user: usize, answer: Answer) {
        self.n_answered.fetch_add(1, Ordering::Relaxed);
        self.n_errors.fetch_add(u64::from(answer.error.is_some()), Ordering::Relaxed);
        let mut part = self.part(user);
        part.n_sent += 1;
        part.n_answered_in_time += u64::from(answer.is_in_time);
        if answer.is_measured {
            part.latency.record(answer.latency);
            part.service.record(answer.service);
            if let Some(kind) = answer.error {
                add_error(&mut part.errors, kind, 1);
            }
        }
    }

    /// A request of the schedule that nobody was free to send before the end.
    pub(super) fn note_unsent(&self, request: u64) {
        let mut part = self.part(0);
        part.first_unsent = Some(part.first_unsent.map_or(request, |first| first.min(request)));
    }

    /// Requests and errors so far, those of the warm-up included.
    pub(super) fn so_far(&self) -> (u64, u64) {
        (self.n_answered.load(Ordering::Relaxed), self.n_errors.load(Ordering::Relaxed))
    }

    pub(super) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for user in 0..N_PARTS {
            let part = self.part(user);
            totals.latency.add(&part.latency);
            totals.service.add(&part.service);
            totals.n_answered_in_time += part.n_answered_in_time;
            totals.n_sent += part.n_sent;
            totals.first_unsent = totals.first_unsent.or(part.first_unsent);
            for (kind, n) in &part.errors {
                add_error(&mut totals.errors, kind.clone(), *n);
            }
        }
        totals
    }

    fn part(&self, user: usize) -> MutexGuard<'_, Totals> {
        self.parts[user % N_PARTS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn add_error(errors: &mut BTreeMap<String, u64>, kind: String, n: u64) {
    let is_new = !errors.contains_key(&kind);
    let kind = if is_new && errors.len() >= N_KINDS_MAX { OTHER_KINDS.to_owned() } else { kind };
    *errors.entry(kind).or_default() += n;
}
