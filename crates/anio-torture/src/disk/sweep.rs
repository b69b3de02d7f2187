//! The sweep: every operation of a small program's life goes wrong once, in each of several ways.

use std::path::Path;
use std::time::Duration;

use anio_faulty_disk::{Cache, Fault, Plan, Quota, What};

use super::trial::Trial;
use crate::Result;
use crate::dice::{Dice, mix};

/// How an operation goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// It fails once, with an I/O error.
    Error,
    /// It fails once, and what was not synced is gone when the program has ended.
    ErrorAndLoss,
    /// The next sync fails, and what it should have made durable is gone.
    Forget,
    /// From then on every one fails.
    Dead,
    /// The process is killed in place of it; the system keeps what was written.
    Kill,
    /// The process is killed, and what was not synced is lost.
    PowerLoss,
    /// The process is killed, and what was not synced is lost in part.
    Torn,
}

impl Mode {
    /// All.
    pub const ALL: [Self; 7] =
        [Self::Error, Self::ErrorAndLoss, Self::Forget, Self::Dead, Self::Kill, Self::PowerLoss, Self::Torn];

    /// Its name in the figures.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "io_errors",
            Self::ErrorAndLoss => "io_errors_before_a_power_loss",
            Self::Forget => "syncs_that_failed_and_forgot",
            Self::Dead => "disks_dead_from_then_on",
            Self::Kill => "kills_at_an_operation",
            Self::PowerLoss => "power_losses",
            Self::Torn => "torn_power_losses",
        }
    }

    /// A disk on which it happens at operation `n`.
    pub fn plan(self, n: u64, seed: u64) -> Plan {
        match self {
            Self::Error => Plan::one(n, What::Error, Cache::Kept),
            Self::ErrorAndLoss => Plan::one(n, What::Error, Cache::Lost),
            Self::Forget => Self::from_then_on(n, What::Forget),
            Self::Dead => Self::from_then_on(n, What::Error),
            Self::Kill => Plan::one(n, What::KillBefore, Cache::Kept),
            Self::PowerLoss => Plan::one(n, What::KillBefore, Cache::Lost),
            Self::Torn => Plan::one(n, What::KillBefore, Cache::Torn { seed: mix(seed, n) }),
        }
    }

    fn from_then_on(n: u64, what: What) -> Plan {
        let faults = vec![Fault { first: n, n: u64::MAX, what }];
        Plan { faults, cache: Cache::Lost, ..Plan::default() }
    }
}

/// The trials of a sweep.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// Each with its name in the figures.
    pub trials: Vec<(&'static str, Trial)>,
    /// How many operations a life without faults has.
    pub n_operations: u64,
}

impl Sweep {
    /// Lives a life without faults to count its operations, and makes the trials: of every `every`-th operation
    /// in every mode, of disks with ever more room that are full for a while, and of a file that another
    /// program holds.
    ///
    /// # Errors
    /// Those of the system, and a life without faults that goes wrong.
    pub fn new(program: &Path, seed: u64, every: u64, held: Duration) -> Result<Self> {
        let dry = Trial::new(program, seed, Plan { cache: Cache::Lost, ..Plan::default() }).run()?;
        let n_operations = dry.n_operations.ok_or("a life without faults does not come to its end")?;
        let mut dice = Dice::new(mix(seed, every));
        let mut trials = Vec::new();
        for mode in Mode::ALL {
            // Threads take turns as they like: some lives have a few operations more.
            let last = n_operations + n_operations / 20;
            for n in (1 + dice.below(every)..=last).step_by(every as usize) {
                trials.push((mode.name(), Trial::new(program, seed, mode.plan(n, seed))));
            }
        }
        for kib in (40..600).step_by(8 * every.min(20) as usize) {
            let quota = Some(Quota { bytes: kib << 10, refusals: 1 + dice.below(4) });
            let plan = Plan { quota, cache: Cache::Lost, ..Plan::default() };
            trials.push(("disks_full_for_a_while", Trial::new(program, seed, plan)));
        }
        let trial = Trial::new(program, seed, Plan::default());
        trials.push(("files_held_by_another", Trial { held: Some(held), ..trial }));
        dice.shuffle(&mut trials);
        Ok(Self { trials, n_operations })
    }
}
