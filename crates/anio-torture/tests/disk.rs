//! Bad disks under a SQLite file: a slice of what `cargo xtask torture disk` does for as long as one likes, and
//! the proof that it can fail.

#![expect(clippy::unwrap_used, reason = "what fails stops a test")]

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use anio_faulty_disk::{Cache, Plan, What};
use anio_torture::disk::{Ended, Mode, Sweep, Trial};

/// How many trials of each mode; each is two short lives of a program.
const OF_EACH_MODE: usize = 3;

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_anio-torture"))
}

/// Another one every time; `ANIO_TORTURE_SEED` plays one again.
fn seed() -> u64 {
    let time = || UNIX_EPOCH.elapsed().unwrap().as_secs();
    std::env::var("ANIO_TORTURE_SEED").map_or_else(|_| time(), |seed| seed.parse().unwrap())
}

#[test]
fn whatever_the_disk_does_what_was_acknowledged_is_kept_and_nothing_hangs() {
    let seed = seed();
    let sweep = Sweep::new(program(), seed, 20, Duration::from_millis(1500)).unwrap();
    assert!(sweep.n_operations > 200, "{} operations", sweep.n_operations);
    let others = ["disks_full_for_a_while", "files_held_by_another"];
    let (mut n_tried, mut n_hit) = (0, 0);
    for mode in Mode::ALL.map(Mode::name).into_iter().chain(others) {
        let trials = sweep.trials.iter().filter(|(name, _)| *name == mode);
        for (_, trial) in trials.take(OF_EACH_MODE) {
            let verdict = trial.run().unwrap();
            assert!(verdict.wrongs.is_empty(), "ANIO_TORTURE_SEED={seed}: {trial:?}: {verdict:#?}");
            n_tried += 1;
            n_hit += usize::from(!verdict.faults.is_empty());
        }
    }
    assert!(n_tried > 15 && n_hit * 2 > n_tried, "{n_hit} of {n_tried} disks did anything bad");
}

/// The same power losses where commits do not wait for the disk: the checker must see what is lost.
#[test]
fn without_waiting_for_the_disk_a_power_loss_is_seen_to_lose_what_was_acknowledged() {
    let dry = Trial::new(program(), 1, Plan { cache: Cache::Lost, ..Plan::default() });
    let n_operations = Trial { relaxed: true, ..dry }.run().unwrap().n_operations.unwrap();
    let lost = |percent: &u64| {
        let plan = Plan::one(n_operations * percent / 100, What::KillBefore, Cache::Lost);
        let trial = Trial { relaxed: true, ..Trial::new(program(), 1, plan) };
        let verdict = trial.run().unwrap();
        verdict.ended == Ended::Killed
            && verdict.wrongs.iter().any(|wrong| wrong.contains("AcknowledgedRunsAreKept"))
    };
    assert!([80, 70, 60, 50, 90].iter().any(lost), "no acknowledged run was lost");
}
