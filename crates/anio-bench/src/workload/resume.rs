//! A run of 100,000 tasks that a dead worker left half-finished: how long until it goes on.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anio::run::FactKind;
use anio::{Engine, Output, RunId, TaskCall, TaskError, TaskName, TaskOptions, Timestamp, Workflow};
use anio_store::record::{Batch, FactRecord, NewRun, NewWorker, RunOptions, WorkerId};
use anio_store::{Store, StoreOptions};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::Result;
use crate::database::{Backend, Database};
use crate::raw::Raw;
use crate::report::Sample;

const N_LANES: usize = 1_000;
const LANE_TASKS: usize = 100;
const FACTS_PER_COMMIT: usize = 5_000;

/// How long Postgres may take to see that the dead worker's session is gone.
const AFTER_DEATH: Duration = Duration::from_millis(500);

pub(super) fn resume(backend: Backend) -> Result<Sample> {
    let database = Database::create(backend)?;
    let (started, first) = oneshot::channel();
    let workflow = lanes(started)?;
    let run = RunId::from_uuid(Uuid::now_v7());
    leave_half_finished(&database, &workflow, run)?;
    thread::sleep(AFTER_DEATH);
    let (n_facts, limit) = Raw::connect(&database)?.load(*run.as_uuid())?;
    assert_eq!(n_facts, N_LANES * LANE_TASKS / 2, "half of the tasks have succeeded");

    let runtime = Runtime::new()?;
    let took = runtime.block_on(async {
        let begun = Instant::now();
        let engine = Engine::builder().store(database.url()).workflow(workflow).start().await?;
        let opened = begun.elapsed();
        let first = first.await?;
        drop(engine);
        Result::Ok((first - begun, opened))
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
    let (took, opened) = took?;
    Ok(Sample {
        figure: took.as_secs_f64(),
        limit: Some(limit.as_secs_f64()),
        details: vec![("engine_start_seconds", opened.as_secs_f64()), ("facts", n_facts as f64)],
    })
}

/// Lanes of tasks in a row. The first that starts tells when; none ends.
fn lanes(started: oneshot::Sender<Instant>) -> Result<Workflow> {
    let started = Arc::new(Mutex::new(Some(started)));
    let mut builder = Workflow::builder("lanes");
    for lane in 0..N_LANES {
        for step in 0..LANE_TASKS {
            let started = Arc::clone(&started);
            builder = builder.task(name(lane, step), TaskOptions::new(), move |_: TaskCall| {
                let now = Instant::now();
                if let Some(started) = started.lock().unwrap_or_else(PoisonError::into_inner).take() {
                    let _ = started.send(now);
                }
                std::future::pending::<std::result::Result<u32, TaskError>>()
            });
            if step > 0 {
                builder = builder.after(name(lane, step - 1));
            }
        }
    }
    Ok(builder.build()?)
}

fn name(lane: usize, step: usize) -> String {
    format!("lane-{lane}-step-{step}")
}

/// Writes what a worker would have written that died in the middle of the run.
fn leave_half_finished(database: &Database, workflow: &Workflow, run: RunId) -> Result<()> {
    let now =
        Timestamp::from_micros(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros())?);
    let worker = WorkerId(Uuid::now_v7());
    let plan = workflow.plan();
    let output = Output::new(0)?;
    let submission = Batch {
        worker: Some(worker),
        plans: vec![(plan.fingerprint(), plan.record().clone())],
        runs: vec![NewRun {
            id: run,
            workflow: workflow.name().clone(),
            plan: plan.fingerprint(),
            input: Output::new(())?,
            options: RunOptions::default(),
            submitted_at: now,
            claim: true,
        }],
        ..Batch::default()
    };
    let fact = |(step, lane)| FactRecord {
        run,
        task: TaskName::trusted(name(lane, step)),
        map_index: None,
        attempt: 1,
        at: now,
        kind: FactKind::Succeeded { started_at: now, output: output.clone(), writes: None },
        traceparent: None,
    };
    let facts: Vec<FactRecord> =
        (0..LANE_TASKS / 2).flat_map(|step| (0..N_LANES).map(move |lane| (step, lane))).map(fact).collect();

    let runtime = Runtime::new()?;
    runtime.block_on(async {
        let store = Store::open(&database.url(), StoreOptions::default()).await?;
        let lease = Duration::from_secs(15);
        store.register(NewWorker { id: worker, name: "bench".to_owned(), lease }).await?;
        store.commit(submission).await?;
        for facts in facts.chunks(FACTS_PER_COMMIT) {
            let batch = Batch { worker: Some(worker), facts: facts.to_vec(), ..Batch::default() };
            store.commit(batch).await?;
        }
        store.close().await;
        Result::Ok(())
    })
}
