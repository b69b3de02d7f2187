//! The disks of a storm: each life has another.

use anio_faulty_disk::{Cache, Odds, Plan, Quota};

use crate::dice::{Dice, mix};

/// What is wrong with the disk of a life.
pub(crate) fn plan(seed: u64, incarnation: u64) -> Plan {
    let mut dice = Dice::new(mix(seed ^ 0xd15c, incarnation));
    let cache = match dice.below(10) {
        0 => Cache::Kept,
        1..5 => Cache::Lost,
        _ => Cache::Torn { seed: dice.roll() },
    };
    let odds = |dice: &mut Dice, per_million| Some(Odds { seed: dice.roll(), per_million });
    let (odds, quota) = match dice.below(10) {
        0 => (odds(&mut dice, 5000), None),
        1 | 2 => (odds(&mut dice, 100), None),
        3 | 4 => {
            let bytes = (64 << 10) + dice.below(4 << 20);
            (None, Some(Quota { bytes, refusals: 1 + dice.below(5) }))
        }
        _ => (None, None),
    };
    Plan { faults: Vec::new(), odds, quota, cache }
}
