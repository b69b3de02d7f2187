//! What the engine does, seen from outside, on every store.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod stores;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anio::prelude::*;
use anio::run::TaskRunStatus;
use anio::{Lane, TaskCall, WorkflowBuilder};
use stores::{on_every_store, on_sqlite_file};
use tokio::sync::{Barrier, Notify};

type Log = Arc<Mutex<Vec<String>>>;

fn note(log: &Log, text: impl Into<String>) {
    log.lock().unwrap().push(text.into());
}

/// A task that notes its name and returns.
fn noting(builder: WorkflowBuilder, log: &Log, name: &'static str, options: TaskOptions) -> WorkflowBuilder {
    let log = Arc::clone(log);
    builder.task(name, options, move |_| {
        note(&log, name);
        async { Ok::<_, TaskError>(()) }
    })
}

#[test]
fn a_chain_passes_its_data() {
    on_every_store(async |url| {
        let workflow = Workflow::builder("chain")
            .task("one", TaskOptions::new(), |call: TaskCall| async move {
                Ok::<_, TaskError>(*call.input::<u32>()? + 1)
            })
            .task("two", TaskOptions::new(), |call: TaskCall| async move {
                Ok::<_, TaskError>(*call.output::<u32>("one")? * 10)
            })
            .after("one")
            .build()
            .unwrap();
        let engine = Engine::open(url).await.unwrap();
        let run = engine.submit(workflow, 4_u32).await.unwrap();
        let outcome = run.wait().await.unwrap();
        assert_eq!(outcome.output_of::<u32>("two").unwrap(), 50);
        assert!(outcome.is_success() && outcome.error().is_none());
        assert_eq!(run.status().await.unwrap(), RunStatus::Succeeded);
        let stored: Vec<_> =
            run.tasks().await.unwrap().into_iter().map(|task| (task.name, task.status)).collect();
        assert_eq!(
            stored,
            [("one".to_owned(), TaskRunStatus::Succeeded), ("two".to_owned(), TaskRunStatus::Succeeded)]
        );
        // Waiting again, for a run that has ended, reads the same from the store.
        assert_eq!(run.wait().await.unwrap().output_of::<u32>("two").unwrap(), 50);
        engine.shutdown().await.unwrap();
    });
}

#[test]
fn tasks_that_do_not_wait_for_each_other_run_side_by_side() {
    on_every_store(async |url| {
        // Each of the eight waits until all eight have begun.
        let barrier = Arc::new(Barrier::new(8));
        let mut builder = Workflow::builder("barrier");
        for i in 0..8 {
            let barrier = Arc::clone(&barrier);
            builder = builder.task(format!("t{i}"), TaskOptions::new(), move |_| {
                let barrier = Arc::clone(&barrier);
                async move {
                    barrier.wait().await;
                    Ok::<_, TaskError>(())
                }
            });
        }
        let engine = Engine::open(url).await.unwrap();
        assert!(engine.run(builder.build().unwrap(), ()).await.unwrap().is_success());
        engine.shutdown().await.unwrap();
    });
}

fn counting(name: &str, n_tasks: usize, options: &TaskOptions) -> (Workflow, Arc<AtomicUsize>) {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut builder = Workflow::builder(name)
        .task("list", TaskOptions::new(), move |_| async move { Ok::<_, TaskError>(vec![0_u8; n_tasks]) });
    let most_seen = Arc::clone(&most);
    builder = builder
        .task("count", options.clone(), move |_| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most_seen));
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                now.fetch_sub(1, Ordering::SeqCst);
                Ok::<_, TaskError>(())
            }
        })
        .map_over::<u8>("list");
    (builder.build().unwrap(), most)
}

#[test]
fn no_more_run_at_one_time_than_the_worker_and_the_task_allow() {
    on_every_store(async |url| {
        let engine = Engine::builder().store(url).concurrency(5).start().await.unwrap();
        let (workflow, most) = counting("by worker", 200, &TaskOptions::new());
        assert!(engine.run(workflow, ()).await.unwrap().is_success());
        assert_eq!(most.load(Ordering::SeqCst), 5);
        let (workflow, most) = counting("by task", 200, &TaskOptions::new().concurrency(2));
        assert!(engine.run(workflow, ()).await.unwrap().is_success());
        assert_eq!(most.load(Ordering::SeqCst), 2);
        engine.shutdown().await.unwrap();
    });
}

