//! Rates that all connections share.
#![expect(clippy::unwrap_used, reason = "a case is a test: what fails must stop it")]
#![expect(missing_docs, reason = "their names are sentences")]

use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use super::Fixture;
use crate::backend::Backend;
use crate::rate::{Reservation, Reserved};

const HOUR: Duration = Duration::from_secs(3600);

fn reservation(name: &str, n: u32, interval: Duration, burst: u32) -> Reservation {
    Reservation { name: name.to_owned(), n, interval, burst }
}

/// Reserves, and must be granted it: from when on they may start, in microseconds.
fn granted(backend: &mut dyn Backend, reservation: &Reservation) -> i64 {
    let reserved = backend.reserve(reservation).unwrap();
    assert!(reserved.is_granted, "{reserved:?}");
    reserved.at.as_micros()
}

/// Holds what was reserved to the rate: within any time no more than the burst and what the rate allows of it.
fn check(mut reserved: Vec<(i64, u32)>, interval: Duration, burst: u32) {
    reserved.sort_unstable();
    for (from, (first, _)) in reserved.iter().enumerate() {
        let mut n_starts = 0;
        for (last, n) in &reserved[from..] {
            n_starts += u128::from(*n);
            let n_max = u128::from(burst) + u128::from(last.abs_diff(*first)) * 1000 / interval.as_nanos();
            assert!(n_starts <= n_max, "{n_starts} start within {} µs, of {n_max}", last - first);
        }
    }
}

pub fn no_more_is_reserved_by_many_at_once_than_a_rate_allows(fixture: &Fixture) {
    // The first is so fast that much of it is saved up between two reservations, the last so slow that none is.
    for (name, interval, burst) in [("fast", 5, 200), ("brisk", 300, 7), ("slow", 20_000, 1)] {
        let interval = Duration::from_micros(interval);
        let connections: Vec<_> = (0..4).map(|_| fixture.open()).collect();
        let barrier = Arc::new(Barrier::new(connections.len()));
        let threads = (1..).zip(connections).map(|(worker, mut backend)| {
            let barrier = Arc::clone(&barrier);
            thread::spawn(move || {
                barrier.wait();
                let ns = (0..30_u32).map(|i| 1 + (i * worker) % burst);
                ns.map(|n| (granted(&mut *backend, &reservation(name, n, interval, burst)), n))
                    .collect::<Vec<_>>()
            })
        });
        let threads: Vec<_> = threads.collect();
        let reserved: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        if burst == 1 {
            let mut instants: Vec<i64> = reserved.iter().map(|(at, _)| *at).collect();
            instants.sort_unstable();
            assert!(instants.is_sorted_by(|a, b| b - a >= 20_000), "each at an instant of its own");
        }
        check(reserved, interval, burst);
    }
}

pub fn what_is_reserved_outlives_who_reserved_it(fixture: &Fixture) {
    let five = reservation("api", 5, HOUR, 5);
    let first = granted(&mut *fixture.open(), &five);
    let mut backend = fixture.open();
    let second = backend.reserve(&reservation("api", 1, HOUR, 5)).unwrap();
    assert!(second.is_granted);
    assert_eq!(second.at.as_micros(), first + 3_600_000_000, "the bucket is as empty as it was");
    assert!(second.wait() > HOUR / 2);
}

pub fn starts_are_reserved_no_further_ahead_than_ten_seconds_or_four_intervals(fixture: &Fixture) {
    let mut backend = fixture.open();
    let hourly = reservation("slow", 1, HOUR, 1);
    let starts = [(); 5].map(|()| granted(&mut *backend, &hourly));
    assert!(starts.is_sorted_by(|a, b| b - a == 3_600_000_000), "{starts:?}");
    for _ in 0..2 {
        let Reserved { is_granted, at, now } = backend.reserve(&hourly).unwrap();
        assert!(!is_granted);
        assert_eq!(at.as_micros(), starts[1], "to be asked again when another may be reserved");
        assert!(at > now);
    }
    let brisk = reservation("brisk", 1, Duration::from_secs(1), 1);
    let n_granted = (0..100).filter(|_| backend.reserve(&brisk).unwrap().is_granted).count();
    assert!((11..100).contains(&n_granted), "{n_granted}");
}

pub fn each_start_is_counted_by_the_rate_of_who_reserves_it(fixture: &Fixture) {
    let (mut old, mut new) = (fixture.open(), fixture.open());
    let rate = |interval| reservation("größe", 1, interval, 1);
    let (hourly, minutely) = (rate(HOUR), rate(HOUR / 60));
    let first = granted(&mut *new, &minutely);
    assert_eq!(granted(&mut *old, &hourly), first + 60_000_000);
    assert_eq!(granted(&mut *old, &hourly), first + 3_660_000_000);
    // Nobody waits for the rest of a rate that is not in force any more.
    let refused = new.reserve(&minutely).unwrap();
    assert!(!refused.is_granted && refused.wait() <= HOUR / 60, "{refused:?}");
    let other = reservation("groesse", 1, HOUR, 1);
    assert_eq!(new.reserve(&other).unwrap().wait(), Duration::ZERO, "another name is another rate");
}
