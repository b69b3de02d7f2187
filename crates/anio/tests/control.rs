//! What people ask of runs, on every store: to stop, to wait, to go on, to be done again.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod stores;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anio::error::FailureKind;
use anio::prelude::*;
use anio::run::{FactKind, TaskRunStatus};
use anio::{Error, FactRecord, RunEvent, StoreError, TaskCall, TaskSummary};
use futures::StreamExt;
use stores::{on_every_store, on_sqlite_file};
use tokio::sync::{Notify, Semaphore};

const HOUR: Duration = Duration::from_secs(3600);

/// Counts how often bodies began, and holds those back that ask.
#[derive(Clone, Default)]
struct Bodies {
    n: Arc<AtomicU32>,
    begun: Arc<Notify>,
    mended: Arc<AtomicU32>,
}

impl Bodies {
    fn begin(&self) -> u32 {
        self.begun.notify_one();
        self.n.fetch_add(1, Ordering::SeqCst)
    }

    fn n(&self) -> u32 {
        self.n.load(Ordering::SeqCst)
    }

    fn mend(&self) {
        self.mended.store(1, Ordering::SeqCst);
    }

    fn is_mended(&self) -> bool {
        self.mended.load(Ordering::SeqCst) > 0
    }
}

/// `stuck` never returns, `after` waits for it.
fn stuck(name: &str, bodies: &Bodies) -> Workflow {
    let bodies = bodies.clone();
    Workflow::builder(name)
        .task("stuck", TaskOptions::new(), move |call: TaskCall| {
            bodies.begin();
            async move {
                call.handle().cancelled().await;
                std::future::pending::<()>().await;
                Ok::<_, TaskError>(())
            }
        })
        .task("after", TaskOptions::new(), |_: TaskCall| async { Ok::<_, TaskError>(()) })
        .after("stuck")
        .build()
        .unwrap()
}

async fn open(url: &str, workflows: &[&Workflow]) -> Engine {
    let builder = workflows.iter().fold(Engine::builder().store(url), |b, w| b.workflow((*w).clone()));
    builder.shutdown_grace(Duration::from_millis(100)).start().await.unwrap()
}

async fn task(run: &RunHandle, name: &str) -> TaskSummary {
    run.tasks().await.unwrap().into_iter().find(|task| task.name == name).unwrap()
}