#[test]
fn higher_priority_goes_first_then_first_ready_first() {
    on_every_store(async |url| {
        let log = Log::default();
        let mut builder = noting(Workflow::builder("order"), &log, "first", TaskOptions::new());
        for (name, priority) in [("low", -1), ("b", 0), ("c", 0), ("high", 7), ("d", 0)] {
            builder = noting(builder, &log, name, TaskOptions::new().priority(priority)).after("first");
        }
        let engine = Engine::builder().store(url).concurrency(1).start().await.unwrap();
        engine.run(builder.build().unwrap(), ()).await.unwrap();
        assert_eq!(*log.lock().unwrap(), ["first", "high", "b", "c", "d", "low"]);
        engine.shutdown().await.unwrap();
    });
}

#[test]
fn a_panic_is_a_failed_attempt_with_its_message_and_place() {
    on_every_store(async |url| {
        for lane in [Lane::Async, Lane::Cpu, Lane::Blocking] {
            let log = Log::default();
            let builder = Workflow::builder(format!("panics {lane:?}")).task(
                "bad",
                TaskOptions::new().lane(lane),
                |call: TaskCall| async move {
                    let attempt = call.handle().attempt();
                    assert!(attempt == 0, "boom {attempt}");
                    Ok::<_, TaskError>(())
                },
            );
            let builder = noting(builder, &log, "sibling", TaskOptions::new().lane(lane));
            let engine = Engine::open(url.clone()).await.unwrap();
            let outcome = engine.run(builder.build().unwrap(), ()).await.unwrap();
            let error = outcome.error().unwrap().to_string();
            assert!(
                error.contains("panicked at crates/anio/tests/engine.rs:") && error.contains("boom 1"),
                "{error}"
            );
            assert_eq!(*log.lock().unwrap(), ["sibling"]);
            assert!(outcome.ok().unwrap_err().to_string().contains("boom 1"));
            engine.shutdown().await.unwrap();
        }
    });
}

#[test]
fn a_timed_out_attempt_is_tried_again() {
    on_every_store(async |url| {
        for lane in [Lane::Async, Lane::Cpu, Lane::Blocking] {
            let options = TaskOptions::new()
                .timeout(Duration::from_millis(30))
                .lane(lane)
                .retry(RetryPolicy::attempts(2));
            let workflow = Workflow::builder(format!("slow {lane:?}"))
                .task("slow", options, |call: TaskCall| async move {
                    if call.handle().attempt() == 1 {
                        // On a plain lane this holds the thread, until it sees its token.
                        call.handle().cancelled().await;
                    }
                    Ok::<_, TaskError>(call.handle().attempt())
                })
                .build()
                .unwrap();
            let engine = Engine::open(url.clone()).await.unwrap();
            let run = engine.submit(workflow, ()).await.unwrap();
            let outcome = run.wait().await.unwrap();
            assert_eq!(outcome.output_of::<u32>("slow").unwrap(), 2);
            let facts = engine.store().facts(run.id()).await.unwrap();
            let failed = facts.iter().find_map(|fact| match &fact.kind {
                anio::run::FactKind::Failed { failure, .. } => Some(failure.to_string()),
                _ => None,
            });
            assert_eq!(failed.unwrap(), "timed out after 30ms");
            engine.shutdown().await.unwrap();
        }
    });
}

#[test]
fn failures_are_tried_again_as_the_policy_says() {
    on_every_store(async |url| {
        let options = TaskOptions::new()
            .retry(RetryPolicy::attempts(3).with_backoff(Backoff::exponential(Duration::from_millis(5))));
        let workflow = Workflow::builder("retry")
            .task("flaky", options.clone(), |call: TaskCall| async move {
                match call.handle().attempt() {
                    3 => Ok("done"),
                    n => Err(TaskError::message(format!("no {n}"))),
                }
            })
            .task("never", options.clone(), |_| async { Err::<(), _>(TaskError::message("never")) })
            .task("fatal", options, |_| async { Err::<(), _>(TaskError::fatal("broken")) })
            .build()
            .unwrap();
        let engine = Engine::open(url).await.unwrap();
        let outcome = engine.run(workflow, ()).await.unwrap();
        let tasks: Vec<_> =
            outcome.tasks().into_iter().map(|t| (t.name, t.status.as_str(), t.attempts)).collect();
        assert_eq!(
            tasks,
            [
                ("flaky".to_owned(), "succeeded", 3),
                ("never".to_owned(), "failed", 3),
                ("fatal".to_owned(), "failed", 1)
            ]
        );
        engine.shutdown().await.unwrap();
    });
}

