//! SIGKILLs and SIGSTOPs on each backend, three workers at a time, then the checker.

use std::time::{Instant, UNIX_EPOCH};

use anio_torture::ledger::Entry;
use anio_torture::report::figures;
use anio_torture::storm::Storm;

use crate::{Place, program, tell};

const KILLS: usize = 70;

/// Another one every time; `ANIO_TORTURE_SEED` plays one again.
fn seed() -> u64 {
    let time = || UNIX_EPOCH.elapsed().unwrap().as_secs();
    std::env::var("ANIO_TORTURE_SEED").map_or_else(|_| time(), |seed| seed.parse().unwrap())
}

fn kill_9(backend: &str, place: Place, n_workers: usize) {
    let (seed, begun) = (seed(), Instant::now());
    let settings = Storm::settings(seed, place.url(), place.path());
    let storm = Storm { program: program(), settings, n_workers, n_kills: KILLS };
    let aftermath = tokio::runtime::Runtime::new().unwrap().block_on(storm.rage()).unwrap();
    let wrongs = aftermath.wrongs(seed);
    if !wrongs.is_empty() {
        let kept = place.directory.keep();
        panic!("ANIO_TORTURE_SEED={seed}, diary and log in {}:\n{}", kept.display(), wrongs.join("\n"));
    }
    let mut report = Entry::new("storm", backend, "");
    figures(&aftermath, &mut report);
    tell(&format!("seed {seed}, {:?}: {}", begun.elapsed(), report.summary()));
    let of = |what| report.of(what);
    assert!(of("kills") >= KILLS as u64, "seed {seed}: {report:?}");
    assert!(of("task_runs") > 100, "seed {seed}: a storm in which little happened");
    let of_each = ["cancels", "task_cancels", "pauses_seen", "retries", "keyed_runs"].map(of);
    assert!(of_each.iter().sum::<u64>() > 0, "seed {seed}: nobody asked for anything: {report:?}");
}

#[test]
fn kill_9_sqlite() {
    kill_9("sqlite", Place::sqlite(), 3);
}

#[test]
fn kill_9_postgres() {
    let Some(place) = Place::postgres() else { return };
    kill_9("postgres", place, 3);
}
