//! `simulate`: plays schedules on all cores.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::play::{Played, play};
use crate::Result;
use crate::command::{Budget, conclude, session, tell};
use crate::ledger::Entry;

/// How often it is told how far it is.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// How many seeds that went wrong are shown with their steps.
const SHOWN_MAX: u64 = 3;

/// Plays schedules in virtual time: workers, clients, crashes, a database that fails; all from a seed
#[derive(Clone, Debug, clap::Args)]
pub struct Command {
    #[command(flatten)]
    budget: Budget,
    /// How many schedules, each by the seed after the last
    #[arg(long, default_value_t = 10_000)]
    count: u64,
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
        let figures = self.play();
        self.budget.record(&figures)?;
        conclude(&[figures])
    }

    fn play(&self) -> Entry {
        let n_cores = || std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
        let n_jobs = self.jobs.unwrap_or_else(n_cores);
        let count = if self.budget.minutes.is_some() { u64::MAX } else { self.count };
        let (next, deadline, begun) = (AtomicU64::new(0), self.budget.deadline(), Instant::now());
        let entry = Entry::new("simulate", "memory", session());
        let all = Mutex::new((entry, Instant::now()));
        std::thread::scope(|scope| {
            for _ in 0..n_jobs {
                scope.spawn(|| {
                    while deadline.is_none_or(|deadline| Instant::now() < deadline) {
                        let n = next.fetch_add(1, Ordering::Relaxed);
                        if n >= count {
                            break;
                        }
                        let played = play(self.budget.seed.wrapping_add(n), self.trace);
                        let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
                        let (entry, told) = &mut *all;
                        show(&played, entry.violations < SHOWN_MAX);
                        add(entry, &played);
                        if told.elapsed() >= TELL_EVERY {
                            *told = Instant::now();
                            let n = entry.of("schedules");
                            let rate = n / begun.elapsed().as_secs().max(1);
                            tell(&format!("{n} schedules, {rate} a second, {} wrong", entry.violations));
                        }
                    }
                });
            }
        });
        let (mut entry, _) = all.into_inner().unwrap_or_else(PoisonError::into_inner);
        entry.seconds = begun.elapsed().saturating_mul(n_jobs).as_secs_f64();
        entry
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
