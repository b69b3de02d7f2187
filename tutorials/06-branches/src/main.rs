//! A month of flights is loaded: one source fails and another takes its place, and a check of the data chooses
//! the way that it goes.

mod data;

use std::error::Error;
use std::path::Path;

use anio::prelude::*;
use serde::{Deserialize, Serialize};

/// What is to be loaded, and from where.
#[derive(Clone, Serialize, Deserialize)]
pub struct Job {
    origin: String,
    flights: String,
    /// The weather service's answer.
    service: String,
    /// A copy of what it answered yesterday.
    copy: String,
}

#[workflow]
mod import {
    use anio::prelude::*;

    use super::Job;
    use super::data::{Flight, Loaded, Weather, read_flights, read_weather};

    // region: fallback
    /// Asks the service, twice if need be.
    #[task(retry(attempts = 2, backoff = fixed("10ms")))]
    pub async fn service(job: Input<&Job>) -> Result<Weather> {
        read_weather(&job.service)
    }

    /// Runs whatever became of `service`: its answer, or else the copy.
    #[task(blocking)]
    pub fn weather(service: Settled<Weather>, job: Input<&Job>) -> Result<Weather> {
        match service {
            Settled::Succeeded(weather) => Ok(weather),
            Settled::Failed(..) | Settled::Skipped(_) => read_weather(&job.copy),
        }
    }
    // endregion

    // region: branch
    /// Reads the flights, and notes how good the data is: how many of 1000 have no departure.
    #[task(blocking)]
    pub fn flights(job: Input<&Job>, context: &mut Context) -> Result<Vec<Flight>> {
        let flights = read_flights(&job.flights, &job.origin)?;
        let n_incomplete = flights.iter().filter(|flight| flight.delay.is_none()).count();
        context.insert("incomplete_per_mille", n_incomplete * 1000 / flights.len())?;
        Ok(flights)
    }

    #[task(when = value("incomplete_per_mille", less_than, 20))]
    pub fn accept(flights: Vec<Flight>) -> Result<Vec<Flight>> {
        Ok(flights)
    }

    #[task(when = none(value("incomplete_per_mille", less_than, 20)))]
    pub fn repair(flights: Vec<Flight>) -> Result<Vec<Flight>> {
        Ok(flights.into_iter().filter(|flight| flight.delay.is_some()).collect())
    }

    /// Takes what came by the way that was gone, and needs the weather.
    #[task(when = any(succeeded(accept), succeeded(repair)))]
    pub fn load(
        accept: Settled<&Vec<Flight>>,
        repair: Settled<&Vec<Flight>>,
        weather: &Weather,
    ) -> Result<Loaded> {
        let flights = accept.ok().or(repair.ok()).ok_or_else(|| TaskError::fatal("neither way was gone"))?;
        Ok(Loaded::of(flights, weather))
    }
    // endregion

    // region: function
    /// Whether so many flights leave in the rain that somebody should know.
    pub fn is_wet(loaded: &Loaded) -> bool {
        loaded.n_wet * 100 > loaded.n_flights * 6
    }

    #[task(when = is_wet)]
    pub async fn warn(load: &Loaded) -> Result<String> {
        Ok(format!("{} flights in rain or snow", load.n_wet))
    }
    // endregion
}

// region: main
#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let engine = Engine::open(format!("sqlite://{}", directory.path().join("import.db").display())).await?;
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/nycflights13");
    let file = |name: &str| data.join(name).display().to_string();
    let (there, gone) = (file("weather-2013-01.csv"), file("weather-2013-02.csv"));

    for (title, origin, service, copy) in [
        ("JFK, all is well", "JFK", &there, &there),
        ("LGA, the service is down", "LGA", &gone, &there),
        ("EWR, the service is down and there is no copy", "EWR", &gone, &gone),
    ] {
        let job = Job {
            origin: origin.to_owned(),
            flights: file("flights-2013-01.csv"),
            service: service.clone(),
            copy: copy.clone(),
        };
        let outcome = engine.run(import::workflow(), job).await?;
        println!("{title}: the run {}", outcome.status());
        tell(&outcome)?;
    }
    engine.shutdown().await?;
    Ok(())
}

fn tell(outcome: &Outcome) -> Result<(), Box<dyn Error>> {
    for task in outcome.tasks() {
        let why = task.skip_reason.or(task.error.map(|error| error.to_string())).unwrap_or_default();
        println!("{}", format!("  {:8} {:9}  {why}", task.name, task.status).trim_end());
    }
    for failure in outcome.handled_failures() {
        println!("  handled: {failure}");
    }
    match outcome.error() {
        Some(error) => println!("  not handled: {error}"),
        None => println!("  {}", outcome.output::<import::load>()?),
    }
    println!();
    Ok(())
}
// endregion
