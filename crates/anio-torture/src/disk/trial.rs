//! One trial: a life on a bad disk, a life on a good one, and what the checker says of the two.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anio_faulty_disk::{Holder, Plan};

use super::errand::OPERATIONS;
use crate::Result;
use crate::diary;
use crate::history::read_runs;
use crate::settings::Settings;
use crate::storm::{Aftermath, Life};
use crate::worker_process::{Event, WorkerProcess};

/// How long a life may take before it counts as stuck: longer than the store's patience.
const PATIENCE: Duration = Duration::from_secs(150);

/// What is tried.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The program that is a worker when called so.
    pub program: PathBuf,
    /// The seed of the blueprints.
    pub seed: u64,
    /// How many runs the first life submits.
    pub n_runs: u64,
    /// What is wrong with its disk.
    pub plan: Plan,
    /// Whether its commits do not wait for the disk.
    pub relaxed: bool,
    /// How long another program holds the write lock once its engine has started.
    pub held: Option<Duration>,
}

/// How a life on a bad disk ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All was done, and it stopped gracefully.
    Done,
    /// The program ended by itself, with this error.
    Failed(String),
    /// Its disk killed it.
    Killed,
}

/// What came of a trial.
#[derive(Debug)]
pub struct Verdict {
    /// How the first life ended.
    pub ended: Ended,
    /// The faults of its disk, as it told them.
    pub faults: Vec<String>,
    /// How many operations it asked of the disk, where it came to its end.
    pub n_operations: Option<u64>,
    /// How many runs there are, and how many of them were acknowledged.
    pub n_runs: (usize, usize),
    /// What is wrong.
    pub wrongs: Vec<String>,
}

impl Trial {
    /// A life of three runs on a disk like this.
    pub fn new(program: &Path, seed: u64, plan: Plan) -> Self {
        Self { program: program.to_owned(), seed, n_runs: 3, plan, relaxed: false, held: None }
    }

    /// Lives both lives, and judges. Keeps diary and log where something is wrong.
    ///
    /// # Errors
    /// Those of the system; what the engine does wrong is in the verdict.
    pub fn run(&self) -> Result<Verdict> {
        let directory = tempfile::Builder::new().prefix("anio-torture-").tempdir()?;
        let verdict = self.run_in(directory.path())?;
        if !verdict.wrongs.is_empty() && !self.relaxed {
            let kept = directory.keep();
            crate::command::tell(&format!("diary and log are kept in {}", kept.display()));
        }
        Ok(verdict)
    }

    fn run_in(&self, directory: &Path) -> Result<Verdict> {
        let url = format!("sqlite://{}", directory.join("trial.db").display());
        let good = Settings { seed: self.seed, errand: Some(0), ..Settings::new(&url, directory) };
        let bad = Settings {
            errand: Some(self.n_runs),
            disk: Some(self.plan.clone()),
            relaxed: self.relaxed,
            ..good.clone()
        };
        let mut aftermath = Aftermath::default();
        let ended = self.live(&bad, &mut aftermath)?;
        let log = fs::read_to_string(bad.log())?;
        if self.live(&good, &mut aftermath)? != Ended::Done {
            aftermath.surprises.push("what was left did not come to its end on a good disk".to_owned());
        }
        aftermath.read_log(&fs::read_to_string(bad.log())?);
        aftermath.history.n_bodies_max = bad.n_bodies_max();
        aftermath.history.diary = diary::read(&bad.diary())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        match runtime.block_on(read_runs(&url)) {
            Ok(runs) => aftermath.history.runs = runs,
            Err(error) => aftermath.surprises.push(format!("the database cannot be read: {error}")),
        }
        let after = |line: &str, mark: &str| line.split_once(mark).map(|(_, rest)| rest.to_owned());
        Ok(Verdict {
            n_operations: log.lines().find_map(|line| after(line, OPERATIONS)?.parse().ok()),
            faults: log.lines().filter_map(|line| after(line, "faulty disk: ")).collect(),
            ended,
            n_runs: (aftermath.history.runs.len(), aftermath.history.acks.len()),
            wrongs: aftermath.wrongs(self.seed),
        })
    }

    fn live(&self, settings: &Settings, aftermath: &mut Aftermath) -> Result<Ended> {
        let log_begins = fs::metadata(settings.log()).map_or(0, |log| log.len()) as usize;
        let mut worker = WorkerProcess::spawn(&self.program, settings)?;
        let (pid, spawned_at) = (worker.pid(), worker.spawned_at());
        if let Some(time) = self.held
            && settings.disk.is_some()
        {
            worker.wait_for(PATIENCE, |event| *event == Event::Up)?;
            let holder = Holder::take(&settings.directory.join("trial.db"))?;
            std::thread::sleep(time);
            drop(holder);
        }
        let status = worker.wait(PATIENCE);
        let (_, events) = worker.kill()?;
        aftermath.note(events);
        aftermath.lives.push(Life { pid, spawned_at, killed: None });
        aftermath.history.spawned.insert(pid, spawned_at);
        aftermath.history.n_deaths += 1;
        let log = fs::read_to_string(settings.log())?;
        let log = log.get(log_begins..).unwrap_or_default();
        let is_killed = || log.lines().any(|line| line.starts_with("faulty disk") && line.contains("killed"));
        let said = || log.lines().rev().find_map(|line| line.split_once("Error: ")).map(|(_, error)| error);
        Ok(match status {
            Ok(status) if status.success() => Ended::Done,
            Ok(status) => match (status.code(), said()) {
                (None, _) if is_killed() => Ended::Killed,
                (Some(1), Some(error)) => Ended::Failed(error.to_owned()),
                _ => {
                    aftermath.surprises.push(format!("a life ended with {status} and said nothing of it"));
                    Ended::Failed(status.to_string())
                }
            },
            Err(error) => {
                aftermath.surprises.push(format!("a life hangs: {error}"));
                Ended::Failed("it hung".to_owned())
            }
        })
    }
}
