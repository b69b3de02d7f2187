//! The flights of January 2013 once more: through pipelines, and by scatter and join, inside tasks.

mod flight;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};

use anio::parallel::pipeline::StageReport;
use anio::prelude::*;
use serde::{Deserialize, Serialize};

use crate::flight::Delays;

/// What a run is started with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    flights: PathBuf,
    airlines: PathBuf,
}

/// What a pipeline has counted, and what it has computed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Carriers {
    /// Name, items in, items out.
    stages: Vec<(String, u64, u64)>,
    /// By the name of the carrier.
    delays: BTreeMap<String, Delays>,
}

/// What became of a check on every flight.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Departures {
    first_error: String,
    n_departed: u64,
    /// By carrier.
    cancelled: BTreeMap<String, u64>,
}

#[workflow(description = "The figures of a month, by streams of flights that no task holds whole")]
mod month {
    use std::collections::BTreeMap;
    use std::ops::ControlFlow;
    use std::sync::Arc;

    use anio::parallel::{Error, ParStreamExt, Pipeline, Source, Stage, TryParStreamExt, gather_ordered};
    use anio::prelude::*;
    use futures::{TryStreamExt, stream};

    use super::flight::{Cancelled, Delays, Flight, airlines, batches, lines};
    use super::{Carriers, Departures, Job, counts, named};

    // region: pipeline
    /// Reads, parses, names and adds up, side by side. At most 16 batches wait between two stages.
    #[task]
    pub async fn carriers(job: Input<&Job>) -> Result<Carriers> {
        let names = Arc::new(airlines(&job.airlines)?);
        let parse =
            |lines: Vec<String>| lines.iter().map(|line| Flight::parse(line)).collect::<Result<_, _>>();
        let report = Pipeline::source(Source::try_iter(batches(&job.flights, 500)?))
            // Computes: on the pool, two batches at a time.
            .try_cpu_stage("parse", 2, parse)
            // Waits: on tokio, eight batches at a time.
            .stage("name", 8, move |flights: Vec<Flight>| named(flights, Arc::clone(&names)))
            .fold(BTreeMap::<String, Delays>::new(), |delays, flights| {
                for (name, flight) in flights {
                    delays.entry(name).or_default().add(&flight);
                }
            })
            .run()
            .await?;
        Ok(Carriers { stages: report.stages.iter().map(counts).collect(), delays: report.value })
    }
    // endregion

    // region: errors
    /// Checks every flight: once until the first that fails, once to the end.
    #[task]
    pub async fn departures(job: Input<&Job>) -> Result<Departures> {
        let flights = || {
            let flights = Pipeline::source(Source::try_iter(lines(&job.flights)?))
                .try_stage("parse", 1, |line| async move { Flight::parse(&line) })
                .try_stage("check", 4, |flight| async move { flight.departed() })
                .ordered();
            Ok::<_, TaskError>(flights)
        };
        let strict = flights()?.sink(|_| async {}).run().await;
        let first_error = strict.err().map(|error| error.to_string()).unwrap_or_default();

        let settled = flights()?.settle().fold(0, |n_departed, _| *n_departed += 1).run().await?;
        let mut cancelled = BTreeMap::new();
        for flight in settled.errors.iter().filter_map(|error| error.cause::<Cancelled>()) {
            *cancelled.entry(flight.carrier.clone()).or_insert(0) += 1;
        }
        Ok(Departures { first_error, n_departed: settled.value, cancelled })
    }
    // endregion

    // region: fan-in
    /// Looks at the three airports in turn for flights that left five hours late, until ten are found.
    #[task]
    pub async fn latest(job: Input<&Job>) -> Result<(Vec<String>, u64)> {
        let mut airports = Vec::new();
        for origin in ["EWR", "JFK", "LGA"] {
            let flights = lines(&job.flights)?.map(|line| Ok(Flight::parse(&line?)?));
            let here = move |flight: &Result<Flight, TaskError>| {
                flight.as_ref().map_or(true, |flight| flight.origin == origin)
            };
            airports.push(Source::try_iter(flights.filter(here)));
        }
        let report =
            Pipeline::source(Source::select(airports))
                .stage("find", 1, |flight| async move {
                    flight.departed().ok().filter(|(_, delay)| *delay >= 300)
                })
                .flatten()
                .fold(Vec::new(), |found: &mut Vec<String>, (flight, delay)| {
                    let Flight { day, carrier, number, origin, .. } = flight;
                    found.push(format!("{origin} {day:2} January {carrier:>2} {number:>4}: {delay} minutes"));
                    if found.len() < 10 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                })
                .run()
                .await?;
        Ok((report.value, report.stages[0].n_out))
    }
    // endregion

