//! Named resources and rates: what a worker starts at one time, and how often.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod stores;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anio::prelude::*;
use anio::run::TaskRunStatus;
use anio::{EngineBuilder, Error, Lane, WorkflowBuilder};
use stores::on_every_store;
use tokio::sync::Notify;

/// What bodies hold at one time, and the most that they ever held.
#[derive(Default)]
struct Held(Mutex<BTreeMap<&'static str, (u32, u32)>>);

impl Held {
    fn take(&self, needs: &[(&'static str, u32)]) {
        let mut held = self.0.lock().unwrap();
        for (name, units) in needs {
            let (now, most) = held.entry(*name).or_default();
            *now += units;
            *most = (*most).max(*now);
        }
    }

    fn give_back(&self, needs: &[(&'static str, u32)]) {
        let mut held = self.0.lock().unwrap();
        for (name, units) in needs {
            held.get_mut(name).unwrap().0 -= units;
        }
    }

    fn most(&self, name: &str) -> u32 {
        self.0.lock().unwrap()[name].1
    }
}

#[test]
fn bodies_never_hold_more_of_a_resource_than_there_is() {
    on_every_store(async |url| {
        let held = Arc::new(Held::default());
        let mut builder = Workflow::builder("weights");
        for i in 0..60_u32 {
            let needs: Vec<_> =
                [("memory", 1 + i % 5), ("gpu", i % 3)].into_iter().filter(|(_, units)| *units > 0).collect();
            let lane = [Lane::Async, Lane::Cpu, Lane::Blocking][i as usize % 3];
            let mut options = TaskOptions::new().lane(lane);
            for (name, units) in &needs {
                options = options.needs(*name, *units);
            }
            let held = Arc::clone(&held);
            builder = builder.task(format!("t{i}"), options, move |_| {
                let (held, needs) = (Arc::clone(&held), needs.clone());
                async move {
                    held.take(&needs);
                    tokio::task::yield_now().await;
                    std::thread::sleep(Duration::from_millis(1));
                    held.give_back(&needs);
                    // Units come back however a body ends.
                    assert!(i % 20 != 7, "this one panics");
                    if i % 20 == 13 { Err(TaskError::Failed("this one fails".into())) } else { Ok(i) }
                }
            });
        }
        let engine = Engine::builder()
            .store(url)
            .concurrency(16)
            .cpu_threads(2)
            .resource("memory", 5)
            .resource("gpu", 2)
            .start()
            .await
            .unwrap();
        let outcome = engine.run(builder.build().unwrap(), ()).await.unwrap();
        assert_eq!(outcome.tasks().iter().filter(|task| task.attempts == 1).count(), 60);
        assert_eq!((held.most("memory"), held.most("gpu")), (5, 2));
        engine.shutdown().await.unwrap();
    });
}

#[test]
fn a_task_that_waits_for_a_resource_holds_no_slot() {
    on_every_store(async |url| {
        let (freed, order) = (Arc::new(Notify::new()), Arc::new(Mutex::new(Vec::new())));
        let gpu = |priority| TaskOptions::new().needs("gpu", 1).priority(priority);
        let task = |builder: WorkflowBuilder, name: &'static str, options, waits: bool, frees: bool| {
            let (freed, order) = (Arc::clone(&freed), Arc::clone(&order));
            builder.task(name, options, move |_| {
                let (freed, order) = (Arc::clone(&freed), Arc::clone(&order));
                async move {
                    if waits {
                        freed.notified().await;
                    }
                    if frees {
                        freed.notify_one();
                    }
                    order.lock().unwrap().push(name);
                    Ok::<_, TaskError>(())
                }
            })
        };
        let mut builder = Workflow::builder("slots");
        builder = task(builder, "has_the_gpu", gpu(9), true, false);
        builder = task(builder, "wants_the_gpu", gpu(5), false, false);
        builder = task(builder, "wants_it_too", gpu(5), false, false);
        builder = task(builder, "wants_nothing", TaskOptions::new(), false, true);
        let engine = Engine::builder().store(url).concurrency(2).resource("gpu", 1).start().await.unwrap();
        let outcome = engine.run(builder.build().unwrap(), ()).await.unwrap();
        assert!(outcome.is_success());
        let order = order.lock().unwrap().clone();
        assert_eq!(order[2..], ["wants_the_gpu", "wants_it_too"]);
        engine.shutdown().await.unwrap();
    });
}

#[test]
fn a_worker_that_stops_while_a_rate_is_shut_leaves_the_rest_for_the_next() {
    on_every_store(async |url| {
        if url.contains("memory:") {
            return; // A store that ends with its process.
        }
        let begun = Arc::new(AtomicU32::new(0));
        let workflow = || {
            let mut builder = Workflow::builder("hourly");
            for i in 0..3 {
                let begun = Arc::clone(&begun);
                let options = TaskOptions::new().needs("api", 1);
                builder = builder.task(format!("t{i}"), options, move |_| {
                    begun.fetch_add(1, Ordering::SeqCst);
                    async { Ok::<_, TaskError>(()) }
                });
            }
            builder.build().unwrap()
        };
        let engine = Engine::builder().store(url.clone()).resource_rate("api", "1/h").start().await.unwrap();
        let run = engine.submit(workflow(), ()).await.unwrap().id();
        while begun.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        engine.shutdown().await.unwrap();
        assert_eq!(begun.load(Ordering::SeqCst), 1);

        let engine = Engine::builder()
            .store(url)
            .workflow(workflow())
            .resource_rate("api", "1000000/s")
            .start()
            .await
            .unwrap();
        let outcome = engine.run_handle(run).await.unwrap().wait().await.unwrap();
        assert!(outcome.is_success());
        assert_eq!(begun.load(Ordering::SeqCst), 3);
        engine.shutdown().await.unwrap();
    });
}

#[test]
fn starts_are_no_more_frequent_than_their_rate() {
    on_every_store(async |url| {
        let mut builder = Workflow::builder("paced");
        for i in 0..6 {
            let options = TaskOptions::new().needs("api", 1);
            builder = builder.task(format!("t{i}"), options, |_| async { Ok::<_, TaskError>(()) });
        }
        let engine = Engine::builder().store(url).resource_rate("api", "20/s").start().await.unwrap();
        let begun = Instant::now();
        let outcome = engine.run(builder.build().unwrap(), ()).await.unwrap();
        assert!(outcome.is_success());
        assert!(begun.elapsed() >= Duration::from_millis(250), "five intervals of 50 ms");
        engine.shutdown().await.unwrap();
    });
}

#[test]
fn a_task_that_could_never_start_is_refused_wherever_its_workflow_comes_in() {
    on_every_store(async |url| {
        let needs = |n: u32| {
            let options = TaskOptions::new().needs("gpu", n);
            Workflow::builder("training")
                .task("train", options, |_| async { Ok::<_, TaskError>(()) })
                .build()
                .unwrap()
        };
        let builder = || Engine::builder().store(url.clone());
        let error = builder().workflow(needs(1)).start().await.unwrap_err();
        assert!(
            matches!(error, Error::MissingResource { needs: 1, has: 0, suggestion: None, .. }),
            "{error}"
        );
        let error = builder().resource("gpus", 1).workflow(needs(1)).start().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "workflow \"training\": task \"train\" needs 1 of resource \"gpu\", and this engine has 0; did you mean \
             \"gpus\"?; add `.resource(\"gpu\", 1)` to its builder, or let the task need less"
        );
        let engine = builder().resource("gpu", 2).start().await.unwrap();
        let error = engine.submit(needs(3), ()).await.unwrap_err();
        assert!(
            matches!(error, Error::MissingResource { needs: 3, has: 2, suggestion: None, .. }),
            "{error}"
        );
        let error = engine.register(needs(3)).await.unwrap_err();
        assert!(matches!(error, Error::MissingResource { .. }), "{error}");
        assert!(engine.run(needs(2), ()).await.unwrap().is_success());
        engine.shutdown().await.unwrap();

        for (builder, problem) in [
            (
                builder().resource("gpu", 0),
                "engine option resource: \"gpu\" has 0 units; it may have 1 to 4294967295",
            ),
            (
                builder().resource_rate("api", "often"),
                "engine option resource_rate: of \"api\": \"often\" is no rate; write how many per second, minute or \
                 hour: \"10/s\", \"90/min\", \"1000/h\" (1 to 1000000)",
            ),
        ] {
            assert_eq!(builder.start().await.unwrap_err().to_string(), problem);
        }
    });
}

/// Counts how many bodies of a pool are at work, and the most that ever were.
#[derive(Default)]
struct AtWork {
    now: AtomicU32,
    most: AtomicU32,
}

impl AtWork {
    /// Is at work until so many have been at one time, or for so long that they never will.
    fn work(&self, n_threads: u32) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        let given_up = Instant::now() + Duration::from_secs(30);
        while self.most.load(Ordering::SeqCst) < n_threads && Instant::now() < given_up {
            std::thread::yield_now();
        }
        std::thread::sleep(Duration::from_micros(200)); // For those who should not be there.
        self.now.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn a_named_pool_works_on_as_many_bodies_as_it_has_threads_and_never_more() {
    on_every_store(async |url| {
        let pools = [("images", 3), ("sound", 1)];
        let at_work: [Arc<AtWork>; 2] = std::array::from_fn(|_| Arc::default());
        let mut builder = Workflow::builder("media");
        for i in 0..40_usize {
            let (name, n_threads) = pools[i % 2];
            let at_work = Arc::clone(&at_work[i % 2]);
            let options = TaskOptions::new().lane(Lane::Cpu).pool(name);
            builder = builder.task(format!("t{i}"), options, move |_| {
                let at_work = Arc::clone(&at_work);
                async move {
                    // What is parallel in the body is on the threads of its pool, too.
                    assert_eq!(anio::parallel::Pool::current().n_threads(), n_threads);
                    assert_eq!(rayon::current_num_threads(), n_threads);
                    at_work.work(u32::try_from(n_threads).unwrap());
                    assert!(i != 20, "a panic costs no thread");
                    Ok::<_, TaskError>(())
                }
            });
        }
        let workflow = builder.build().unwrap();
        // The worker's own pool, of one thread, is no bound for them; a second engine has pools of its own.
        let engine = Engine::builder().cpu_threads(1).pool("images", 3).pool("sound", 1);
        let engine = engine.store(url).start().await.unwrap();
        let second = Engine::builder().store("memory:").pool("images", 1).start().await.unwrap();
        let error = second.submit(workflow.clone(), ()).await.unwrap_err();
        assert!(matches!(error, Error::MissingPool { suggestion: None, .. }), "{error}");
        let outcome = engine.run(workflow, ()).await.unwrap();
        let ended = outcome.tasks().iter().filter(|task| task.status == TaskRunStatus::Succeeded).count();
        assert_eq!(ended, 39);
        assert_eq!(at_work.each_ref().map(|pool| pool.most.load(Ordering::SeqCst)), [3, 1]);
        second.shutdown().await.unwrap();
        engine.shutdown().await.unwrap();
    });
}

#[test]
fn a_pool_is_for_what_computes_and_has_threads() {
    let on = |lane| {
        let options = TaskOptions::new().lane(lane).pool("images");
        Workflow::builder("media").task("shrink", options, |_| async { Ok::<_, TaskError>(()) }).build()
    };
    assert!(on(Lane::Cpu).is_ok());
    for lane in [Lane::Async, Lane::Blocking] {
        let error = on(lane).unwrap_err().to_string();
        assert!(error.contains("pool"), "{error}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for n_threads in [0, 1025] {
        let engine = Engine::builder().store("memory:").pool("images", n_threads);
        let error = runtime.block_on(engine.start()).unwrap_err();
        let message =
            format!("engine option pool: \"images\" has {n_threads} threads; it may have 1 to 1024");
        assert_eq!(error.to_string(), message);
    }
}

#[tokio::test]
async fn the_size_of_a_pool_may_be_written_as_text() {
    let n_cores = std::thread::available_parallelism().unwrap().get();
    let size = |name: &'static str| {
        let options = TaskOptions::new().lane(Lane::Cpu);
        let options = if name == "own" { options } else { options.pool(name) };
        (name, options)
    };
    let mut builder = Workflow::builder("sizes");
    for (name, options) in ["own", "three", "twice", "auto"].map(size) {
        builder = builder.task(name, options, |_| async {
            Ok::<_, TaskError>((rayon::current_num_threads(), anio::parallel::Pool::current().n_threads()))
        });
    }
    let engine = Engine::builder().store("memory:").cpu_threads("3x");
    let engine = engine.pool("three", "3").pool("twice", "2x").pool("auto", "auto").start().await.unwrap();
    let outcome = engine.run(builder.build().unwrap(), ()).await.unwrap();
    for (task, n_threads) in [("own", 3 * n_cores), ("three", 3), ("twice", 2 * n_cores), ("auto", n_cores)] {
        let seen: (usize, usize) = outcome.output_of(task).unwrap();
        assert_eq!(seen, (n_threads, n_threads), "{task}");
    }
    engine.shutdown().await.unwrap();

    let message = async |engine: EngineBuilder| engine.start().await.unwrap_err().to_string();
    let builder = || Engine::builder().store("memory:");
    let allowed =
        "is no number of threads; write a whole number, \"8\", so many for each core, \"2x\", or \"auto\"";
    assert_eq!(
        message(builder().cpu_threads("two")).await,
        format!("engine option cpu_threads: \"two\" {allowed}")
    );
    assert_eq!(
        message(builder().pool("images", "4 x")).await,
        format!("engine option pool: \"images\": \"4 x\" {allowed}")
    );
    assert_eq!(
        message(builder().pool("images", "0x")).await,
        "engine option pool: \"images\" has 0 threads; it may have 1 to 1024"
    );
}
