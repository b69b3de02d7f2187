//! The rows of the data, described in `tutorials/data/nycflights13`, and how they are read.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::Path;

use anio::TaskError;
use serde::{Deserialize, Serialize};

/// A flight that was planned.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Flight {
    pub origin: String,
    #[serde(rename = "dest")]
    pub destination: String,
    pub carrier: String,
    /// The hour of the day at which it was to leave.
    pub hour: u8,
    pub time_hour: String,
    dep_delay: String,
}

impl Flight {
    /// Minutes after the time in the schedule, negative for early; `None` for a flight that was cancelled.
    pub fn delay(&self) -> Option<i32> {
        self.dep_delay.parse().ok()
    }
}

/// The weather at an airport in one hour.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Weather {
    origin: String,
    time_hour: String,
    /// Rain or snow, in inches of water.
    precip: f64,
}

/// The weather by airport and hour.
pub struct Almanac<'a>(HashMap<(&'a str, &'a str), &'a Weather>);

impl<'a> Almanac<'a> {
    pub fn of(weather: &'a [Weather]) -> Self {
        Self(weather.iter().map(|one| ((&*one.origin, &*one.time_hour), one)).collect())
    }

    /// Whether it rained or snowed when a flight was to leave; `None` where nobody measured.
    pub fn is_wet(&self, flight: &Flight) -> Option<bool> {
        self.0.get(&(&*flight.origin, &*flight.time_hour)).map(|weather| weather.precip > 0.0)
    }
}

pub fn read_flights(path: &Path) -> Result<Vec<Flight>, TaskError> {
    Ok(reader(path)?.deserialize().collect::<Result<_, _>>()?)
}

pub fn read_weather(path: &Path) -> Result<Vec<Weather>, TaskError> {
    Ok(reader(path)?.deserialize().collect::<Result<_, _>>()?)
}

/// The names of the carriers.
pub fn read_airlines(path: &Path) -> Result<BTreeMap<String, String>, TaskError> {
    Ok(reader(path)?.deserialize().collect::<Result<_, _>>()?)
}

/// No further attempt mends a file that is not there.
fn reader(path: &Path) -> Result<csv::Reader<File>, TaskError> {
    let file = File::open(path).map_err(|error| TaskError::fatal(format!("{}: {error}", path.display())))?;
    Ok(csv::Reader::from_reader(file))
}
