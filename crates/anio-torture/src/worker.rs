//! The worker: the program that is killed. It speaks in lines on standard output.
//!
//! ```text
//!   STARTING                     the engine is about to start
//!   UP                           it has started
//!   ACK <run> <workflow> <n> …   `submit` has returned: from now on the run may not get lost; then its key
//!   END <run> <status> <outputs> `wait` has returned: from now on neither may change
//!   ASKED <run> <what> …         see `operator`
//!   STOPPED                      a graceful shutdown is over
//! ```
//!
//! and listens to `submit <workflow> <n>` and `shutdown` on standard input. When standard input ends, the
//! process that started it is gone, and it goes too.

use std::collections::HashMap;
use std::future::IntoFuture as _;
use std::io::{BufRead as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use anio::{Engine, EngineBuilder, Outcome, RunHandle};
use anio_core::{RunId, Workflow};
use anio_store::record::{Durability, RunQuery, RunStatus};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::Result;
use crate::blueprint::Blueprint;
use crate::body::{self, RunInput, now};
use crate::diary::Diary;
use crate::dice::{Dice, mix};
use crate::disk::errand;
use crate::history::digest;
use crate::intent::Intent;
use crate::joint::Joint;
use crate::operator;
use crate::settings::Settings;
use crate::special;
use crate::surroundings::Process;

/// How often a worker that runs until idle looks whether it is.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Runs that a worker waits for after a start; more wait untold.
const OPEN_RUNS_MAX: u32 = 10_000;

/// Does what the settings say until it is told to stop, or killed.
///
/// # Errors
/// Those of the engine.
pub async fn run(settings: Settings) -> Result<()> {
    if let Some(plan) = &settings.disk {
        anio_faulty_disk::install(plan.clone());
    }
    let commands = listen();
    let diary = Arc::new(Diary::open(&settings.diary())?);
    let mut workflows = vec![special::gated(&settings.gate(), &diary)?, special::deadly(&diary)?];
    let (mut storm, process) = (Vec::new(), Process::around(&settings, &diary));
    for blueprint in Blueprint::all(settings.seed) {
        storm.push(body::workflow(&blueprint, &process)?);
    }
    workflows.extend(storm.iter().cloned());
    let durability = if settings.relaxed { Durability::Relaxed } else { Durability::Full };
    let builder = settings.engine().store(&settings.url).durability(durability);
    say("STARTING");
    let engine = workflows.iter().cloned().fold(builder, EngineBuilder::workflow).start().await?;
    say("UP");
    if let Some(n_runs) = settings.errand {
        return errand::run(&engine, &storm, n_runs).await;
    }
    let worker = Worker {
        workflows: workflows.into_iter().map(|workflow| (workflow.name().to_string(), workflow)).collect(),
        joint: Joint::new(&settings.url),
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
    joint: Joint,
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
                    if worker.is_idle().await? { Some(Command::Shutdown) } else { continue }
                }
            };
            match command {
                Some(Command::Submit { workflow, n }) => {
                    let workflow = worker.workflows.get(&workflow).ok_or("an unknown workflow")?.clone();
                    let handle = worker.engine.submit(workflow.clone(), RunInput { n }).await?;
                    say(&format!("ACK {} {} {n}", handle.id(), workflow.name()));
                    worker.watch(handle, None, Intent::Keyed);
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
            let handle = self.engine.run_handle(run).await?;
            // Others may do things with it.
            self.watch(handle, Arc::clone(&places).try_acquire_owned().ok(), Intent::Keyed);
        }
        let mut dice = Dice::new(mix(self.settings.seed, self.settings.incarnation));
        for round in 0.. {
            let place = Arc::clone(&places).acquire_owned().await?;
            if let Err(error) = self.submit(round, &mut dice, place).await {
                // The lease was lost on the way, say; that run was not acknowledged, the next may be.
                tracing::warn!(%error, "not submitted");
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
        Ok(())
    }

    async fn submit(&self, round: u64, dice: &mut Dice, place: OwnedSemaphorePermit) -> Result<()> {
        let intent = Intent::draw(dice, now());
        if intent == Intent::Keyed {
            return self.submit_keyed(round, dice.percent(50), place).await;
        }
        let (workflow, n) = self.draw(dice);
        if let Intent::Joint(number) = intent {
            if let Some(run) =
                self.joint.submit(self.engine.store(), &workflow, RunInput { n }, number).await?
            {
                say(&format!("ACK {run} {} {n}", workflow.name()));
                self.watch(self.engine.run_handle(run).await?, Some(place), intent);
            }
            return Ok(());
        }
        let submit = self.engine.submit(workflow.clone(), RunInput { n }).tag(intent.tag());
        let submit = match intent {
            Intent::Late(at) | Intent::Generous(at) => submit.deadline(at),
            Intent::Due(at) => submit.at(at),
            // A run with a time to begin at is nobody's at first: another process may get it, and what is
            // asked of it here is to be carried out there.
            Intent::Cancel | Intent::Pause | Intent::GiveUp(_) if dice.percent(50) => submit.at(now()),
            _ => submit,
        };
        let handle = submit.await?;
        say(&format!("ACK {} {} {n}", handle.id(), workflow.name()));
        tokio::spawn(operator::operate(handle.clone(), intent.clone(), workflow, Dice::new(dice.roll())));
        self.watch(handle, Some(place), intent);
        Ok(())
    }

    /// Submits a run by a key that the worker before this one, or the one beside it, may have used: every two
    /// incarnations draw the same keys, each with the same workflow and input.
    async fn submit_keyed(&self, round: u64, twice: bool, place: OwnedSemaphorePermit) -> Result<()> {
        let number = self.settings.incarnation / 2 * 1000 + round / 8;
        let mut dice = Dice::new(mix(self.settings.seed ^ 1, number));
        let (workflow, n) = self.draw(&mut dice);
        let key = format!("key-{number}");
        let submit = || {
            let submit = self.engine.submit(workflow.clone(), RunInput { n });
            submit.tag(Intent::Keyed.tag()).idempotency_key(&key).into_future()
        };
        let tell = |id: RunId| say(&format!("ACK {id} {} {n} {key}", workflow.name()));
        let handle = if twice {
            let (one, other) = tokio::join!(submit(), submit());
            let (one, other) = (one?, other?);
            tell(other.id());
            one
        } else {
            submit().await?
        };
        tell(handle.id());
        self.watch(handle, Some(place), Intent::Keyed);
        Ok(())
    }

    fn draw(&self, dice: &mut Dice) -> (Workflow, u64) {
        (self.storm[dice.position(self.storm.len())].clone(), dice.roll() >> 12)
    }

    /// Tells of the run's end when it comes; of half of those that fail what failed is mended and retried.
    fn watch(&self, handle: RunHandle, place: Option<OwnedSemaphorePermit>, intent: Intent) {
        let (engine, settings) = (self.engine.clone(), self.settings.clone());
        tokio::spawn(async move {
            let run = handle.id();
            let ended = wait(&handle).await;
            if matches!(ended, Some((RunStatus::Succeeded | RunStatus::Failed, _)))
                && let Some((_, workflow)) = &ended
            {
                match operator::run_again(&engine, run, &intent, workflow).await {
                    Ok(Some(again)) => drop(wait(&again).await),
                    Ok(None) => {}
                    Err(error) => tracing::warn!(%run, %error, "not run again"),
                }
            }
            if matches!(ended, Some((RunStatus::Failed, _)))
                && intent.may_be_retried()
                && run.as_uuid().as_u128().is_multiple_of(2)
            {
                match operator::retry(&engine, &settings, run).await {
                    Ok(again) => drop(wait(&again).await),
                    Err(error) => tracing::warn!(%run, %error, "not retried"),
                }
            }
            drop(place);
        });
    }

    /// Whether nothing is left to be done; what is paused is resumed.
    async fn is_idle(&self) -> Result<bool> {
        // In this order: an open run may become a paused one.
        let is_open = !self.open_runs(1).await?.is_empty();
        Ok(!operator::resume_all(&self.engine).await? && !is_open)
    }

    async fn open_runs(&self, limit: u32) -> Result<Vec<RunId>> {
        let statuses = vec![RunStatus::Queued, RunStatus::Running];
        let runs = self.engine.runs(RunQuery { statuses, limit, ..RunQuery::default() }).await?;
        Ok(runs.into_iter().map(|run| run.id).collect())
    }
}

/// Waits for the end of a run and tells of it.
pub(crate) async fn wait(run: &RunHandle) -> Option<(RunStatus, Workflow)> {
    match run.wait().await {
        Ok(outcome) => {
            tell_end(run, &outcome);
            Some((outcome.status(), outcome.workflow().clone()))
        }
        Err(error) => {
            tracing::warn!(run = %run.id(), %error, "not waited for to the end");
            None
        }
    }
}

/// Tells of the end of a run.
pub(crate) fn tell_end(run: &RunHandle, outcome: &Outcome) {
    let tasks = outcome.workflow().plan().tasks().iter();
    let outputs = tasks.filter_map(|task| {
        let name = task.name.as_str();
        Some((name, outcome.output_of(name).ok()?))
    });
    say(&format!("END {} {} {:x}", run.id(), outcome.status(), digest(outputs)));
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
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody reads any more when the storm is gone; then standard input ends too.
    drop(out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush()));
}