/// Waits until the run is in this state.
async fn until(run: &RunHandle, status: RunStatus) {
    while run.status().await.unwrap() != status {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn facts(engine: &Engine, run: &RunHandle) -> Vec<FactRecord> {
    engine.store().facts(run.id()).await.unwrap()
}

fn is_persistent(url: &str) -> bool {
    url.contains("test.db") || url.starts_with("postgres")
}

#[test]
fn a_cancelled_run_stops_its_bodies_starts_nothing_and_stays_cancelled() {
    on_every_store(async |url| {
        let bodies = Bodies::default();
        let flow = stuck("stuck", &bodies);
        let engine = open(&url, &[&flow]).await;
        let run = engine.submit(flow.clone(), ()).await.unwrap();
        bodies.begun.notified().await;
        run.cancel().await.unwrap();
        let outcome = run.wait().await.unwrap();
        assert_eq!(outcome.status(), RunStatus::Cancelled);
        assert!(outcome.error().is_none());
        let error = outcome.clone().ok().unwrap_err();
        assert!(matches!(error, Error::RunFailed { .. }), "{error}");
        let states: Vec<_> = outcome.tasks().into_iter().map(|task| task.status).collect();
        assert_eq!(states, [TaskRunStatus::Cancelled, TaskRunStatus::Cancelled]);
        run.cancel().await.unwrap();
        for refused in [run.pause().await, run.resume().await, run.cancel_task("after").await] {
            assert!(matches!(refused, Err(Error::InvalidState { status: RunStatus::Cancelled, .. })));
        }
        let refused = engine.retry_failed(run.id()).await;
        assert!(matches!(refused, Err(Error::InvalidState { status: RunStatus::Cancelled, .. })));
        engine.shutdown().await.unwrap();
        if is_persistent(&url) {
            let engine = open(&url, &[&flow]).await;
            let run = engine.run_handle(run.id()).await.unwrap();
            assert_eq!(run.wait().await.unwrap().status(), RunStatus::Cancelled);
            assert_eq!(task(&run, "stuck").await.status, TaskRunStatus::Cancelled);
            engine.shutdown().await.unwrap();
        }
        assert_eq!(bodies.n(), 1);
    });
}

#[test]
fn a_run_that_waits_for_a_retry_is_cancelled_at_once() {
    on_every_store(async |url| {
        let bodies = Bodies::default();
        let theirs = bodies.clone();
        let retry = RetryPolicy::attempts(3).with_backoff(Backoff::fixed(HOUR));
        let flow = Workflow::builder("retries")
            .task("fails", TaskOptions::new().retry(retry), move |_: TaskCall| {
                theirs.begin();
                async { Err::<(), _>(TaskError::message("no")) }
            })
            .build()
            .unwrap();
        let engine = open(&url, &[]).await;
        let run = engine.submit(flow, ()).await.unwrap();
        while task(&run, "fails").await.status != TaskRunStatus::Backoff {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(task(&run, "fails").await.retry_at.is_some());
        run.cancel().await.unwrap();
        assert_eq!(run.wait().await.unwrap().status(), RunStatus::Cancelled);
        assert_eq!(bodies.n(), 1);
        engine.shutdown().await.unwrap();
    });
}

#[test]
fn a_cancel_is_carried_out_by_the_worker_that_has_the_run() {
    let test = async |url: String| {
        if !is_persistent(&url) {
            return;
        }
        let bodies = Bodies::default();
        let flow = stuck("far away", &bodies);
        let (engine, other) = (open(&url, &[&flow]).await, open(&url, &[&flow]).await);
        let run = engine.submit(flow, ()).await.unwrap();
        bodies.begun.notified().await;
        let far = other.run_handle(run.id()).await.unwrap();
        far.cancel().await.unwrap();
        let (near, far) = tokio::join!(run.wait(), far.wait());
        assert_eq!(near.unwrap().status(), RunStatus::Cancelled);
        assert_eq!(far.unwrap().status(), RunStatus::Cancelled);
        engine.shutdown().await.unwrap();
        other.shutdown().await.unwrap();
    };
    on_every_store(test);
}

#[test]
fn a_cancel_that_its_worker_did_not_live_to_see_is_carried_out_by_the_next() {
    on_sqlite_file(async |url| {
        let bodies = Bodies::default();
        let flow = stuck("died", &bodies);
        let engine = open(&url, &[&flow]).await;
        let run = engine.submit(flow.clone(), ()).await.unwrap();
        bodies.begun.notified().await;
        // The request goes into the store alone, and the worker goes away without having been told.
        let store = engine.store().clone();
        store.request(run.id(), anio::Request::Cancel).await.unwrap();
        engine.shutdown().await.unwrap();
        let engine = open(&url, &[&flow]).await;
        let run = engine.run_handle(run.id()).await.unwrap();
        assert_eq!(run.wait().await.unwrap().status(), RunStatus::Cancelled);
        assert_eq!(bodies.n(), 1, "it is not executed again to be cancelled");
        engine.shutdown().await.unwrap();
    });
}

/// `first` waits until it is let go; `second` and `third` follow.
fn chain(name: &str, gate: &Arc<Semaphore>, bodies: &Bodies) -> Workflow {
    let (gate, first, second) = (Arc::clone(gate), bodies.clone(), bodies.clone());
    Workflow::builder(name)
        .task("first", TaskOptions::new(), move |_: TaskCall| {
            first.begin();
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await.unwrap().forget();
                Ok::<_, TaskError>(())
            }
        })
        .task("second", TaskOptions::new(), move |_: TaskCall| {
            second.n.fetch_add(1, Ordering::SeqCst); // Only `first` rings.
            async { Ok::<_, TaskError>(()) }
        })
        .after("first")
        .build()
        .unwrap()
}

#[test]
fn a_paused_run_records_what_runs_starts_nothing_and_survives_restarts() {
    on_every_store(async |url| {
        let (gate, bodies) = (Arc::new(Semaphore::new(0)), Bodies::default());
        let flow = chain("paused", &gate, &bodies);
        let engine = open(&url, &[&flow]).await;
        let run = engine.submit(flow.clone(), ()).await.unwrap();
        bodies.begun.notified().await;
        assert!(matches!(run.resume().await, Err(Error::InvalidState { status: RunStatus::Running, .. })));
        run.pause().await.unwrap();
        run.pause().await.unwrap();
        gate.add_permits(1);
        until(&run, RunStatus::Paused).await;
        let done = task(&run, "first").await;
        assert_eq!((done.status, done.attempts), (TaskRunStatus::Succeeded, 1));
        let second = task(&run, "second").await;
        assert_eq!((second.status, second.is_ready), (TaskRunStatus::Waiting, true));
        let engine = if is_persistent(&url) {
            engine.shutdown().await.unwrap();
            open(&url, &[&flow]).await
        } else {
            engine
        };
        let run = engine.run_handle(run.id()).await.unwrap();
        // Another run goes through meanwhile; this one stays where it is.
        gate.add_permits(1);
        engine.run(flow.clone(), ()).await.unwrap().ok().unwrap();
        assert_eq!(run.status().await.unwrap(), RunStatus::Paused);
        assert_eq!(bodies.n(), 3);
        run.resume().await.unwrap();
        assert_eq!(run.wait().await.unwrap().status(), RunStatus::Succeeded);
        assert_eq!(bodies.n(), 4);
        for refused in [run.pause().await, run.resume().await] {
            assert!(matches!(refused, Err(Error::InvalidState { status: RunStatus::Succeeded, .. })));
        }
        engine.shutdown().await.unwrap();
    });
}

#[test]
fn a_run_that_is_resumed_before_it_is_quiet_goes_on_and_a_paused_one_can_be_cancelled() {
    on_every_store(async |url| {
        let (gate, bodies) = (Arc::new(Semaphore::new(0)), Bodies::default());
        let flow = chain("resumed", &gate, &bodies);
        let engine = open(&url, &[&flow]).await;
        let run = engine.submit(flow.clone(), ()).await.unwrap();
        bodies.begun.notified().await;
        run.pause().await.unwrap();
        run.resume().await.unwrap();
        gate.add_permits(1);
        assert_eq!(run.wait().await.unwrap().status(), RunStatus::Succeeded);

        let run = engine.submit(flow.clone(), ()).await.unwrap();
        bodies.begun.notified().await;
        run.pause().await.unwrap();
        gate.add_permits(1);
        until(&run, RunStatus::Paused).await;
        run.cancel().await.unwrap();
        assert_eq!(run.wait().await.unwrap().status(), RunStatus::Cancelled);
        engine.shutdown().await.unwrap();
    });
}

#[test]
fn a_failed_run_goes_on_from_where_it_failed() {
    on_every_store(async |url| {
        let (load, send, bodies) = (Bodies::default(), Bodies::default(), Bodies::default());
        let (counts_load, counts_send, mends) = (load.clone(), send.clone(), bodies.clone());
        let flow = Workflow::builder("mail")
            .task("load", TaskOptions::new(), move |_: TaskCall| {
                counts_load.begin();
                async { Ok::<_, TaskError>(vec![1_u32, 2, 3]) }
            })
            .task("send", TaskOptions::new(), move |call: TaskCall| {
                counts_send.begin();
                let mends = mends.clone();
                async move {
                    let n = *call.element::<u32>()?;
                    if n == 2 && !mends.is_mended() {
                        return Err(TaskError::message("mailbox full"));
                    }
                    Ok(n * 10)
                }
            })
            .map_over::<u32>("load")
            .task("report", TaskOptions::new(), |call: TaskCall| async move {
                Ok::<_, TaskError>(call.output::<Vec<u32>>("send")?.iter().sum::<u32>())
            })
            .after("send")
            .build()
            .unwrap();
        let engine = open(&url, &[&flow]).await;
        let outcome = engine.run(flow.clone(), ()).await.unwrap();
        assert_eq!(outcome.status(), RunStatus::Failed);
        let id = outcome.run_id();
        bodies.mend();
        let run = engine.retry_failed(id).await.unwrap();
        assert_eq!(run.id(), id);
        let outcome = run.wait().await.unwrap();
        assert_eq!(outcome.output_of::<u32>("report").unwrap(), 60);
        assert_eq!((load.n(), send.n()), (1, 4), "only the failed element is sent again");
        let attempts: Vec<_> = outcome.tasks().iter().map(|task| task.attempts).collect();
        assert_eq!(attempts, [1, 1, 2, 1, 1], "attempts are counted on");
        let failures = facts(&engine, &run).await;
        let failures = failures.iter().filter(|fact| matches!(fact.kind, FactKind::Failed { .. })).count();
        assert_eq!(failures, 1, "the history keeps what failed");
        let refused = engine.retry_failed(id).await;
        assert!(matches!(refused, Err(Error::InvalidState { status: RunStatus::Succeeded, .. })));

        // All of it again, from the mapped task on.
        let outcome = engine.rerun_from(id, "send").await.unwrap().wait().await.unwrap();
        assert!(outcome.is_success());
        assert_eq!((load.n(), send.n()), (1, 7));
        let attempts: Vec<_> = outcome.tasks().iter().map(|task| task.attempts).collect();
        assert_eq!(attempts, [1, 2, 3, 2, 2]);
        let outcome = engine.clear_element(id, "send", 0).await.unwrap().wait().await.unwrap();
        assert_eq!((outcome.status(), load.n(), send.n()), (RunStatus::Succeeded, 1, 8));
        let unknown = engine.rerun_from(id, "sent").await.unwrap_err().to_string();
        assert!(unknown.contains(r#"there is no task "sent"; did you mean "send"?"#), "{unknown}");
        let unknown = engine.clear_element(id, "send", 7).await.unwrap_err().to_string();
        assert!(unknown.contains(r#"task "send" has no element 7"#), "{unknown}");
        engine.shutdown().await.unwrap();
        if is_persistent(&url) {
            let engine = open(&url, &[&flow]).await;
            let outcome = engine.run_handle(id).await.unwrap().wait().await.unwrap();
            assert_eq!(outcome.output_of::<u32>("report").unwrap(), 60);
            engine.shutdown().await.unwrap();
        }
    });
}

#[test]
fn a_task_that_is_cancelled_fails_for_those_that_need_it_and_no_other() {
    on_every_store(async |url| {
        let bodies = Bodies::default();
        let theirs = bodies.clone();
        let flow = Workflow::builder("one task")
            .task("stuck", TaskOptions::new(), move |call: TaskCall| {
                theirs.begin();
                async move {
                    call.handle().cancelled().await;
                    std::future::pending::<()>().await;
                    Ok::<_, TaskError>(())
                }
            })
            .task("needs it", TaskOptions::new(), |_: TaskCall| async { Ok::<_, TaskError>(()) })
            .after("stuck")
            .task("is told", TaskOptions::new(), |_: TaskCall| async { Ok::<_, TaskError>(()) })
            .after_settled("stuck")
            .build()
            .unwrap();
        let engine = open(&url, &[&flow]).await;
        let run = engine.submit(flow, ()).await.unwrap();
        bodies.begun.notified().await;
        let unknown = run.cancel_task("stack").await.unwrap_err().to_string();
        assert!(unknown.contains(r#"has no task "stack"; did you mean "stuck"?"#), "{unknown}");
        run.cancel_task("stuck").await.unwrap();
        let outcome = run.wait().await.unwrap();
        assert_eq!(outcome.status(), RunStatus::Succeeded, "its failure was handled");
        let handled = outcome.handled_failures();
        assert_eq!(handled[0].failure.kind, FailureKind::Cancelled);
        let states: Vec<_> = outcome.tasks().into_iter().map(|task| task.status).collect();
        assert_eq!(states, [TaskRunStatus::Cancelled, TaskRunStatus::Skipped, TaskRunStatus::Succeeded]);
        let reason = outcome.tasks()[1].skip_reason.clone().unwrap();
        assert_eq!(reason, r#"task "stuck" was cancelled"#);
        engine.shutdown().await.unwrap();
    });
}

fn trivial(name: &str, bodies: &Bodies) -> Workflow {
    let bodies = bodies.clone();
    Workflow::builder(name)
        .task("only", TaskOptions::new(), move |_: TaskCall| {
            bodies.begin();
            async { Ok::<_, TaskError>(()) }
        })
        .build()
        .unwrap()
}

#[test]
fn one_key_is_one_run_and_another_input_is_refused() {
    on_every_store(async |url| {
        let bodies = Bodies::default();
        let (flow, other) = (trivial("keyed", &bodies), trivial("other", &bodies));
        let engine = open(&url, &[]).await;
        let submit =
            |input: u32| engine.submit(flow.clone(), json!({ "n": input })).idempotency_key("order-1");
        let (a, b) = tokio::join!(submit(1).into_future(), submit(1).into_future());
        let (a, b) = (a.unwrap(), b.unwrap());
        assert_eq!(a.id(), b.id());
        a.wait().await.unwrap().ok().unwrap();
        assert_eq!(submit(1).await.unwrap().id(), a.id(), "also when it has ended");
        let error = submit(2).await.unwrap_err();
        let is_conflict =
            matches!(&error, Error::Store(StoreError::IdempotencyConflict { run, .. }) if *run == a.id());
        assert!(is_conflict, "{error}");
        let elsewhere =
            engine.submit(other.clone(), json!({ "n": 2 })).idempotency_key("order-1").await.unwrap();
        assert_ne!(elsewhere.id(), a.id(), "a key is of one workflow");
        elsewhere.wait().await.unwrap().ok().unwrap();
        assert_eq!(bodies.n(), 2);
        let empty = engine.submit(other, ()).idempotency_key("").await.unwrap_err();
        assert!(matches!(empty, Error::Store(StoreError::InvalidOption { .. })), "{empty}");
        engine.shutdown().await.unwrap();
    });
}

#[test]
fn a_run_that_is_due_later_waits_for_its_time() {
    on_every_store(async |url| {
        let bodies = Bodies::default();
        let flow = trivial("later", &bodies);
        let engine = open(&url, &[]).await;
        let never = engine.submit(flow.clone(), ()).after(HOUR).await.unwrap();
        let due = std::time::SystemTime::now() + Duration::from_millis(300);
        let soon = engine.submit(flow.clone(), ()).at(due).await.unwrap();
        assert_eq!(bodies.n(), 0);
        assert_eq!(soon.status().await.unwrap(), RunStatus::Queued);
        soon.wait().await.unwrap().ok().unwrap();
        assert!(std::time::SystemTime::now() >= due);
        assert_eq!((bodies.n(), never.status().await.unwrap()), (1, RunStatus::Queued));
        engine.shutdown().await.unwrap();
    });
}

#[test]
fn a_run_that_is_late_fails_and_names_the_task_that_it_was_at() {
    on_every_store(async |url| {
        let bodies = Bodies::default();
        let flow = stuck("late", &bodies);
        let engine = open(&url, &[]).await;
        let run = engine.submit(flow.clone(), ()).within(Duration::from_millis(200)).await.unwrap();
        let outcome = run.wait().await.unwrap();
        assert_eq!(outcome.status(), RunStatus::Failed);
        let error = outcome.error().unwrap();
        assert_eq!((error.task.as_str(), error.failure.kind), ("stuck", FailureKind::Timeout));
        assert!(error.failure.message.contains("deadline"), "{error}");
        // Also when it has passed before anything could begin, and as it is read back.
        let paused =
            engine.submit(flow.clone(), ()).after(HOUR).within(Duration::from_millis(1)).await.unwrap();
        paused.pause().await.unwrap();
        assert_eq!(paused.status().await.unwrap(), RunStatus::Paused);
        let again = engine.run_handle(run.id()).await.unwrap().wait().await.unwrap();
        assert_eq!(again.error().unwrap().failure.kind, FailureKind::Timeout);
        assert_eq!(bodies.n(), 1);
        // Done again, it has no deadline any more.
        let run = engine.retry_failed(run.id()).await.unwrap();
        bodies.begun.notified().await;
        bodies.begun.notified().await;
        run.cancel().await.unwrap();
        assert_eq!(run.wait().await.unwrap().status(), RunStatus::Cancelled);
        engine.shutdown().await.unwrap();
    });
}

#[test]
fn runs_are_found_by_tag_in_pages_and_deleted_when_they_are_old() {
    on_every_store(async |url| {
        let bodies = Bodies::default();
        let flow = trivial("many", &bodies);
        let engine = open(&url, &[]).await;
        for n in 0..10 {
            let submit = engine.submit(flow.clone(), n);
            let submit = if n % 2 == 0 { submit.tag("even").tag("eu") } else { submit.tag("odd") };
            submit.await.unwrap().wait().await.unwrap().ok().unwrap();
        }
        let mut query = RunQuery { tag: Some("even".to_owned()), limit: 2, ..RunQuery::default() };
        let mut inputs = Vec::new();
        loop {
            let page = engine.runs(query.clone()).await.unwrap();
            let Some(last) = page.last() else { break };
            query.before = Some(last.id);
            assert!(page.iter().all(|run| run.options.tags == ["even", "eu"]));
            inputs.extend(page.iter().map(|run| run.input.parse::<u32>().unwrap()));
        }
        assert_eq!(inputs, [8, 6, 4, 2, 0], "the last submitted first");
        let waiting = engine.submit(flow.clone(), 10).after(HOUR).tag("even").await.unwrap();
        assert_eq!(engine.prune(HOUR, &[]).await.unwrap(), 0);
        assert_eq!(engine.prune(Duration::ZERO, &[RunStatus::Failed]).await.unwrap(), 0);
        assert_eq!(engine.prune(Duration::ZERO, &[]).await.unwrap(), 10);
        let left = engine.runs(RunQuery::default()).await.unwrap();
        assert_eq!(
            left.iter().map(|run| run.id).collect::<Vec<_>>(),
            [waiting.id()],
            "what has not ended stays"
        );
        engine.shutdown().await.unwrap();
    });
}

#[test]
fn events_are_pushed_also_to_another_process() {
    on_every_store(async |url| {
        let (gate, bodies) = (Arc::new(Semaphore::new(0)), Bodies::default());
        let flow = chain("followed", &gate, &bodies);
        let engine = open(&url, &[&flow]).await;
        let other = if is_persistent(&url) { open(&url, &[&flow]).await } else { engine.clone() };
        let run = engine.submit(flow, ()).await.unwrap();
        let far = other.run_handle(run.id()).await.unwrap();
        let (near, far) = (run.events(), far.events());
        gate.add_permits(1);
        let read =
            async |events: std::pin::Pin<Box<dyn futures::Stream<Item = anio::Result<RunEvent>> + Send>>| {
                events
                    .map(|event| match event.unwrap() {
                        RunEvent::Fact(fact) => {
                            format!("{} {}", fact.task, matches!(fact.kind, FactKind::Succeeded { .. }))
                        }
                        RunEvent::Ended(status) => status.to_string(),
                        other => format!("{other:?}"),
                    })
                    .filter(|event| std::future::ready(!event.ends_with("false")))
                    .collect::<Vec<_>>()
                    .await
            };
        let (near, far) = tokio::join!(read(Box::pin(near)), read(Box::pin(far)));
        assert_eq!(near, ["first true", "second true", "succeeded"]);
        assert_eq!(far, near);
        engine.shutdown().await.unwrap();
        if is_persistent(&url) {
            other.shutdown().await.unwrap();
        }
    });
}
