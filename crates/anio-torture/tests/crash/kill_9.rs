//! At least a hundred SIGKILLs per backend, then the checker.

use std::time::{Instant, UNIX_EPOCH};

use anio_torture::report::Report;
use anio_torture::settings::Settings;
use anio_torture::storm::Storm;

use crate::{Place, program, tell};

const KILLS: usize = 100;

/// Another one every time; `ANIO_TORTURE_SEED` plays one again.
fn seed() -> u64 {
    let time = || UNIX_EPOCH.elapsed().unwrap().as_secs();
    std::env::var("ANIO_TORTURE_SEED").map_or_else(|_| time(), |seed| seed.parse().unwrap())
}

fn kill_9(backend: &str, place: Place, n_workers: usize) {
    let (seed, begun) = (seed(), Instant::now());
    let settings = Settings { seed, ..Storm::settings(place.url(), place.path()) };
    let storm = Storm { program: program(), settings, n_workers, n_kills: KILLS };
    let aftermath = tokio::runtime::Runtime::new().unwrap().block_on(storm.rage()).unwrap();
    let wrongs = aftermath.wrongs(seed);
    if !wrongs.is_empty() {
        let kept = place.directory.keep();
        panic!("ANIO_TORTURE_SEED={seed}, diary and log in {}:\n{}", kept.display(), wrongs.join("\n"));
    }
    let report = Report { backend: backend.to_owned(), seed, ..Report::of(&aftermath, 0, begun.elapsed()) };
    tell(&serde_json::to_string(&report).unwrap());
    assert!(report.kills >= KILLS && report.task_runs > 100, "seed {seed}: a storm in which little happened");
    let of_each = [report.cancels, report.task_cancels, report.seen_paused, report.retries, report.keyed.1];
    assert!(of_each.iter().sum::<usize>() > 0, "seed {seed}: nobody asked for anything: {report:?}");
}

#[test]
fn kill_9_sqlite() {
    kill_9("sqlite", Place::sqlite(), 1);
}

#[test]
fn kill_9_postgres() {
    let Some(place) = Place::postgres() else { return };
    kill_9("postgres", place, 2);
}
