//! Tasks that do nothing, in four shapes: how fast facts become durable, and how fast what waits for them
//! starts.

use std::time::Instant;

use anio::{Engine, TaskCall, TaskError, TaskOptions, Workflow};
use futures::future::try_join_all;

use super::{quick, with_engine};
use crate::Result;
use crate::database::{Backend, Database};
use crate::raw::{self, Row};
use crate::report::Sample;

const SINGLE_RUNS: usize = 10_000;
const CHAIN_TASKS: usize = 1_000;
const FAN_WIDTH: usize = 10_000;
const DIAMOND_RUNS: usize = 5_000;

pub(super) fn single(backend: Backend) -> Result<Sample> {
    let workflow = quick(Workflow::builder("single"), "work").build()?;
    rate(backend, &raw::rows_of(SINGLE_RUNS, &["work"]), async |engine| {
        run_at_once(engine, &workflow, SINGLE_RUNS).await
    })
}

pub(super) fn diamonds(backend: Backend) -> Result<Sample> {
    let mut builder = quick(Workflow::builder("diamonds"), "top");
    for side in ["left", "right"] {
        builder = quick(builder, side).after("top");
    }
    let workflow = quick(builder, "bottom").after("left").after("right").build()?;
    rate(backend, &raw::rows_of(DIAMOND_RUNS, &["top", "left", "right", "bottom"]), async |engine| {
        run_at_once(engine, &workflow, DIAMOND_RUNS).await
    })
}

pub(super) fn fan(backend: Backend) -> Result<Sample> {
    let workflow = Workflow::builder("fan")
        .task("list", TaskOptions::new(), |_: TaskCall| async {
            Ok::<_, TaskError>((0..FAN_WIDTH).collect::<Vec<_>>())
        })
        .task("work", TaskOptions::new(), |call: TaskCall| async move {
            Ok::<_, TaskError>(*call.element::<usize>()?)
        })
        .map_over::<usize>("list")
        .task("gather", TaskOptions::new(), |call: TaskCall| async move {
            Ok::<_, TaskError>(call.output::<Vec<usize>>("work")?.iter().sum::<usize>())
        })
        .after("work")
        .build()?;
    rate(backend, &raw::rows_of_map(FAN_WIDTH), async |engine| {
        let sum: usize = engine.run(workflow, ()).await?.ok()?.output_of("gather")?;
        assert_eq!(sum, FAN_WIDTH * (FAN_WIDTH - 1) / 2, "every element is gathered once");
        Ok(())
    })
}

pub(super) fn chain(backend: Backend) -> Result<Sample> {
    let names: Vec<String> = (0..CHAIN_TASKS).map(|ix| format!("step-{ix}")).collect();
    let mut builder = quick(Workflow::builder("chain"), &names[0]);
    for pair in names.windows(2) {
        let (before, this) = (pair[0].clone(), &pair[1]);
        builder = builder
            .task(this, TaskOptions::new(), move |call: TaskCall| {
                let before = before.clone();
                async move { Ok::<_, TaskError>(*call.output::<usize>(&before)? + 1) }
            })
            .after(&pair[0]);
    }
    let workflow = builder.build()?;

    let rows = raw::rows_of(1, &names.iter().map(String::as_str).collect::<Vec<_>>());
    let limit = raw::one_by_one_seconds(backend, &rows)? / rows.len() as f64;
    let database = Database::create(backend)?;
    let seconds = with_engine(&database, async |engine| {
        let begun = Instant::now();
        let outcome = engine.run(workflow, ()).await?.ok()?;
        let seconds = begun.elapsed().as_secs_f64();
        let last: usize = outcome.output_of(&names[CHAIN_TASKS - 1])?;
        assert_eq!(last, CHAIN_TASKS - 1, "every step has added one");
        Ok(seconds)
    })?;
    let details = vec![("seconds", seconds), ("rows", database.n_rows_written()? as f64)];
    Ok(Sample { figure: seconds / CHAIN_TASKS as f64 * 1e6, limit: Some(limit * 1e6), details })
}

/// Rows per second, of the facts by diesel alone and of the whole by an engine.
fn rate(backend: Backend, facts: &[Row], work: impl AsyncFnOnce(&Engine) -> Result<()>) -> Result<Sample> {
    let limit = raw::batch_rate(backend, facts)?;
    let database = Database::create(backend)?;
    let (seconds, n_statements) = with_engine(&database, async |engine| {
        let (begun, n_statements) = (Instant::now(), engine.store().n_statements());
        work(engine).await?;
        Ok((begun.elapsed().as_secs_f64(), engine.store().n_statements() - n_statements))
    })?;
    let n_rows = database.n_rows_written()? as f64;
    let details = vec![
        ("seconds", seconds),
        ("rows", n_rows),
        ("statements", n_statements as f64),
        ("tasks_per_second", facts.len() as f64 / seconds),
    ];
    Ok(Sample { figure: n_rows / seconds, limit: Some(limit), details })
}

async fn run_at_once(engine: &Engine, workflow: &Workflow, n_runs: usize) -> Result<()> {
    let runs = (0..n_runs).map(async |ix| engine.run(workflow.clone(), ix).await?.ok());
    try_join_all(runs).await?;
    Ok(())
}
