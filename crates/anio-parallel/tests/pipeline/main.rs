//! Pipelines in worker style.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "../common/mod.rs"]
mod common;

mod ends;
mod failures;
mod flow;
mod outside;
mod sources;

use std::time::Duration;

use anio_parallel::{Error, Pipeline};

const MS: Duration = Duration::from_millis(1);

/// The two kinds of stages.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Waits,
    Computes,
}

const KINDS: [Kind; 2] = [Kind::Waits, Kind::Computes];

/// Adds a stage of this kind. The function runs on the pool or, with a yield before it, on tokio.
fn add<F>(pipeline: Pipeline<u64>, kind: Kind, name: &str, n_workers: usize, f: F) -> Pipeline<u64>
where
    F: Fn(u64) -> Result<u64, Error> + Clone + Send + Sync + 'static,
{
    match kind {
        Kind::Computes => pipeline.try_cpu_stage(name, n_workers, f),
        Kind::Waits => pipeline.try_stage(name, n_workers, move |n| {
            let f = f.clone();
            async move {
                tokio::task::yield_now().await;
                f(n)
            }
        }),
    }
}

/// How many tasks the runtime has.
fn n_tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

/// Waits until there are no more tasks than there were.
async fn wait_for_tasks(baseline: usize, what: &str) {
    let started = std::time::Instant::now();
    while n_tasks() > baseline {
        assert!(started.elapsed() < Duration::from_secs(30), "{what}: tasks are left");
        tokio::task::yield_now().await;
    }
}
