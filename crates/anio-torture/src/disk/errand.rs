//! What a worker with an errand does: a few runs from their submission to their end, then a shutdown. The first
//! error ends it, as it would end a plain program.

use anio::{Engine, RunHandle};
use anio_core::Workflow;
use anio_store::record::{RunQuery, RunStatus};

use crate::Result;
use crate::body::RunInput;
use crate::worker::{say, tell_end};

/// How many tasks the workflows have that are taken first.
const SMALL: std::ops::RangeInclusive<usize> = 4..=9;

/// Runs from before that are waited for.
const OPEN_RUNS_MAX: u32 = 1000;

/// Submits so many runs and waits for them, and for all that are under way; then stops.
pub(crate) async fn run(engine: &Engine, workflows: &[Workflow], n_runs: u64) -> Result<()> {
    let mut runs = open_runs(engine).await?;
    let is_small = |workflow: &&Workflow| SMALL.contains(&workflow.plan().tasks().len());
    let chosen = workflows.iter().filter(is_small).cycle();
    for (n, workflow) in (0..n_runs).zip(chosen) {
        let run = engine.submit(workflow.clone(), RunInput { n }).await?;
        say(&format!("ACK {} {} {n}", run.id(), workflow.name()));
        runs.push(run);
    }
    for run in &runs {
        tell_end(run, &run.wait().await?);
    }
    engine.shutdown().await?;
    tracing::info!("{OPERATIONS}{}", anio_faulty_disk::n_operations());
    say("STOPPED");
    Ok(())
}

/// Before the number of operations in the log.
pub(crate) const OPERATIONS: &str = "operations of the disk: ";

async fn open_runs(engine: &Engine) -> Result<Vec<RunHandle>> {
    let statuses = vec![RunStatus::Queued, RunStatus::Running];
    let query = RunQuery { statuses, limit: OPEN_RUNS_MAX, ..RunQuery::default() };
    let mut runs = Vec::new();
    for run in engine.runs(query).await? {
        runs.push(engine.run_handle(run.id).await?);
    }
    Ok(runs)
}
