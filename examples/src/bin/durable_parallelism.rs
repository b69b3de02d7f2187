//! One job, parallel in three ways: inside one task, as a mapped task, as runs of their own. How fast each is, and
//! what a `kill -9` half-way costs it.
//!
//! Started without arguments it is the one who measures: it starts itself as the worker, and kills it.

use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use std::{env, thread};

use anio::prelude::*;

const N_ITEMS: u32 = 400;
const ITEM: Duration = Duration::from_millis(3);

/// Where every execution leaves a line, so that what is counted is what was executed.
#[derive(Debug)]
pub struct Log(PathBuf);

impl Log {
    /// The work of one item.
    fn execute(&self, item: u32) -> Result<u32> {
        let started = Instant::now();
        while started.elapsed() < ITEM {
            std::hint::spin_loop();
        }
        let line = format!("{item}\n");
        OpenOptions::new().create(true).append(true).open(&self.0)?.write_all(line.as_bytes())?;
        Ok(item)
    }
}

// region: inside
/// Inside one task: its result is durable, its items are not.
#[workflow]
mod inside {
    use super::{Log, N_ITEMS};
    use anio::parallel::prelude::*;
    use anio::prelude::*;

    #[task]
    pub fn all(log: State<Log>) -> Result<u64> {
        let results = (0..N_ITEMS).try_par_map(|item| log.execute(item))?;
        Ok(results.into_iter().map(u64::from).sum())
    }
}
// endregion

// region: mapped
/// A mapped task: the result of each element is durable.
#[workflow]
mod mapped {
    use super::{Log, N_ITEMS};
    use anio::prelude::*;

    #[task]
    pub async fn items() -> Result<Vec<u32>> {
        Ok((0..N_ITEMS).collect())
    }

    #[task]
    pub fn one(items: Each<u32>, log: State<Log>) -> Result<u32> {
        log.execute(*items)
    }

    #[task]
    pub fn all(one: &[u32]) -> Result<u64> {
        Ok(one.iter().copied().map(u64::from).sum())
    }
}
// endregion

// region: runs
/// A run for each item: any worker takes any of them, and each is retried, found and cancelled by itself.
#[workflow]
mod alone {
    use super::Log;
    use anio::prelude::*;

    #[task]
    pub fn one(item: Input<u32>, log: State<Log>) -> Result<u32> {
        log.execute(*item)
    }
}
// endregion

// region: worker
/// The worker: submits the job, or goes on with what it finds, and waits for its end.
async fn work(way: &str, directory: &Path) -> Result<(), Box<dyn Error>> {
    let database = format!("sqlite://{}", directory.join("job.db").display());
    let engine = Engine::builder().store(database).state(Log(directory.join("log"))).start().await?;
    let all = RunQuery { limit: N_ITEMS, ..RunQuery::default() };
    let mut runs = Vec::new();
    for found in engine.runs(all).await? {
        runs.push(engine.run_handle(found.id).await?);
    }
    if runs.is_empty() {
        runs = match way {
            "inside" => vec![engine.submit(inside::workflow(), ()).await?],
            "mapped" => vec![engine.submit(mapped::workflow(), ()).await?],
            _ => engine.submit_many(alone::workflow(), 0..N_ITEMS).await?,
        };
    }
    for run in runs {
        run.wait().await?.ok()?;
    }
    engine.shutdown().await?;
    Ok(())
}
// endregion

fn start(way: &str, directory: &Path) -> Result<Child, Box<dyn Error>> {
    Ok(Command::new(env::current_exe()?).arg(way).arg(directory).spawn()?)
}

/// Which items were executed, once for each time.
fn executed(directory: &Path) -> Vec<u32> {
    let log = fs::read_to_string(directory.join("log")).unwrap_or_default();
    log.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')?.parse().ok()).collect()
}

fn succeed(mut worker: Child) -> Result<(), Box<dyn Error>> {
    let status = worker.wait()?;
    if status.success() { Ok(()) } else { Err(format!("the worker: {status}").into()) }
}

/// How long the job takes when nothing happens.
fn time(way: &str) -> Result<Duration, Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let started = Instant::now();
    succeed(start(way, directory.path())?)?;
    Ok(started.elapsed())
}

/// How many executions it takes when the worker is killed half-way and started again.
fn executions_with_a_kill(way: &str) -> Result<usize, Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let mut worker = start(way, directory.path())?;
    while executed(directory.path()).len() < N_ITEMS as usize / 2 {
        thread::sleep(Duration::from_millis(1));
    }
    worker.kill()?; // SIGKILL
    worker.wait()?;
    succeed(start(way, directory.path())?)?;
    let executed = executed(directory.path());
    let is_left_out = (0..N_ITEMS).find(|item| !executed.contains(item));
    is_left_out.map_or(Ok(executed.len()), |item| Err(format!("{way}: item {item} was lost").into()))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [way, directory] = &arguments[..] {
        return work(way, Path::new(directory)).await;
    }
    println!("{N_ITEMS} items of {} ms:", ITEM.as_millis());
    for (way, name) in
        [("inside", "inside one task"), ("mapped", "a mapped task"), ("runs", "a run for each")]
    {
        let (took, n) = (time(way)?.as_millis(), executions_with_a_kill(way)?);
        println!("{name:15}  done after {took:5} ms, with a kill -9 half-way {n:4} executions");
    }
    Ok(())
}

// Output:
// 400 items of 3 ms:
// inside one task  done after   640 ms, with a kill -9 half-way  601 executions
// a mapped task    done after   673 ms, with a kill -9 half-way  404 executions
// a run for each   done after   823 ms, with a kill -9 half-way  403 executions
