//! Flights, how they are read, and what is computed of them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// A flight that was planned.
#[derive(Clone, Debug)]
pub struct Flight {
    pub day: usize,
    pub carrier: String,
    pub number: String,
    pub origin: String,
    pub destination: String,
    /// Minutes after the time in the schedule, negative for early; `None` for a flight that was cancelled.
    pub delay: Option<i64>,
}

/// What is wrong with a line of the file.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not the line of a flight")]
pub struct BadLine(String);

/// A flight that never left.
#[derive(Debug, thiserror::Error)]
#[error("flight {carrier} {number} to {destination} was cancelled")]
pub struct Cancelled {
    pub carrier: String,
    number: String,
    destination: String,
}

impl Flight {
    pub fn parse(line: &str) -> Result<Self, BadLine> {
        let columns: Vec<&str> = line.split(',').collect();
        let read = || {
            let text = |column: usize| columns.get(column).map(|text| (*text).to_owned());
            let delay = match *columns.get(5)? {
                "NA" => None,
                minutes => Some(minutes.parse().ok()?),
            };
            let day = columns.get(2)?.parse().ok()?;
            let (carrier, number, origin, destination) = (text(9)?, text(10)?, text(12)?, text(13)?);
            Some(Self { day, carrier, number, origin, destination, delay })
        };
        read().ok_or_else(|| BadLine(line.to_owned()))
    }

    /// The flight with its delay, if it left at all.
    pub fn departed(self) -> Result<(Self, i64), Cancelled> {
        let Self { carrier, number, destination, .. } = &self;
        let delay = self.delay.ok_or_else(|| Cancelled {
            carrier: carrier.clone(),
            number: number.clone(),
            destination: destination.clone(),
        })?;
        Ok((self, delay))
    }
}

/// The lines of a file behind its title, read as they are asked for.
pub fn lines(path: &Path) -> io::Result<impl Iterator<Item = io::Result<String>> + Send + use<>> {
    Ok(BufReader::new(File::open(path)?).lines().skip(1))
}

/// The same, so many at a time.
pub fn batches(
    path: &Path,
    n_lines: usize,
) -> io::Result<impl Iterator<Item = io::Result<Vec<String>>> + Send + use<>> {
    let mut lines = lines(path)?;
    Ok(std::iter::from_fn(move || {
        let batch: io::Result<Vec<String>> = lines.by_ref().take(n_lines).collect();
        if batch.as_ref().is_ok_and(Vec::is_empty) { None } else { Some(batch) }
    }))
}

/// The names of the carriers.
pub fn airlines(path: &Path) -> io::Result<BTreeMap<String, String>> {
    let name = |line: io::Result<String>| {
        let line = line?;
        let (carrier, name) = line.split_once(',').unwrap_or((&line, ""));
        Ok((carrier.to_owned(), name.to_owned()))
    };
    lines(path)?.map(name).collect()
}

/// How many flights there were, how many left, and how late.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Delays {
    pub n_flights: u64,
    pub n_departed: u64,
    pub minutes: i64,
}

impl Delays {
    pub fn of(flights: &[Flight]) -> Self {
        let mut delays = Self::default();
        flights.iter().for_each(|flight| delays.add(flight));
        delays
    }

    pub fn add(&mut self, flight: &Flight) {
        self.n_flights += 1;
        if let Some(minutes) = flight.delay {
            self.n_departed += 1;
            self.minutes += minutes;
        }
    }

    pub fn mean(&self) -> f64 {
        self.minutes as f64 / self.n_departed as f64
    }
}
