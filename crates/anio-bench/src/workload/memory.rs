//! What a task run takes that waits: in a mapped task, in a wide static graph, in many small runs.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anio::{Engine, TaskCall, TaskError, TaskOptions, Workflow};
use futures::future::try_join_all;

use super::{quick, with_engine};
use crate::database::{Backend, Database};
use crate::report::Sample;
use crate::{Result, process};

const MAP_WIDTH: usize = 200_000;
const STATIC_TASKS: usize = 100_000;
const SMALL_RUNS: usize = 4_000;
const SMALL_RUN_TASKS: usize = 25;

/// Counts the bodies that have begun, none of which ends.
type Begun = Arc<AtomicUsize>;

pub(super) fn memory(backend: Backend) -> Result<Sample> {
    let database = Database::create(backend)?;
    with_engine(&database, async |engine| {
        // What the first run of a process sets up does not count.
        engine.run(quick(Workflow::builder("first"), "work").build()?, ()).await?.ok()?;
        // Those first that leave the least memory behind for the next.
        let small = bytes_per_task_run(engine, SMALL_RUN_TASKS, SMALL_RUNS, gated).await?;
        let map = bytes_per_task_run(engine, MAP_WIDTH, 1, mapped).await?;
        let graph = bytes_per_task_run(engine, STATIC_TASKS, 1, gated).await?;
        Ok(Sample {
            figure: small.run.max(map.run).max(graph.run),
            limit: None,
            details: vec![
                ("in_small_runs", small.run),
                ("in_map", map.run),
                ("in_graph", graph.run),
                ("definition_of_task_in_graph", graph.definition),
            ],
        })
    })
}

/// Bytes per task.
struct Bytes {
    /// Of the workflow, which the program makes once for all its runs.
    definition: f64,
    /// Of the runs.
    run: f64,
}

/// Submits runs that never end, and looks how the process has grown.
async fn bytes_per_task_run(
    engine: &Engine,
    n_tasks: usize,
    n_runs: usize,
    workflow: fn(usize, Begun) -> Result<Workflow>,
) -> Result<Bytes> {
    let before = process::resident_bytes()?;
    let begun = Begun::default();
    let workflow = workflow(n_tasks, Arc::clone(&begun))?;
    let defined = process::resident_bytes()?;
    try_join_all((0..n_runs).map(async |ix| engine.submit(workflow.clone(), ix).await)).await?;
    // Until what can start has started.
    let mut n_begun = usize::MAX;
    while n_begun != begun.load(Ordering::Relaxed) {
        n_begun = begun.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let grown = |from: u64, to: u64| to.saturating_sub(from) as f64;
    Ok(Bytes {
        definition: grown(before, defined) / n_tasks as f64,
        run: grown(defined, process::resident_bytes()?) / (n_tasks * n_runs) as f64,
    })
}

fn mapped(n_tasks: usize, begun: Begun) -> Result<Workflow> {
    let workflow = Workflow::builder("mapped")
        .task("list", TaskOptions::new(), move |_: TaskCall| async move {
            Ok::<_, TaskError>((0..n_tasks).collect::<Vec<_>>())
        })
        .task("work", endless_options(), move |_: TaskCall| endless(&begun))
        .map_over::<usize>("list");
    Ok(workflow.build()?)
}

/// One task that never ends, and those that wait for it.
fn gated(n_tasks: usize, begun: Begun) -> Result<Workflow> {
    let mut builder = Workflow::builder(format!("gated-{n_tasks}"));
    builder = builder.task("gate", endless_options(), move |_: TaskCall| endless(&begun));
    for ix in 0..n_tasks {
        builder = quick(builder, &format!("task-{ix}")).after("gate");
    }
    Ok(builder.build()?)
}

/// So that they leave slots to others.
fn endless_options() -> TaskOptions {
    TaskOptions::new().concurrency(8)
}

fn endless(begun: &Begun) -> impl Future<Output = std::result::Result<u32, TaskError>> + use<> {
    begun.fetch_add(1, Ordering::Relaxed);
    pending()
}
