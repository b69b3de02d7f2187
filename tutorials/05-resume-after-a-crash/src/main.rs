//! A program that is killed half-way through a run, and goes on where it was.
//!
//! Started without arguments it is the one who watches: it starts itself as a worker, sees it die, and starts
//! it again.

use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{env, thread};

use anio::prelude::*;
use anio::run::TaskRunStatus;
use anio::{Outcome, RunHandle, RunQuery};
use serde::{Deserialize, Serialize};

/// The delays of one airport, in minutes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Delays {
    origin: String,
    minutes: Vec<i32>,
}

/// What the tasks of one process share: which start this is, and the log of what they do.
#[derive(Debug)]
pub struct Process {
    start: u32,
    log: PathBuf,
}

// region: workflow
#[workflow]
mod delays {
    use anio::prelude::*;

    use super::{Delays, Process, read_delays};

    #[task(blocking)]
    pub fn load(task: TaskHandle, process: State<Process>) -> Result<Vec<Delays>> {
        process.note(&task)?;
        read_delays()
    }

    /// The mean of one airport. In the first process that of LaGuardia never ends.
    #[task(blocking)]
    pub fn mean(task: TaskHandle, load: Each<&Delays>, process: State<Process>) -> Result<String> {
        process.note(&task)?;
        if process.start == 1 && load.origin == "LGA" {
            super::hang();
        }
        let minutes: i32 = load.minutes.iter().sum();
        let mean = f64::from(minutes) / f64::from(load.minutes.len() as u32);
        Ok(format!("{} {mean:.1}", load.origin))
    }

    #[task]
    pub async fn report(task: TaskHandle, mean: Vec<String>, process: State<Process>) -> Result<String> {
        process.note(&task)?;
        Ok(mean.join(", "))
    }

    #[task(after(report))]
    pub async fn announce(task: TaskHandle, process: State<Process>) -> Result<()> {
        process.note(&task)
    }
}
// endregion

impl Process {
    /// A side effect that the world can see: a line in a file.
    fn note(&self, task: &TaskHandle) -> Result<()> {
        let element = task.map_index().map(|index| format!("[{index}]")).unwrap_or_default();
        let line = format!("start {}: {}{element} attempt {}\n", self.start, task.task(), task.attempt());
        // One write, so that tasks that run side by side do not tear each other's lines.
        OpenOptions::new().create(true).append(true).open(&self.log)?.write_all(line.as_bytes())?;
        Ok(())
    }
}

fn read_delays() -> Result<Vec<Delays>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/nycflights13/flights-2013-01.csv");
    let mut airports =
        ["EWR", "JFK", "LGA"].map(|origin| Delays { origin: origin.to_owned(), minutes: Vec::new() });
    let mut reader = csv::Reader::from_path(file)?;
    let headers = reader.headers()?.clone();
    let column = |name: &str| headers.iter().position(|header| header == name).unwrap_or(usize::MAX);
    let (origin, delay) = (column("origin"), column("dep_delay"));
    for row in reader.records() {
        let row = row?;
        let airport = airports.iter_mut().find(|airport| Some(&*airport.origin) == row.get(origin));
        // A flight that was cancelled has no delay.
        if let (Some(airport), Some(Ok(minutes))) = (airport, row.get(delay).map(str::parse)) {
            airport.minutes.push(minutes);
        }
    }
    Ok(airports.into())
}

fn hang() -> ! {
    loop {
        thread::park();
    }
}

// region: worker
/// The program that does the work: it goes on with the run that it finds, or submits one.
async fn work(start: u32, directory: &Path) -> Result<Outcome, Box<dyn Error>> {
    let database = directory.join("delays.db");
    let process = Process { start, log: directory.join("log.txt") };
    let engine =
        Engine::builder().store(format!("sqlite://{}", database.display())).state(process).start().await?;
    let run = match engine.runs(RunQuery::default()).await?.first() {
        Some(unfinished) => engine.run_handle(unfinished.id).await?,
        None => engine.submit(delays::workflow(), ()).await?,
    };
    if start == 1 {
        die_half_way(&run).await?;
    }
    let outcome = run.wait().await?.ok()?;
    engine.shutdown().await?;
    Ok(outcome)
}

/// Waits until two airports are done and the third is under way, and sends this process a SIGKILL: nothing
/// can be tidied up, nothing can be saved.
async fn die_half_way(run: &RunHandle) -> Result<(), Box<dyn Error>> {
    loop {
        let tasks = run.tasks().await?;
        let means = tasks.iter().filter(|task| task.name == "mean");
        let n_done = means.clone().filter(|task| task.status == TaskRunStatus::Succeeded).count();
        let n_running = means.filter(|task| task.status == TaskRunStatus::Running).count();
        if (n_done, n_running) == (2, 1) {
            Command::new("sh").args(["-c", "kill -9 $PPID"]).status()?;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
// endregion

// region: watcher
/// Starts the worker until it ends by itself.
fn watch() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    for start in 1..=2 {
        let mut worker = Command::new(env::current_exe()?);
        let status = worker.arg(start.to_string()).arg(directory.path()).status()?;
        match status.signal() {
            Some(signal) => println!("start {start}: killed by signal {signal}"),
            None if status.success() => return Ok(()),
            None => return Err(format!("start {start}: {status}").into()),
        }
    }
    Err("the worker was killed twice".into())
}
// endregion

/// For each task run what the two processes did about it, by the log of side effects.
fn print_story(outcome: &Outcome, log: &str) {
    println!("\ntask      start 1    start 2");
    for task in outcome.tasks() {
        let name = task.name + &task.map_index.map(|index| format!("[{index}]")).unwrap_or_default();
        let did = |start: u32| {
            let lines = log.lines().filter_map(|line| line.strip_prefix(&format!("start {start}: {name} ")));
            lines.collect::<Vec<_>>().join(", ")
        };
        let (first, second) = (did(1), did(2));
        println!("{name:8}  {first:9}  {}", if second.is_empty() { "kept" } else { &second });
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [start, directory] = &arguments[..] else { return watch() };
    let directory = Path::new(directory);
    let outcome = work(start.parse()?, directory).await?;
    println!("start {start}: the run {}", outcome.status());
    print_story(&outcome, &fs::read_to_string(directory.join("log.txt"))?);
    println!("\nmean delays in minutes: {}", outcome.output::<delays::report>()?);
    Ok(())
}
