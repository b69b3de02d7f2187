//! Statistics over all flights of a month, per carrier, per hour and per destination, with the weather joined
//! in: on all cores inside of tasks, and with a span for each item.

mod read;
mod statistics;
mod tree;

use std::error::Error;
use std::path::{Path, PathBuf};

use anio::Outcome;
use anio::prelude::*;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::prelude::*;

use crate::statistics::Statistics;
use crate::tree::Tree;

// region: workflow
#[workflow]
mod month {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use anio::parallel::prelude::*;
    use anio::prelude::*;

    use super::read::{Almanac, Flight, Weather, read_airlines, read_flights, read_weather};
    use super::statistics::{Departure, Statistics, groups};

    // These three read files, side by side.
    #[task(blocking)]
    pub fn flights(data: Input<&PathBuf>) -> Result<Vec<Flight>> {
        read_flights(&data.join("flights-2013-01.csv"))
    }

    #[task(blocking)]
    pub fn weather(data: Input<&PathBuf>) -> Result<Vec<Weather>> {
        read_weather(&data.join("weather-2013-01.csv"))
    }

    #[task(blocking)]
    pub fn airlines(data: Input<&PathBuf>) -> Result<BTreeMap<String, String>> {
        read_airlines(&data.join("airlines.csv"))
    }

    /// Plain rayon: a plain function runs on the worker's pool. For 27004 small items one wants no spans.
    #[task]
    pub fn departures(flights: &[Flight], weather: &[Weather]) -> Result<Vec<Departure>> {
        let almanac = Almanac::of(weather);
        let departure = |flight: &Flight| Departure {
            carrier: flight.carrier.clone(),
            destination: flight.destination.clone(),
            hour: flight.hour,
            delay: flight.delay(),
            is_wet: almanac.is_wet(flight),
        };
        Ok(flights.par_iter().map(departure).collect())
    }

    /// A span for each carrier, and its progress is seen from outside. The order is that of the groups.
    #[task]
    pub fn carriers(
        departures: &[Departure],
        airlines: &BTreeMap<String, String>,
    ) -> Result<Vec<Statistics>> {
        let groups = groups(departures, |departure| departure.carrier.clone());
        Ok(groups.try_par_map(|(code, group)| {
            let is_known = airlines.contains_key(&code);
            // The first error stops the others; a fatal one ends the task.
            is_known
                .then(|| Statistics::of(code.clone(), &group))
                .ok_or_else(|| TaskError::fatal(format!("carrier {code} has no name")))
        })?)
    }

    #[task]
    pub fn hours(departures: &[Departure]) -> Result<Vec<Statistics>> {
        let groups = groups(departures, |departure| departure.hour);
        Ok(groups.par_map(|(hour, group)| Statistics::of(format!("{hour}:00"), &group))?)
    }

    /// Out of async code, `try_cpu` hands the work to the pool: tokio goes on meanwhile.
    #[task]
    pub async fn destinations(departures: Vec<Departure>) -> Result<Vec<Statistics>> {
        let statistics = anio::parallel::try_cpu(move || {
            let groups = groups(&departures, |departure| departure.destination.clone());
            let large: Vec<_> = groups.into_iter().filter(|(_, group)| group.len() >= 100).collect();
            large.par_map(|(destination, group)| Statistics::of(destination, &group))
        });
        Ok(statistics.await?)
    }
}
// endregion

fn print(title: &str, rows: &[Statistics]) {
    println!("\n{title:12} flights     mean   95 % of means  rain, snow     dry");
    rows.iter().for_each(|row| println!("{row}"));
}

fn print_all(outcome: &Outcome) -> anio::Result<()> {
    let departures = outcome.output::<month::departures>()?;
    let n = |is_wet| departures.iter().filter(|one| one.is_wet == is_wet).count();
    let (n_wet, n_dry, n_unknown) = (n(Some(true)), n(Some(false)), n(None));
    println!("{} flights: {n_wet} in rain or snow, {n_dry} not, {n_unknown} unknown", departures.len());
    print("carrier", &outcome.output::<month::carriers>()?);
    print("hour", &outcome.output::<month::hours>()?);
    let mut destinations = outcome.output::<month::destinations>()?;
    destinations.sort_by(|a, b| b.mean.total_cmp(&a.mean));
    print(&format!("of {}", destinations.len()), &destinations[..5]);
    Ok(())
}

// region: main
#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let tree = Tree::default();
    let filter = EnvFilter::new("off,anio_scheduler=info,anio_parallel=info");
    tracing_subscriber::registry().with(filter).with(tree.clone()).init();

    let directory = tempfile::tempdir()?;
    let engine = Engine::open(format!("sqlite://{}", directory.path().join("month.db").display())).await?;
    let data: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/nycflights13");
    let run = engine.submit(month::workflow(), data).await?;
    // Draws a bar for each task that reports, or prints lines where there is no terminal.
    let outcome = tutorial_progress::watched(&run).await?.ok()?;
    print_all(&outcome)?;
    engine.shutdown().await?;

    println!("\n{}", tree.draw());
    Ok(())
}
// endregion
