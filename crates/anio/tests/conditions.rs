//! Conditions and settled dependencies, from the attributes to the outcome, on every store.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(unreachable_pub, reason = "tasks are written here as a user writes them")]

mod stores;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anio::error::FailureKind;
use anio::prelude::*;
use anio::run::{FactKind, TaskRunStatus};
use anio::{Outcome, TaskSummary};
use serde::{Deserialize, Serialize};
use stores::{on_every_store, on_sqlite_file};
use tokio::sync::Notify;

fn summary(outcome: &Outcome, task: &str) -> TaskSummary {
    outcome.tasks().into_iter().find(|summary| summary.name == task).unwrap()
}

fn status(outcome: &Outcome, task: &str) -> TaskRunStatus {
    summary(outcome, task).status
}

fn broken(message: impl Into<String>) -> TaskError {
    TaskError::Failed(message.into().into())
}

#[workflow]
mod branches {
    use super::*;

    #[task]
    pub async fn count(rows: Input<u64>, context: &mut Context) -> Result<u64> {
        context.insert("rows", *rows)?;
        Ok(*rows)
    }

    #[task(after(count), when = value("rows", greater_than, 1000))]
    pub async fn in_parts() -> Result<String> {
        Ok("in parts".to_owned())
    }

    #[task(when = none(value("rows", greater_than, 1000)))]
    pub fn at_once(count: u64) -> Result<String> {
        Ok(format!("{count} at once"))
    }

    #[task(when = any(succeeded(in_parts), succeeded(at_once)))]
    pub fn join(in_parts: Settled<String>, at_once: Settled<&String>) -> Result<String> {
        Ok(in_parts.ok().or_else(|| at_once.ok().cloned()).unwrap_or_default())
    }

    #[task(dependencies = ["in_parts", "at_once"], trigger_rules = any(task_success("in_parts"), task_success("at_once")))]
    pub async fn keyed_join(context: &mut Context<serde_json::Value>) -> Result<(), TaskError> {
        let rows: u64 = context.get("rows")?;
        context.insert("seen", rows)?;
        Ok(())
    }

    #[task(after(in_parts, at_once), when = all(succeeded(in_parts), succeeded(at_once)))]
    pub fn both() -> Result<()> {
        Ok(())
    }

    #[task(after(both))]
    pub fn after_both() -> Result<()> {
        Ok(())
    }
}