    // region: scatter
    /// Deals the days out to three workers, and joins what they find in the order of the days.
    #[task]
    pub async fn days(job: Input<&Job>) -> Result<Vec<Delays>> {
        let mut days = vec![Vec::new(); 31];
        for line in lines(&job.flights)? {
            let flight = Flight::parse(&line?)?;
            days[flight.day - 1].push(flight);
        }
        let shards = stream::iter(days).scatter(3).into_iter();
        let worked = shards.map(|shard| {
            let day = |flights: Vec<Flight>| Delays::of(&flights);
            shard.try_par_map(Stage::new("day", 1), move |flights| Ok::<_, Error>(flights.map(day)))
        });
        Ok(gather_ordered(worked).try_collect().await?)
    }
    // endregion
}

/// Asks for the names of the carriers, as one would ask a service.
async fn named(
    flights: Vec<flight::Flight>,
    names: std::sync::Arc<BTreeMap<String, String>>,
) -> Vec<(String, flight::Flight)> {
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    let name = |flight: flight::Flight| (names.get(&flight.carrier).cloned().unwrap_or_default(), flight);
    flights.into_iter().map(name).collect()
}

fn counts(stage: &StageReport) -> (String, u64, u64) {
    (stage.name.to_string(), stage.n_in, stage.n_out)
}

// region: main
#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/nycflights13");
    let job = Job { flights: data.join("flights-2013-01.csv"), airlines: data.join("airlines.csv") };
    let engine = Engine::open(format!("sqlite://{}", directory.path().join("month.db").display())).await?;
    let run = engine.submit(month::workflow(), job).await?;
    let outcome = tutorial_progress::watched(&run).await?.ok()?;

    let carriers = outcome.output::<month::carriers>()?;
    println!("carriers, by a pipeline of batches\n stage   in  out");
    for (stage, n_in, n_out) in &carriers.stages {
        println!(" {stage:6}  {n_in:2}   {n_out:2}");
    }
    let mut delays: Vec<_> = carriers.delays.iter().collect();
    delays.sort_by_key(|(_, delays)| std::cmp::Reverse(delays.n_flights));
    for (name, delays) in &delays[..3] {
        println!(" {name:24} {} flights, {:.2} minutes late", delays.n_flights, delays.mean());
    }

    let departures = outcome.output::<month::departures>()?;
    let Departures { first_error, n_departed, cancelled } = &departures;
    println!("\ndepartures, by a check on each flight\n strict:  {first_error}");
    let n_cancelled: u64 = cancelled.values().sum();
    println!(" settled: {n_departed} departed, {n_cancelled} cancelled, {} by EV", cancelled["EV"]);

    let (latest, n_read) = outcome.output::<month::latest>()?;
    println!("\nfive hours late, of three sources");
    latest.iter().for_each(|flight| println!(" {flight}"));
    println!(" read to the end: {}", n_read == 27004);

    let days = outcome.output::<month::days>()?;
    let (n_days, n_flights) = (days.len(), days.iter().map(|day| day.n_flights).sum::<u64>());
    println!("\ndays, by scatter and join\n {n_days} days, {n_flights} flights; the worst:");
    let mut days: Vec<_> = days.iter().zip(1..).collect();
    days.sort_by(|(one, _), (other, _)| other.mean().total_cmp(&one.mean()));
    for (delays, day) in &days[..3] {
        println!(" {day:2} January  {:.4} minutes late", delays.mean());
    }
    engine.shutdown().await?;
    Ok(())
}
// endregion