#[test]
fn cpu_work_does_not_hold_up_what_waits() {
    // One thread of tokio: the CPU task ends only if an async task runs meanwhile.
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    let receiver = Arc::new(Mutex::new(receiver));
    let workflow = Workflow::builder("lanes")
        .task("computes", TaskOptions::new().lane(Lane::Cpu), move |_| {
            let receiver = Arc::clone(&receiver);
            async move { Ok::<_, TaskError>(receiver.lock().unwrap().recv().is_ok()) }
        })
        .task("waits", TaskOptions::new(), move |_| {
            let sender = sender.clone();
            async move {
                tokio::task::yield_now().await;
                Ok::<_, TaskError>(sender.send(()).is_ok())
            }
        })
        .build()
        .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let engine = Engine::open("memory:").await.unwrap();
        let outcome = engine.run(workflow, ()).await.unwrap();
        assert!(outcome.output_of::<bool>("computes").unwrap());
        engine.shutdown().await.unwrap();
    });
}

#[test]
fn a_shutdown_lets_bodies_end_and_the_next_start_goes_on() {
    on_sqlite_file(async |url| {
        let log = Log::default();
        let begun = Arc::new(Notify::new());
        let workflow = {
            let begun = Arc::clone(&begun);
            let builder =
                Workflow::builder("stops").task("hangs once", TaskOptions::new(), move |call: TaskCall| {
                    let begun = Arc::clone(&begun);
                    async move {
                        begun.notify_one();
                        if call.handle().attempt() == 1 {
                            std::future::pending::<()>().await;
                        }
                        Ok::<_, TaskError>(call.handle().attempt())
                    }
                });
            noting(builder, &log, "after", TaskOptions::new()).after("hangs once").build().unwrap()
        };
        let engine =
            Engine::builder().store(&url).shutdown_grace(Duration::from_millis(20)).start().await.unwrap();
        let run = engine.submit(workflow.clone(), ()).await.unwrap();
        begun.notified().await;
        engine.shutdown().await.unwrap();
        assert!(engine.submit(workflow.clone(), ()).await.unwrap_err().to_string().contains("has stopped"));

        let engine = Engine::builder().store(&url).workflow(workflow).start().await.unwrap();
        let outcome = engine.run_handle(run.id()).await.unwrap().wait().await.unwrap();
        assert_eq!(outcome.output_of::<u32>("hangs once").unwrap(), 2);
        assert_eq!(*log.lock().unwrap(), ["after"]);
        let facts = engine.store().facts(run.id()).await.unwrap();
        assert!(facts.iter().any(|fact| matches!(fact.kind, anio::run::FactKind::Interrupted { .. })));
        engine.shutdown().await.unwrap();
    });
}

#[test]
fn an_engine_that_is_dropped_resumes_at_the_next_start() {
    on_sqlite_file(async |url| {
        let log = Log::default();
        let begun = Arc::new(Notify::new());
        let workflow = {
            let begun = Arc::clone(&begun);
            let times = Arc::new(AtomicUsize::new(0));
            let builder = noting(Workflow::builder("drops"), &log, "before", TaskOptions::new());
            let builder = builder
                .task("hangs once", TaskOptions::new(), move |_| {
                    let (begun, times) = (Arc::clone(&begun), Arc::clone(&times));
                    async move {
                        begun.notify_one();
                        if times.fetch_add(1, Ordering::SeqCst) == 0 {
                            std::future::pending::<()>().await;
                        }
                        Ok::<_, TaskError>(())
                    }
                })
                .after("before");
            builder.build().unwrap()
        };
        let engine = Engine::open(&url).await.unwrap();
        let run = engine.submit(workflow.clone(), ()).await.unwrap().id();
        begun.notified().await;
        drop(engine);
        let engine = Engine::builder().store(&url).workflow(workflow).start().await.unwrap();
        assert!(engine.run_handle(run).await.unwrap().wait().await.unwrap().is_success());
        assert_eq!(*log.lock().unwrap(), ["before"], "what succeeded is not run again");
        engine.shutdown().await.unwrap();
    });
}

