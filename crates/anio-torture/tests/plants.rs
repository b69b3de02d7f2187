//! A harness that cannot fail proves nothing: bugs that are planted are found, and nothing is where there is none.
//! A slice of what `cargo xtask torture plants` tries.

#![cfg(feature = "plant")]
#![expect(clippy::unwrap_used, reason = "what fails stops a test")]

use std::process::Command;

use anio_core::plant::{Plant, VARIABLE};
use serde_json::Value;

/// Each is found within a few schedules; one of the store, of the state machine, of the scheduler each.
const PLANTS: [Plant; 3] = [Plant::FactsWrittenTwice, Plant::AttemptsCountAnew, Plant::AcknowledgedEarly];

/// How many schedules are played at the most.
const N_SCHEDULES: u64 = 300;

/// Plays schedules in a process that has this bug until one is wrong: how many were played, and how many rules were
/// broken.
fn simulate(plant: Option<Plant>) -> (u64, u64) {
    let output = Command::new(env!("CARGO_BIN_EXE_anio-torture"))
        .args(["simulate", "--first", "--jobs=1"])
        .arg(format!("--count={N_SCHEDULES}"))
        .env(VARIABLE, plant.map_or("", Plant::name))
        .output()
        .unwrap();
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    let violations = figures["violations"].as_u64().unwrap();
    assert_eq!(output.status.success(), violations == 0, "{figures}");
    (figures["counts"]["schedules"].as_u64().unwrap(), violations)
}

#[test]
fn what_is_planted_is_found_and_nothing_else() {
    assert_eq!(simulate(None), (N_SCHEDULES, 0));
    for plant in PLANTS {
        let (n_played, n_violations) = simulate(Some(plant));
        assert!(n_violations > 0, "{}: not found in {n_played} schedules", plant.name());
    }
}
