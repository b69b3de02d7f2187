//! Callbacks, and conditions that are functions, from the attributes to what they do, on every store.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(unreachable_pub, reason = "tasks are written here as a user writes them")]
#![expect(clippy::unused_async, reason = "callbacks are async, whether they wait or not")]

mod stores;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anio::Request;
use anio::TaskCall;
use anio::prelude::*;
use anio::run::{FactKind, TaskRunStatus};
use anio::task::{Callback, Ending};
use anio_store::record::Requested;
use anio_store::{Store, StoreOptions};
use stores::{on_every_store, on_sqlite_file};
use tokio::sync::Notify;

/// What was called back, by run: the tests of this file run side by side.
static CALLS: Mutex<Option<HashMap<String, Vec<String>>>> = Mutex::new(None);

fn note(context: &Context, call: String) {
    let run: String = context.get("run").unwrap();
    CALLS.lock().unwrap().get_or_insert_default().entry(run).or_default().push(call);
}

fn calls(run: &str) -> Vec<String> {
    CALLS.lock().unwrap().get_or_insert_default().remove(run).unwrap_or_default()
}

async fn well(task: &str, context: &Context) -> Result<()> {
    let made: Option<u32> = context.get("made").ok();
    note(context, format!("{task} succeeded, made {made:?}"));
    Ok(())
}

async fn badly(task: &str, error: &TaskError, context: &Context) -> Result<()> {
    note(context, format!("{task} failed: {error}"));
    Err(TaskError::message("and so does its callback"))
}

async fn panics(task: &str, _: &TaskError, context: &Context) -> Result<()> {
    note(context, format!("{task} panics"));
    panic!("a callback panics");
}

static N_ATTEMPTS: AtomicU32 = AtomicU32::new(0);

#[workflow(on_success = well, on_failure = badly)]
mod called {
    use super::*;

    #[task(on_success = well, on_failure = badly)]
    pub async fn makes(context: &mut Context) -> Result<()> {
        context.insert("made", 7)?;
        Ok(())
    }

    #[task(after(makes), on_success = well, on_failure = badly, retry(attempts = 2))]
    pub async fn errs() -> Result<()> {
        N_ATTEMPTS.fetch_add(1, Ordering::SeqCst);
        Err(TaskError::message("no"))
    }

    #[task(on_failure = panics)]
    pub async fn falls() -> Result<()> {
        panic!("on purpose");
    }

    #[task(timeout = "20ms", on_failure = badly)]
    pub async fn sleeps() -> Result<()> {
        std::future::pending().await
    }

    #[task(after(errs), on_success = well, on_failure = badly)]
    pub async fn skipped() -> Result<()> {
        Ok(())
    }
}

#[test]
fn each_end_is_called_back_once_and_callbacks_change_nothing() {
    on_every_store(async |url| {
        let engine = Engine::open(&url).await.unwrap();
        let key = format!("each end on {url}");
        let outcome = engine.run(called::workflow(), json!({ "run": key })).await.unwrap();
        assert_eq!(outcome.status(), RunStatus::Failed);
        let mut calls = calls(&key);
        let last = calls.pop().unwrap();
        assert!(last.starts_with("called failed: "), "the run's own comes last: {last}");
        calls.sort();
        assert_eq!(
            calls,
            [
                "errs failed: no",
                "falls panics",
                "makes succeeded, made Some(7)",
                "sleeps failed: timed out after 20ms",
            ]
        );
        let facts = engine.store().facts(outcome.run_id()).await.unwrap();
        assert_eq!(facts.iter().filter(|fact| fact.kind == FactKind::Called).count(), 4);
        engine.shutdown().await.unwrap();
    });
    assert_eq!(N_ATTEMPTS.load(Ordering::SeqCst) % 2, 0, "only the last attempt is called back");
}

#[test]
fn a_callback_that_its_worker_did_not_live_to_end_is_called_again_before_the_run_ends() {
    call_again_after_a_crash("called again", None, RunStatus::Succeeded);
}

