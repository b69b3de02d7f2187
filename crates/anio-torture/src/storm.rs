//! Kills workers at random instants and starts them again, until enough have died; then lets the last finish.

mod command;
mod kind;
mod rage;
mod weather;
mod zombies;

use std::path::PathBuf;
use std::time::Duration;

use anio_core::Timestamp;

pub use self::command::Command;
pub use self::kind::Kind;
use self::rage::Raging;
use self::weather::Calm;
pub use self::weather::Weather;
use crate::Result;
use crate::dice::{Dice, mix};
use crate::history::{History, read_runs};
use crate::settings::Settings;
use crate::worker_process::Event;
use crate::{check, diary, joint, log};

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
    /// When it was killed, and in what state; `None` for those that were told to stop, and did.
    pub killed: Option<(Timestamp, Kind)>,
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
        self.lives.iter().filter(|life| life.killed.is_some()).count()
    }
}

impl Storm {
    /// What the workers of a storm do: keep 24 runs under way each, and give bodies little time to end in a
    /// shutdown. The lease, of one or two seconds, bounds the wait where no lock tells that a worker is gone, and
    /// how long a worker is stopped.
    pub fn settings(seed: u64, url: impl Into<String>, directory: impl Into<PathBuf>) -> Settings {
        let (lease, grace) = (Duration::from_secs(1 + seed % 2), Duration::from_millis(20));
        Settings { seed, feed: 24, lease, grace, ..Settings::new(url, directory) }
    }

    /// How many workers the storm of a seed has: one to four.
    pub fn n_workers(seed: u64) -> usize {
        1 + Dice::new(mix(seed, 1 << 33)).position(4)
    }

    /// Lets it rage, then reads what is left.
    ///
    /// # Errors
    /// Those of the system and of the store; what the engine does wrong is in the aftermath.
    pub async fn rage(&self) -> Result<Aftermath> {
        self.rage_in(&Calm).await
    }

    /// As [`Storm::rage`], while a weather makes the way to the database rough.
    ///
    /// # Errors
    /// As [`Storm::rage`].
    pub async fn rage_in(&self, weather: &dyn Weather) -> Result<Aftermath> {
        let mut aftermath = Raging::new(self, weather).rage()?;
        aftermath.read(&self.settings).await?;
        Ok(aftermath)
    }
}

impl Aftermath {
    /// Adds what the log, the diary and the database say.
    ///
    /// # Errors
    /// Those of the files and of the store.
    pub(crate) async fn read(&mut self, settings: &Settings) -> Result<()> {
        let log = std::fs::read_to_string(settings.log())?;
        self.read_log(&log);
        // On a bad disk it may, and says so.
        if !settings.weather {
            self.surprises.extend(log::stops(&log).map(str::to_owned));
        }
        let history = &mut self.history;
        // A shutdown too drops bodies that do not end in time.
        history.n_deaths += self.lives.len();
        history.spawned = self.lives.iter().map(|life| (life.pid, life.spawned_at)).collect();
        history.n_bodies_max = settings.n_bodies_max();
        history.diary = diary::read(&settings.diary())?;
        history.rows = joint::rows(&settings.url)?;
        history.runs = read_runs(&settings.url).await?;
        Ok(())
    }

    /// Keeps what a worker told.
    pub(crate) fn note(&mut self, events: Vec<Event>) {
        let history = &mut self.history;
        for event in events {
            match event {
                Event::Ack(ack) => history.acks.push(ack),
                Event::End(ended) => history.ends.push(ended),
                Event::Asked(ask) => history.asks.push(ask),
                Event::Starting | Event::Up | Event::Stopped => {}
            }
        }
    }

    /// Looks for what workers said of themselves.
    pub(crate) fn read_log(&mut self, log: &str) {
        self.history.lost = log::lost_leases(log);
        self.history.n_deaths += self.history.lost.len();
        self.surprises.extend(log::panics(log).map(str::to_owned));
    }
}
