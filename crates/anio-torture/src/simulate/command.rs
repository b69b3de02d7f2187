//! `simulate`: plays schedules on all cores.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::play::{Played, play};
use crate::Result;
use crate::command::{Budget, conclude, session, tell};
use crate::ledger::Entry;

/// What the ledger calls it.
const METHOD: &str = "simulate";

/// Where the runs are kept.
const BACKEND: &str = "memory";

/// After how many schedules they are recorded, and it is told how far it is.
const SLICE: u64 = 10_000;

/// How many seeds of a slice that went wrong are shown with their steps.
const SHOWN_MAX: u64 = 3;

/// Plays schedules in virtual time: workers, clients, crashes, a database that fails; all from a seed
#[derive(Clone, Debug, clap::Args)]
pub struct Command {
    #[command(flatten)]
    budget: Budget,
    /// How many schedules, each by the seed after the last
    #[arg(long, default_value_t = 10_000)]
    count: u64,
    /// Go on from what is recorded until so many schedules are on record, with the next seeds
    #[arg(long, value_name = "SCHEDULES", requires = "record", conflicts_with = "count")]
    until: Option<u64>,
    /// Stop at the first that is violated
    #[arg(long)]
    first: bool,
    /// Show every step
    #[arg(long)]
    trace: bool,
    /// How many are played side by side; by default one per core
    #[arg(long)]
    jobs: Option<u32>,
}

impl Command {
    /// Plays them, and tells what they came to.
    ///
    /// # Errors
    /// Those of the ledger.
    pub fn run(&self) -> Result<ExitCode> {
        let (begun, deadline) = (Instant::now(), self.budget.deadline());
        let (mut seed, mut left) = self.seeds()?;
        let mut sum = Entry::new(METHOD, BACKEND, session());
        let is_time = || deadline.is_none_or(|deadline| Instant::now() < deadline);
        while left > 0 && is_time() && !self.is_found(&sum) {
            let count = left.min(SLICE);
            let slice = self.play(&sum.session, seed, count, deadline);
            self.budget.record(&slice)?;
            sum.add(&slice);
            (seed, left) = (seed.wrapping_add(count), left - count);
            let n = sum.of("schedules");
            let rate = n / begun.elapsed().as_secs().max(1);
            tell(&format!("{n} schedules, {rate} a second, {} wrong", sum.violations));
        }
        conclude(&[sum])
    }

    fn is_found(&self, figures: &Entry) -> bool {
        self.first && figures.violations > 0
    }

    /// The first seed, and how many are to be played.
    fn seeds(&self) -> Result<(u64, u64)> {
        let (Some(until), Some(ledger)) = (self.until, self.budget.ledger()) else {
            let count = if self.budget.minutes.is_some() { u64::MAX } else { self.count };
            return Ok((self.budget.seed, count));
        };
        let recorded = ledger.sum(METHOD, BACKEND)?;
        let next = if recorded.of("schedules") == 0 { 0 } else { recorded.seeds.last + 1 };
        Ok((self.budget.seed.max(next), until.saturating_sub(recorded.of("schedules"))))
    }

    /// Plays schedules side by side; fewer where the time is over before.
    fn play(&self, session: &str, seed: u64, count: u64, deadline: Option<Instant>) -> Entry {
        let n_cores = || std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
        let n_jobs = self.jobs.unwrap_or_else(n_cores).max(1);
        let (next, begun) = (AtomicU64::new(0), Instant::now());
        let all = Mutex::new(Entry::new(METHOD, BACKEND, session));
        std::thread::scope(|scope| {
            for _ in 0..n_jobs {
                scope.spawn(|| {
                    while deadline.is_none_or(|deadline| Instant::now() < deadline) {
                        let n = next.fetch_add(1, Ordering::Relaxed);
                        if n >= count {
                            break;
                        }
                        let played = play(seed.wrapping_add(n), self.trace);
                        let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
                        if self.is_found(&all) {
                            break;
                        }
                        show(&played, all.violations < SHOWN_MAX);
                        add(&mut all, &played);
                    }
                });
            }
        });
        let mut all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
        all.seconds = begun.elapsed().saturating_mul(n_jobs).as_secs_f64();
        all
    }
}

/// Shows the steps where they were asked for, and those of a seed that went wrong.
fn show(played: &Played, in_full: bool) {
    for step in &played.trace {
        tell(step);
    }
    if played.wrongs.is_empty() {
        return;
    }
    if in_full && played.trace.is_empty() {
        play(played.seed, true).trace.iter().for_each(|step| tell(step));
    }
    for wrong in &played.wrongs {
        tell(&format!("seed {}: {wrong}", played.seed));
    }
    tell(&format!("again: cargo xtask torture simulate --seed {} --count 1 --trace", played.seed));
}

fn add(entry: &mut Entry, played: &Played) {
    entry.seeds.include(played.seed);
    entry.count("schedules", 1);
    entry.count("steps", played.n_steps);
    entry.count("virtual_seconds", played.time.as_secs());
    for (what, n) in &played.counts {
        entry.count(what, *n);
    }
    entry.violations += played.wrongs.len() as u64;
}
