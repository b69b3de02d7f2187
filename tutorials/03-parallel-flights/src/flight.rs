//! Flights as the tutorial computes with them, and how they are read.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use anio::TaskError;
use serde::{Deserialize, Serialize};

/// A flight that was planned.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Flight {
    pub day: u8,
    pub origin: String,
    pub destination: String,
    pub carrier: String,
    pub miles: u32,
    /// Minutes after the time in the schedule, negative for early; `None` for a flight that was cancelled.
    pub delay: Option<i32>,
}

/// Reads a file of flights, whose columns are described in `tutorials/data/nycflights13`.
pub fn read_flights(path: &Path) -> Result<Vec<Flight>, TaskError> {
    #[derive(Deserialize)]
    struct Row {
        day: u8,
        origin: String,
        dest: String,
        carrier: String,
        distance: u32,
        dep_delay: String,
    }
    let mut flights = Vec::new();
    for row in csv::Reader::from_reader(open(path)?).deserialize() {
        let Row { day, origin, dest: destination, carrier, distance: miles, dep_delay } = row?;
        let delay = if dep_delay == "NA" { None } else { Some(dep_delay.parse()?) };
        flights.push(Flight { day, origin, destination, carrier, miles, delay });
    }
    Ok(flights)
}

/// Reads the names of the carriers.
pub fn read_airlines(path: &Path) -> Result<BTreeMap<String, String>, TaskError> {
    Ok(csv::Reader::from_reader(open(path)?).deserialize().collect::<Result<_, _>>()?)
}

/// No further attempt mends a file that is not there.
fn open(path: &Path) -> Result<File, TaskError> {
    File::open(path).map_err(|error| TaskError::fatal(format!("{}: {error}", path.display())))
}
