//! What it costs to put work on the wrong lane: 200 waits and 8 jobs that compute, side by side, and a ticker
//! that shows for how long tokio was held up.

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use anio::prelude::*;

const WAIT: Duration = Duration::from_millis(20);
const JOB: Duration = Duration::from_millis(100);
const TICK: Duration = Duration::from_millis(10);

/// What there is to do: 200 addresses to ask, 8 numbers to crunch.
mod work {
    use anio::prelude::*;

    #[task]
    pub async fn addresses() -> Result<Vec<u32>> {
        Ok((0..200).collect())
    }

    #[task]
    pub async fn numbers(n_rounds: Input<u64>) -> Result<Vec<u64>> {
        Ok(vec![*n_rounds; 8])
    }
}

// region: right
/// What waits is async and waits on tokio; what computes is a plain function and computes on the pool.
#[workflow]
mod right {
    use super::{WAIT, crunch, work};
    use anio::prelude::*;

    #[task]
    pub async fn ask(#[from(work::addresses)] _address: Each<u32>) -> Result<()> {
        tokio::time::sleep(WAIT).await;
        Ok(())
    }

    #[task]
    pub fn compute(#[from(work::numbers)] n_rounds: Each<u64>) -> Result<u64> {
        Ok(crunch(*n_rounds))
    }
}
// endregion

// region: blocking
/// The library that asks is synchronous: each wait has a blocking thread.
#[workflow]
mod blocking {
    use super::{WAIT, crunch, work};
    use anio::prelude::*;

    #[task(blocking)]
    pub fn ask(#[from(work::addresses)] _address: Each<u32>) -> Result<()> {
        std::thread::sleep(WAIT);
        Ok(())
    }

    #[task]
    pub fn compute(#[from(work::numbers)] n_rounds: Each<u64>) -> Result<u64> {
        Ok(crunch(*n_rounds))
    }
}
// endregion

// region: wrong
/// The waits hold the threads that compute, the jobs hold those of tokio.
#[workflow]
mod wrong {
    use super::{WAIT, crunch, work};
    use anio::prelude::*;

    #[task]
    pub fn ask(#[from(work::addresses)] _address: Each<u32>) -> Result<()> {
        std::thread::sleep(WAIT);
        Ok(())
    }

    #[task]
    pub async fn compute(#[from(work::numbers)] n_rounds: Each<u64>) -> Result<u64> {
        Ok(crunch(*n_rounds))
    }
}
// endregion

/// Work that takes a core for as long as it takes.
fn crunch(n_rounds: u64) -> u64 {
    (0..n_rounds).fold(0, |sum, round| black_box(sum ^ round.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

/// How many rounds keep one core busy for the time of a job.
fn n_rounds_per_job() -> u64 {
    let (started, mut n_rounds) = (Instant::now(), 0);
    while started.elapsed() < JOB {
        crunch(1000);
        n_rounds += 1000;
    }
    n_rounds
}

/// Ticks for ever, and tells how late the latest tick was.
async fn tick(latest: tokio::sync::watch::Sender<Duration>) {
    loop {
        let due = Instant::now() + TICK;
        tokio::time::sleep_until(due.into()).await;
        latest.send_modify(|latest| *latest = due.elapsed().max(*latest));
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let n_rounds = n_rounds_per_job();
    println!("200 waits of {} ms beside 8 jobs of {} ms:", WAIT.as_millis(), JOB.as_millis());
    for (name, workflow) in
        [("right", right::workflow()), ("blocking", blocking::workflow()), ("wrong", wrong::workflow())]
    {
        let directory = tempfile::tempdir()?;
        let database = format!("sqlite://{}", directory.path().join("lanes.db").display());
        let engine = Engine::builder().store(database).concurrency(256).start().await?;
        let (sender, latest) = tokio::sync::watch::channel(Duration::ZERO);
        let ticker = tokio::spawn(tick(sender));
        let started = Instant::now();
        engine.run(workflow, n_rounds).await?.ok()?;
        let (took, late) = (started.elapsed().as_millis(), latest.borrow().as_millis());
        ticker.abort();
        println!("{name:8}  done after {took:5} ms, tokio held up for {late:4} ms at the longest");
        engine.shutdown().await?;
    }
    Ok(())
}

// Output:
// 200 waits of 20 ms beside 8 jobs of 100 ms:
// right     done after   450 ms, tokio held up for    7 ms at the longest
// blocking  done after   442 ms, tokio held up for   12 ms at the longest
// wrong     done after  2471 ms, tokio held up for  469 ms at the longest
