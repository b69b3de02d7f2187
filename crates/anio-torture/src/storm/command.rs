//! `storm`: storms on fresh databases, one seed each, until enough workers have died.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anio_testkit::postgres::{self, Server};

use super::{Aftermath, Storm};
use crate::Result;
use crate::command::{self, Budget, tell};
use crate::history::StoredRun;
use crate::ledger::Entry;
use crate::report::figures;

/// What the ledger calls it.
const METHOD: &str = "storm";

/// Kills workers at random instants, and checks what they left behind (this is what is done without a subcommand)
#[derive(Clone, Debug, clap::Args)]
pub struct Command {
    #[command(flatten)]
    budget: Budget,
    /// How many workers to kill on each backend
    #[arg(long, default_value_t = 1000)]
    kills: u64,
    /// Go on from what is recorded until so many kills are on record for each backend, with the next seeds
    #[arg(long, value_name = "KILLS", requires = "record", conflicts_with = "kills")]
    until: Option<u64>,
    /// Where the runs are kept
    #[arg(long, value_enum, default_value_t = Backends::Both)]
    backend: Backends,
    /// How many workers are alive at a time [default: one to four, by the seed]
    #[arg(long)]
    workers: Option<usize>,
    /// How many kills one database sees, before another seed begins on a fresh one
    #[arg(long, default_value_t = 250)]
    per_database: u64,
    /// How many storms rage side by side
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Begin no other storm after one with a violation
    #[arg(long)]
    first: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Backends {
    Sqlite,
    Postgres,
    Both,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Backend {
    Sqlite,
    Postgres,
}

impl Backend {
    const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

impl Backends {
    const fn all(self) -> &'static [Backend] {
        match self {
            Self::Sqlite => &[Backend::Sqlite],
            Self::Postgres => &[Backend::Postgres],
            Self::Both => &[Backend::Sqlite, Backend::Postgres],
        }
    }
}

impl Command {
    /// Lets the storms rage.
    ///
    /// # Errors
    /// Those of the system and of the store; what the engine does wrong is in the figures.
    pub fn run(&self) -> Result<ExitCode> {
        let session = command::session();
        let mut all = Vec::new();
        for &backend in self.backend.all() {
            if backend == Backend::Postgres && postgres::is_off() {
                tell("Postgres is switched off; it is left out");
                continue;
            }
            all.push(self.rage(backend, &session)?);
        }
        command::conclude(&all)
    }

    fn rage(&self, backend: Backend, session: &str) -> Result<Entry> {
        let recorded = self.budget.ledger().map(|ledger| ledger.sum(METHOD, backend.name())).transpose()?;
        let (mut wanted, mut seed) = (self.kills, self.budget.seed);
        if let (Some(until), Some(recorded)) = (self.until, recorded) {
            wanted = until.saturating_sub(recorded.of("kills"));
            seed = seed.max(recorded.seeds.last + 1);
        }
        let front = Front {
            command: self,
            backend,
            wanted,
            deadline: self.budget.deadline(),
            state: Mutex::new(State {
                next_seed: seed,
                n_begun: 0,
                sum: Entry::new(METHOD, backend.name(), session),
            }),
            is_stuck: AtomicBool::new(false),
        };
        std::thread::scope(|scope| {
            let jobs: Vec<_> = (0..self.jobs.max(1)).map(|_| scope.spawn(|| front.work())).collect();
            jobs.into_iter().try_for_each(|job| job.join().map_err(|_| "a storm panicked")?)
        })?;
        Ok(front.state.into_inner().map_err(|_| "a storm panicked")?.sum)
    }
}

/// Storms on one backend, side by side.
struct Front<'a> {
    command: &'a Command,
    backend: Backend,
    wanted: u64,
    deadline: Option<Instant>,
    state: Mutex<State>,
    is_stuck: AtomicBool,
}

struct State {
    next_seed: u64,
    /// Kills of storms that have begun.
    n_begun: u64,
    sum: Entry,
}

impl Front<'_> {
    fn work(&self) -> Result<()> {
        while let Some((seed, n_kills)) = self.take() {
            let done = self.storm(seed, n_kills).and_then(|figures| self.note(&figures));
            if done.is_err() {
                self.is_stuck.store(true, Ordering::Relaxed);
            }
            done?;
        }
        Ok(())
    }

    /// The next storm, while there is any.
    fn take(&self) -> Option<(u64, u64)> {
        let is_late = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        let mut state = self.state.lock().ok()?;
        let n_kills = self.wanted.saturating_sub(state.n_begun).min(self.command.per_database.max(1));
        let is_found = self.command.first && state.sum.violations > 0;
        if n_kills == 0 || is_late || is_found || self.is_stuck.load(Ordering::Relaxed) {
            return None;
        }
        let seed = state.next_seed;
        state.next_seed += 1;
        state.n_begun += n_kills;
        Some((seed, n_kills))
    }

    fn note(&self, figures: &Entry) -> Result<()> {
        let mut state = self.state.lock().map_err(|_| "a storm panicked")?;
        self.command.budget.record(figures)?;
        state.sum.add(figures);
        let (sum, name) = (&state.sum, self.backend.name());
        tell(&format!(
            "{name}: {} kills, {} runs, {} violations",
            sum.of("kills"),
            sum.of("runs"),
            sum.violations
        ));
        Ok(())
    }

    fn storm(&self, seed: u64, n_kills: u64) -> Result<Entry> {
        let directory = tempfile::Builder::new().prefix("anio-torture-").tempdir()?;
        let database = match self.backend {
            Backend::Sqlite => None,
            Backend::Postgres => Some(Server::shared()?.database()?),
        };
        let url = match &database {
            None => format!("sqlite://{}", directory.path().join("storm.db").display()),
            Some(database) => database.url(),
        };
        let settings = Storm::settings(seed, url, directory.path());
        let n_workers = self.command.workers.unwrap_or_else(|| Storm::n_workers(seed));
        let storm = Storm {
            program: std::env::current_exe()?,
            settings,
            n_workers: n_workers.clamp(1, 16),
            n_kills: n_kills as usize,
        };
        let begun = Instant::now();
        let aftermath =
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(storm.rage())?;
        let wrongs = aftermath.wrongs(seed);
        for wrong in &wrongs {
            tell(&format!("seed {seed}: {wrong}"));
        }
        if !wrongs.is_empty() {
            // The database is dropped with what it says of them.
            let is_named = |run: &&StoredRun| wrongs.iter().any(|wrong| wrong.contains(&run.id.to_string()));
            let runs: Vec<_> = aftermath.history.runs.iter().filter(is_named).collect();
            std::fs::write(directory.path().join("runs"), format!("{runs:#?}"))?;
            tell(&format!("seed {seed}: diary and log are kept in {}", directory.keep().display()));
        }
        Ok(self.figures(seed, &aftermath, wrongs.len(), begun.elapsed()))
    }

    fn figures(&self, seed: u64, aftermath: &Aftermath, n_violations: usize, took: Duration) -> Entry {
        let session = self.state.lock().map(|state| state.sum.session.clone()).unwrap_or_default();
        let mut entry = Entry::new(METHOD, self.backend.name(), session);
        entry.seeds.include(seed);
        figures(aftermath, &mut entry);
        (entry.violations, entry.seconds) = (n_violations as u64, took.as_secs_f64());
        entry
    }
}
