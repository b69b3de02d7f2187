//! `points`: plays every point of every scene, or every so many.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

use anio_testkit::postgres;

use super::play::{Backend, Scene, play};
use super::point::{Harm, Point, Verb};
use crate::Result;
use crate::command::{self, Budget, tell};
use crate::dice::mix;
use crate::ledger::Entry;

/// What the ledger calls it.
const METHOD: &str = "points";

/// How many calls of a verb are points that come by the clock and not by what is done.
const N_BY_THE_CLOCK_MAX: u64 = 2;

/// Kills the process, or loses a question or an answer, at every call that changes the database
#[derive(Clone, Debug, clap::Args)]
pub struct Command {
    #[command(flatten)]
    budget: Budget,
    /// Where the runs are kept
    #[arg(long, value_enum, default_value_t = Backends::Both)]
    backend: Backends,
    /// Play one point in so many, drawn by the seed
    #[arg(long, default_value_t = 1)]
    every: u64,
    /// One run of three tasks, and nothing else
    #[arg(long)]
    small: bool,
    /// How many points are played side by side
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Stop at the first that is violated
    #[arg(long)]
    first: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Backends {
    Sqlite,
    Postgres,
    Both,
}

impl Command {
    /// Plays them.
    ///
    /// # Errors
    /// Those of the system and of the store; what the engine does wrong is in the figures.
    pub fn run(&self) -> Result<ExitCode> {
        let backends = match self.backend {
            Backends::Sqlite => vec![Backend::Sqlite],
            Backends::Postgres => vec![Backend::Postgres],
            Backends::Both => vec![Backend::Sqlite, Backend::Postgres],
        };
        let session = command::session();
        let mut all = Vec::new();
        for backend in backends {
            if backend == Backend::Postgres && postgres::is_off() {
                tell("Postgres is switched off; it is left out");
                continue;
            }
            let mut tour = Tour::new(std::env::current_exe()?, backend, &session);
            (tour.every, tour.seed, tour.n_jobs) = (self.every.max(1), self.budget.seed, self.jobs.max(1));
            (tour.deadline, tour.stops_at_once) = (self.budget.deadline(), self.first);
            if self.small {
                tour.scenes = vec![Scene::Small];
            }
            let entry = tour.go()?;
            self.budget.record(&entry)?;
            all.push(entry);
        }
        command::conclude(&all)
    }
}

/// All points of some scenes on one backend.
#[derive(Debug)]
pub struct Tour {
    /// The program that is harmed.
    pub program: PathBuf,
    /// Where the runs are kept.
    pub backend: Backend,
    /// What the ledger calls it.
    pub session: String,
    /// What is played.
    pub scenes: Vec<Scene>,
    /// One point in so many.
    pub every: u64,
    /// What draws them.
    pub seed: u64,
    /// How many at a time.
    pub n_jobs: usize,
    /// When to begin nothing new.
    pub deadline: Option<Instant>,
    /// Whether the first violation ends it.
    pub stops_at_once: bool,
}

impl Tour {
    /// All points of all scenes, with this program as the process that is harmed.
    pub fn new(program: PathBuf, backend: Backend, session: &str) -> Self {
        let (session, scenes) = (session.to_owned(), vec![Scene::Whole, Scene::Takeover]);
        let (every, seed, n_jobs, deadline, stops_at_once) = (1, 1, 1, None, false);
        Self { program, backend, session, scenes, every, seed, n_jobs, deadline, stops_at_once }
    }

    /// Plays.
    ///
    /// # Errors
    /// Those of the system and of the store; what the engine does wrong is in the figures.
    pub fn go(&self) -> Result<Entry> {
        let begun = Instant::now();
        let mut sum = Entry::new(METHOD, self.backend.name(), &self.session);
        sum.seeds.include(self.seed);
        let mut points = Vec::new();
        for &scene in &self.scenes {
            let undisturbed = play(&self.program, self.backend, scene, None)?;
            self.note(&mut sum, &format!("{scene:?}, undisturbed"), &undisturbed);
            points.extend(points_of(&undisturbed.counts).map(|point| (scene, point)));
        }
        sum.count("points", points.len() as u64);
        // By lot: at equal distances the same harm might come up every time.
        let is_drawn = |at: u64| mix(self.seed, at).is_multiple_of(self.every);
        let chosen: Vec<_> = (0..).zip(points).filter(|(at, _)| is_drawn(*at)).collect();
        let (left, sum) = (Mutex::new(chosen.into_iter()), Mutex::new(sum));
        std::thread::scope(|scope| {
            let jobs: Vec<_> = (0..self.n_jobs).map(|_| scope.spawn(|| self.work(&left, &sum))).collect();
            jobs.into_iter().try_for_each(|job| job.join().map_err(|_| "a job panicked")?)
        })?;
        let mut sum = sum.into_inner().map_err(|_| "a job panicked")?;
        sum.seconds = begun.elapsed().as_secs_f64();
        Ok(sum)
    }

    fn work(
        &self,
        left: &Mutex<impl Iterator<Item = (u64, (Scene, Point))>>,
        sum: &Mutex<Entry>,
    ) -> Result<()> {
        loop {
            let next = left.lock().map_err(|_| "a job panicked")?.next();
            let Some((_, (scene, point))) = next.filter(|_| !self.is_over(sum)) else { return Ok(()) };
            let outcome = play(&self.program, self.backend, scene, Some(point))?;
            let mut sum = sum.lock().map_err(|_| "a job panicked")?;
            self.note(&mut sum, &format!("{scene:?}, {point}"), &outcome);
        }
    }

    fn is_over(&self, sum: &Mutex<Entry>) -> bool {
        let is_late = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        is_late || self.stops_at_once && sum.lock().is_ok_and(|sum| sum.violations > 0)
    }

    fn note(&self, sum: &mut Entry, what: &str, outcome: &super::play::Outcome) {
        sum.count("plays", 1);
        sum.count("kills", u64::from(outcome.was_killed));
        sum.count("runs", outcome.n_runs);
        sum.violations += outcome.wrongs.len() as u64;
        for wrong in &outcome.wrongs {
            tell(&format!("{}: {what}: {wrong}", self.backend.name()));
        }
        if let Some(kept) = &outcome.kept {
            tell(&format!("{}: {what}: diary and log are kept in {}", self.backend.name(), kept.display()));
        }
        if sum.of("plays").is_multiple_of(50) {
            tell(&format!(
                "{}: {} plays, {} violations",
                self.backend.name(),
                sum.of("plays"),
                sum.violations
            ));
        }
    }
}

/// Each call of each verb, with each harm that can be done to it.
fn points_of(counts: &[(Verb, u64)]) -> impl Iterator<Item = Point> {
    let calls = counts.iter().flat_map(|&(verb, n)| {
        let n = if verb == Verb::Renew { n.min(N_BY_THE_CLOCK_MAX) } else { n };
        (1..=n).map(move |n| (verb, n))
    });
    calls.flat_map(|(verb, n)| {
        // The tables are made when the store is opened, and nobody tries that again by himself.
        let can_be_lost = verb != Verb::Migrate;
        let harms = Harm::ALL
            .into_iter()
            .filter(move |harm| can_be_lost || matches!(harm, Harm::KillBefore | Harm::KillAfter));
        harms.map(move |harm| Point { verb, n, harm })
    })
}
