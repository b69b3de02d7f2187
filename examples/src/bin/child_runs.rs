//! Divide and conquer with runs that start runs: each task adds up its half by two runs of its own, by keys, so
//! that an attempt after a crash finds the runs of the one before. Killed half-way, the sum is right.

use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anio::prelude::*;
use tokio::sync::SetOnce;

/// 255 runs: 1 + 2 + 4 + … + 128.
const LEVELS: u32 = 8;

// region: children
/// A range, and the level that it is on.
type Range = (u64, u64, u32);

/// Runs that are resumed may be here before the engine's start returns: they wait for it.
static ENGINE: SetOnce<Engine> = SetOnce::const_new();

#[workflow]
mod sum {
    use super::{ENGINE, LEVELS, Range, note};
    use anio::prelude::*;

    #[task]
    pub async fn add(range: Input<Range>, task: TaskHandle) -> Result<u64> {
        let (from, to, level) = *range;
        if level == LEVELS {
            note().await?;
            return Ok((from..to).sum());
        }
        let engine = ENGINE.wait().await;
        let middle = from.midpoint(to);
        let mut children = Vec::new();
        for (half, input) in [("left", (from, middle, level + 1)), ("right", (middle, to, level + 1))] {
            let key = format!("{}/{half}", task.idempotency_key());
            children.push(engine.submit(workflow(), input).idempotency_key(key).await?);
        }
        let mut total = 0;
        for child in children {
            total += child.wait().await?.ok()?.output::<add>()?;
        }
        Ok(total)
    }
}
// endregion

/// A leaf's work: 2 ms, and a line in a file, so that executions are counted.
async fn note() -> std::io::Result<()> {
    tokio::time::sleep(Duration::from_millis(2)).await;
    let log = std::env::args().nth(1).unwrap_or_default() + "/log";
    OpenOptions::new().create(true).append(true).open(log)?.write_all(b"leaf\n")
}

/// The program itself; the first time it dies in the middle.
async fn work(directory: &Path) -> Result<(), Box<dyn Error>> {
    let database = format!("sqlite://{}", directory.join("sum.db").display());
    // Whoever waits for children keeps its slot: there are 127 of them.
    let engine = Engine::builder().store(database).concurrency(256).start().await?;
    ENGINE.set(engine.clone())?;
    let run = engine.submit(sum::workflow(), (0, 1 << 20, 1)).idempotency_key("all").await?;
    println!("sum of 0..2^20: {}", run.wait().await?.ok()?.output::<sum::add>()?);
    println!("runs: {}", engine.runs(RunQuery { limit: 1000, ..RunQuery::default() }).await?.len());
    Ok(engine.shutdown().await?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    if let Some(directory) = std::env::args().nth(1) {
        return work(Path::new(&directory)).await;
    }
    let directory = tempfile::tempdir()?;
    let n_leaves = || fs::read_to_string(directory.path().join("log")).map_or(0, |log| log.lines().count());
    let start = || Command::new(std::env::current_exe()?).arg(directory.path()).spawn();
    let mut worker = start()?;
    while n_leaves() < 64 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    worker.kill()?; // SIGKILL
    worker.wait()?;
    println!("killed half-way");
    let is_done = start()?.wait()?.success() && n_leaves() >= 128;
    if is_done { Ok(()) } else { Err("some of it was lost".into()) }
}

// Output:
// killed half-way
// sum of 0..2^20: 549755289600
// runs: 255
