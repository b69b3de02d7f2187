//! Trees over pairs, maps that end early and tasks that go step by step, executed.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(unreachable_pub, reason = "tasks are written here as a user writes them")]

mod stores;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anio::TaskSummary;
use anio::prelude::*;
use anio::run::TaskRunStatus;
use serde::{Deserialize, Serialize};
use stores::{on_every_store, on_sqlite_file};
use tokio::sync::Notify;

/// How many bodies were executed.
#[derive(Clone, Default)]
struct Executed {
    n: Arc<AtomicU64>,
    /// Tells of the body that stops at this number and never ends.
    stuck: Option<(u64, Arc<Notify>)>,
}

impl Executed {
    fn count(&self) {
        self.n.fetch_add(1, Ordering::SeqCst);
    }

    async fn count_or_stick(&self, number: u64) {
        if let Some((at, stuck)) = &self.stuck
            && *at == number
        {
            stuck.notify_one();
            std::future::pending::<()>().await;
        }
        self.count();
    }

    fn n(&self) -> u64 {
        self.n.load(Ordering::SeqCst)
    }
}

#[workflow]
mod tree {
    use super::*;

    #[task]
    pub fn numbers(n: Input<u64>) -> Result<Vec<u64>> {
        Ok((0..*n).collect())
    }

    #[task]
    pub fn sum(numbers: Pair<u64>, executed: State<Executed>) -> Result<u64> {
        executed.count();
        Ok(numbers.0 + numbers.1)
    }

    #[task]
    pub fn words(numbers: Each<u64>) -> Result<String> {
        Ok(numbers.to_string())
    }

    /// Not commutative: tells whether the order is kept.
    #[task]
    pub async fn sentence(words: Pair<&String>) -> Result<String> {
        Ok(format!("{} {}", words.0, words.1))
    }

    #[task]
    pub fn twice(sum: u64) -> Result<u64> {
        Ok(sum * 2)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "`until` gives each output by reference")]
