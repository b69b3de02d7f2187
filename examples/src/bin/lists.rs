//! Three jobs over lists, each killed half-way and started again: one value made of a list in a tree, a list that is
//! made step by step while others take its elements, and a search that ends when it has found enough.

use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anio::prelude::*;
use serde::{Deserialize, Serialize};

// region: tree
/// One value of a list: 999 task runs, of which none waits for more than nine before it.
#[workflow]
mod tree {
    use super::Log;
    use anio::prelude::*;

    #[task]
    pub async fn numbers() -> Result<Vec<u64>> {
        Ok((1..=1000).collect())
    }

    #[task]
    pub fn sum(numbers: Pair<u64>, log: State<Log>) -> Result<u64> {
        log.executed("sum")?;
        let Pair(left, right) = numbers;
        Ok(left + right)
    }
}
// endregion

// region: steps
/// A page of orders, and how to ask for the next.
#[derive(Clone, Serialize, Deserialize)]
struct Page {
    orders: Vec<u64>,
    next: Option<u64>,
}

/// A list that is made step by step: each page is durable before the next is asked for, and billed while it is.
#[workflow]
mod pages {
    use super::{Log, Page, ask};
    use anio::prelude::*;

    #[task(retry(attempts = 3, backoff = exponential("100ms", max = "1s")))]
    pub async fn page(previous: Previous<Page>, log: State<Log>) -> Result<Option<Page>> {
        let Some(next) = previous.0.map_or(Some(0), |page| page.next) else { return Ok(None) };
        log.executed("page")?;
        Ok(Some(ask(next).await))
    }

    #[task(concurrency = 4)]
    pub async fn bill(page: Each<&Page>, log: State<Log>) -> Result<u64> {
        log.executed("bill")?;
        Ok(page.orders.iter().sum())
    }

    #[task]
    pub async fn total(bill: Vec<u64>) -> Result<u64> {
        Ok(bill.iter().sum())
    }
}
// endregion

// region: until
/// A search over numbers without end, which ends when it has found ten primes.
#[workflow]
mod search {
    use super::{Log, is_prime};
    use anio::prelude::*;

    #[task]
    pub async fn candidate(previous: Previous<u64>) -> Result<Option<u64>> {
        Ok(Some(previous.0.map_or(1_000_000_007, |candidate| candidate + 2)))
    }

    #[task(concurrency = 2, until = ten)]
    pub fn prime(candidate: Each<u64>, log: State<Log>) -> Result<Option<u64>> {
        log.executed("prime")?;
        Ok(is_prime(*candidate).then_some(*candidate))
    }

    /// Is given each result, in the order in which they came.
    fn ten(n_found: &mut u32, prime: &Option<u64>) -> ControlFlow<()> {
        *n_found += u32::from(prime.is_some());
        if *n_found == 10 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    #[task]
    pub async fn smallest(prime: Vec<Option<u64>>) -> Result<Option<u64>> {
        Ok(prime.into_iter().flatten().min())
    }
}
// endregion

/// Asks a service for a page; this one answers from memory, after a while.
async fn ask(page: u64) -> Page {
    tokio::time::sleep(Duration::from_millis(2)).await;
    let orders = (page * 10..(page + 1) * 10).collect();
    Page { orders, next: (page < 99).then_some(page + 1) }
}

fn is_prime(n: u64) -> bool {
    n > 1 && (2..).take_while(|factor| factor * factor <= n).all(|factor| !n.is_multiple_of(factor))
}

/// Where each execution leaves a line.
struct Log(PathBuf);

impl Log {
    fn executed(&self, task: &str) -> std::io::Result<()> {
        OpenOptions::new().create(true).append(true).open(&self.0)?.write_all(format!("{task}\n").as_bytes())
    }
}

/// The program itself; the first time it dies in the middle.
async fn work(job: &str, directory: &Path) -> Result<(), Box<dyn Error>> {
    let database = format!("sqlite://{}", directory.join(format!("{job}.db")).display());
    let engine = Engine::builder().store(database).state(Log(directory.join(job))).start().await?;
    let workflow = match job {
        "tree" => tree::workflow(),
        "pages" => pages::workflow(),
        _ => search::workflow(),
    };
    let outcome = engine.submit(workflow, ()).idempotency_key("once").await?.wait().await?.ok()?;
    match job {
        "tree" => println!("tree: 1 + 2 + … + 1000 = {}", outcome.output::<tree::sum>()?),
        "pages" => println!("pages: 100 pages of orders cost {}", outcome.output::<pages::total>()?),
        _ => {
            let smallest = outcome.output::<search::smallest>()?.ok_or("no prime was found")?;
            let found = outcome.output::<search::prime>()?.iter().flatten().count();
            println!("search: ten primes and more: {}, the smallest is {smallest}", found >= 10);
        }
    }
    Ok(engine.shutdown().await?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [job, directory] = &arguments[..] {
        return work(job, Path::new(directory)).await;
    }
    let directory = tempfile::tempdir()?;
    for (job, half) in [("tree", 500), ("pages", 100), ("search", 30)] {
        let n_executed =
            || fs::read_to_string(directory.path().join(job)).map_or(0, |log| log.lines().count());
        let start = || Command::new(std::env::current_exe()?).arg(job).arg(directory.path()).spawn();
        let mut worker = start()?;
        while n_executed() < half {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        worker.kill()?; // SIGKILL
        worker.wait()?;
        if !start()?.wait()?.success() {
            return Err(format!("{job}: some of it was lost").into());
        }
    }
    Ok(())
}

// Output:
// tree: 1 + 2 + … + 1000 = 500500
// pages: 100 pages of orders cost 499500
// search: ten primes and more: true, the smallest is 1000000007
