//! The flights of January 2013: split by airport, worked on side by side, put together again.
//!
//! First with three tasks that have names, then with one task that is mapped over a list.

mod flight;
mod statistics;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anio::prelude::*;
use anio::{Outcome, TaskSummary};
use serde::{Deserialize, Serialize};

use crate::flight::Flight;
use crate::statistics::Month;

/// What a run is started with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// Where the data is fetched from.
    source: PathBuf,
    /// Where the run keeps its copy, until it is cleaned up.
    scratch: PathBuf,
    /// Where the report goes.
    report: PathBuf,
}

/// All flights that left from one airport.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Partition {
    origin: String,
    flights: Vec<Flight>,
}

// region: named
#[workflow(description = "Three tasks, one for each airport")]
mod named {
    use std::collections::BTreeMap;
    use std::fs;

    use anio::prelude::*;

    use super::flight::{Flight, read_airlines, read_flights};
    use super::statistics::{Departures, Month};
    use super::{Job, Partition};

    /// Fetches the month, as one would from a server, and reads it.
    #[task(blocking)]
    pub fn flights(job: Input<&Job>) -> Result<Vec<Flight>> {
        let copy = job.scratch.join("flights.csv");
        fs::copy(job.source.join("flights-2013-01.csv"), &copy)?;
        read_flights(&copy)
    }

    /// Reads the names of the carriers, while the flights are being fetched.
    #[task(blocking)]
    pub fn airlines(job: Input<&Job>) -> Result<BTreeMap<String, String>> {
        read_airlines(&job.source.join("airlines.csv"))
    }

    #[task]
    pub fn split(flights: &[Flight]) -> Result<[Partition; 3]> {
        Ok(["EWR", "JFK", "LGA"].map(|origin| super::partition(origin, flights)))
    }

    // These three wait for `split` and not for one another: they run side by side.
    #[task]
    pub fn newark(split: &[Partition; 3]) -> Result<Departures> {
        Ok(Departures::of(&split[0].origin, &split[0].flights))
    }

    #[task]
    pub fn kennedy(split: &[Partition; 3]) -> Result<Departures> {
        Ok(Departures::of(&split[1].origin, &split[1].flights))
    }

    #[task]
    pub fn laguardia(split: &[Partition; 3]) -> Result<Departures> {
        Ok(Departures::of(&split[2].origin, &split[2].flights))
    }

    #[task]
    pub fn combine(
        airlines: &BTreeMap<String, String>,
        newark: Departures,
        kennedy: Departures,
        laguardia: Departures,
    ) -> Result<Month> {
        Ok(Month::of(vec![newark, kennedy, laguardia], airlines))
    }

    // And so do these two.
    #[task(blocking)]
    pub fn report(job: Input<&Job>, combine: &Month) -> Result<()> {
        Ok(fs::write(&job.report, combine.to_string())?)
    }

    #[task]
    pub async fn notify(combine: &Month) -> Result<String> {
        super::send_notification(combine).await
    }

    #[task(blocking, after(report, notify))]
    pub fn clean_up(job: Input<&Job>) -> Result<()> {
        super::remove_copies(&job)
    }
}
// endregion

// region: mapped
#[workflow(description = "One task, mapped over the airports")]
mod mapped {
    use std::collections::BTreeMap;
    use std::fs;

    use anio::prelude::*;

    use super::flight::Flight;
    use super::named::{airlines, flights};
    use super::statistics::{Departures, Month};
    use super::{Job, Partition};

    /// As many partitions as there are airports in the data. `flights` is a task of the other module.
    #[task]
    pub fn split(#[from(flights)] flights: &[Flight]) -> Result<Vec<Partition>> {
        let mut origins: Vec<&str> = flights.iter().map(|flight| &*flight.origin).collect();
        origins.sort_unstable();
        origins.dedup();
        Ok(origins.into_iter().map(|origin| super::partition(origin, flights)).collect())
    }

    /// One task run for each of them.
    #[task]
    pub fn departures(split: Each<&Partition>) -> Result<Departures> {
        Ok(Departures::of(&split.origin, &split.flights))
    }

