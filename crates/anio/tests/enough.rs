//! A map that has enough, done again in part.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(unreachable_pub, reason = "tasks are written here as a user writes them")]

mod stores;

use anio::prelude::*;
use anio::run::TaskRunStatus;
use stores::on_every_store;
use tokio::sync::Notify;

#[workflow]
mod first {
    use super::*;

    #[task]
    pub async fn numbers() -> Result<Vec<u32>> {
        Ok(vec![0, 1, 2])
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "`until` gives each output by reference")]
    fn one((): &mut (), _: &u32) -> ControlFlow<()> {
        ControlFlow::Break(())
    }

    /// The second begins and never returns; the first returns when it has.
    #[task(until = one, concurrency = 2)]
    pub async fn number(numbers: Each<u32>, begun: State<Notify>) -> Result<u32> {
        if *numbers == 0 {
            begun.notified().await;
        } else {
            begun.notify_one();
            std::future::pending::<()>().await;
        }
        Ok(*numbers)
    }
}

#[test]
fn what_was_under_way_when_there_was_enough_counts_its_attempts_on_when_some_is_done_again() {
    on_every_store(async |url| {
        let engine = Engine::builder().store(url).state(Notify::new()).start().await.unwrap();
        let mut run = engine.submit(first::workflow(), ()).await.unwrap();
        for n in 1..=3 {
            let outcome = run.wait().await.unwrap().ok().unwrap();
            assert_eq!(outcome.output::<first::number>().unwrap(), [0]);
            let tasks = run.tasks().await.unwrap();
            let elements: Vec<_> = tasks.iter().filter(|task| task.name == "number").collect();
            let ended: Vec<_> = elements.iter().map(|task| (task.status, task.attempts)).collect();
            let (done, skipped) = (TaskRunStatus::Succeeded, TaskRunStatus::Skipped);
            assert_eq!(ended, [(done, n), (skipped, n), (skipped, 0)]);
            run = engine.clear_element(run.id(), "number", 0).await.unwrap();
        }
        run.wait().await.unwrap().ok().unwrap();
        engine.shutdown().await.unwrap();
    });
}
