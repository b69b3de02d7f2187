//! A slice of `cargo xtask torture net`: some cuts, and a short storm in bad weather.
#![expect(clippy::unwrap_used, reason = "what fails stops a test")]

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use anio_testkit::postgres::{self, Server};
use anio_torture::net::cuts::{Cut, Try};
use anio_torture::net::weather::{Place, Rough};
use anio_torture::settings::Settings;
use anio_torture::storm::Storm;
use tokio::runtime::Runtime;

/// How many messages of the worker's are cut at, one after the other.
const CUTS: u64 = 6;

/// About how many messages a worker's little work takes, in both directions.
const MESSAGES: u64 = 900;

/// How many workers die in bad weather.
const KILLS: usize = 3;

fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_anio-torture"))
}

/// Another one every time; `ANIO_TORTURE_SEED` plays one again.
fn seed() -> u64 {
    let time = || UNIX_EPOCH.elapsed().unwrap().as_secs();
    std::env::var("ANIO_TORTURE_SEED").map_or_else(|_| time(), |seed| seed.parse().unwrap())
}

fn is_off() -> bool {
    if postgres::is_off() {
        drop(writeln!(std::io::stderr(), "skipped: Postgres is switched off"));
    }
    postgres::is_off()
}

#[test]
fn nothing_is_lost_wherever_a_connection_is_cut() {
    if is_off() {
        return;
    }
    let (seed, server) = (seed(), Server::shared().unwrap());
    let mut n_cuts = 0;
    for at in 0..CUTS {
        let cut = Cut::nth((seed + at * MESSAGES / CUTS) % MESSAGES);
        let outcome = Runtime::new().unwrap().block_on(Try { program: program(), server, seed, cut }.run());
        let outcome = outcome.unwrap();
        n_cuts += u64::from(outcome.was_cut);
        assert!(
            outcome.wrongs.is_empty(),
            "ANIO_TORTURE_SEED={seed}, {cut:?}:\n{}",
            outcome.wrongs.join("\n")
        );
    }
    assert!(n_cuts > 0, "seed {seed}: no message was met");
}

#[test]
fn nothing_is_lost_in_bad_weather() {
    if is_off() {
        return;
    }
    let seed = seed();
    let directory = tempfile::tempdir().unwrap();
    let aftermath = Runtime::new().unwrap().block_on(async {
        let place = Arc::new(Place::new().await.unwrap());
        let settings = Settings {
            lease: Duration::from_secs(5),
            ..Storm::settings(seed, place.url(), directory.path())
        };
        let storm = Storm { program: program(), settings, n_workers: 2, n_kills: KILLS };
        let weather = Rough::begin(Arc::clone(&place), seed);
        storm.rage_in(&weather).await.unwrap()
    });
    let wrongs = aftermath.wrongs(seed);
    if !wrongs.is_empty() {
        let kept = directory.keep();
        panic!("ANIO_TORTURE_SEED={seed}, diary and log in {}:\n{}", kept.display(), wrongs.join("\n"));
    }
    assert!(aftermath.n_kills() >= KILLS);
}
