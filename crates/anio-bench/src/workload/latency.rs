//! From submit to outcome, at a constant rate: how long a run of one task takes while the engine has half,
//! most, or nearly all to do that it can.

use std::time::Duration;

use anio::parallel::load::Report;
use anio::parallel::{LoadTest, Rate};
use anio::{Engine, Workflow};

use super::{quick, with_engine};
use crate::Result;
use crate::database::{Backend, Database};
use crate::report::Sample;

/// Who find out what the engine bears.
const N_USERS: usize = 512;

/// What may be under way at a given rate: so much that only the engine is in the way.
const N_UNDER_WAY_MAX: usize = 4096;

const MEASURED: Duration = Duration::from_secs(4);
const WARM_UP: Duration = Duration::from_secs(1);

/// Names of the details, for each load in per cent.
const LOADS: [(u32, [&str; 4]); 3] = [
    (50, ["p50_ms_at_50", "p99_ms_at_50", "p99_9_ms_at_50", "behind_ms_at_50"]),
    (80, ["p50_ms_at_80", "p99_ms_at_80", "p99_9_ms_at_80", "behind_ms_at_80"]),
    (95, ["p50_ms_at_95", "p99_ms_at_95", "p99_9_ms_at_95", "behind_ms_at_95"]),
];

/// The load whose median is the figure.
const FIGURE: &str = "p50_ms_at_80";

pub(super) fn latency(backend: Backend) -> Result<Sample> {
    let database = Database::create(backend)?;
    with_engine(&database, async |engine| {
        let workflow = quick(Workflow::builder("latency"), "work").build()?;
        let capacity = capacity(engine, &workflow).await?;
        let mut details = vec![("capacity_runs_per_second", capacity)];
        for (per_cent, names) in LOADS {
            let report = at_rate(engine, &workflow, capacity * f64::from(per_cent) / 100.0).await?;
            let percentile = |per_cent| millis(report.latency.percentile(per_cent));
            let behind = report.lagged.map_or(0.0, |lag| millis(lag.behind));
            let figures = [percentile(50.0), percentile(99.0), percentile(99.9), behind];
            details.extend(names.into_iter().zip(figures));
        }
        let mut sample = Sample { figure: 0.0, limit: None, details };
        sample.figure = sample.detail(FIGURE);
        Ok(sample)
    })
}

/// Runs per second when many users wait for the outcome of one before they submit the next.
async fn capacity(engine: &Engine, workflow: &Workflow) -> Result<f64> {
    Ok(load(engine, workflow, None, N_USERS).await?.throughput)
}

async fn at_rate(engine: &Engine, workflow: &Workflow, per_second: f64) -> Result<Report> {
    // Per hundred seconds, so that slow engines do not suffer from whole numbers.
    #[expect(clippy::cast_sign_loss, reason = "a rate is positive")]
    let rate = Rate::new((per_second * 100.0) as u32, Duration::from_secs(100))?;
    load(engine, workflow, Some(rate), N_UNDER_WAY_MAX).await
}

async fn load(
    engine: &Engine,
    workflow: &Workflow,
    rate: Option<Rate>,
    concurrency: usize,
) -> Result<Report> {
    let (engine, workflow) = (engine.clone(), workflow.clone());
    let test = LoadTest::new(move || {
        let (engine, workflow) = (engine.clone(), workflow.clone());
        async move { engine.run(workflow, ()).await?.ok() }
    });
    let test = match rate {
        Some(rate) => test.rate(rate),
        None => test,
    };
    let report = test.concurrency(concurrency).warm_up(WARM_UP).duration(MEASURED).run().await?;
    match report.errors.keys().next() {
        Some(error) => Err(format!("{} runs failed, the first with: {error}", report.n_errors).into()),
        None => Ok(report),
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