#[test]
fn exactly_one_of_two_complementary_branches_runs() {
    on_every_store(async |url| {
        let engine = Engine::open(url).await.unwrap();
        for (rows, runs, skipped, condition) in [
            (5000_u64, "in_parts", "at_once", r#"none(value("rows", greater_than, 1000))"#),
            (10, "at_once", "in_parts", r#"value("rows", greater_than, 1000)"#),
        ] {
            let run = engine.submit(branches::workflow(), rows).await.unwrap();
            let outcome = run.wait().await.unwrap();
            assert_eq!(outcome.status(), RunStatus::Succeeded);
            assert_eq!(status(&outcome, runs), TaskRunStatus::Succeeded);
            let other = summary(&outcome, skipped);
            assert_eq!((other.status, other.attempts), (TaskRunStatus::Skipped, 0));
            assert_eq!(other.skip_reason.unwrap(), format!("its condition does not hold: {condition}"));
            let facts = engine.store().facts(run.id()).await.unwrap();
            let reasons = facts.iter().filter(|fact| matches!(fact.kind, FactKind::Skipped { .. }));
            let tasks: Vec<_> = reasons.map(|fact| fact.task.to_string()).collect();
            assert_eq!(tasks, [skipped, "both"], "a decision is a fact, what follows from it is none");
        }
        engine.shutdown().await.unwrap();
    });
}

#[test]
fn a_join_by_any_goes_on_when_the_other_side_is_skipped() {
    on_every_store(async |url| {
        let engine = Engine::open(url).await.unwrap();
        for (rows, expected) in [(5000_u64, "in parts"), (10, "10 at once")] {
            let outcome = engine.run(branches::workflow(), rows).await.unwrap();
            assert_eq!(outcome.output::<branches::join>().unwrap(), expected);
            assert_eq!(outcome.context().get::<u64>("seen").unwrap(), rows);
            assert_eq!(status(&outcome, "both"), TaskRunStatus::Skipped);
            let behind = summary(&outcome, "after_both");
            assert_eq!(behind.skip_reason.unwrap(), "task \"both\" was skipped");
        }
        engine.shutdown().await.unwrap();
    });
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Order {
    id: u32,
    handler_fails: bool,
}

#[workflow]
mod handled {
    use super::*;

    #[task(retry(attempts = 2))]
    pub async fn charge(order: Input<Order>) -> Result<u32> {
        Err(broken(format!("the card of order {} is refused", order.id)))
    }

    #[task]
    pub async fn refund(charge: Settled<u32>, order: Input<&Order>) -> Result<String> {
        if order.handler_fails {
            return Err(broken("the handler failed too"));
        }
        match charge {
            Settled::Failed(failure, attempts) if failure.kind == FailureKind::Error => {
                Ok(format!("{} after {attempts} attempts", failure.message))
            }
            other => Ok(format!("{other:?}")),
        }
    }

    #[task]
    pub fn ship(charge: u32) -> Result<u32> {
        Ok(charge)
    }

    #[task]
    pub fn notify(ship: Settled<u32>) -> Result<String> {
        match ship {
            Settled::Skipped(reason) => Ok(reason),
            other => Ok(format!("{other:?}")),
        }
    }
}

#[workflow]
mod unhandled {
    use super::*;

    #[task]
    pub async fn charge() -> Result<u32> {
        Err(broken("refused"))
    }

    // It is told of the failure, and is skipped for it: who does not succeed has handled nothing.
    #[task(after(charge), when = succeeded(charge))]
    pub fn ship() -> Result<()> {
        Ok(())
    }

    // It runs, and has not asked.
    #[task(after(charge), when = always)]
    pub fn clean_up() -> Result<()> {
        Ok(())
    }
}

#[test]
fn a_handled_failure_leaves_the_run_succeeded_and_an_unhandled_one_does_not() {
    on_every_store(async |url| {
        let engine = Engine::open(url).await.unwrap();
        let order = Order { id: 7, handler_fails: false };
        let outcome = engine.run(handled::workflow(), order).await.unwrap();
        assert_eq!(outcome.status(), RunStatus::Succeeded);
        assert!(outcome.error().is_none());
        let handled = outcome.handled_failures();
        assert_eq!(handled.len(), 1);
        assert_eq!(handled[0].task, *"charge");
        let told = outcome.output::<handled::refund>().unwrap();
        assert_eq!(told, "the card of order 7 is refused after 2 attempts");
        assert_eq!(outcome.output::<handled::notify>().unwrap(), "task \"charge\" failed");
        assert_eq!(status(&outcome, "charge"), TaskRunStatus::Failed);
        assert_eq!(status(&outcome, "ship"), TaskRunStatus::Skipped);

        let order = Order { id: 8, handler_fails: true };
        let outcome = engine.run(handled::workflow(), order).await.unwrap();
        assert_eq!(outcome.status(), RunStatus::Failed, "a handler that fails has handled nothing");
        let outcome = engine.run(unhandled::workflow(), ()).await.unwrap();
        assert_eq!(outcome.status(), RunStatus::Failed);
        assert_eq!(outcome.error().unwrap().task, *"charge");
        assert!(outcome.handled_failures().is_empty());
        assert_eq!(status(&outcome, "ship"), TaskRunStatus::Skipped);
        assert_eq!(status(&outcome, "clean_up"), TaskRunStatus::Succeeded);
        engine.shutdown().await.unwrap();
    });
}

#[workflow]
mod fallback {
    use super::*;

    #[task(id = "prepare")]
    pub async fn prepare(context: &mut Context<serde_json::Value>) -> Result<(), TaskError> {
        context.insert("prepared", true)?;
        Ok(())
    }

    #[task(id = "primary", dependencies = ["prepare"])]
    pub async fn primary(context: &mut Context<serde_json::Value>) -> Result<(), TaskError> {
        context.insert("half_done", true)?;
        Err(TaskError::fatal("the source is gone"))
    }

    #[task(id = "other", dependencies = ["prepare"])]
    pub async fn other(context: &mut Context<serde_json::Value>) -> Result<(), TaskError> {
        context.insert("other", "written")?;
        Ok(())
    }

    #[task(dependencies = ["primary", "other"], trigger_rules = all(
        task_failed("primary"),
        context_value("prepared", equals, true),
        context_value("half_done", not_exists),
        context_value("other", contains, "writ"),
    ))]
    pub async fn secondary(
        order: Input<Order>,
        context: &Context<serde_json::Value>,
    ) -> Result<Vec<String>, TaskError> {
        let other: String = context.get("other")?;
        Ok(vec![order.id.to_string(), context.get::<bool>("prepared")?.to_string(), other])
    }
}

