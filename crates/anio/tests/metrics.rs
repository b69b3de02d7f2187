//! What an engine counts adds up to what became of its runs.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod stores;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anio::metrics::{Attempts, Metrics, Now, Tasks};
use anio::prelude::*;
use anio::run::TaskRunStatus;
use anio::{Backoff, Condition, Error, Outcome, TaskCall, TaskSummary};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stores::{on_every_store, on_sqlite_file};
use tokio::sync::{Notify, Semaphore};

const N_WORKFLOWS: u64 = 12;
const N_RUNS: u64 = 600;

/// Numbers that follow from a seed (`SplitMix64`).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }
}

/// What becomes of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Fate {
    LeftAlone,
    Cancelled,
    Late,
    LosesATask,
    Paused,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Given {
    seed: u64,
    fate: Fate,
}

/// A body that does what the seed, the task and the attempt say.
async fn body(call: TaskCall, task: u64) -> Result<Value> {
    let Given { seed, fate } = *call.input::<Given>()?;
    let (index, attempt) = (call.handle().map_index().unwrap_or(99), call.handle().attempt());
    let mut dice = Dice(seed ^ (task << 8) ^ (u64::from(index) << 16) ^ (u64::from(attempt) << 32));
    match dice.below(100) {
        0..12 => Err(TaskError::message("try again")),
        12..16 => Err(TaskError::fatal("broken")),
        16..20 => Err(TaskError::Skipped { reason: "nothing to do".to_owned() }),
        20..22 => panic!("a planned panic"),
        22..28 if matches!(fate, Fate::Cancelled | Fate::Late) || task == 0 => {
            std::future::pending().await // Called off, or task 0 times out.
        }
        28..50 => {
            tokio::time::sleep(Duration::from_micros(dice.below(1500))).await;
            Ok(json!([1, 2, 3]))
        }
        n => Ok(json!((0..n % 4).collect::<Vec<_>>())),
    }
}

/// A workflow of random shape: each task waits for some of those before it, in some way.
fn workflow(seed: u64, n_bodies: &Arc<AtomicU64>) -> Workflow {
    let mut dice = Dice(seed);
    let mut builder = Workflow::builder(format!("random_{seed}"));
    for task in 0..2 + dice.below(6) {
        let retry = RetryPolicy::attempts(1 + dice.below(3) as u32)
            .with_backoff(Backoff::Fixed { delay: Duration::from_micros(dice.below(2000)) });
        let mut options = TaskOptions::new().retry(retry).priority(dice.below(3) as i32);
        if task == 0 {
            options = options.timeout(Duration::from_millis(3));
        } else if dice.below(4) == 0 {
            options = options.concurrency(2);
        }
        let n_bodies = Arc::clone(n_bodies);
        builder = builder.task(format!("t{task}"), options, move |call| {
            n_bodies.fetch_add(1, Ordering::SeqCst);
            body(call, task)
        });
        let mut before: Vec<u64> = (0..task).filter(|_| dice.below(3) == 0).collect();
        if task > 0 && dice.below(4) == 0 {
            let list = dice.below(task);
            before.retain(|other| *other != list);
            builder = builder.map_over::<u64>(format!("t{list}"));
        }
        for &other in &before {
            let name = format!("t{other}");
            builder = if dice.below(4) == 0 { builder.after_settled(name) } else { builder.after(name) };
        }
        if let (Some(other), 0) = (before.last(), dice.below(3)) {
            let name = format!("t{other}");
            builder = builder.when(match dice.below(3) {
                0 => Condition::failed(name),
                1 => Condition::succeeded(name),
                _ => Condition::done(name),
            });
        }
    }
    builder.build().unwrap()
}

/// What the environment says, or else this.
fn chosen(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |chosen| chosen.parse().unwrap())
}

fn count(tasks: &[TaskSummary], counted: &mut Tasks) {
    for task in tasks {
        match task.status {
            TaskRunStatus::Succeeded => counted.succeeded += 1,
            TaskRunStatus::Failed => counted.failed += 1,
            TaskRunStatus::Skipped => counted.skipped += 1,
            TaskRunStatus::Cancelled => counted.cancelled += 1,
            other => panic!("{} of an ended run is {other}", task.name),
        }
    }
}

