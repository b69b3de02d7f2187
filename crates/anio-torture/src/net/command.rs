//! `net`: cuts one by one, then storms in bad weather, one seed each, until the time is over.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anio_testkit::postgres::{self, Server};

use super::cuts::{Cut, Try};
use super::weather::{Place, Rough};
use crate::Result;
use crate::command::{self, Budget, tell};
use crate::ledger::Entry;
use crate::report::figures;
use crate::settings::Settings;
use crate::storm::Storm;

/// What the ledger calls the storms.
const STORM: &str = "net";

/// What the ledger calls the cuts.
const CUTS: &str = "net-cuts";

const BACKEND: &str = "postgres";

/// When so many cuts in a row met no message, all messages have been met.
const MISSES_MAX: u64 = 12;

/// Cuts connections to Postgres, kills its server, and lets it fail in every other way
#[derive(Clone, Debug, clap::Args)]
pub struct Command {
    #[command(flatten)]
    budget: Budget,
    /// How many storms
    #[arg(long, default_value_t = 4)]
    storms: u64,
    /// How many workers are alive at a time [default: 1 to 4, by the seed]
    #[arg(long)]
    workers: Option<usize>,
    /// How many workers die in one storm, before another begins on a fresh server
    #[arg(long, default_value_t = 25)]
    kills: usize,
    /// Stop after the first storm or cut with a violation
    #[arg(long)]
    first: bool,
    /// Before the storms, cut the connections of one worker at so many messages, one run for each
    #[arg(long, default_value_t = 0)]
    cuts: u64,
    /// With the cut of this number first
    #[arg(long, default_value_t = 0)]
    cuts_from: u64,
}

impl Command {
    /// Does all of it.
    ///
    /// # Errors
    /// Those of the system and of the store; what the engine does wrong is in the figures.
    pub fn run(&self) -> Result<ExitCode> {
        if postgres::is_off() {
            tell("Postgres is switched off");
            return Ok(ExitCode::SUCCESS);
        }
        let session = command::session();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut all = Vec::new();
        if self.cuts > 0 {
            all.push(runtime.block_on(self.cut(&session))?);
        }
        if self.storms > 0 {
            all.push(runtime.block_on(self.rage(&session))?);
        }
        command::conclude(&all)
    }

    async fn cut(&self, session: &str) -> Result<Entry> {
        let server = Server::start()?;
        let deadline = self.budget.deadline();
        let mut sum = Entry::new(CUTS, BACKEND, session);
        let mut n_misses = 0;
        for n in self.cuts_from..self.cuts_from + self.cuts {
            let is_found = self.first && sum.violations > 0;
            if is_found
                || n_misses >= MISSES_MAX
                || deadline.is_some_and(|deadline| Instant::now() >= deadline)
            {
                break;
            }
            let begun = Instant::now();
            let (program, seed, cut) = (std::env::current_exe()?, self.budget.seed, Cut::nth(n));
            let outcome = Try { program, server: &server, seed, cut }.run().await?;
            n_misses = if outcome.was_cut { 0 } else { n_misses + 1 };
            for wrong in &outcome.wrongs {
                tell(&format!("seed {seed}, cut {n}, {cut:?}: {wrong}"));
            }
            let mut entry = Entry::new(CUTS, BACKEND, session);
            entry.seeds.include(seed);
            entry.count("cuts", u64::from(outcome.was_cut));
            entry.count("messages_not_met", u64::from(!outcome.was_cut));
            (entry.violations, entry.seconds) = (outcome.wrongs.len() as u64, begun.elapsed().as_secs_f64());
            self.budget.record(&entry)?;
            sum.add(&entry);
            if (n + 1).is_multiple_of(20) {
                tell(&format!("{} cuts, {} violations", sum.of("cuts"), sum.violations));
            }
        }
        Ok(sum)
    }

    async fn rage(&self, session: &str) -> Result<Entry> {
        let deadline = self.budget.deadline();
        let mut sum = Entry::new(STORM, BACKEND, session);
        for seed in self.budget.seed..self.budget.seed + self.storms {
            let is_found = self.first && sum.violations > 0;
            if is_found || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                break;
            }
            let entry = self.storm(seed, session).await?;
            self.budget.record(&entry)?;
            sum.add(&entry);
            tell(&format!(
                "{} kills, {} cuts, {} restarts, {} faults, {} runs, {} violations",
                sum.of("kills"),
                sum.of("connections_cut"),
                sum.of("server_restarts"),
                sum.of("database_faults"),
                sum.of("runs"),
                sum.violations
            ));
        }
        Ok(sum)
    }

    async fn storm(&self, seed: u64, session: &str) -> Result<Entry> {
        let begun = Instant::now();
        let directory = tempfile::Builder::new().prefix("anio-net-").tempdir()?;
        let place = Arc::new(Place::new().await?);
        // A lease that outlives a short outage, as leases do.
        let lease = Duration::from_secs(5);
        let settings = Settings { lease, ..Storm::settings(seed, place.url(), directory.path()) };
        let n_workers = self.workers.unwrap_or_else(|| Storm::n_workers(seed)).clamp(1, 16);
        let program = std::env::current_exe()?;
        let storm = Storm { program, settings, n_workers, n_kills: self.kills.max(1) };
        let weather = Rough::begin(Arc::clone(&place), seed);
        let aftermath = storm.rage_in(&weather).await?;
        let wrongs = aftermath.wrongs(seed);
        for wrong in &wrongs {
            tell(&format!("seed {seed}: {wrong}"));
        }
        if !wrongs.is_empty() {
            tell(&format!("seed {seed}: diary and log are kept in {}", directory.keep().display()));
        }
        let mut entry = Entry::new(STORM, BACKEND, session);
        entry.seeds.include(seed);
        figures(&aftermath, &mut entry);
        let ((n_cut, n_swallowed), tally) = (place.proxy.n_faults(), weather.tally());
        for (what, n) in [
            ("connections_cut", n_cut),
            ("connections_swallowed", n_swallowed),
            ("server_restarts", tally.restarts.load(Ordering::SeqCst)),
            ("server_out_of_reach", tally.closures.load(Ordering::SeqCst)),
            ("database_faults", tally.faults.load(Ordering::SeqCst)),
            ("leases_lost", aftermath.history.lost.len() as u64),
        ] {
            entry.count(what, n);
        }
        (entry.violations, entry.seconds) = (wrongs.len() as u64, begun.elapsed().as_secs_f64());
        Ok(entry)
    }
}