#[test]
fn a_fallback_gets_the_input_and_the_keys_that_settled_ancestors_wrote() {
    on_every_store(async |url| {
        let engine = Engine::open(url).await.unwrap();
        let outcome = engine.run(fallback::workflow(), Order { id: 3, handler_fails: false }).await.unwrap();
        let seen = outcome.output::<fallback::secondary>();
        assert_eq!(
            seen.unwrap_or_else(|error| panic!("{error}\n{:?}", outcome.tasks())),
            ["3", "true", "written"]
        );
        assert!(!outcome.context().contains_key("half_done"), "a failed attempt has written nothing");
        engine.shutdown().await.unwrap();
    });
}

#[workflow]
mod by_input {
    use super::*;

    #[task(when = all(value("kind", equals, "large"), value("n", less_than, 2.5)))]
    pub async fn first() -> Result<u32> {
        Ok(1)
    }

    #[task]
    pub async fn second(first: u32) -> Result<u32> {
        Ok(first + 1)
    }
}

#[test]
fn the_first_task_can_be_conditional_on_the_input() {
    on_every_store(async |url| {
        let engine = Engine::open(url).await.unwrap();
        let outcome = engine.run(by_input::workflow(), json!({"kind": "large", "n": 2})).await.unwrap();
        assert_eq!(outcome.output::<by_input::second>().unwrap(), 2);
        let outcome = engine.run(by_input::workflow(), json!({"kind": "large", "n": 3})).await.unwrap();
        assert_eq!(outcome.status(), RunStatus::Succeeded);
        assert!(outcome.tasks().iter().all(|task| task.status == TaskRunStatus::Skipped));
        engine.shutdown().await.unwrap();
    });
}

#[workflow]
mod mapped {
    use super::*;

    #[task]
    pub fn numbers(n: Input<u32>) -> Result<Vec<u32>> {
        Ok((0..*n).collect())
    }

    #[task]
    pub async fn check(numbers: Each<u32>) -> Result<u32> {
        if *numbers == 3 { Err(broken("three is refused")) } else { Ok(*numbers * 10) }
    }

    #[task]
    pub fn report(check: Settled<&[u32]>) -> Result<String> {
        match check {
            Settled::Succeeded(list) => Ok(format!("{list:?}")),
            Settled::Failed(failure, attempts) => Ok(format!("{failure} ({attempts})")),
            Settled::Skipped(reason) => Ok(reason),
        }
    }

    #[task(when = failed(check))]
    pub fn again(numbers: Each<u32>, check: Settled<Vec<u32>>) -> Result<u32> {
        Ok(*numbers + u32::from(check.is_succeeded()))
    }
}

#[test]
fn a_mapped_dependency_settles_as_its_list_and_a_map_can_have_a_condition() {
    on_every_store(async |url| {
        let engine = Engine::open(url).await.unwrap();
        let outcome = engine.run(mapped::workflow(), 2_u32).await.unwrap();
        assert_eq!(outcome.output::<mapped::report>().unwrap(), "[0, 10]");
        assert_eq!(status(&outcome, "again"), TaskRunStatus::Skipped);
        let outcome = engine.run(mapped::workflow(), 5_u32).await.unwrap();
        assert_eq!(outcome.output::<mapped::report>().unwrap(), "three is refused (1)");
        assert_eq!(outcome.output::<mapped::again>().unwrap(), [0, 1, 2, 3, 4]);
        assert_eq!(outcome.status(), RunStatus::Succeeded);
        engine.shutdown().await.unwrap();
    });
}

/// What the handler of `resumed` is told by its test.
struct Gate {
    attempts: AtomicU32,
    begun: Notify,
}

#[workflow]
mod resumed {
    use super::*;

    #[task]
    pub async fn source(context: &mut Context) -> Result<u32> {
        context.insert("before", 1)?;
        Ok(4)
    }

    #[task(retry(attempts = 2))]
    pub async fn load(source: u32, bodies: State<Arc<Bodies>>) -> Result<u32> {
        bodies.load.fetch_add(1, Ordering::SeqCst);
        Err(broken(format!("source {source} is broken")))
    }

    #[task(after(source), when = value("before", greater_than, 1))]
    pub async fn left_out(bodies: State<Arc<Bodies>>) -> Result<u32> {
        bodies.left_out.fetch_add(1, Ordering::SeqCst);
        Ok(1)
    }

