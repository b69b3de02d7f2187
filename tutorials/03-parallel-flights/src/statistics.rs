//! What is computed: the delays of one airport, and the month put together from its airports.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::flight::Flight;

/// How many random months the interval of the mean is taken from.
const N_RESAMPLES: usize = 2000;

/// The departures of one airport.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Departures {
    pub origin: String,
    pub n_flights: u32,
    pub n_cancelled: u32,
    pub n_delays: u32,
    /// The sum of all delays, in minutes.
    pub minutes: i32,
    pub mean: f64,
    /// Where the mean would lie in 95 of 100 months like this one.
    pub interval: (f64, f64),
    pub median: i32,
    /// Nine in ten flights were no later than this.
    pub ninth_decile: i32,
    pub worst: i32,
    pub carriers: BTreeMap<String, u32>,
    pub destinations: BTreeSet<String>,
    pub days: BTreeSet<u8>,
    pub miles: u32,
}

impl Departures {
    /// Computes them from all flights of one airport. This is the work that runs side by side.
    pub fn of(origin: &str, flights: &[Flight]) -> Self {
        let mut delays: Vec<i32> = flights.iter().filter_map(|flight| flight.delay).collect();
        delays.sort_unstable();
        let (n_flights, n_delays) = (flights.len() as u32, delays.len() as u32);
        let minutes = delays.iter().sum();
        let mut carriers = BTreeMap::new();
        for flight in flights {
            *carriers.entry(flight.carrier.clone()).or_default() += 1;
        }
        Self {
            origin: origin.to_owned(),
            n_flights,
            n_cancelled: n_flights - n_delays,
            n_delays,
            minutes,
            mean: f64::from(minutes) / f64::from(n_delays),
            interval: interval_of_mean(&delays),
            median: delays[delays.len() / 2],
            ninth_decile: delays[delays.len() * 9 / 10],
            worst: delays[delays.len() - 1],
            carriers,
            destinations: flights.iter().map(|flight| flight.destination.clone()).collect(),
            days: flights.iter().map(|flight| flight.day).collect(),
            miles: flights.iter().map(|flight| flight.miles).sum(),
        }
    }
}

/// Draws months at random from the delays of this one and takes the middle 95 % of their means.
/// (B. Efron, *Bootstrap methods: another look at the jackknife*, Annals of Statistics 7, 1979.)
fn interval_of_mean(delays: &[i32]) -> (f64, f64) {
    let mut random = Random(delays.len() as u64);
    let mean = |_| f64::from((0..delays.len()).map(|_| delays[random.below(delays.len())]).sum::<i32>());
    let mut means: Vec<f64> =
        (0..N_RESAMPLES).map(mean).map(|sum| sum / f64::from(delays.len() as u32)).collect();
    means.sort_by(f64::total_cmp);
    (means[N_RESAMPLES * 25 / 1000], means[N_RESAMPLES * 975 / 1000])
}

/// Numbers that look random and are the same in every run. (SplitMix64: G. Steele, D. Lea, C. Flood, *Fast
/// splittable pseudorandom number generators*, OOPSLA 2014.)
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (((mixed >> 33) * n as u64) >> 31) as usize
    }
}

/// All airports together; displayed as the report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Month {
    pub origins: Vec<Departures>,
    /// The names of the carriers and how often each flew, the busiest first.
    pub carriers: Vec<(String, String, u32)>,
}

impl Month {
    /// Puts the airports together.
    pub fn of(origins: Vec<Departures>, airlines: &BTreeMap<String, String>) -> Self {
        let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
        for (carrier, n) in origins.iter().flat_map(|origin| &origin.carriers) {
            *counts.entry(carrier).or_default() += n;
        }
        let name = |carrier: &str| airlines.get(carrier).cloned().unwrap_or_default();
        let mut carriers: Vec<_> =
            counts.iter().map(|(carrier, n)| ((*carrier).to_owned(), name(carrier), *n)).collect();
        carriers.sort_by_key(|(.., n)| std::cmp::Reverse(*n));
        Self { origins, carriers }
    }

    pub fn n_flights(&self) -> u32 {
        self.origins.iter().map(|origin| origin.n_flights).sum()
    }

    pub fn n_cancelled(&self) -> u32 {
        self.origins.iter().map(|origin| origin.n_cancelled).sum()
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "origin  flights  cancelled  delays  minutes     mean  95 % of means  median  9 of 10  worst"
        )?;
        for of in &self.origins {
            write!(f, "{:6}  {:7}  {:9}  {:6}", of.origin, of.n_flights, of.n_cancelled, of.n_delays)?;
            write!(f, "  {:7}  {:7.4}  {:5.2} – {:5.2}", of.minutes, of.mean, of.interval.0, of.interval.1)?;
            writeln!(f, "  {:6}  {:7}  {:5}", of.median, of.ninth_decile, of.worst)?;
        }
        let days: BTreeSet<_> = self.origins.iter().flat_map(|of| &of.days).collect();
        let destinations: BTreeSet<_> = self.origins.iter().flat_map(|of| &of.destinations).collect();
        let miles: u32 = self.origins.iter().map(|of| of.miles).sum();
        writeln!(
            f,
            "{} flights, {} cancelled, {} days, {} destinations, {miles} miles",
            self.n_flights(),
            self.n_cancelled(),
            days.len(),
            destinations.len()
        )?;
        let busiest =
            self.carriers.iter().take(3).map(|(carrier, name, n)| format!("{carrier} {n} ({name})"));
        write!(f, "{} carriers; busiest: {}", self.carriers.len(), busiest.collect::<Vec<_>>().join(", "))
    }
}
