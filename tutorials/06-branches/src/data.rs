//! The rows of the data, described in `tutorials/data/nycflights13`, and how they are read.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::path::Path;

use anio::TaskError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A flight that was planned.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Flight {
    /// From which airport, and in which hour, it was to leave.
    place_and_hour: (String, String),
    /// Minutes after the time in the schedule, negative for early; `None` for a flight that was cancelled.
    pub delay: Option<i32>,
}

/// The hours of rain or snow, each with its airport.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Weather {
    wet_hours: BTreeSet<(String, String)>,
}

/// What was loaded in the end.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Loaded {
    pub n_flights: usize,
    pub n_wet: usize,
}

impl Loaded {
    /// Counts the flights, and those that were to leave in rain or snow.
    pub fn of(flights: &[Flight], weather: &Weather) -> Self {
        let is_wet = |flight: &&Flight| weather.wet_hours.contains(&flight.place_and_hour);
        Self { n_flights: flights.len(), n_wet: flights.iter().filter(is_wet).count() }
    }
}

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} flights, {} of them in rain or snow", self.n_flights, self.n_wet)
    }
}

/// The flights from one airport.
pub fn read_flights(path: &str, origin: &str) -> Result<Vec<Flight>, TaskError> {
    let flights = rows::<FlightRow>(path)?.into_iter().filter(|row| row.origin == origin);
    Ok(flights
        .map(|row| Flight { place_and_hour: (row.origin, row.time_hour), delay: row.dep_delay.parse().ok() })
        .collect())
}

pub fn read_weather(path: &str) -> Result<Weather, TaskError> {
    let wet = rows::<WeatherRow>(path)?.into_iter().filter(|row| row.precip > 0.0);
    Ok(Weather { wet_hours: wet.map(|row| (row.origin, row.time_hour)).collect() })
}

#[derive(Deserialize)]
struct FlightRow {
    origin: String,
    time_hour: String,
    dep_delay: String,
}

#[derive(Deserialize)]
struct WeatherRow {
    origin: String,
    time_hour: String,
    /// Rain or snow, in inches of water.
    precip: f64,
}

fn rows<T: DeserializeOwned>(path: &str) -> Result<Vec<T>, TaskError> {
    let name = Path::new(path).file_name().unwrap_or_default().display();
    let file = File::open(path).map_err(|error| TaskError::message(format!("{name}: {}", error.kind())))?;
    Ok(csv::Reader::from_reader(file).into_deserialize().collect::<Result<_, _>>()?)
}
