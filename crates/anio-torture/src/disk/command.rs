//! `disk`: sweeps and storms on bad disks, one of each for each seed.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::sweep::Sweep;
use super::trial::{Ended, Trial, Verdict};
use crate::Result;
use crate::command::{self, Budget, tell};
use crate::ledger::Entry;
use crate::settings::Settings;
use crate::storm::Storm;

/// What the ledger calls it.
const METHOD: &str = "disk";

/// Longer than SQLite waits for a lock by itself.
const HELD: Duration = Duration::from_secs(12);

/// Makes the disk under SQLite fail, run full, and lose what was not synced; checks what comes of it
#[derive(Clone, Debug, clap::Args)]
pub struct Command {
    #[command(flatten)]
    budget: Budget,
    /// How many seeds are played; with --minutes as many as there is time for
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Only every so manieth operation of a life goes wrong; 1 for every one
    #[arg(long, default_value_t = 1)]
    every: u64,
    /// How many workers are killed in the storm of each seed
    #[arg(long, default_value_t = 50)]
    kills: usize,
    /// How many trials go on side by side
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Stop at the first that is violated
    #[arg(long)]
    first: bool,
}

impl Command {
    /// Plays the seeds.
    ///
    /// # Errors
    /// Those of the system; what the engine does wrong is in the figures.
    pub fn run(&self) -> Result<ExitCode> {
        let program = std::env::current_exe()?;
        let (session, deadline) = (command::session(), self.budget.deadline());
        let mut all = Entry::new(METHOD, "sqlite", &session);
        for seed in self.budget.seed.. {
            let is_over =
                deadline.map_or(seed - self.budget.seed >= self.seeds, |deadline| Instant::now() >= deadline);
            if is_over || self.first && all.violations > 0 {
                break;
            }
            for entry in [self.storm(&program, seed, &session)?, self.sweep(&program, seed, &session)?] {
                self.budget.record(&entry)?;
                all.add(&entry);
            }
            tell(&format!("seed {seed}: {}", serde_json::to_string(&all.counts)?));
        }
        command::conclude(&[all])
    }

    fn sweep(&self, program: &Path, seed: u64, session: &str) -> Result<Entry> {
        let begun = Instant::now();
        let sweep = Sweep::new(program, seed, self.every.max(1), HELD)?;
        tell(&format!(
            "seed {seed}: {} operations in a life, {} trials",
            sweep.n_operations,
            sweep.trials.len()
        ));
        let (deadline, trials) = (self.budget.deadline(), Mutex::new(sweep.trials.into_iter()));
        let board =
            Mutex::new(Board { entry: Entry::new(METHOD, "sqlite", session), errors: BTreeMap::new() });
        let work = || -> Result<()> {
            loop {
                let next = trials.lock().map_err(|_| "a trial panicked")?.next();
                let Some((mode, trial)) = next else { return Ok(()) };
                let is_late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
                if is_late || self.first && board.lock().is_ok_and(|board| board.entry.violations > 0) {
                    return Ok(());
                }
                let verdict = trial.run()?;
                board.lock().map_err(|_| "a trial panicked")?.note(mode, &trial, verdict);
            }
        };
        std::thread::scope(|scope| {
            let jobs: Vec<_> = (0..self.jobs.max(1)).map(|_| scope.spawn(work)).collect();
            jobs.into_iter().try_for_each(|job| job.join().map_err(|_| "a trial panicked")?)
        })?;
        let Board { mut entry, errors } = board.into_inner().map_err(|_| "a trial panicked")?;
        for (error, n) in errors {
            tell(&format!("{n} ended with: {error}"));
        }
        entry.seeds.include(seed);
        entry.seconds = begun.elapsed().as_secs_f64();
        Ok(entry)
    }

    fn storm(&self, program: &Path, seed: u64, session: &str) -> Result<Entry> {
        let begun = Instant::now();
        let mut entry = Entry::new(METHOD, "sqlite", session);
        if self.kills == 0 {
            return Ok(entry);
        }
        let directory = tempfile::Builder::new().prefix("anio-torture-").tempdir()?;
        let url = format!("sqlite://{}", directory.path().join("storm.db").display());
        let settings = Settings { weather: true, ..Storm::settings(seed, url, directory.path()) };
        let storm = Storm { program: program.to_owned(), settings, n_workers: 1, n_kills: self.kills };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let aftermath = runtime.block_on(storm.rage())?;
        let wrongs = aftermath.wrongs(seed);
        for wrong in &wrongs {
            tell(&format!("seed {seed}: {wrong}"));
        }
        let log = std::fs::read_to_string(storm.settings.log())?;
        let n_faults = |what: &str| {
            log.lines().filter(|line| line.starts_with("faulty disk: ") && line.ends_with(what)).count()
                as u64
        };
        entry.count("io_errors_in_storms", n_faults("I/O error"));
        entry.count("writes_refused_in_storms", n_faults("no room"));
        entry.count("kills_in_storms", aftermath.n_kills() as u64);
        entry.count("runs", aftermath.history.runs.len() as u64);
        entry.count("runs_acknowledged", aftermath.history.acks.len() as u64);
        entry.seeds.include(seed);
        (entry.violations, entry.seconds) = (wrongs.len() as u64, begun.elapsed().as_secs_f64());
        if !wrongs.is_empty() {
            tell(&format!("seed {seed}: diary and log are kept in {}", directory.keep().display()));
        }
        Ok(entry)
    }
}

/// What a sweep has come to so far.
struct Board {
    entry: Entry,
    /// What lives said that ended by themselves, and how many.
    errors: BTreeMap<String, u64>,
}

impl Board {
    fn note(&mut self, mode: &str, trial: &Trial, verdict: Verdict) {
        let entry = &mut self.entry;
        let was_hit = !verdict.faults.is_empty() || trial.held.is_some();
        entry.count(if was_hit { mode } else { "lives_without_a_fault" }, 1);
        entry.count("runs", verdict.n_runs.0 as u64);
        entry.count("runs_acknowledged", verdict.n_runs.1 as u64);
        match verdict.ended {
            Ended::Done if was_hit => entry.count("lives_that_went_on", 1),
            Ended::Done => {}
            Ended::Failed(error) => {
                entry.count("lives_that_ended_with_an_error", 1);
                *self.errors.entry(error).or_default() += 1;
            }
            Ended::Killed => entry.count("lives_killed", 1),
        }
        entry.violations += verdict.wrongs.len() as u64;
        for wrong in verdict.wrongs {
            tell(&format!("{:?} on seed {} after {:?}: {wrong}", trial.plan, trial.seed, verdict.faults));
        }
    }
}
