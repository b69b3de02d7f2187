//! The helpers of `anio::parallel` inside tasks: the worker's pool, its spans, its time-outs, its failures.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Once};
use std::thread;
use std::time::{Duration, Instant};

use anio::error::FailureKind;
use anio::parallel::{ParMap, is_cancelled, try_cpu};
use anio::prelude::*;
use anio::run::FactKind;
use anio::{Lane, RunEvent, TaskCall, WorkflowBuilder};
use futures::StreamExt;
use rayon::prelude::*;
use tokio::sync::Notify;
use tracing_subscriber::Registry;
use tracing_subscriber::registry::LookupSpan;

const LANES: [Lane; 3] = [Lane::Async, Lane::Cpu, Lane::Blocking];

async fn engine(cpu_threads: usize) -> Engine {
    Engine::builder().store("memory:").cpu_threads(cpu_threads).start().await.unwrap()
}

/// Adds a task that computes: on the lanes of plain functions as it is, on tokio by `try_cpu`.
fn computing<R>(
    builder: WorkflowBuilder,
    options: TaskOptions,
    lane: Lane,
    compute: impl Fn(&TaskHandle) -> Result<R> + Send + Sync + 'static,
) -> WorkflowBuilder
where
    R: serde::Serialize + Send + Sync + 'static,
{
    let compute = Arc::new(compute);
    builder.task(format!("{lane:?}"), options.lane(lane), move |call: TaskCall| {
        let (compute, handle) = (Arc::clone(&compute), call.handle().clone());
        async move {
            if lane == Lane::Async { Ok(try_cpu(move || compute(&handle)).await?) } else { compute(&handle) }
        }
    })
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(30), "{what}: waited too long");
        thread::sleep(Duration::from_millis(1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn helpers_use_the_pool_of_the_worker_in_every_lane_and_keep_order() {
    let engine = engine(3).await;
    // One after the other: each needs all threads at once.
    for lane in LANES {
        let builder = computing(Workflow::builder(format!("{lane:?}")), TaskOptions::new(), lane, |_| {
            // Three items wait for one another, so three threads are at work.
            let barrier = Barrier::new(3);
            let names = (0..3).collect::<Vec<_>>().par_map(|_| {
                barrier.wait();
                thread::current().name().map(str::to_owned)
            })?;
            assert!(names.iter().all(|name| name.as_ref().is_some_and(|name| name.starts_with("cpu-"))));
            assert_eq!(anio::parallel::Pool::current().n_threads(), 3);
            let (n_live, n_live_max) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let squares = (0..1000_u32).par_map(|n| {
                n_live_max.fetch_max(n_live.fetch_add(1, SeqCst) + 1, SeqCst);
                thread::yield_now();
                n_live.fetch_sub(1, SeqCst);
                u64::from(n) * u64::from(n)
            })?;
            assert!(n_live_max.load(SeqCst) <= 3, "no more at one time than there are threads");
            Ok(squares)
        });
        let outcome = engine.run(builder.build().unwrap(), ()).await.unwrap().ok().unwrap();
        let squares: Vec<u64> = (0..1000).map(|n| n * n).collect();
        assert_eq!(outcome.output_of::<Vec<u64>>(&format!("{lane:?}")).unwrap(), squares);
    }
    engine.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_rayon_in_a_plain_function_uses_the_pool_of_its_own_engine() {
    // Two engines in one process; their pools have their own sizes.
    let engines = (engine(2).await, engine(3).await);
    let workflow = |n_threads: usize| {
        let builder = Workflow::builder("rayon");
        let builder = computing(builder, TaskOptions::new(), Lane::Cpu, move |_| {
            let barrier = Barrier::new(n_threads);
            rayon::broadcast(|_| barrier.wait());
            let mut numbers: Vec<u32> = (0..10_000).rev().collect();
            numbers.par_sort_unstable();
            assert!(numbers.is_sorted());
            Ok((rayon::current_num_threads(), numbers.par_iter().map(|n| u64::from(*n)).sum::<u64>()))
        });
        builder.build().unwrap()
    };
    let (two, three) = tokio::join!(engines.0.run(workflow(2), ()), engines.1.run(workflow(3), ()));
    for (outcome, n_threads) in [(two, 2), (three, 3)] {
        let output = outcome.unwrap().ok().unwrap().output_of::<(usize, u64)>("Cpu").unwrap();
        assert_eq!(output, (n_threads, 49_995_000));
    }
    engines.0.shutdown().await.unwrap();
    engines.1.shutdown().await.unwrap();
}

/// The names of the spans around this place, innermost first.
fn spans() -> Vec<&'static str> {
    let names = tracing::Span::current().with_subscriber(|(id, dispatch)| {
        let registry = dispatch.downcast_ref::<Registry>().unwrap();
        registry.span(id).unwrap().scope().map(|span| span.name()).collect()
    });
    names.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_item_has_a_span_under_that_of_the_attempt() {
    static SUBSCRIBER: Once = Once::new();
    SUBSCRIBER.call_once(|| tracing::subscriber::set_global_default(Registry::default()).unwrap());
    let engine = engine(2).await;
    let mut builder = Workflow::builder("spans");
    for lane in LANES {
        builder = computing(builder, TaskOptions::new(), lane, |_| {
            let seen = vec![(); 50].par_map(|()| spans())?;
            assert!(seen.iter().all(|spans| *spans == ["item", "attempt", "run"]), "{seen:?}");
            Ok(())
        });
    }
    engine.run(builder.build().unwrap(), ()).await.unwrap().ok().unwrap();
    engine.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_an_item_is_a_failed_attempt_and_the_pool_lives() {
    for lane in LANES {
        let engine = engine(2).await;
        let options = TaskOptions::new().retry(RetryPolicy::attempts(2));
        let builder = computing(Workflow::builder("panics"), options, lane, |task| {
            let attempt = task.attempt();
            // All threads are there for the second attempt.
            let barrier = Barrier::new(2);
            Ok((0..100).par_map(|n| {
                assert!(attempt == 2 || n != 7, "seven of attempt {attempt}");
                if attempt == 2 && n % 50 == 0 {
                    barrier.wait();
                }
                n
            })?)
        });
        let run = engine.submit(builder.build().unwrap(), ()).await.unwrap();
        let facts: Vec<_> = run.events().collect().await;
        let failures: Vec<_> = facts
            .into_iter()
            .filter_map(|event| match event.unwrap() {
                RunEvent::Fact(fact) => Some(fact.kind),
                _ => None,
            })
            .filter_map(|kind| match kind {
                FactKind::Failed { failure, .. } => Some(failure),
                _ => None,
            })
            .collect();
        assert_eq!(failures.len(), 1, "{lane:?}: {failures:?}");
        assert_eq!(failures[0].kind, FailureKind::Panic);
        assert!(failures[0].message.contains("tests/parallel.rs"), "{}", failures[0]);
        assert!(failures[0].message.ends_with("item 7: seven of attempt 1"), "{}", failures[0]);
        let outcome = run.wait().await.unwrap().ok().unwrap();
        assert_eq!(
            outcome.output_of::<Vec<i32>>(&format!("{lane:?}")).unwrap(),
            (0..100).collect::<Vec<_>>()
        );
        engine.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_of_plain_rayon_is_a_failed_attempt_too() {
    let engine = engine(2).await;
    let options = TaskOptions::new().retry(RetryPolicy::attempts(2));
    let builder = computing(Workflow::builder("plain panics"), options, Lane::Cpu, |task| {
        let attempt = task.attempt();
        Ok((0..100).into_par_iter().inspect(|n| assert!(attempt == 2 || *n != 70)).sum::<i32>())
    });
    let outcome = engine.run(builder.build().unwrap(), ()).await.unwrap().ok().unwrap();
    assert_eq!(outcome.output_of::<i32>("Cpu").unwrap(), 4950);
    engine.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fatal_error_of_an_item_ends_the_task_at_once() {
    for lane in LANES {
        let engine = engine(2).await;
        let options = TaskOptions::new().retry(RetryPolicy::attempts(5));
        let n_attempts = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&n_attempts);
        let builder = computing(Workflow::builder("fatal"), options, lane, move |_| {
            counted.fetch_add(1, SeqCst);
            let check = |n: u32| if n == 3 { Err(TaskError::fatal("no such customer")) } else { Ok(n) };
            Ok((0..10).try_par_map(check)?)
        });
        let outcome = engine.run(builder.build().unwrap(), ()).await.unwrap();
        let error = outcome.error().unwrap().to_string();
        assert!(error.ends_with("failed after 1 attempt: item 3: no such customer"), "{error}");
        assert_eq!(n_attempts.load(SeqCst), 1);
        engine.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_out_stops_the_items_that_have_not_begun() {
    for lane in LANES {
        let engine = engine(2).await;
        let options = TaskOptions::new().timeout(Duration::from_millis(50));
        let (n_begun, n_ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counted = (Arc::clone(&n_begun), Arc::clone(&n_ended));
        let builder = computing(Workflow::builder("time-out"), options, lane, move |_| {
            let results = (0..1_000_000).par_map(|_| {
                counted.0.fetch_add(1, SeqCst);
                wait_until("the time-out", is_cancelled);
            });
            counted.1.fetch_add(1, SeqCst);
            Ok(results?.len())
        });
        let outcome = engine.run(builder.build().unwrap(), ()).await.unwrap();
        assert!(outcome.error().unwrap().to_string().contains("timed out"), "{lane:?}");
        let ended = Arc::clone(&n_ended);
        tokio::task::spawn_blocking(move || wait_until("the body's end", || ended.load(SeqCst) == 1))
            .await
            .unwrap();
        // One on each thread was under way; a third may have passed its last look before.
        assert!((1..=4).contains(&n_begun.load(SeqCst)), "{lane:?}: {} have begun", n_begun.load(SeqCst));
        engine.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "current_thread")]
async fn tokio_goes_on_while_tasks_compute() {
    // The only thread of tokio ticks; each body that computes ends after it has seen ten ticks.
    let engine = engine(2).await;
    let ticks = Arc::new(AtomicUsize::new(0));
    let mut builder = Workflow::builder("ticker");
    for lane in LANES {
        let ticks = Arc::clone(&ticks);
        builder = computing(builder, TaskOptions::new(), lane, move |_| {
            let first = ticks.load(SeqCst);
            wait_until("ticks of tokio", || ticks.load(SeqCst) >= first + 10);
            Ok(())
        });
    }
    let run = engine.submit(builder.build().unwrap(), ()).await.unwrap();
    let ticker = tokio::spawn({
        let ticks = Arc::clone(&ticks);
        async move {
            loop {
                tokio::time::sleep(Duration::from_millis(1)).await;
                ticks.fetch_add(1, SeqCst);
            }
        }
    });
    run.wait().await.unwrap().ok().unwrap();
    ticker.abort();
    engine.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thread_that_waits_inside_rayon_may_take_up_another_body() {
    let engine = engine(2).await;
    let (is_waiting, other) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let waiting = (Arc::clone(&is_waiting), Arc::clone(&other));
    let first = computing(Workflow::builder("first"), TaskOptions::new(), Lane::Cpu, move |_| {
        let is_stolen = AtomicUsize::new(0);
        let (there, other) = &waiting;
        // The second closure runs on the other thread and keeps it; the first thread waits for it, and is
        // the only one that can execute the other run's body.
        rayon::join(
            || wait_until("the other thread", || is_stolen.load(SeqCst) == 1),
            || {
                is_stolen.store(1, SeqCst);
                there.notify_one();
                wait_until("the other body", || other.load(SeqCst) == 1);
            },
        );
        Ok(())
    });
    let counted = Arc::clone(&other);
    let second = computing(Workflow::builder("second"), TaskOptions::new(), Lane::Cpu, move |_| {
        counted.fetch_add(1, SeqCst);
        Ok(())
    });
    let first = engine.submit(first.build().unwrap(), ()).await.unwrap();
    is_waiting.notified().await;
    engine.run(second.build().unwrap(), ()).await.unwrap().ok().unwrap();
    first.wait().await.unwrap().ok().unwrap();
    engine.shutdown().await.unwrap();
}
