//! The worker: the program that is killed. It speaks in lines on standard output.
//!
//! ```text
//!   UP                           the engine has started
//!   ACK <run> <workflow> <n>     `submit` has returned: from now on the run may not get lost
//!   END <run> <status>           `wait` has returned: from now on the status may not change
//!   STOPPED                      a graceful shutdown is over
//! ```
//!
//! and listens to `submit <workflow> <n>` and `shutdown` on standard input. When standard input ends, the
//! process that started it is gone, and it goes too.

use std::collections::HashMap;
use std::io::{BufRead as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use anio::Engine;
use anio_core::{RunId, Workflow};
use anio_store::record::{RunQuery, RunStatus};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::Result;
use crate::blueprint::Blueprint;
use crate::body::{self, RunInput};
use crate::diary::Diary;
use crate::dice::{Dice, mix};
use crate::settings::Settings;
use crate::special;

/// How often a worker that runs until idle looks whether it is.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Runs that a worker waits for after a start; more wait untold.
const OPEN_RUNS_MAX: u32 = 10_000;

/// Does what the settings say until it is told to stop, or killed.
///
/// # Errors
/// Those of the engine.
pub async fn run(settings: Settings) -> Result<()> {
    let commands = listen();
    let diary = Arc::new(Diary::open(&settings.diary())?);
    let mut workflows = vec![special::gated(&settings.gate(), &diary)?, special::deadly(&diary)?];
    let mut storm = Vec::new();
    for blueprint in Blueprint::all(settings.seed) {
        storm.push(body::workflow(&blueprint, &diary)?);
    }
    workflows.extend(storm.iter().cloned());
    let mut builder = Engine::builder()
        .store(&settings.url)
        .lease(settings.lease)
        .poison_after(settings.poison_after)
        .concurrency(settings.concurrency)
        .cpu_threads(settings.cpu_threads)
        .shutdown_grace(settings.grace);
    for workflow in &workflows {
        builder = builder.workflow(workflow.clone());
    }
    let engine = builder.start().await?;
    say("UP");
    let worker = Worker {
        workflows: workflows.into_iter().map(|workflow| (workflow.name().to_string(), workflow)).collect(),
        storm,
        engine,
        settings,
    };
    worker.work(commands).await
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Command {
    Submit { workflow: String, n: u64 },
    Shutdown,
}

#[derive(Debug)]
struct Worker {
    engine: Engine,
    settings: Settings,
    workflows: HashMap<String, Workflow>,
    storm: Vec<Workflow>,
}

impl Worker {
    async fn work(self, mut commands: mpsc::Receiver<Command>) -> Result<()> {
        let worker = Arc::new(self);
        let feeder = tokio::spawn(Arc::clone(&worker).feed());
        let mut looks = tokio::time::interval(LOOK_EVERY);
        loop {
            let command = tokio::select! {
                command = commands.recv() => command,
                _ = looks.tick(), if worker.settings.until_idle => {
                    if worker.open_runs(1).await?.is_empty() { Some(Command::Shutdown) } else { continue }
                }
            };
            match command {
                Some(Command::Submit { workflow, n }) => {
                    let workflow = worker.workflows.get(&workflow).ok_or("an unknown workflow")?.clone();
                    worker.submit(workflow, n, None).await?;
                }
                Some(Command::Shutdown) => break,
                None => std::process::exit(3),
            }
        }
        feeder.abort();
        worker.engine.shutdown().await?;
        say("STOPPED");
        Ok(())
    }

    /// Keeps so many runs under way as the settings say, those from before included.
    async fn feed(self: Arc<Self>) -> Result<()> {
        let places = Arc::new(Semaphore::new(self.settings.feed));
        for run in self.open_runs(OPEN_RUNS_MAX).await? {
            self.watch(run, Arc::clone(&places).try_acquire_owned().ok()).await?;
        }
        let mut dice = Dice::new(mix(self.settings.seed, self.settings.incarnation));
        loop {
            let place = Arc::clone(&places).acquire_owned().await?;
            let workflow = self.storm[dice.position(self.storm.len())].clone();
            if let Err(error) = self.submit(workflow, dice.roll() >> 12, Some(place)).await {
                // The lease was lost on the way, say; that run was not acknowledged, the next may be.
                tracing::warn!(%error, "not submitted");
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    }

    async fn submit(&self, workflow: Workflow, n: u64, place: Option<OwnedSemaphorePermit>) -> Result<()> {
        let name = workflow.name().clone();
        let handle = self.engine.submit(workflow, RunInput { n }).await?;
        say(&format!("ACK {} {name} {n}", handle.id()));
        self.watch(handle.id(), place).await
    }

    /// Tells of the run's end when it comes.
    async fn watch(&self, run: RunId, place: Option<OwnedSemaphorePermit>) -> Result<()> {
        let handle = self.engine.run_handle(run).await?;
        tokio::spawn(async move {
            match handle.wait().await {
                Ok(outcome) => say(&format!("END {run} {}", outcome.status())),
                Err(error) => tracing::warn!(%run, %error, "not waited for to the end"),
            }
            drop(place);
        });
        Ok(())
    }

    async fn open_runs(&self, limit: u32) -> Result<Vec<RunId>> {
        let statuses = vec![RunStatus::Queued, RunStatus::Running];
        let runs = self.engine.runs(RunQuery { statuses, limit, ..RunQuery::default() }).await?;
        Ok(runs.into_iter().map(|run| run.id).collect())
    }
}

/// Reads commands on a thread of its own: standard input has no other way to be waited for.
fn listen() -> mpsc::Receiver<Command> {
    let (sender, receiver) = mpsc::channel(64);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            let words: Vec<&str> = line.split(' ').collect();
            let command = match words[..] {
                ["submit", workflow, n] => {
                    Command::Submit { workflow: workflow.to_owned(), n: n.parse().unwrap_or(0) }
                }
                ["shutdown"] => Command::Shutdown,
                _ => continue,
            };
            if sender.blocking_send(command).is_err() {
                return;
            }
        }
    });
    receiver
}

/// One line, in one write, so that a kill leaves whole lines.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody reads any more when the storm is gone; then standard input ends too.
    drop(out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush()));
}
