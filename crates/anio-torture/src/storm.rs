//! Kills workers at random instants and starts them again, until enough have died; then lets the last finish.

mod command;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anio_core::Timestamp;

pub use self::command::Command;
use crate::Result;
use crate::dice::{Dice, mix};
use crate::history::{History, read_runs};
use crate::operator::Asked;
use crate::settings::Settings;
use crate::worker_process::{Event, WorkerProcess};
use crate::{check, diary};

/// How long a worker may take to do anything at all before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long the last workers may take to finish what is left.
const FINISH_PATIENCE: Duration = Duration::from_secs(60);

/// A storm to be.
#[derive(Clone, Debug)]
pub struct Storm {
    /// The program that is a worker when called so.
    pub program: PathBuf,
    /// What the workers do.
    pub settings: Settings,
    /// How many are alive at a time.
    pub n_workers: usize,
    /// How many die.
    pub n_kills: usize,
}

/// A worker's life, as far as the storm saw it.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    /// The process.
    pub pid: u32,
    /// When it was started.
    pub spawned_at: Timestamp,
    /// When it was killed; `None` for those that were told to stop, and did.
    pub killed_at: Option<Timestamp>,
}

/// What a storm leaves behind.
#[derive(Clone, Debug, Default)]
pub struct Aftermath {
    /// All that is known of what happened.
    pub history: History,
    /// All workers, in the order of their deaths.
    pub lives: Vec<Life>,
    /// What went wrong that no rule of the checker is about: a worker that ended by itself, an engine that
    /// panicked.
    pub surprises: Vec<String>,
}

impl Aftermath {
    /// Everything that is wrong, in words.
    pub fn wrongs(&self, seed: u64) -> Vec<String> {
        let violations = check::check(&self.history, &crate::blueprint::Blueprint::all(seed));
        violations.iter().map(ToString::to_string).chain(self.surprises.iter().cloned()).collect()
    }

    /// How many workers were killed.
    pub fn n_kills(&self) -> usize {
        self.lives.iter().filter(|life| life.killed_at.is_some()).count()
    }
}

impl Storm {
    /// What the workers of a storm do: keep 24 runs under way each, and give bodies little time to end in a
    /// shutdown. The lease is only what bounds the wait where no lock tells that a worker is gone.
    pub fn settings(url: impl Into<String>, directory: impl Into<PathBuf>) -> Settings {
        let (lease, grace) = (Duration::from_secs(5), Duration::from_millis(20));
        Settings { feed: 24, lease, grace, ..Settings::new(url, directory) }
    }

    /// Lets it rage, then reads what is left.
    ///
    /// # Errors
    /// Those of the system and of the store; what the engine does wrong is in the aftermath.
    pub async fn rage(&self) -> Result<Aftermath> {
        let mut raging = Raging {
            storm: self,
            dice: Dice::new(mix(self.settings.seed, 1 << 32)),
            n_spawned: 0,
            aftermath: Aftermath::default(),
        };
        raging.kill_and_start()?;
        raging.finish()?;
        let mut aftermath = raging.aftermath;
        aftermath.read_log(&std::fs::read_to_string(self.settings.log())?);
        let history = &mut aftermath.history;
        // A shutdown too drops bodies that do not end in time.
        history.n_deaths += aftermath.lives.len();
        history.spawned = aftermath.lives.iter().map(|life| (life.pid, life.spawned_at)).collect();
        history.n_bodies_max = self.settings.n_bodies_max();
        history.diary = diary::read(&self.settings.diary())?;
        history.runs = read_runs(&self.settings.url).await?;
        Ok(aftermath)
    }
}

impl Aftermath {
    fn read_log(&mut self, log: &str) {
        self.history.n_deaths += log.matches("the lease is lost").count();
        // Bodies panic as they are fated to; nothing else may.
        let panics = log.lines().filter(|line| line.contains("panicked at") && !line.contains("/body.rs:"));
        self.surprises.extend(panics.map(str::to_owned));
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Death {
    Killed,
    /// It was told to stop, and was done before the kill.
    ByItself,
}

/// A storm under way.
struct Raging<'a> {
    storm: &'a Storm,
    dice: Dice,
    n_spawned: u64,
    aftermath: Aftermath,
}

impl Raging<'_> {
    fn kill_and_start(&mut self) -> Result<()> {
        let mut workers = Vec::new();
        for _ in 0..self.storm.n_workers {
            workers.push(self.spawn()?);
        }
        let mut n_killed = 0;
        while n_killed < self.storm.n_kills {
            let victim = self.dice.position(workers.len());
            self.wait_for_the_instant(&mut workers[victim])?;
            let all = workers.len() > 1 && self.dice.percent(20);
            let victims = if all { std::mem::take(&mut workers) } else { vec![workers.swap_remove(victim)] };
            for victim in victims {
                n_killed += usize::from(self.kill(victim)? == Death::Killed);
            }
            if !workers.is_empty() && self.dice.percent(50) {
                // Time for the others to take over.
                std::thread::sleep(self.dice.duration(Duration::from_millis(300)));
            }
            while workers.len() < self.storm.n_workers {
                workers.push(self.spawn()?);
            }
        }
        workers.into_iter().try_for_each(|worker| self.kill(worker).map(drop))
    }

