//! What is to go wrong, as one value that a process can be started with.

use serde::{Deserialize, Serialize};

/// What a disk does in place of what it should.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Faults at operations by their numbers.
    pub faults: Vec<Fault>,
    /// I/O errors by chance.
    pub odds: Option<Odds>,
    /// How much room there is.
    pub quota: Option<Quota>,
    /// What becomes of writes that were not synced.
    pub cache: Cache,
}

/// A fault at one operation, or at several in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The first operation that it hits; the first of the process is 1.
    pub first: u64,
    /// How many it hits; `u64::MAX` for all from then on.
    pub n: u64,
    /// What happens.
    pub what: What,
}

/// What happens at an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// It is not done, and SQLite is told of an I/O error.
    Error,
    /// If it is a sync, it fails, and what it should have made durable is gone: as a system does that lets go
    /// of pages it could not write. Happens once per process; any other operation goes well.
    Forget,
    /// The process is killed in place of it.
    KillBefore,
    /// The process is killed when it is done.
    KillAfter,
}

/// I/O errors by chance, the same for the same seed and the same order of operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Odds {
    /// Where the chance comes from.
    pub seed: u64,
    /// How many of a million operations fail.
    pub per_million: u32,
}

/// How much room the disk has for databases and their logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// How many bytes all files together may have.
    pub bytes: u64,
    /// After how many refused writes there is room for as many bytes again; 0 for never.
    pub refusals: u64,
}

/// What becomes of writes that were not synced when the process dies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cache {
    /// The system keeps them: a crash of the process is not one of the machine.
    #[default]
    Kept,
    /// They are lost, all of them: a loss of power.
    Lost,
    /// Some sectors are lost and some are not, whatever the order in which they were written.
    Torn {
        /// Where the chance comes from.
        seed: u64,
    },
}

impl Plan {
    /// A disk on which one operation goes wrong.
    pub fn one(first: u64, what: What, cache: Cache) -> Self {
        Self { faults: vec![Fault { first, n: 1, what }], cache, ..Self::default() }
    }

    /// What happens at an operation.
    pub(crate) fn at(&self, n: u64) -> Option<What> {
        let hits = |fault: &&Fault| n >= fault.first && n - fault.first < fault.n;
        let by_chance = |odds: Odds| chance(odds.seed, n) % 1_000_000 < u64::from(odds.per_million);
        match self.faults.iter().find(hits) {
            Some(fault) => Some(fault.what),
            None => self.odds.is_some_and(by_chance).then_some(What::Error),
        }
    }
}

/// A number that looks like chance: splitmix64 of a seed and a position
/// (<https://prng.di.unimi.it/splitmix64.c>).
pub(crate) const fn chance(seed: u64, n: u64) -> u64 {
    let mut z = seed.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_hits_as_many_operations_as_it_says() {
        let plan = |n| Plan { faults: vec![Fault { first: 5, n, what: What::Error }], ..Plan::default() };
        let hit = |plan: &Plan| (1..=9).filter(|n| plan.at(*n).is_some()).collect::<Vec<_>>();
        assert_eq!(hit(&plan(1)), [5]);
        assert_eq!(hit(&plan(3)), [5, 6, 7]);
        assert_eq!(hit(&plan(u64::MAX)), [5, 6, 7, 8, 9]);
    }

    #[test]
    fn odds_are_about_what_they_say_and_the_same_again() {
        let of = |seed| Plan { odds: Some(Odds { seed, per_million: 100_000 }), ..Plan::default() };
        let hit = |seed| (1..=10_000).filter(|n| of(seed).at(*n).is_some()).collect::<Vec<u64>>();
        assert!((900..1100).contains(&hit(1).len()), "{}", hit(1).len());
        assert_eq!(hit(1), hit(1));
        assert_ne!(hit(1), hit(2));
    }
}