#[test]
fn more_runs_than_fit_in_memory_wait_in_the_database() {
    on_every_store(async |url| {
        let engine = Engine::builder().store(url).live_runs_max(3).start().await.unwrap();
        let workflow = Workflow::builder("many")
            .task("t", TaskOptions::new(), |call: TaskCall| async move {
                Ok::<_, TaskError>(*call.input::<u32>()?)
            })
            .build()
            .unwrap();
        let runs: Vec<_> = (0..40_u32).map(|i| engine.submit(workflow.clone(), i).into_future()).collect();
        for (i, run) in (0..40_u32).zip(futures::future::try_join_all(runs).await.unwrap()) {
            assert_eq!(run.wait().await.unwrap().output_of::<u32>("t").unwrap(), i);
        }
        assert_eq!(engine.runs(RunQuery::default()).await.unwrap().len(), 40);
        engine.shutdown().await.unwrap();
    });
}

#[test]
fn what_cannot_be_stored_fails_its_task_with_a_message() {
    on_every_store(async |url| {
        let engine = Engine::builder().store(url).value_bytes_max(100).start().await.unwrap();
        let workflow = Workflow::builder("data")
            .task("large", TaskOptions::new(), |_| async { Ok::<_, TaskError>("x".repeat(200)) })
            .task("odd", TaskOptions::new().retry(RetryPolicy::attempts(5)), |_| async {
                Ok::<_, TaskError>(std::collections::HashMap::from([((1, 2), 3)]))
            })
            .task("source", TaskOptions::new(), |_| async { Ok::<_, TaskError>("text") })
            .task("reads", TaskOptions::new(), |call: TaskCall| async move {
                Ok::<_, TaskError>(*call.output::<u32>("source")?)
            })
            .after("source")
            .build()
            .unwrap();
        let outcome = engine.run(workflow, ()).await.unwrap();
        let error = |name: &str| {
            let task = outcome.tasks().into_iter().find(|task| task.name == name).unwrap();
            (task.error.unwrap().to_string(), task.attempts)
        };
        assert!(error("large").0.contains("202 bytes of JSON, over the limit of 100"));
        let (odd, attempts) = error("odd");
        assert!(odd.contains("task \"odd\" of run") && odd.contains("HashMap"), "{odd}");
        assert_eq!(attempts, 1, "another attempt would not mend it");
        assert!(
            error("reads")
                .0
                .contains("cannot read the output of \"source\": the stored value does not read as u32")
        );
        let too_large =
            engine.run(outcome.workflow().clone(), "y".repeat(200)).await.unwrap_err().to_string();
        assert!(too_large.contains("the input has 202 bytes"), "{too_large}");
        engine.shutdown().await.unwrap();
    });
}

#[test]
fn two_workflows_of_one_name_are_refused() {
    on_every_store(async |url| {
        let task = |name: &str| {
            Workflow::builder("same")
                .task(name, TaskOptions::new(), |_| async { Ok::<_, TaskError>(()) })
                .build()
                .unwrap()
        };
        let engine = Engine::open(url).await.unwrap();
        engine.run(task("a"), ()).await.unwrap();
        engine.run(task("a"), ()).await.unwrap();
        let error = engine.run(task("b"), ()).await.unwrap_err().to_string();
        assert!(error.contains("two different workflows are named \"same\""), "{error}");
        engine.shutdown().await.unwrap();
    });
}

#[test]
fn a_run_whose_finished_task_is_gone_from_the_program_is_parked() {
    on_sqlite_file(async |url| {
        let build = |first: &'static str, begun: Arc<Notify>| {
            Workflow::builder("changes")
                .task(first, TaskOptions::new(), |_| async { Ok::<_, TaskError>(()) })
                .task("hangs", TaskOptions::new(), move |_| {
                    let begun = Arc::clone(&begun);
                    async move {
                        begun.notify_one();
                        std::future::pending::<()>().await;
                        Ok::<_, TaskError>(())
                    }
                })
                .after(first)
                .build()
                .unwrap()
        };
        let begun = Arc::new(Notify::new());
        let engine = Engine::open(&url).await.unwrap();
        let run = engine.submit(build("old", Arc::clone(&begun)), ()).await.unwrap().id();
        begun.notified().await;
        drop(engine);
        let engine = Engine::builder().store(&url).workflow(build("new", begun)).start().await.unwrap();
        let error = engine.run_handle(run).await.unwrap().wait().await.unwrap_err().to_string();
        assert!(error.contains("task \"old\" has begun in this run and is gone from the program"), "{error}");
        engine.shutdown().await.unwrap();
    });
}