    /// Some die while they start, some after an event of theirs, at any instant.
    fn wait_for_the_instant(&mut self, worker: &mut WorkerProcess) -> Result<()> {
        let longest = match self.dice.below(12) {
            0 | 1 => 60,
            kind => {
                let is_up = worker.wait_for(PATIENCE, |event| *event == Event::Up);
                if is_up.is_err() {
                    let pid = worker.pid();
                    self.aftermath
                        .surprises
                        .push(format!("worker {pid} did not come up: {:?}", worker.ended()?));
                }
                match kind {
                    2..6 => 150,
                    // Long enough for most of what was under way to end.
                    6 | 7 => 700,
                    // In the middle of a graceful shutdown.
                    8 => {
                        worker.shut_down();
                        60
                    }
                    // Right after something was asked of a run, before it is done.
                    9 | 10 => {
                        let is_asked = |event: &Event| matches!(event, Event::Asked(ask) if matches!(ask.what, Asked::Cancel | Asked::GiveUp(_) | Asked::Pause));
                        worker.next_such(Duration::from_millis(400), is_asked);
                        2
                    }
                    // Right after an acknowledgement.
                    _ => {
                        worker.next(Duration::from_millis(100));
                        30
                    }
                }
            }
        };
        std::thread::sleep(self.dice.duration(Duration::from_millis(longest)));
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        let settings = Settings { feed: 0, until_idle: true, ..self.storm.settings.clone() };
        let mut last = Vec::new();
        for _ in 0..self.storm.n_workers {
            last.push(WorkerProcess::spawn(&self.storm.program, &settings)?);
        }
        let deadline = Instant::now() + FINISH_PATIENCE;
        for mut worker in last {
            let patience = deadline.saturating_duration_since(Instant::now());
            if let Err(error) = worker.wait_for(patience, |event| *event == Event::Stopped) {
                self.aftermath.surprises.push(format!("what was left did not come to its end: {error}"));
            } else if let Err(error) = worker.wait(PATIENCE) {
                self.aftermath
                    .surprises
                    .push(format!("a graceful shutdown left the process behind: {error}"));
            }
            let life = Life { pid: worker.pid(), spawned_at: worker.spawned_at(), killed_at: None };
            self.aftermath.lives.push(life);
            let (_, events) = worker.kill()?;
            self.note(events);
        }
        Ok(())
    }

    fn spawn(&mut self) -> Result<WorkerProcess> {
        self.n_spawned += 1;
        let settings = Settings { incarnation: self.n_spawned, ..self.storm.settings.clone() };
        WorkerProcess::spawn(&self.storm.program, &settings)
    }

    fn kill(&mut self, mut worker: WorkerProcess) -> Result<Death> {
        let (pid, spawned_at) = (worker.pid(), worker.spawned_at());
        let ended = worker.ended()?;
        if let Some(status) = ended
            && !(worker.was_told_to_stop() && status.success())
        {
            self.aftermath.surprises.push(format!("worker {pid} ended by itself: {status}"));
        }
        let (at, events) = worker.kill()?;
        self.note(events);
        let killed_at = ended.is_none().then_some(at);
        self.aftermath.lives.push(Life { pid, spawned_at, killed_at });
        Ok(if ended.is_none() { Death::Killed } else { Death::ByItself })
    }

    fn note(&mut self, events: Vec<Event>) {
        for event in events {
            match event {
                Event::Ack(ack) => self.aftermath.history.acks.push(ack),
                Event::End(run, status) => self.aftermath.history.ends.push((run, status)),
                Event::Asked(ask) => self.aftermath.history.asks.push(ask),
                Event::Up | Event::Stopped => {}
            }
        }
    }
}
