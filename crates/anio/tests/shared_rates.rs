//! Rates that all workers of a database share, by the times that were recorded of the starts.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod stores;

use std::time::Duration;

use anio::prelude::*;
use anio::run::TaskRunStatus;
use anio::{Error, Outcome, Timestamp};
use stores::on_every_store;

const N_WORKERS: u64 = 2;

async fn worker(url: &str, rate: &str) -> Engine {
    Engine::builder().store(url).workflow(paced()).shared_resource_rate("api", rate).start().await.unwrap()
}

fn paced() -> Workflow {
    let mut builder = Workflow::builder("paced");
    for i in 0..50 {
        let options = TaskOptions::new().needs("api", 1);
        builder = builder.task(format!("t{i}"), options, |_| async { Ok::<_, TaskError>(()) });
    }
    builder.build().unwrap()
}

fn starts(outcome: &Outcome) -> Vec<Timestamp> {
    assert!(outcome.is_success());
    outcome.tasks().iter().map(|task| task.started.unwrap()).collect()
}

/// Holds starts to a rate: within any time no more than may come together, what the rate allows of it, and what each
/// worker had reserved before and was held up with.
fn check(mut starts: Vec<Timestamp>, interval: Duration, n_together: u64) {
    starts.sort_unstable();
    for (from, first) in starts.iter().enumerate() {
        for (n, last) in (1..).zip(&starts[from..]) {
            let within = last.since(*first);
            let n_max = u128::from(n_together * (1 + N_WORKERS)) + within.as_micros() / interval.as_micros();
            assert!(n <= n_max, "{n} starts within {within:?}, of {n_max}");
        }
    }
}

#[test]
fn the_starts_on_two_workers_are_no_more_frequent_than_the_rate_that_they_share() {
    on_every_store(async |url| {
        if url.contains("memory:") {
            return; // A store that no other worker sees.
        }
        let (one, other) = (worker(&url, "100/s").await, worker(&url, "100/s").await);
        let runs = [
            one.submit(paced(), ()).await.unwrap(),
            other.submit(paced(), ()).await.unwrap(),
            one.submit(paced(), ()).await.unwrap(),
            other.submit(paced(), ()).await.unwrap(),
        ];
        let mut all = Vec::new();
        for run in runs {
            all.extend(starts(&run.wait().await.unwrap()));
        }
        assert_eq!(all.len(), 200);
        check(all, Duration::from_millis(10), 5);
        one.shutdown().await.unwrap();
        other.shutdown().await.unwrap();
    });
}

#[test]
fn nothing_is_made_up_for_after_a_restart() {
    on_every_store(async |url| {
        if url.contains("memory:") {
            return; // A store that ends with its process.
        }
        let engine = worker(&url, "50/s").await;
        let id = engine.submit(paced(), ()).await.unwrap().id();
        let mut engine = Some(engine);
        for n_started in [1, 5, 12] {
            let started = async |engine: &Engine| {
                let tasks = engine.run_handle(id).await.unwrap().tasks().await.unwrap();
                tasks.iter().filter(|task| task.status == TaskRunStatus::Succeeded).count()
            };
            while started(engine.as_ref().unwrap()).await < n_started {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            engine.take().unwrap().shutdown().await.unwrap();
            engine = Some(worker(&url, "50/s").await);
        }
        let engine = engine.unwrap();
        let outcome = engine.run_handle(id).await.unwrap().wait().await.unwrap();
        check(starts(&outcome), Duration::from_millis(20), 2);
        engine.shutdown().await.unwrap();
    });
}

#[tokio::test]
async fn a_shared_rate_is_a_rate_and_has_a_name() {
    let long = "x".repeat(256);
    let builder = || Engine::builder().store("memory:");
    for (builder, problem) in [
        (
            builder().shared_resource_rate("api", "often"),
            "engine option shared_resource_rate: of \"api\": \"often\" is no rate; write how many per second, minute \
             or hour: \"10/s\", \"90/min\", \"1000/h\" (1 to 1000000)"
                .to_owned(),
        ),
        (
            builder().shared_resource_rate(&long, "1/s"),
            format!("engine option shared_resource_rate: {long:?} has 256 bytes; it may have 1 to 255"),
        ),
    ] {
        assert_eq!(builder.start().await.unwrap_err().to_string(), problem);
    }
    let error = builder().shared_resource_rate("apis", "1/s").workflow(paced()).start().await.unwrap_err();
    let is_missing = matches!(
        &error,
        Error::MissingResource { suggestion: Some(suggestion), .. } if suggestion == "apis"
    );
    assert!(is_missing, "{error}");
}