fn is_enough(sum: &mut u64, square: &u64) -> ControlFlow<()> {
    *sum += square;
    if *sum > 1000 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

#[workflow]
mod squares {
    use super::*;

    #[task]
    pub fn numbers() -> Result<Vec<u64>> {
        Ok((1..=100).collect())
    }

    #[task(until = is_enough)]
    pub async fn square(numbers: Each<u64>, executed: State<Executed>) -> Result<u64> {
        executed.count_or_stick(*numbers).await;
        Ok(*numbers * *numbers)
    }

    #[task]
    pub fn total(square: &[u64]) -> Result<u64> {
        Ok(square.iter().sum())
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Item {
    number: u32,
}

#[workflow]
mod feed {
    use super::*;

    /// Gives the items 1 to 12; its input says after which the source breaks down.
    #[task]
    pub async fn item(
        previous: Previous<&Item>,
        last: Input<u32>,
        executed: State<Executed>,
    ) -> Result<Option<Item>> {
        let number = previous.0.map_or(1, |item| item.number + 1);
        executed.count_or_stick(u64::from(number)).await;
        if number > *last {
            return Err(TaskError::fatal("the source is gone"));
        }
        Ok((number <= 12).then_some(Item { number }))
    }

    #[task]
    pub fn mapped(item: Each<Item>) -> Result<u32> {
        Ok(item.number * 10)
    }

    #[task]
    pub fn total(mapped: Pair<u32>) -> Result<u32> {
        Ok(mapped.0 + mapped.1)
    }
}

#[workflow]
mod endless {
    use super::*;

    #[task]
    pub async fn number(previous: Previous<u64>) -> Result<Option<u64>> {
        Ok(Some(previous.0.unwrap_or_default() + 1))
    }

    #[task(until = is_enough)]
    pub fn square(number: Each<u64>) -> Result<u64> {
        Ok(*number * *number)
    }
}

#[workflow]
mod taken {
    use super::*;

    /// Goes on only when its first element has been taken.
    #[task(timeout = "30s")]
    pub async fn number(previous: Previous<u32>, taken: State<Notify>) -> Result<Option<u32>> {
        match previous.0 {
            None => Ok(Some(1)),
            Some(1) => {
                taken.notified().await;
                Ok(Some(2))
            }
            Some(_) => Ok(None),
        }
    }

    #[task]
    pub async fn take(number: Each<u32>, taken: State<Notify>) -> Result<u32> {
        taken.notify_one();
        Ok(*number)
    }
}

async fn engine(url: &str, concurrency: usize, executed: &Executed) -> Engine {
    Engine::builder()
        .store(url)
        .concurrency(concurrency)
        .state(executed.clone())
        .state(Notify::new())
        .shutdown_grace(Duration::ZERO)
        .start()
        .await
        .unwrap()
}

fn ended(tasks: &[TaskSummary], name: &str, status: TaskRunStatus) -> Vec<u32> {
    let of_name = tasks.iter().filter(|task| task.name == name && task.status == status);
    of_name.map(|task| task.map_index.unwrap_or(u32::MAX)).collect()
}

#[test]
fn a_thousand_numbers_become_one_in_a_tree() {
    on_every_store(async |url| {
        for concurrency in [1, 8] {
            let executed = Executed::default();
            let engine = engine(&url, concurrency, &executed).await;
            let outcome = engine.run(tree::workflow(), 1000).await.unwrap().ok().unwrap();
            assert_eq!(outcome.output::<tree::sum>().unwrap(), 499_500);
            assert_eq!(outcome.output::<tree::twice>().unwrap(), 999_000);
            let sentence: Vec<_> = (0..1000).map(|n| n.to_string()).collect();
            assert_eq!(outcome.output::<tree::sentence>().unwrap(), sentence.join(" "));
            assert_eq!(executed.n(), 999);
            engine.shutdown().await.unwrap();
        }
    });
}

#[test]
fn a_tree_over_one_element_is_that_element_and_over_none_is_skipped() {
    on_every_store(async |url| {
        let executed = Executed::default();
        let engine = engine(&url, 4, &executed).await;
        for (n, sum, sentence) in [(1, 0, "0"), (2, 1, "0 1"), (3, 3, "0 1 2")] {
            let run = engine.submit(tree::workflow(), n).await.unwrap();
            let outcome = run.wait().await.unwrap().ok().unwrap();
            assert_eq!(outcome.output::<tree::sum>().unwrap(), sum);
            assert_eq!(outcome.output::<tree::sentence>().unwrap(), sentence);
        }
        assert_eq!(executed.n(), 3);
        let outcome = engine.run(tree::workflow(), 0).await.unwrap().ok().unwrap();
        let tasks = outcome.tasks();
        for name in ["sum", "sentence", "twice"] {
            assert_eq!(ended(&tasks, name, TaskRunStatus::Skipped).len(), 1, "{name}");
        }
        engine.shutdown().await.unwrap();
    });
}

#[test]
fn a_map_that_has_enough_ends_and_the_rest_is_skipped() {
    // Of the squares in their order, 14 are over 1000.
    const N_NEEDED: usize = 14;
    on_every_store(async |url| {
        let executed = Executed::default();
        let engine = engine(&url, 4, &executed).await;
        let run = engine.submit(squares::workflow(), ()).await.unwrap();
        let outcome = run.wait().await.unwrap().ok().unwrap();
        assert!(executed.n() as usize <= N_NEEDED + 4, "{} were executed", executed.n());
        let tasks = run.tasks().await.unwrap();
        let succeeded = ended(&tasks, "square", TaskRunStatus::Succeeded);
        let skipped = ended(&tasks, "square", TaskRunStatus::Skipped);
        assert_eq!(succeeded.len() + skipped.len(), 100);
        assert!((1..=N_NEEDED + 4).contains(&succeeded.len()), "{succeeded:?}");
        let squares: Vec<_> = succeeded.iter().map(|index| (u64::from(*index) + 1).pow(2)).collect();
        assert_eq!(outcome.output::<squares::square>().unwrap(), squares);
        let total = outcome.output::<squares::total>().unwrap();
        assert!(total > 1000 && total == squares.iter().sum::<u64>(), "{total}");
        engine.shutdown().await.unwrap();
    });
}

#[test]
fn steps_make_a_list_and_a_map_over_it_takes_each() {
    on_every_store(async |url| {
        let engine = engine(&url, 4, &Executed::default()).await;
        let outcome = engine.run(feed::workflow(), 13).await.unwrap().ok().unwrap();
        let items: Vec<_> = (1..=12).map(|number| Item { number }).collect();
        assert_eq!(outcome.output::<feed::item>().unwrap(), items);
        let mapped: Vec<_> = (1..=12).map(|number| number * 10).collect();
        assert_eq!(outcome.output::<feed::mapped>().unwrap(), mapped);
        assert_eq!(outcome.output::<feed::total>().unwrap(), mapped.iter().sum::<u32>());
        engine.shutdown().await.unwrap();
    });
}

#[test]
fn what_steps_made_before_they_failed_is_mapped_and_kept() {
    on_sqlite_file(async |url| {
        let first = engine(&url, 4, &Executed::default()).await;
        let run = first.submit(feed::workflow(), 11).await.unwrap();
        let outcome = run.wait().await.unwrap();
        let kept = |outcome: &Outcome, tasks: &[TaskSummary]| {
            assert_eq!(outcome.status(), RunStatus::Failed);
            let failure = outcome.error().unwrap();
            assert!(failure.to_string().contains("the source is gone"), "{failure}");
            assert_eq!(ended(tasks, "item", TaskRunStatus::Succeeded).len(), 11);
            assert_eq!(ended(tasks, "item", TaskRunStatus::Failed), [11]);
            let mapped = ended(tasks, "mapped", TaskRunStatus::Succeeded);
            assert_eq!(mapped, (0..11).collect::<Vec<_>>());
            assert_eq!(ended(tasks, "total", TaskRunStatus::Skipped).len(), 1);
        };
        let before = run.tasks().await.unwrap();
        kept(&outcome, &before);
        first.shutdown().await.unwrap();

        let second = engine(&url, 1, &Executed::default()).await;
        let again = second.run_handle(run.id()).await.unwrap();
        let after = again.tasks().await.unwrap();
        kept(&again.wait().await.unwrap(), &after);
        let facts = |tasks: &[TaskSummary]| tasks.iter().map(|task| format!("{task:?}")).collect::<Vec<_>>();
        assert_eq!(facts(&after), facts(&before));
        second.shutdown().await.unwrap();
    });
}

#[test]
fn an_element_is_taken_before_the_steps_have_ended() {
    on_every_store(async |url| {
        let engine = engine(&url, 4, &Executed::default()).await;
        let outcome = engine.run(taken::workflow(), ()).await.unwrap().ok().unwrap();
        assert_eq!(outcome.output::<taken::take>().unwrap(), [1, 2]);
        engine.shutdown().await.unwrap();
    });
}

#[test]
fn a_map_that_has_enough_ends_the_steps_that_it_takes_from() {
    on_every_store(async |url| {
        let engine = engine(&url, 4, &Executed::default()).await;
        let outcome = engine.run(endless::workflow(), ()).await.unwrap().ok().unwrap();
        let squares = outcome.output::<endless::square>().unwrap();
        assert!(squares.iter().sum::<u64>() > 1000, "{squares:?}");
        let numbers = outcome.output::<endless::number>().unwrap();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
        engine.shutdown().await.unwrap();
    });
}

#[test]
fn a_file_that_is_opened_again_has_the_same_outcomes() {
    on_sqlite_file(async |url| {
        let first = engine(&url, 4, &Executed::default()).await;
        let mut runs = Vec::new();
        for workflow in [tree::workflow(), squares::workflow(), feed::workflow(), endless::workflow()] {
            let name = workflow.name().to_string();
            let run = match name.as_str() {
                "tree" => first.submit(workflow, 100).await,
                "feed" => first.submit(workflow, 13).await,
                _ => first.submit(workflow, ()).await,
            };
            runs.push(shown(&run.unwrap()).await);
        }
        first.shutdown().await.unwrap();
        let second = engine(&url, 1, &Executed::default()).await;
        for (id, before) in runs {
            assert_eq!(shown(&second.run_handle(id).await.unwrap()).await, (id, before));
        }
        second.shutdown().await.unwrap();
    });
}

#[test]
fn a_map_and_steps_that_were_cut_off_go_on_where_they_were() {
    on_sqlite_file(async |url| {
        // One element after the other: 9 squares, and then 5 more are enough.
        let stuck = Arc::new(Notify::new());
        let executed = Executed { stuck: Some((10, Arc::clone(&stuck))), ..Executed::default() };
        let first = engine(&url, 1, &executed).await;
        let map = first.submit(squares::workflow(), ()).await.unwrap().id();
        stuck.notified().await;
        assert_eq!(executed.n(), 9);
        first.shutdown().await.unwrap();
        let executed = Executed::default();
        let second = engine(&url, 1, &executed).await;
        let outcome = second.run_handle(map).await.unwrap().wait().await.unwrap().ok().unwrap();
        assert_eq!((outcome.output::<squares::total>().unwrap(), executed.n()), (1015, 5));
        second.shutdown().await.unwrap();

        // 9 steps, and then 3 more and the one that finds the end.
        let executed = Executed { stuck: Some((10, Arc::clone(&stuck))), ..Executed::default() };
        let third = engine(&url, 2, &executed).await;
        let steps = third.submit(feed::workflow(), 13).await.unwrap().id();
        stuck.notified().await;
        assert_eq!(executed.n(), 9);
        third.shutdown().await.unwrap();
        let executed = Executed::default();
        let fourth = engine(&url, 2, &executed).await;
        let outcome = fourth.run_handle(steps).await.unwrap().wait().await.unwrap().ok().unwrap();
        assert_eq!((outcome.output::<feed::total>().unwrap(), executed.n()), (780, 4));
        fourth.shutdown().await.unwrap();
    });
}

/// All that can be seen of a run that has ended.
async fn shown(run: &RunHandle) -> (RunId, Vec<String>) {
    let outcome = run.wait().await.unwrap().ok().unwrap();
    let tasks = run.tasks().await.unwrap();
    let names = outcome.workflow().plan().tasks().iter().map(|task| task.name.to_string());
    let outputs = names.map(|name| format!("{:?}", outcome.output_of::<serde_json::Value>(&name).unwrap()));
    (run.id(), outputs.chain(tasks.iter().map(|task| format!("{task:?}"))).collect())
}
