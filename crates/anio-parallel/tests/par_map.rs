//! `par_map`, `try_par_map`, `par_map_settled`.

mod common;

use std::sync::{Arc, Mutex};

use anio_parallel::{Error, ParMap, Progress, Scope, check, is_cancelled, progress, try_cpu};
use common::{Count, Numbers, scope, wait_until};
use rayon::prelude::*;

#[derive(Debug, thiserror::Error)]
#[error("bad number {0}")]
struct Bad(u32);

fn fails(n: u32) -> Result<u32, Bad> {
    if [10, 500, 999].contains(&n) { Err(Bad(n)) } else { Ok(n * 2) }
}

#[test]
fn results_come_in_the_order_of_the_items() {
    let items: Vec<u32> = (0..1000).collect();
    let doubled: Vec<u32> = items.iter().map(|n| n * 2).collect();
    assert_eq!(items.as_slice().par_map(|n| n * 2).unwrap(), doubled);
    assert_eq!((&items).par_map(|n| n * 2).unwrap(), doubled);
    assert_eq!(items.par_iter().zip(&items).par_map(|(a, b)| a + b).unwrap(), doubled);
    assert_eq!(items.par_map(|n| n * 2).unwrap(), doubled);
}

#[test]
fn settled_gives_what_became_of_each() {
    let settled = (0..1000_u32).par_map_settled(fails);
    assert_eq!(settled.iter().filter(|result| result.is_ok()).count(), 997);
    let failed = settled.iter().enumerate().filter_map(|(at, result)| Some((at, result.as_ref().err()?)));
    let failed: Vec<_> =
        failed.map(|(at, error)| (at as u64, error.index(), error.cause::<Bad>().unwrap().0)).collect();
    assert_eq!(failed, [(10, Some(10), 10), (500, Some(500), 500), (999, Some(999), 999)]);
    for (at, result) in settled.into_iter().enumerate() {
        assert!(result.is_err() || result.unwrap() as usize == at * 2);
    }
}

#[test]
fn the_first_error_stops_the_rest_and_says_which_it_was() {
    let (scope, _token) = scope(2);
    let count = Count::default();
    let error = scope.run_plain(|| {
        (0..10_000_u32).try_par_map(|n| {
            let _live = count.begin();
            if n == 5_000 {
                return Err(Error::from_cause(Bad(n)));
            }
            // Only the error ends the others: it cancels what they see.
            if n != 0 {
                Ok(())
            } else {
                loop {
                    check()?;
                }
            }
        })
    });
    let error = error.unwrap_err();
    assert_eq!(error.index(), Some(5_000));
    assert_eq!(error.to_string(), "item 5000: bad number 5000");
    assert_eq!(error.cause::<Bad>().unwrap().0, 5_000);
    assert_eq!(count.live(), 0);
    assert!(count.begun() < 10_000);
}

#[test]
fn with_one_worker_nothing_follows_the_error() {
    let (scope, _token) = scope(1);
    let count = Count::default();
    let error = scope.run_plain(|| {
        (0..100_u32).try_par_map(|n| {
            let _live = count.begin();
            fails(n + 3)
        })
    });
    assert_eq!(error.unwrap_err().index(), Some(7));
    assert_eq!(count.begun(), 8);
}

#[test]
fn a_panic_in_item_7_of_100_is_the_error_of_item_7() {
    let (scope, _token) = scope(2);
    for _ in 0..10 {
        let error = scope.clone().run_plain(|| (0..100_u32).par_map(|n| assert!(n != 7, "the seventh")));
        let Err(Error::Panicked { index, message, location, .. }) = error else { panic!("{error:?}") };
        assert_eq!((index, message.as_str()), (Some(7), "the seventh"));
        assert!(location.unwrap().contains("tests/par_map.rs"));
    }
    let settled = scope.run_plain(|| {
        (0..100_u32).par_map_settled(|n| if n == 7 { panic!("the seventh") } else { fails(n + 1000) })
    });
    assert!(settled.iter().enumerate().all(|(at, result)| result.is_err() == (at == 7)));
}

#[test]
fn cancellation_at_any_point_leaves_nothing_running() {
    let mut random = Numbers(1);
    for round in 0..60 {
        let (scope, token) = scope(1 + round % 3);
        let count = Count::default();
        let (at, n_items) = (random.below(200) as usize, 200_u32);
        let item = |_: u32| {
            let _live = count.begin();
            if count.begun() > at {
                token.cancel();
                // Of two threads that cancel at once, one may return before the other has told all.
                wait_until("the cancel", is_cancelled);
            }
            check()
        };
        scope.run_plain(|| {
            if round % 2 == 0 {
                assert!((0..n_items).try_par_map(item).unwrap_err().is_cancelled());
            } else {
                let settled = (0..n_items).par_map_settled(item);
                assert!(settled.iter().any(|result| matches!(result, Err(Error::Cancelled))));
                assert_eq!(settled.len(), n_items as usize);
            }
        });
        assert_eq!(count.live(), 0);
        assert!(count.begun() <= at + 1 + 3, "of each thread, one item more at most");
    }
}

#[tokio::test]
async fn dropping_the_call_stops_the_items() {
    let (scope, _token) = scope(2);
    let count = Count::default();
    let counting = count.clone();
    let call = scope.run(async {
        try_cpu(move || {
            (0..1000_u32).try_par_map(|_| -> Result<(), Error> {
                let _live = counting.begin();
                loop {
                    check()?;
                }
            })
        })
        .await
    });
    let dropped = tokio::select! {
        _ = call => false,
        _ = tokio::task::spawn_blocking({ let count = count.clone(); move || wait_until("both", || count.live() == 2) }) => true,
    };
    assert!(dropped);
    count.settle("par_map").await;
    assert_eq!(count.begun(), 2);
}

#[test]
fn no_item_and_a_million() {
    let none: Vec<u32> = vec![];
    assert!(none.as_slice().par_map(|n| n + 1).unwrap().is_empty());
    assert!(none.as_slice().par_map_settled(|n| fails(*n)).is_empty());
    assert!(none.try_par_map(fails).unwrap().is_empty());
    for n_threads in [1, 2] {
        let (scope, _token) = scope(n_threads);
        let many: Vec<u32> = (0..1_000_000).collect();
        let mapped = scope.run_plain(|| many.par_map(|n| u64::from(n) + 1)).unwrap();
        assert!(mapped.iter().enumerate().all(|(at, n)| *n == at as u64 + 1));
    }
}

#[derive(Default)]
struct Reports(Mutex<Vec<(String, u64, Option<u64>)>>);

impl Progress for Reports {
    fn report(&self, what: &str, done: u64, total: Option<u64>) {
        self.0.lock().expect("no report panics").push((what.to_owned(), done, total));
    }
}

#[test]
fn progress_is_reported_by_the_outermost_helper() {
    let reports = Arc::new(Reports::default());
    Scope::current().progress_to(reports.clone()).run_plain(|| {
        (0..50_u32)
            .par_map(|_| {
                progress(1, None);
                (0..10_u32).par_map(|n| n).unwrap().len()
            })
            .unwrap();
    });
    let reports = reports.0.lock().unwrap();
    assert_eq!(reports.last(), Some(&("par_map".to_owned(), 50, Some(50))));
    assert!(reports.iter().all(|(what, done, total)| what == "par_map" && *done <= 50 && *total == Some(50)));
}