    /// Has the list of what they found, in the order of the partitions.
    #[task]
    pub fn combine(
        #[from(airlines)] names: &BTreeMap<String, String>,
        departures: Vec<Departures>,
    ) -> Result<Month> {
        Ok(Month::of(departures, names))
    }

    #[task(blocking)]
    pub fn report(job: Input<&Job>, combine: &Month) -> Result<()> {
        Ok(fs::write(&job.report, combine.to_string())?)
    }

    #[task]
    pub async fn notify(combine: &Month) -> Result<String> {
        super::send_notification(combine).await
    }

    #[task(blocking, after(report, notify))]
    pub fn clean_up(job: Input<&Job>) -> Result<()> {
        super::remove_copies(&job)
    }
}
// endregion

fn partition(origin: &str, flights: &[Flight]) -> Partition {
    let flights = flights.iter().filter(|flight| flight.origin == origin).cloned().collect();
    Partition { origin: origin.to_owned(), flights }
}

/// Waits as one waits for the answer of a mail server.
async fn send_notification(month: &Month) -> Result<String> {
    tokio::time::sleep(Duration::from_millis(50)).await;
    Ok(format!("the figures of {} flights are ready", month.n_flights()))
}

fn remove_copies(job: &Job) -> Result<()> {
    for file in fs::read_dir(&job.scratch)? {
        fs::remove_file(file?.path())?;
    }
    Ok(())
}

// region: overlap
/// How far tasks ran side by side: the sum of their times, and the time from the first start to the last end.
fn overlap(outcome: &Outcome, is_one: impl Fn(&TaskSummary) -> bool) -> Option<String> {
    let tasks: Vec<_> = outcome.tasks().into_iter().filter(is_one).collect();
    let times: Option<Vec<_>> = tasks.iter().map(|task| Some((task.started?, task.finished?))).collect();
    let times = times?;
    let sum: Duration = times.iter().map(|(started, finished)| finished.since(*started)).sum();
    let (first, last) = (times.iter().map(|time| time.0).min()?, times.iter().map(|time| time.1).max()?);
    let wall = last.since(first);
    let ratio = sum.as_secs_f64() / wall.as_secs_f64();
    let n = times.len();
    let (sum, wall) = (sum.as_millis(), wall.as_millis());
    Some(format!("{n} task runs of {sum} ms in all, done in {wall} ms: {ratio:.2}×"))
}
// endregion

// region: main
#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let job = Job {
        source: Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/nycflights13"),
        scratch: directory.path().join("scratch"),
        report: directory.path().join("report.txt"),
    };
    fs::create_dir(&job.scratch)?;
    let database = format!("sqlite://{}", directory.path().join("flights.db").display());
    println!("{} cores", std::thread::available_parallelism()?);

    // For comparison: an engine that computes on one thread.
    let engine = Engine::builder().store(&database).cpu_threads(1).start().await?;
    let outcome = engine.run(named::workflow(), job.clone()).await?.ok()?;
    let is_airport = |task: &TaskSummary| ["newark", "kennedy", "laguardia"].contains(&&*task.name);
    println!("one after another: {}", overlap(&outcome, is_airport).unwrap_or_default());
    engine.shutdown().await?;

    // As it comes: a thread for each core.
    let engine = Engine::open(&database).await?;
    let outcome = engine.run(named::workflow(), job.clone()).await?.ok()?;
    let month = outcome.output::<named::combine>()?;
    println!("three named tasks: {}", overlap(&outcome, is_airport).unwrap_or_default());

    let outcome = engine.run(mapped::workflow(), job.clone()).await?.ok()?;
    let is_airport = |task: &TaskSummary| task.name == "departures";
    println!("one mapped task:   {}", overlap(&outcome, is_airport).unwrap_or_default());
    println!("both find the same: {}", outcome.output::<mapped::combine>()? == month);

    println!("\n{}", fs::read_to_string(&job.report)?);
    println!("\nnotification: {}", outcome.output::<mapped::notify>()?);
    println!("copies left behind: {}", fs::read_dir(&job.scratch)?.count());
    engine.shutdown().await?;
    Ok(())
}
// endregion
