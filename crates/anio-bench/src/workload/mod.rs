//! What is measured.

mod idle;
mod latency;
mod memory;
mod parallel;
mod payload;
mod resume;
mod shared_rate;
mod throughput;

use std::time::Duration;

use anio::{Engine, TaskCall, TaskError, TaskOptions, WorkflowBuilder};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::Result;
use crate::database::{Backend, Database};
use crate::report::{self, Sample};

pub(crate) use self::shared_rate::work;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Workload {
    Single,
    Chain,
    Fan,
    Diamonds,
    Payload,
    Idle,
    Resume,
    Memory,
    Latency,
    SharedRate,
    ParMap,
    ParSort,
    ParThen,
    ParThenUnordered,
    Pipeline,
    Queue,
}

/// What the project has promised itself.
pub(crate) struct Target {
    pub(crate) words: &'static str,
    pub(crate) is_met: fn(&Sample) -> bool,
}

const HALF_OF_RAW: Target = Target {
    words: "at least half of the raw rate",
    is_met: |sample| sample.ratio().is_some_and(|ratio| ratio >= 0.5),
};

const AS_FAST: Target = Target {
    words: "at most 1.05 times the other",
    is_met: |sample| sample.ratio().is_some_and(|ratio| ratio <= 1.05),
};

impl Workload {
    pub(crate) const ALL: [Self; 16] = [
        Self::Single,
        Self::Chain,
        Self::Fan,
        Self::Diamonds,
        Self::Payload,
        Self::Idle,
        Self::Resume,
        Self::Memory,
        Self::Latency,
        Self::SharedRate,
        Self::ParMap,
        Self::ParSort,
        Self::ParThen,
        Self::ParThenUnordered,
        Self::Pipeline,
        Self::Queue,
    ];