#[test]
fn a_callback_that_a_crash_left_is_called_though_the_run_was_cancelled_meanwhile() {
    call_again_after_a_crash("called though cancelled", Some(Request::Cancel), RunStatus::Cancelled);
}

/// Stops a worker in the middle of a callback, asks something of the run, and lets the next worker have it.
fn call_again_after_a_crash(name: &'static str, asked: Option<Request>, becomes: RunStatus) {
    on_sqlite_file(async |url| {
        let (n_calls, begun) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
        let (n, rings) = (Arc::clone(&n_calls), Arc::clone(&begun));
        let flow = Workflow::builder(name)
            .task("only", TaskOptions::new(), |_: TaskCall| async { Ok::<_, TaskError>(()) })
            .on_success(Callback::new(move |ending: Ending| {
                assert!(ending.failure.is_none());
                let is_first = n.fetch_add(1, Ordering::SeqCst) == 0;
                rings.notify_one();
                async move {
                    if is_first {
                        std::future::pending::<()>().await;
                    }
                    Ok(())
                }
            }))
            .build()
            .unwrap();
        let open = async || {
            let builder = Engine::builder().store(&url).workflow(flow.clone());
            builder.shutdown_grace(Duration::ZERO).start().await.unwrap()
        };
        let engine = open().await;
        let run = engine.submit(flow.clone(), ()).await.unwrap();
        begun.notified().await;
        assert_eq!(run.tasks().await.unwrap()[0].status, TaskRunStatus::Succeeded);
        assert_eq!(run.status().await.unwrap(), RunStatus::Running, "it has not ended before the callback");
        engine.shutdown().await.unwrap();
        if let Some(request) = asked {
            let store = Store::open(&url, StoreOptions::default()).await.unwrap();
            assert_eq!(store.request(run.id(), request).await.unwrap(), Requested::Sent);
        }
        let engine = open().await;
        let outcome = engine.run_handle(run.id()).await.unwrap().wait().await.unwrap();
        assert_eq!(outcome.status(), becomes);
        assert_eq!(n_calls.load(Ordering::SeqCst), 2);
        assert_eq!(outcome.tasks()[0].attempts, 1, "the task itself is not executed again");
        engine.shutdown().await.unwrap();
    });
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "such a function takes what its task takes, by reference"
)]
fn is_large(rows: &u32) -> bool {
    *rows > 1000
}

#[workflow]
mod sized {
    use super::*;

    #[task]
    pub async fn rows(input: Input<u32>) -> Result<u32> {
        Ok(*input)
    }

    #[task(when = is_large)]
    pub async fn in_parts(rows: u32) -> Result<String> {
        Ok(format!("{rows} in parts"))
    }

    #[task]
    pub async fn after_parts(in_parts: String) -> Result<usize> {
        Ok(in_parts.len())
    }
}

#[test]
fn a_task_whose_own_function_says_no_is_skipped_with_all_that_need_it() {
    on_every_store(async |url| {
        let engine = Engine::open(&url).await.unwrap();
        let large = engine.run(sized::workflow(), 2000_u32).await.unwrap().ok().unwrap();
        assert_eq!(large.output::<sized::in_parts>().unwrap(), "2000 in parts");
        let small = engine.run(sized::workflow(), 10_u32).await.unwrap().ok().unwrap();
        let states: Vec<_> = small.tasks().into_iter().map(|task| task.status).collect();
        assert_eq!(states, [TaskRunStatus::Succeeded, TaskRunStatus::Skipped, TaskRunStatus::Skipped]);
        let reasons: Vec<_> = small.tasks().into_iter().filter_map(|task| task.skip_reason).collect();
        assert!(reasons[0].contains("is_large"), "{reasons:?}");
        assert_eq!(reasons[1], r#"task "in_parts" was skipped"#);
        engine.shutdown().await.unwrap();
    });
}
