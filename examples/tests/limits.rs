//! What `docs/operations.md` shows of limits.

use anio::prelude::*;

// region: limits
#[workflow]
mod training {
    use anio::prelude::*;

    #[task]
    pub async fn samples() -> Result<Vec<u32>> {
        Ok(vec![1, 2, 3])
    }

    #[task(needs(gpu = 1, memory = 4), concurrency = 8)]
    pub async fn train(samples: Each<u32>) -> Result<u32> {
        Ok(*samples * 2)
    }

    #[task(rate = "100/s")]
    pub async fn publish(train: Each<u32>) -> Result<u32> {
        Ok(*train)
    }
}

async fn start(database: &str) -> anio::Result<Engine> {
    let builder = Engine::builder().store(database).concurrency(64).cpu_threads(4);
    builder.resource("gpu", 2).resource("memory", 16).resource_rate("disk", "500/s").start().await
}
// endregion

// region: shared
#[workflow]
mod geocoding {
    use anio::prelude::*;

    #[task]
    pub async fn addresses() -> Result<Vec<String>> {
        Ok(vec!["1 Main Street".to_owned(), "2 Main Street".to_owned()])
    }

    /// Needs one of `api`, so all of these on all workers together start at its rate.
    #[task(needs(api = 1))]
    pub async fn locate(addresses: Each<String>) -> Result<usize> {
        Ok(addresses.len())
    }
}

async fn start_a_worker(database: &str) -> anio::Result<Engine> {
    Engine::builder().store(database).shared_resource_rate("api", "1000/h").start().await
}
// endregion

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_says_what_it_has() {
    let engine = start("sqlite::memory:").await.unwrap();
    let outcome = engine.run(training::workflow(), ()).await.unwrap();
    assert_eq!(outcome.output_of::<Vec<u32>>("publish").unwrap(), [2, 4, 6]);
    engine.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_share_what_a_service_allows() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("shared.db");
    let database = database.to_str().unwrap();
    let workers = [start_a_worker(database).await.unwrap(), start_a_worker(database).await.unwrap()];
    let run = workers[0].submit(geocoding::workflow(), ()).await.unwrap();
    let outcome = run.wait().await.unwrap();
    assert_eq!(outcome.output_of::<Vec<usize>>("locate").unwrap(), [13, 13]);
    for worker in workers {
        worker.shutdown().await.unwrap();
    }
}