/// What was asked for came too late, or was done.
fn done_or_late(result: anio::Result<()>) {
    match result {
        Ok(()) | Err(Error::InvalidState { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

/// Submits a run, does to it what is its fate, and waits for its end.
async fn live(engine: &Engine, workflow: Workflow, given: Given) -> Outcome {
    let mut dice = Dice(given.seed);
    let n_tasks = workflow.plan().tasks().len() as u64;
    let submit = engine.submit(workflow, given);
    let submit = match given.fate {
        Fate::Late => submit.within(Duration::from_micros(dice.below(4000))),
        _ => submit,
    };
    let run = submit.await.unwrap();
    for _ in 0..dice.below(20) {
        tokio::task::yield_now().await;
    }
    match given.fate {
        Fate::LeftAlone | Fate::Late => {}
        Fate::Cancelled => done_or_late(run.cancel().await),
        Fate::LosesATask => done_or_late(run.cancel_task(&format!("t{}", dice.below(n_tasks))).await),
        Fate::Paused => {
            done_or_late(run.pause().await);
            done_or_late(run.resume().await);
        }
    }
    run.wait().await.unwrap()
}

#[test]
fn at_rest_the_numbers_add_up_to_what_became_of_all_runs() {
    std::panic::set_hook(Box::new(|panic| {
        if panic.payload_as_str() != Some("a planned panic") {
            eprintln!("{panic}");
        }
    }));
    let seed = chosen("ANIO_SEED", u64::from(std::process::id()));
    let n_runs = chosen("ANIO_RUNS", N_RUNS);
    eprintln!("ANIO_SEED={seed} ANIO_RUNS={n_runs} does this again");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        // Fewer slots than there is to do, so that task runs wait.
        let engine = Engine::builder().store("memory:").concurrency(16).start().await.unwrap();
        let n_bodies = Arc::new(AtomicU64::new(0));
        let workflows: Vec<_> = (0..N_WORKFLOWS).map(|n| workflow(seed + n, &n_bodies)).collect();
        let mut dice = Dice(seed);
        let runs: Vec<_> = (0..n_runs)
            .map(|n| {
                let fate = match dice.below(10) {
                    0..2 => Fate::Cancelled,
                    2 => Fate::Late,
                    3 => Fate::LosesATask,
                    4 => Fate::Paused,
                    _ => Fate::LeftAlone,
                };
                let workflow = workflows[(n % N_WORKFLOWS) as usize].clone();
                let (engine, given) = (engine.clone(), Given { seed: dice.below(u64::MAX), fate });
                tokio::spawn(async move { live(&engine, workflow, given).await })
            })
            .collect();
        let (mut tasks, mut ended) = (Tasks::default(), [0; 3]);
        for run in runs {
            let outcome = run.await.unwrap();
            let stored = engine.run_handle(outcome.run_id()).await.unwrap().tasks().await.unwrap();
            let statuses = |all: &[TaskSummary]| all.iter().map(|task| task.status).collect::<Vec<_>>();
            assert_eq!(statuses(&stored), statuses(&outcome.tasks()));
            count(&stored, &mut tasks);
            match outcome.status() {
                RunStatus::Succeeded => ended[0] += 1,
                RunStatus::Failed => ended[1] += 1,
                RunStatus::Cancelled => ended[2] += 1,
                other => panic!("an ended run is {other}"),
            }
        }
        let metrics = engine.metrics();
        let Metrics { runs, attempts, now, .. } = metrics;
        assert_eq!(runs.submitted, n_runs);
        assert_eq!([runs.succeeded, runs.failed, runs.cancelled], ended);
        assert_eq!(runs.succeeded + runs.failed + runs.cancelled, n_runs);
        assert_eq!(runs.paused, runs.taken_up, "every run that was let go was resumed");
        assert_eq!((runs.parked, runs.given_back), (0, 0));
        assert_eq!(metrics.tasks, tasks);
        let Attempts { succeeded, failed, declined, interrupted, .. } = attempts;
        // What is called off before its lane comes to it has no body: it is interrupted, or, given up by itself,
        // has failed for that.
        let n_bodiless = attempts.begun - n_bodies.load(Ordering::SeqCst);
        let n_called_off = interrupted + tasks.cancelled;
        assert!(n_bodiless <= n_called_off, "{n_bodiless} of {n_called_off} called off have no body");
        assert_eq!(attempts.begun, succeeded + failed + declined + interrupted);
        assert_eq!(attempts.succeeded, tasks.succeeded);
        assert_eq!(now, Now::default());
        // The runs were such that every number has something to count.
        let all = [attempts.failed, attempts.retried, attempts.declined];
        assert!(all.iter().all(|n| *n > 0), "{metrics:?}");
        let all = [tasks.succeeded, tasks.failed, tasks.skipped, tasks.cancelled];
        assert!(all.iter().chain(&ended).all(|n| *n > 0), "{metrics:?}");
        engine.shutdown().await.unwrap();
        assert_eq!(engine.metrics(), metrics, "a stop counts nothing where nothing is held");
    });
}

#[test]
fn what_executes_and_what_waits_is_seen_while_it_does() {
    on_every_store(async |url| {
        let (begun, gate) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
        let told = (Arc::clone(&begun), Arc::clone(&gate));
        let wide = Workflow::builder("wide")
            .task("list", TaskOptions::new(), |_: TaskCall| async { Ok::<_, TaskError>([1, 2, 3, 4, 5]) })
            .task("each", TaskOptions::new(), move |call: TaskCall| {
                let (begun, gate) = told.clone();
                async move {
                    begun.notify_one();
                    gate.acquire().await.unwrap().forget();
                    assert!(
                        call.handle().attempt() > 1 || call.handle().map_index() != Some(0),
                        "the first fails"
                    );
                    Ok::<_, TaskError>(())
                }
            })
            .map_over::<u32>("list")
            .build()
            .unwrap();
        let engine = Engine::builder().store(url).concurrency(1).start().await.unwrap();
        let run = engine.submit(wide, ()).await.unwrap();
        begun.notified().await;
        let now = engine.metrics().now;
        assert_eq!((now.held, now.executing), (1, 1));
        // The loop says how many wait once it has given all slots away.
        while engine.metrics().now.ready != 4 {
            tokio::task::yield_now().await;
        }
        gate.add_permits(5);
        assert_eq!(run.wait().await.unwrap().status(), RunStatus::Failed);
        let Metrics { runs, tasks, attempts, now, .. } = engine.metrics();
        assert_eq!((runs.submitted, runs.failed, now), (1, 1, Now::default()));
        assert_eq!((tasks.succeeded, tasks.failed, attempts.failed, attempts.retried), (5, 1, 1, 0));
        engine.shutdown().await.unwrap();
    });
}

#[test]
fn a_run_that_is_paused_is_let_go_and_taken_up_again() {
    on_every_store(async |url| {
        let (begun, gate) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
        let engine = Engine::builder().store(url).start().await.unwrap();
        let run = engine.submit(stuck(&begun, &gate), ()).await.unwrap();
        begun.notified().await;
        run.pause().await.unwrap();
        assert_eq!(engine.metrics().now.held, 1, "its body goes on");
        gate.add_permits(1);
        while engine.metrics().runs.paused == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        run.resume().await.unwrap();
        assert!(run.wait().await.unwrap().is_success());
        let Metrics { runs, tasks, attempts, now, .. } = engine.metrics();
        assert_eq!((runs.submitted, runs.paused, runs.taken_up, runs.succeeded), (1, 1, 1, 1));
        assert_eq!((tasks.succeeded, tasks.failed, tasks.skipped), (3, 1, 1), "each end counts once");
        assert_eq!((attempts.begun, now), (4, Now::default()));
        engine.shutdown().await.unwrap();
    });
}

#[test]
fn what_is_given_up_before_its_turn_has_no_attempt() {
    on_every_store(async |url| {
        let (begun, gate) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
        let engine = Engine::builder().store(url).concurrency(1).start().await.unwrap();
        let first = engine.submit(stuck(&begun, &gate), ()).await.unwrap();
        begun.notified().await;
        let second = engine.submit(stuck(&begun, &gate), ()).await.unwrap();
        second.cancel_task("bad").await.unwrap();
        while second.tasks().await.unwrap()[0].status != TaskRunStatus::Cancelled {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        second.cancel().await.unwrap();
        assert_eq!(second.wait().await.unwrap().status(), RunStatus::Cancelled);
        let Metrics { runs, tasks, attempts, .. } = engine.metrics();
        assert_eq!((runs.submitted, runs.cancelled), (2, 1));
        // `bad` was given up, `unfit` skipped for it, `handler`, `stuck` and `last` cancelled with their run.
        assert_eq!((tasks.failed, tasks.skipped, tasks.cancelled), (1, 2, 4));
        assert_eq!((attempts.begun, attempts.failed, attempts.interrupted), (3, 1, 0));
        gate.add_permits(1);
        assert!(first.wait().await.unwrap().is_success());
        assert_eq!(engine.metrics().now, Now::default());
        engine.shutdown().await.unwrap();
    });
}

/// `bad` fails and `unfit` is skipped for it; then `stuck` waits until it is let go on.
fn stuck(begun: &Arc<Notify>, gate: &Arc<Semaphore>) -> Workflow {
    let told = (Arc::clone(begun), Arc::clone(gate));
    let task = |builder: anio::WorkflowBuilder, name, is_bad: bool| {
        builder.task(name, TaskOptions::new(), move |_: TaskCall| async move {
            if is_bad { Err(TaskError::fatal("bad")) } else { Ok(()) }
        })
    };
    let builder = task(Workflow::builder("stuck"), "bad", true);
    let builder = task(task(builder, "unfit", false).after("bad"), "handler", false)
        .after_settled("bad")
        .task("stuck", TaskOptions::new(), move |_: TaskCall| {
            let (begun, gate) = told.clone();
            async move {
                begun.notify_one();
                gate.acquire().await.unwrap().forget();
                Ok::<_, TaskError>(())
            }
        })
        .after("handler");
    task(builder, "last", false).after("stuck").build().unwrap()
}

#[test]
fn a_run_that_is_given_back_is_counted_by_both_workers_for_what_each_did() {
    on_sqlite_file(async |url| {
        let (begun, gate) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
        let open = || {
            let builder = Engine::builder().store(url.clone()).workflow(stuck(&begun, &gate));
            builder.shutdown_grace(Duration::ZERO).start()
        };
        let engine = open().await.unwrap();
        let run = engine.submit(stuck(&begun, &gate), ()).await.unwrap().id();
        begun.notified().await;
        engine.shutdown().await.unwrap();
        let Metrics { runs, tasks, attempts, now, .. } = engine.metrics();
        assert_eq!((runs.submitted, runs.taken_up, runs.given_back), (1, 0, 1));
        assert_eq!((tasks.succeeded, tasks.failed, tasks.skipped, tasks.cancelled), (1, 1, 1, 0));
        assert_eq!((attempts.begun, attempts.interrupted, now), (3, 1, Now::default()));

        let engine = open().await.unwrap();
        begun.notified().await;
        gate.add_permits(1);
        let outcome = engine.run_handle(run).await.unwrap().wait().await.unwrap();
        assert!(outcome.is_success());
        let Metrics { runs, tasks, attempts, now, .. } = engine.metrics();
        assert_eq!((runs.submitted, runs.taken_up, runs.succeeded), (0, 1, 1));
        assert_eq!((tasks.succeeded, tasks.failed, tasks.skipped, tasks.cancelled), (2, 0, 0, 0));
        assert_eq!((attempts.begun, attempts.succeeded, now), (2, 2, Now::default()));
        engine.shutdown().await.unwrap();
    });
}

#[test]
fn a_run_that_cannot_go_on_is_counted_as_parked() {
    on_sqlite_file(async |url| {
        let builder = Engine::builder().store(url.clone()).shutdown_grace(Duration::ZERO);
        let engine = builder.start().await.unwrap();
        let begun = Arc::new(Notify::new());
        engine.submit(stuck(&begun, &Arc::new(Semaphore::new(0))), ()).await.unwrap();
        begun.notified().await;
        // What came before `stuck` is durable by now, and gone from the program that comes next.
        engine.shutdown().await.unwrap();
        let other = Workflow::builder("stuck")
            .task("other", TaskOptions::new(), |_: TaskCall| async { Ok::<_, TaskError>(()) })
            .build()
            .unwrap();
        let engine = Engine::builder().store(url.clone()).workflow(other).start().await.unwrap();
        let id = engine.runs(RunQuery::default()).await.unwrap()[0].id;
        let run = engine.run_handle(id).await.unwrap();
        while engine.metrics().runs.parked == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(matches!(run.wait().await, Err(Error::Parked { .. })));
        let Metrics { runs, now, .. } = engine.metrics();
        assert_eq!((runs.taken_up, runs.parked, now), (0, 1, Now::default()));
        engine.shutdown().await.unwrap();
    });
}
