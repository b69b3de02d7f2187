//! What a storm tells its workers, as the one argument of their command line.

use std::path::PathBuf;
use std::time::Duration;

use anio::{Engine, EngineBuilder};
use serde::{Deserialize, Serialize};

use crate::blueprint::{RESOURCE, RESOURCE_UNITS};

/// What a worker does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Settings {
    /// The store.
    pub url: String,
    /// Where the diary, the gate and the log lie.
    pub directory: PathBuf,
    /// The seed of the blueprints.
    pub seed: u64,
    /// Which start of a worker this is: what it submits follows from it.
    pub incarnation: u64,
    /// How many runs it keeps under way by submitting new ones; 0 for none.
    pub feed: usize,
    /// Whether it stops when no run is queued or running any more.
    pub until_idle: bool,
    /// How long its lease holds.
    pub lease: Duration,
    /// How many deaths in a row a task run survives.
    pub poison_after: u32,
    /// How many bodies run at a time on tokio, and as many on blocking threads.
    pub concurrency: usize,
    /// How many threads the pool for CPU work has.
    pub cpu_threads: usize,
    /// How long a graceful shutdown waits for bodies.
    pub grace: Duration,
    /// Whether a commit does not wait for the disk.
    #[serde(default)]
    pub relaxed: bool,
    /// What is wrong with the disk under the SQLite file.
    #[serde(default)]
    pub disk: Option<anio_faulty_disk::Plan>,
    /// Whether the workers of a storm get a bad disk each.
    #[serde(default)]
    pub weather: bool,
    /// How many runs it submits and brings to their end, before it stops; then it does nothing else.
    #[serde(default)]
    pub errand: Option<u64>,
}

impl Settings {
    /// A worker on a store that submits nothing by itself and never gives up on a task.
    pub fn new(url: impl Into<String>, directory: impl Into<PathBuf>) -> Self {
        Self {
            url: url.into(),
            directory: directory.into(),
            seed: 0,
            incarnation: 0,
            feed: 0,
            until_idle: false,
            lease: Duration::from_secs(15),
            poison_after: 1_000_000,
            concurrency: 16,
            cpu_threads: 2,
            grace: Duration::from_secs(10),
            relaxed: false,
            disk: None,
            weather: false,
            errand: None,
        }
    }

    /// An engine as it is set here, with no store yet and no workflows.
    pub fn engine(&self) -> EngineBuilder {
        Engine::builder()
            .lease(self.lease)
            .poison_after(self.poison_after)
            .resource(RESOURCE, RESOURCE_UNITS)
            .concurrency(self.concurrency)
            .cpu_threads(self.cpu_threads)
            .shutdown_grace(self.grace)
    }

    /// The file of the bodies' diary.
    pub fn diary(&self) -> PathBuf {
        self.directory.join("diary")
    }

    /// The file that the bodies of [`special`](crate::special) workflows wait for.
    pub fn gate(&self) -> PathBuf {
        self.directory.join("gate")
    }

    /// The file of what the workers say on standard error.
    pub fn log(&self) -> PathBuf {
        self.directory.join("log")
    }

    /// How many bodies may be under way when a worker dies.
    pub const fn n_bodies_max(&self) -> usize {
        self.concurrency + self.cpu_threads
    }
}
