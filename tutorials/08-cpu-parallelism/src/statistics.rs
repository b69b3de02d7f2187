//! What is computed of a group of departures, and how it prints.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// How many random months the interval of the mean is taken from.
const N_RESAMPLES: usize = 1000;

/// A flight with what the statistics need, the weather joined in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Departure {
    pub carrier: String,
    pub destination: String,
    pub hour: u8,
    /// In minutes; `None` for a flight that was cancelled.
    pub delay: Option<i32>,
    /// Whether it rained or snowed; `None` where nobody measured.
    pub is_wet: Option<bool>,
}

/// The flights of a carrier, an hour or a destination.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Statistics {
    pub key: String,
    pub n_flights: usize,
    pub mean: f64,
    /// Where the mean would lie in 95 of 100 months like this one.
    pub interval: (f64, f64),
    /// The mean delay in rain or snow, and without.
    pub wet: Option<f64>,
    pub dry: Option<f64>,
}

/// All departures by a key of theirs, in its order.
pub fn groups<K: Ord>(departures: &[Departure], key: impl Fn(&Departure) -> K) -> Vec<(K, Vec<&Departure>)> {
    let mut groups = BTreeMap::<K, Vec<&Departure>>::new();
    for departure in departures {
        groups.entry(key(departure)).or_default().push(departure);
    }
    groups.into_iter().collect()
}

impl Statistics {
    /// The work of one item: most of it goes into the interval.
    pub fn of(key: String, group: &[&Departure]) -> Self {
        let delays: Vec<i32> = group.iter().filter_map(|one| one.delay).collect();
        let mean_where = |is_wet| {
            let some = group.iter().filter(|one| one.is_wet == Some(is_wet));
            let delays: Vec<i32> = some.filter_map(|one| one.delay).collect();
            (!delays.is_empty()).then(|| mean(&delays))
        };
        Self {
            key,
            n_flights: group.len(),
            mean: mean(&delays),
            interval: interval_of_mean(&delays),
            wet: mean_where(true),
            dry: mean_where(false),
        }
    }
}

fn mean(delays: &[i32]) -> f64 {
    f64::from(delays.iter().sum::<i32>()) / delays.len().max(1) as f64
}

/// Draws months at random from the delays of this one and takes the middle 95 % of their means.
/// (B. Efron, *Bootstrap methods: another look at the jackknife*, Annals of Statistics 7, 1979.)
fn interval_of_mean(delays: &[i32]) -> (f64, f64) {
    let mut random = Random(delays.len() as u64);
    let mut month = |_| {
        let sum: i32 = (0..delays.len()).map(|_| delays[random.below(delays.len())]).sum();
        f64::from(sum) / delays.len().max(1) as f64
    };
    let mut means: Vec<f64> = (0..N_RESAMPLES).map(&mut month).collect();
    means.sort_by(f64::total_cmp);
    (means[N_RESAMPLES * 25 / 1000], means[N_RESAMPLES * 975 / 1000])
}

/// Numbers that look random and are the same in every run. (SplitMix64: G. Steele, D. Lea, C. Flood, *Fast
/// splittable pseudorandom number generators*, OOPSLA 2014.)
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((u128::from(z ^ (z >> 31)) * bound as u128) >> 64) as usize
    }
}

impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mean = |mean: Option<f64>| mean.map_or("–".to_owned(), |mean| format!("{mean:.2}"));
        let Self { key, n_flights, mean: all, interval: (low, high), wet, dry } = self;
        let interval = format!("{low:.2} – {high:.2}");
        write!(f, "{key:12} {n_flights:7}  {all:7.4}  {interval:>15}  {:>8}  {:>6}", mean(*wet), mean(*dry))
    }
}
