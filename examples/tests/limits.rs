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
    builder.resource("gpu", 2).resource("memory", 16).resource_rate("api", "1000/h").start().await
}
// endregion

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_says_what_it_has() {
    let engine = start("sqlite::memory:").await.unwrap();
    let outcome = engine.run(training::workflow(), ()).await.unwrap();
    assert_eq!(outcome.output_of::<Vec<u32>>("publish").unwrap(), [2, 4, 6]);
    engine.shutdown().await.unwrap();
}
