//! Tasks that go step by step, beside what else a run has: the context, failures that are mended.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(unreachable_pub, reason = "tasks are written here as a user writes them")]

mod stores;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anio::prelude::*;
use anio::run::TaskRunStatus;
use stores::{on_every_store, on_sqlite_file};

#[derive(Clone, Default)]
struct IsMended(Arc<AtomicBool>);

#[workflow]
mod source {
    use super::*;

    #[task]
    pub async fn number(previous: Previous<u32>, is_mended: State<IsMended>) -> Result<Option<u32>> {
        let number = previous.0.map_or(1, |number| number + 1);
        if number == 4 && !is_mended.0.0.load(Ordering::SeqCst) {
            return Err(TaskError::fatal("the source is gone"));
        }
        Ok((number <= 6).then_some(number))
    }

    #[task]
    pub async fn square(number: Each<u32>) -> Result<u32> {
        Ok(*number * *number)
    }

    #[task]
    pub async fn total(square: Vec<u32>) -> Result<u32> {
        Ok(square.iter().sum())
    }
}

#[workflow]
mod pages {
    use super::*;

    #[task]
    pub async fn before(context: &mut Context) -> Result<()> {
        context.insert("folder", "reports")?;
        Ok(())
    }

    /// Each writes how far it has come, and a key of its own.
    #[task(after(before))]
    pub async fn page(previous: Previous<u32>, context: &mut Context) -> Result<Option<u32>> {
        assert!(!context.contains_key("cursor"), "a step sees what was there before the steps");
        let number = previous.0.map_or(0, |number| number + 1);
        context.insert("cursor", number)?;
        context.insert(format!("page {number}"), number)?;
        Ok((number < 3).then_some(number))
    }

    #[task]
    pub async fn print(page: Each<u32>, context: &Context) -> Result<String> {
        assert!(!context.contains_key("cursor"), "whoever takes pages as they come sees what the steps saw");
        Ok(format!("{}/{}", context.get::<String>("folder")?, *page))
    }

    #[task]
    pub async fn last(print: &[String], context: &Context) -> Result<(u32, Vec<u32>)> {
        let pages: Result<Vec<u32>, _> =
            (0..4).map(|number| context.get(&format!("page {number}"))).collect();
        assert_eq!(print, ["reports/0", "reports/1", "reports/2"]);
        Ok((context.get("cursor")?, pages?))
    }
}

#[test]
fn a_run_goes_on_from_the_step_that_failed() {
    on_sqlite_file(async |url| {
        let is_mended = IsMended::default();
        let engine = Engine::builder().store(url).state(is_mended.clone()).start().await.unwrap();
        let run = engine.submit(source::workflow(), ()).await.unwrap();
        assert_eq!(run.wait().await.unwrap().error().unwrap().map_index, Some(3));
        is_mended.0.store(true, Ordering::SeqCst);
        let again = engine.retry_failed(run.id()).await.unwrap();
        let outcome = again.wait().await.unwrap().ok().unwrap();
        assert_eq!(outcome.output::<source::number>().unwrap(), [1, 2, 3, 4, 5, 6]);
        assert_eq!(outcome.output::<source::total>().unwrap(), 91);
        // What had succeeded was not done again; the step that failed was, once.
        let tasks = again.tasks().await.unwrap();
        let tried_again: Vec<_> = tasks.iter().filter(|task| task.attempts > 1).collect();
        let names: Vec<_> = tried_again.iter().map(|task| (task.name.as_str(), task.map_index)).collect();
        assert_eq!(names, [("number", Some(3))]);
        assert!(tasks.iter().all(|task| task.status == TaskRunStatus::Succeeded));
        engine.shutdown().await.unwrap();
    });
}

#[test]
fn one_step_done_again_is_followed_by_all_after_it() {
    on_every_store(async |url| {
        let is_mended = IsMended(Arc::new(AtomicBool::new(true)));
        let engine = Engine::builder().store(url).state(is_mended).start().await.unwrap();
        let run = engine.submit(source::workflow(), ()).await.unwrap();
        run.wait().await.unwrap().ok().unwrap();
        let again = engine.clear_element(run.id(), "number", 2).await.unwrap();
        assert_eq!(again.wait().await.unwrap().ok().unwrap().output::<source::total>().unwrap(), 91);
        let tasks = again.tasks().await.unwrap();
        let attempts = |name: &str| {
            let of_name = tasks.iter().filter(|task| task.name == name);
            of_name.map(|task| task.attempts).collect::<Vec<_>>()
        };
        assert_eq!(attempts("number"), [1, 1, 2, 2, 2, 2, 2]);
        assert_eq!(attempts("square"), [2; 6]);
        assert_eq!(attempts("total"), [2]);
        engine.shutdown().await.unwrap();
    });
}

#[test]
fn what_is_seen_of_the_context_does_not_depend_on_how_far_the_steps_have_come() {
    on_every_store(async |url| {
        let engine = Engine::builder().store(url).start().await.unwrap();
        let outcome = engine.run(pages::workflow(), ()).await.unwrap().ok().unwrap();
        assert_eq!(outcome.output::<pages::last>().unwrap(), (3, vec![0, 1, 2, 3]));
        assert_eq!(outcome.context().get::<u32>("cursor").unwrap(), 3);
        engine.shutdown().await.unwrap();
    });
}