#[test]
fn a_run_that_cannot_go_on_is_cancelled_where_that_was_asked() {
    on_sqlite_file(async |url| {
        let begun = Arc::new(Notify::new());
        let build = |name: &'static str| {
            let begun = Arc::clone(&begun);
            let hangs = move |_: TaskCall| {
                begun.notify_one();
                std::future::pending::<Result<(), TaskError>>()
            };
            Workflow::builder("changes and ends")
                .task(name, TaskOptions::new(), |_| async { Ok::<_, TaskError>(()) })
                .task("hangs", TaskOptions::new(), hangs)
                .after(name)
                .build()
                .unwrap()
        };
        let grace = Duration::from_millis(1);
        let engine = Engine::builder().store(&url).shutdown_grace(grace).start().await.unwrap();
        let run = engine.submit(build("old"), ()).await.unwrap().id();
        begun.notified().await;
        engine.shutdown().await.unwrap();
        let store = anio_store::Store::open(&url, anio_store::StoreOptions::default()).await.unwrap();
        let asked = store.request(run, anio::Request::Cancel).await.unwrap();
        assert_eq!(asked, anio_store::record::Requested::Sent);
        drop(store);
        let engine = Engine::builder().store(&url).workflow(build("new")).start().await.unwrap();
        let run = engine.run_handle(run).await.unwrap();
        // It has ended, though what it did cannot be told by this program.
        assert!(matches!(run.wait().await, Err(anio::Error::Parked { .. })));
        assert_eq!(run.status().await.unwrap(), RunStatus::Cancelled);
        engine.shutdown().await.unwrap();
    });
}

