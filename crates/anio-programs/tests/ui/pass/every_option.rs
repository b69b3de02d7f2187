use std::time::Duration;

use anio::Lane;
use anio::prelude::*;

#[workflow]
mod flow {
    use super::*;

    #[task(
        name = "load all",
        retry(attempts = 5, backoff = linear("1s", max = "1m"), jitter),
        timeout = "2h",
        priority = -3,
        concurrency = 8,
        needs(gpu = 1, memory = 4),
        rate = "90/min"
    )]
    pub async fn load() -> Result<()> {
        Ok(())
    }

    #[task(retry(attempts = 2, backoff = fixed("500ms")), blocking, after(load,),)]
    pub fn write() -> Result<()> {
        Ok(())
    }

    #[task(retry_attempts = 3, pool = "images")]
    pub fn plain() -> Result<()> {
        Ok(())
    }
}

fn main() {
    let workflow = flow::workflow();
    let options = |i| &workflow.plan().task(i).definition.options;
    let retry = RetryPolicy::attempts(5)
        .with_backoff(Backoff::linear(Duration::from_secs(1)).max(Duration::from_secs(60)))
        .with_jitter(Jitter::Full);
    let all = TaskOptions::new().retry(retry).timeout(Duration::from_secs(7200)).priority(-3).concurrency(8);
    let all = all.needs("gpu", 1).needs("memory", 4).rate("90/min".parse().unwrap());
    assert_eq!(*options(0), all);
    let retry = RetryPolicy::attempts(2).with_backoff(Backoff::fixed(Duration::from_millis(500)));
    assert_eq!(*options(1), TaskOptions::new().retry(retry).lane(Lane::Blocking));
    assert_eq!(*options(2), TaskOptions::new().retry(RetryPolicy::attempts(3)).lane(Lane::Cpu).pool("images"));
}