    #[task(when = all(failed(load), skipped(left_out)))]
    pub async fn handler(
        load: Settled<u32>,
        left_out: Settled<u32>,
        n: Input<u32>,
        gate: State<Arc<Gate>>,
    ) -> Result<String> {
        if gate.attempts.fetch_add(1, Ordering::SeqCst) == 0 {
            gate.begun.notify_one();
            std::future::pending::<()>().await;
        }
        Ok(format!("{} {load:?} {left_out:?}", *n))
    }

    #[task]
    pub fn last(handler: &str) -> Result<usize> {
        Ok(handler.len())
    }
}

/// How often the bodies of `resumed` ran.
#[derive(Default)]
struct Bodies {
    load: AtomicU32,
    left_out: AtomicU32,
}

#[test]
fn a_run_whose_handler_was_cut_off_resumes_with_what_became_of_the_tasks_before_it() {
    on_sqlite_file(async |url| {
        let gate = Arc::new(Gate { attempts: AtomicU32::new(0), begun: Notify::new() });
        let bodies = Arc::new(Bodies::default());
        let open = async || {
            let builder = Engine::builder().store(&url);
            builder.state(Arc::clone(&gate)).state(Arc::clone(&bodies)).start().await.unwrap()
        };
        let engine = open().await;
        let run = engine.submit(resumed::workflow(), 9_u32).await.unwrap().id();
        gate.begun.notified().await;
        drop(engine);

        let engine = open().await;
        let outcome = engine.run_handle(run).await.unwrap().wait().await.unwrap();
        assert_eq!(outcome.status(), RunStatus::Succeeded);
        let told = outcome.output::<resumed::handler>().unwrap();
        assert!(told.starts_with("9 Failed(") && told.contains("source 4 is broken"), "{told}");
        assert!(told.contains(", 2) Skipped("), "{told}");
        assert_eq!(outcome.output::<resumed::last>().unwrap(), told.len());
        assert_eq!(gate.attempts.load(Ordering::SeqCst), 2);
        assert_eq!(outcome.handled_failures().len(), 1);
        assert_eq!(bodies.load.load(Ordering::SeqCst), 2, "its failure was durable");
        assert_eq!(bodies.left_out.load(Ordering::SeqCst), 0);
        engine.shutdown().await.unwrap();
    });
}

/// Tasks that fail, each tried three times at most.
#[workflow]
mod stubborn {
    use std::io;

    use super::*;

    fn unless_of_the_context(error: &TaskError) -> bool {
        !matches!(error, TaskError::ContextError { .. })
    }

    #[task(id = "refused", retry_attempts = 3, retry_condition = "transient")]
    pub async fn refused(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> {
        Err(io::Error::from(io::ErrorKind::ConnectionRefused).into())
    }

    #[task(id = "unreadable", retry_attempts = 3, retry_condition = "transient")]
    pub async fn unreadable(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> {
        Err(TaskError::ValidationFailed { message: "connection refused, it says".to_owned() })
    }

    #[task(id = "slow", retry_attempts = 3, retry_condition = "transient", timeout = "5ms")]
    pub async fn slow(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> {
        std::future::pending().await
    }

    #[task(id = "once", retry_attempts = 3, retry_condition = "never", timeout = "5ms")]
    pub async fn once(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> {
        std::future::pending().await
    }

    #[task(retry(attempts = 3), retry_condition = unless_of_the_context)]
    pub fn of_the_context() -> Result<()> {
        let error = anio::error::ContextError::InvalidKey { key: String::new() };
        Err(TaskError::ContextError { task_id: "of_the_context".to_owned(), error })
    }

    #[task(retry(attempts = 3), retry_condition = unless_of_the_context)]
    pub fn busy() -> Result<()> {
        Err(broken("busy"))
    }

    #[task(id = "gone", retry_attempts = 3, retry_condition = "all")]
    pub async fn gone(_context: &mut Context<serde_json::Value>) -> Result<(), TaskError> {
        Err(TaskError::fatal("gone"))
    }
}

#[test]
fn a_retry_condition_says_after_which_failures_a_task_is_tried_again() {
    on_every_store(async |url| {
        let engine = Engine::open(url).await.unwrap();
        let outcome = engine.run(stubborn::workflow(), ()).await.unwrap();
        assert_eq!(outcome.status(), RunStatus::Failed);
        let attempts = |task| summary(&outcome, task).attempts;
        assert_eq!(["refused", "slow", "busy"].map(attempts), [3, 3, 3]);
        assert_eq!(["unreadable", "once", "of_the_context", "gone"].map(attempts), [1, 1, 1, 1]);
        engine.shutdown().await.unwrap();
    });
}