    /// Those that stand for the word `parallel`: helpers of anio-parallel, without an engine.
    pub(crate) const PARALLEL: [Self; 6] =
        [Self::ParMap, Self::ParSort, Self::ParThen, Self::ParThenUnordered, Self::Pipeline, Self::Queue];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Chain => "chain",
            Self::Fan => "fan",
            Self::Diamonds => "diamonds",
            Self::Payload => "payload",
            Self::Idle => "idle",
            Self::Resume => "resume",
            Self::Memory => "memory",
            Self::Latency => "latency",
            Self::SharedRate => "shared-rate",
            Self::ParMap => "par-map",
            Self::ParSort => "par-sort",
            Self::ParThen => "par-then",
            Self::ParThenUnordered => "par-then-unordered",
            Self::Pipeline => "pipeline",
            Self::Queue => "queue",
        }
    }

    /// Whether it is about an engine; the others are measured once, whatever the backends.
    pub(crate) fn has_backend(self) -> bool {
        !Self::PARALLEL.contains(&self)
    }

    /// The unit of the figure, and what the limit is, in the same unit.
    pub(crate) const fn units(self) -> (&'static str, &'static str) {
        match self {
            Self::Single | Self::Fan | Self::Diamonds => {
                ("rows/s", "diesel alone inserts the facts, 500 in a commit, in the faster of two forms")
            }
            Self::Chain => ("µs/hop", "diesel alone commits one row"),
            Self::Payload => ("bytes", "the outputs"),
            Self::Idle => ("statements/s", ""),
            Self::Resume => ("s", "diesel alone reads the facts"),
            Self::Memory => ("bytes/task run", ""),
            Self::Latency => ("ms", ""),
            Self::SharedRate => ("starts/s", "the rate that is set"),
            Self::ParMap => ("ns/item", "rayon's par_iter().map()"),
            Self::ParSort => ("ns/number", "the same merge sort in sequence"),
            Self::ParThen => ("ns/item", "spawned tasks in futures' buffered"),
            Self::ParThenUnordered => ("ns/item", "spawned tasks in futures' buffer_unordered"),
            Self::Pipeline => ("ns/item", "tasks and channels by hand"),
            Self::Queue => ("ns/item", "a channel and as many tasks"),
        }
    }

    pub(crate) const fn target(self) -> Option<Target> {
        match self {
            Self::Single | Self::Fan => Some(HALF_OF_RAW),
            Self::Diamonds | Self::Latency | Self::Queue => None,
            Self::Chain => Some(Target {
                words: "at most 2 raw commits",
                is_met: |sample| sample.ratio().is_some_and(|ratio| ratio <= 2.0),
            }),
            Self::Payload => Some(Target {
                words: "at most 1.3 times the outputs",
                is_met: |sample| sample.ratio().is_some_and(|ratio| ratio <= 1.3),
            }),
            Self::Idle => Some(Target {
                words: "at most 1 statement/s and 0.2 % of a core",
                is_met: |sample| sample.figure <= 1.0 && sample.detail("cpu_percent") <= 0.2,
            }),
            Self::Resume => Some(Target { words: "below 1 s", is_met: |sample| sample.figure < 1.0 }),
            Self::ParMap | Self::ParThen | Self::ParThenUnordered => Some(AS_FAST),
            Self::ParSort => Some(Target {
                words: "at least 1.6 times as fast as in sequence, on 2 cores and more",
                is_met: |sample| sample.ratio().is_some_and(|ratio| ratio <= 1.0 / 1.6),
            }),
            Self::Pipeline => Some(Target {
                words: "at most 1.1 times the other",
                is_met: |sample| sample.ratio().is_some_and(|ratio| ratio <= 1.1),
            }),
            Self::SharedRate => Some(Target {
                words: "within 5 % of the rate",
                is_met: |sample| sample.ratio().is_some_and(|ratio| (0.95..=1.05).contains(&ratio)),
            }),
            Self::Memory => Some(Target { words: "at most 1024", is_met: |sample| sample.figure <= 1024.0 }),
        }
    }

    fn sample(self, backend: Backend) -> Result<Sample> {
        match self {
            Self::Single => throughput::single(backend),
            Self::Chain => throughput::chain(backend),
            Self::Fan => throughput::fan(backend),
            Self::Diamonds => throughput::diamonds(backend),
            Self::Payload => payload::payload(backend),
            Self::Idle => idle::idle(backend),
            Self::Resume => resume::resume(backend),
            Self::Memory => memory::memory(backend),
            Self::Latency => latency::latency(backend),
            Self::SharedRate => shared_rate::shared_rate(backend),
            Self::ParMap => parallel::par_map(),
            Self::ParSort => parallel::par_sort(),
            Self::ParThen => parallel::par_then(),
            Self::ParThenUnordered => parallel::par_then_unordered(),
            Self::Pipeline => parallel::pipeline(),
            Self::Queue => parallel::queue(),
        }
    }
}

/// Measures one workload on one backend.
pub(crate) fn measure(workload: Workload, backend: Backend, repetitions: usize) -> Result<Value> {
    let n_samples = match workload {
        // 10 s and more are an average already; a process is as large as it ever was.
        Workload::Idle | Workload::Memory | Workload::SharedRate => 1,
        _ => repetitions,
    };
    let samples = (0..n_samples).map(|_| workload.sample(backend)).collect::<Result<Vec<_>>>()?;
    Ok(report::line(workload, backend, samples))
}

/// Runs `work` with an engine on a database, on a runtime of its own, as a program would.
fn with_engine<T>(database: &Database, work: impl AsyncFnOnce(&Engine) -> Result<T>) -> Result<T> {
    let runtime = Runtime::new()?;
    let value = runtime.block_on(async {
        // What is meant to wait for ever is not waited for.
        let grace = Duration::from_millis(100);
        let engine = Engine::builder().store(database.url()).shutdown_grace(grace).start().await?;
        let value = work(&engine).await?;
        engine.shutdown().await?;
        Ok(value)
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    value
}

/// Adds a task that returns a number at once.
fn quick(builder: WorkflowBuilder, name: &str) -> WorkflowBuilder {
    builder.task(name, TaskOptions::new(), |_: TaskCall| async { Ok::<_, TaskError>(0) })
}
