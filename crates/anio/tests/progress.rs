//! What tasks say of their progress, seen from outside while they run.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anio::parallel::ParMap;
use anio::prelude::*;
use anio::{Lane, TaskCall, TaskProgress};
use tokio::sync::Notify;

/// Looks until the run's progress is as wanted.
async fn seen(run: &RunHandle, is_so: impl Fn(&[TaskProgress]) -> bool) -> Vec<TaskProgress> {
    let started = Instant::now();
    loop {
        let progress = run.progress();
        if is_so(&progress) {
            return progress;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "waited too long: {progress:?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_running_task_reports_is_seen_and_gone_when_it_ends() {
    let engine = Engine::open("memory:").await.unwrap();
    let (go_on, kept) = (Arc::new(Notify::new()), Arc::new(Mutex::new(None)));
    let (waits, keeps) = (Arc::clone(&go_on), Arc::clone(&kept));
    let workflow = Workflow::builder("files")
        .task("load", TaskOptions::new(), move |call: TaskCall| {
            let (waits, keeps) = (Arc::clone(&waits), Arc::clone(&keeps));
            async move {
                let handle = call.handle();
                for done in 0..=3 {
                    handle.progress(done, 10);
                }
                *keeps.lock().unwrap() = Some(handle.clone());
                waits.notified().await;
                Ok::<_, TaskError>(())
            }
        })
        .build()
        .unwrap();
    let run = engine.submit(workflow.clone(), ()).await.unwrap();
    let progress = seen(&run, |progress| progress.first().is_some_and(|load| load.done == 3)).await;
    let load = &progress[0];
    assert_eq!((load.task.as_str(), load.map_index, load.attempt, load.what.as_str()), ("load", None, 1, ""));
    assert_eq!((progress.len(), load.done_at_first, load.total), (1, 0, Some(10)));
    assert!(load.since <= load.at);
    // Only its own run has it.
    let other = engine.submit(workflow, ()).await.unwrap();
    seen(&other, |progress| progress.len() == 1).await;
    assert_eq!(run.progress().len(), 1);

    go_on.notify_waiters();
    run.wait().await.unwrap().ok().unwrap();
    assert!(run.progress().is_empty());
    let handle = kept.lock().unwrap().take().unwrap();
    handle.progress(10, 10);
    assert!(run.progress().is_empty() && other.wait().await.unwrap().is_success());
    assert!(other.progress().is_empty(), "a handle that outlives its attempt reports nothing");
    engine.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn helpers_report_by_themselves() {
    let engine = Engine::builder().store("memory:").cpu_threads(1).start().await.unwrap();
    let is_released = Arc::new(AtomicBool::new(false));
    let waits = Arc::clone(&is_released);
    let options = TaskOptions::new().lane(Lane::Cpu);
    let workflow = Workflow::builder("pictures").task("resize", options, move |call: TaskCall| {
        let waits = Arc::clone(&waits);
        async move {
            call.handle().progress(1, 2);
            let items = (0..100).par_map(|n| {
                while n == 50 && !waits.load(SeqCst) {
                    thread::sleep(Duration::from_millis(1));
                }
            });
            Ok::<_, TaskError>(items?.len())
        }
    });
    let run = engine.submit(workflow.build().unwrap(), ()).await.unwrap();
    let progress = seen(&run, |progress| progress.len() == 2).await;
    assert_eq!((progress[0].what.as_str(), progress[0].done, progress[0].total), ("", 1, Some(2)));
    let par_map = &progress[1];
    assert_eq!((par_map.what.as_str(), par_map.total), ("par_map", Some(100)));
    assert!(par_map.done < 100);
    is_released.store(true, SeqCst);
    run.wait().await.unwrap().ok().unwrap();
    assert!(run.progress().is_empty());
    engine.shutdown().await.unwrap();
}