#[test]
fn a_worker_whose_lease_is_lost_begins_anew_and_nothing_is_lost() {
    on_every_store(async |url| {
        let (begun, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let engine = Engine::builder().store(url).lease(Duration::from_secs(1)).start().await.unwrap();
        let workflow = {
            let (begun, go) = (Arc::clone(&begun), Arc::clone(&go));
            Workflow::builder("loses")
                .task("waits", TaskOptions::new(), move |_| {
                    let (begun, go) = (Arc::clone(&begun), Arc::clone(&go));
                    async move {
                        begun.notify_one();
                        go.notified().await;
                        Ok::<_, TaskError>(())
                    }
                })
                .build()
                .unwrap()
        };
        let run = engine.submit(workflow, ()).await.unwrap();
        begun.notified().await;
        // What another worker does to one that it finds dead: the lease is gone, the run is queued again.
        let lost = engine.worker().await.unwrap();
        engine.store().release(lost).await.unwrap();
        begun.notified().await;
        go.notify_one();
        assert!(run.wait().await.unwrap().is_success());
        assert_ne!(engine.worker().await.unwrap(), lost);
        engine.shutdown().await.unwrap();
    });
}

#[test]
fn many_runs_are_submitted_in_one_commit() {
    on_every_store(async |url| {
        let engine = Engine::builder().store(url).live_runs_max(10).start().await.unwrap();
        let workflow = Workflow::builder("square")
            .task("square", TaskOptions::new(), |call: TaskCall| async move {
                Ok::<_, TaskError>(call.input::<u64>()?.pow(2))
            })
            .build()
            .unwrap();
        let runs = engine.submit_many(workflow.clone(), 1..=100_u64).await.unwrap();
        let mut sum = 0;
        for run in runs {
            sum += run.wait().await.unwrap().output_of::<u64>("square").unwrap();
        }
        assert_eq!(sum, 338_350);
        assert!(engine.submit_many(workflow, Vec::<u64>::new()).await.unwrap().is_empty());
        engine.shutdown().await.unwrap();
    });
}

#[test]
fn the_events_of_a_run_are_told_in_their_order() {
    on_every_store(async |url| {
        use anio::RunEvent;
        use futures::StreamExt;
        let log = Log::default();
        let builder = noting(Workflow::builder("events"), &log, "a", TaskOptions::new());
        let builder = noting(builder, &log, "b", TaskOptions::new()).after("a");
        let engine = Engine::open(url).await.unwrap();
        let run = engine.submit(builder.build().unwrap(), ()).await.unwrap();
        for _ in ["while it runs, or just after", "long after it has ended"] {
            let events: Vec<_> = run.events().map(|event| event.unwrap()).collect().await;
            let tasks: Vec<_> = events
                .iter()
                .filter_map(|event| match event {
                    RunEvent::Fact(fact) => Some(fact.task.to_string()),
                    _ => None,
                })
                .collect();
            assert_eq!(tasks, ["a", "b"]);
            assert_eq!(events.last(), Some(&RunEvent::Ended(RunStatus::Succeeded)));
        }
        engine.shutdown().await.unwrap();
    });
}

#[test]
fn a_run_of_an_unknown_workflow_is_parked_until_it_is_registered() {
    on_sqlite_file(async |url| {
        let log = Log::default();
        let workflow =
            noting(Workflow::builder("comes later"), &log, "a", TaskOptions::new()).build().unwrap();
        let engine = Engine::open(&url).await.unwrap();
        // Submitted by a process that dies before it begins: only the run's row is there.
        let (id, plan) = (engine.run(workflow.clone(), ()).await.unwrap().run_id(), workflow.plan());
        let queued = anio_store::record::NewRun {
            id: RunId::from_uuid(uuid::Uuid::now_v7()),
            workflow: workflow.name().clone(),
            plan: plan.fingerprint(),
            input: anio::Output::new(()).unwrap(),
            options: anio_store::record::RunOptions::default(),
            submitted_at: anio::Timestamp::from_micros(1),
            claim: false,
        };
        engine.shutdown().await.unwrap();

        let engine = Engine::open(&url).await.unwrap();
        let later = queued.id;
        let batch = anio_store::record::Batch { runs: vec![queued], ..Default::default() };
        engine.store().commit(batch).await.unwrap();
        let run = engine.run_handle(later).await.unwrap();
        assert_eq!(run.status().await.unwrap(), RunStatus::Parked);
        let error = run.wait().await.unwrap_err().to_string();
        assert!(
            error.contains("workflow \"comes later\" is unknown") && error.contains(".workflow(x)"),
            "{error}"
        );
        let listed = engine.runs(RunQuery::default()).await.unwrap();
        assert_eq!(
            listed.iter().map(|run| (run.id, run.status)).collect::<Vec<_>>(),
            [(later, RunStatus::Parked), (id, RunStatus::Succeeded)]
        );

        engine.register(workflow).await.unwrap();
        assert!(run.wait().await.unwrap().is_success());
        assert_eq!(*log.lock().unwrap(), ["a", "a"]);
        engine.shutdown().await.unwrap();
    });
}

/// An output of 1 MiB that 50 tasks take is one row of the database, not one per task that takes it.
#[test]
fn an_output_that_many_take_is_stored_once() {
    on_sqlite_file(async |url| {
        const N_BYTES: usize = 1 << 20;
        let mut builder = Workflow::builder("tee")
            .task("make", TaskOptions::new(), |_| async { Ok::<_, TaskError>("x".repeat(N_BYTES)) });
        for i in 0..50 {
            builder = builder
                .task(format!("take_{i}"), TaskOptions::new(), |call: TaskCall| async move {
                    Ok::<_, TaskError>(call.output::<String>("make")?.len())
                })
                .after("make");
        }
        let engine = Engine::open(&url).await.unwrap();
        let outcome = engine.run(builder.build().unwrap(), ()).await.unwrap();
        assert_eq!(outcome.output_of::<usize>("take_49").unwrap(), N_BYTES);
        engine.shutdown().await.unwrap();
        let file = std::path::Path::new(url.trim_start_matches("sqlite://"));
        let files = std::fs::read_dir(file.parent().unwrap()).unwrap();
        let n_bytes: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
        // The log of the database is kept until its last connection is closed, so it may be there a second time.
        assert!((N_BYTES as u64..3 * N_BYTES as u64).contains(&n_bytes), "{n_bytes} bytes in all files");
    });
}
