//! One play: a process that is harmed at a point, then one that finishes; and what the checker says of it.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anio_core::Timestamp;
use anio_testkit::postgres::{Database, Server};
use tempfile::TempDir;

use super::blueprints;
use super::point::{Point, Verb};
use super::script::{Orders, Part};
use crate::Result;
use crate::body::now;
use crate::check;
use crate::settings::Settings;
use crate::storm::{Aftermath, Life};
use crate::worker_process::{Event, end_or_kill, event_of};

/// How long a process may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where runs are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// A SQLite file.
    Sqlite,
    /// A database of a Postgres server.
    Postgres,
}

impl Backend {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// What comes before the process that is harmed, and what that one does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    /// It begins on an empty database, with one run.
    Small,
    /// It begins on an empty database, with everything.
    Whole,
    /// It takes over what a dead one has left behind.
    Takeover,
}

impl Scene {
    const fn part(self) -> Part {
        match self {
            Self::Small => Part::Small,
            Self::Whole => Part::Whole,
            Self::Takeover => Part::Finish,
        }
    }
}

/// A database and a directory of its own, and the processes that have been there.
struct Stage {
    program: PathBuf,
    settings: Settings,
    aftermath: Aftermath,
    directory: TempDir,
    _database: Option<Database>,
}

/// What a play came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What is wrong, in words.
    pub wrongs: Vec<String>,
    /// How often the harmed process called each verb; nothing where it died.
    pub counts: Vec<(Verb, u64)>,
    /// Whether it was killed.
    pub was_killed: bool,
    /// How many runs were checked.
    pub n_runs: u64,
    /// Where its diary and its log are kept, when something is wrong.
    pub kept: Option<PathBuf>,
}

/// Plays a scene with a point, or undisturbed.
///
/// # Errors
/// Those of the system and of the store; what the engine does wrong is in the outcome.
pub fn play(program: &Path, backend: Backend, scene: Scene, point: Option<Point>) -> Result<Outcome> {
    let mut stage = Stage::new(program, backend)?;
    if scene == Scene::Takeover {
        stage.perform(Part::Wreck, None)?;
    }
    let harmed = stage.perform(scene.part(), point)?;
    stage.perform(Part::Finish, None)?;
    let was_killed = harmed.status.is_none_or(|status| status.code().is_none());
    stage.judge(Outcome { counts: harmed.counts, was_killed, ..Outcome::default() })
}

/// What one process told.
struct Performance {
    /// `None`: it had to be stopped.
    status: Option<ExitStatus>,
    counts: Vec<(Verb, u64)>,
}

impl Stage {
    fn new(program: &Path, backend: Backend) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("anio-points-").tempdir()?;
        let database = match backend {
            Backend::Sqlite => None,
            Backend::Postgres => Some(Server::shared()?.database()?),
        };
        let url = match &database {
            None => format!("sqlite://{}", directory.path().join("points.db").display()),
            Some(database) => database.url(),
        };
        let (lease, grace) = (Duration::from_secs(2), Duration::from_millis(500));
        let settings = Settings { lease, grace, ..Settings::new(url, directory.path()) };
        let (program, aftermath) = (program.to_owned(), Aftermath::default());
        Ok(Self { program, settings, aftermath, directory, _database: database })
    }

    fn perform(&mut self, part: Part, point: Option<Point>) -> Result<Performance> {
        let orders = Orders { settings: self.settings.clone(), part, point };
        let log = std::fs::OpenOptions::new().append(true).create(true).open(self.settings.log())?;
        let spawned_at = now();
        let mut child = Command::new(&self.program)
            .args(["script", &serde_json::to_string(&orders)?])
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()?;
        let pid = child.id();
        let mut output = child.stdout.take().ok_or("a child with standard output")?;
        let reader = std::thread::spawn(move || {
            let mut text = String::new();
            output.read_to_string(&mut text).map(|_| text)
        });
        let status = end_or_kill(&mut child, PATIENCE)?;
        if status.is_none() {
            self.aftermath.surprises.push(format!("process {pid} ({part:?}) did not come to its end"));
        }
        let may_die = point.is_some() || part == Part::Wreck;
        if let Some(status) =
            status.filter(|status| !(status.success() || may_die && status.code().is_none()))
        {
            self.aftermath.surprises.push(format!("process {pid} ({part:?}) ended with {status}"));
        }
        let text = reader.join().map_err(|_| "the reader panicked")??;
        self.note(pid, spawned_at, &text);
        let count = |line: &str| match line.split(' ').collect::<Vec<_>>()[..] {
            ["COUNT", verb, n] => Some((Verb::of_word(verb)?, n.parse().ok()?)),
            _ => None,
        };
        Ok(Performance { status, counts: text.lines().filter_map(count).collect() })
    }

    fn note(&mut self, pid: u32, spawned_at: Timestamp, text: &str) {
        let history = &mut self.aftermath.history;
        for event in text.lines().filter_map(event_of) {
            match event {
                Event::Ack(ack) => history.acks.push(ack),
                Event::End(end) => history.ends.push(end),
                Event::Asked(ask) => history.asks.push(ask),
                Event::Stopped => drop(history.stopped.insert(pid)),
                Event::Starting | Event::Up => {}
            }
        }
        self.aftermath.lives.push(Life { pid, spawned_at, killed: None });
    }

    fn judge(mut self, mut outcome: Outcome) -> Result<Outcome> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.aftermath.read(&self.settings))?;
        let Aftermath { history, surprises, .. } = self.aftermath;
        let violations = check::check(&history, &blueprints::all());
        outcome.wrongs = violations.iter().map(ToString::to_string).chain(surprises).collect();
        outcome.n_runs = history.runs.len() as u64;
        if !outcome.wrongs.is_empty() {
            outcome.kept = Some(self.directory.keep());
        }
        Ok(outcome)
    }
}
