//! `cpu`, pools and scopes.

mod common;

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use anio_parallel::{
    Cancel, Error, ParMap, Pool, Scope, carry, check, cpu, is_cancelled, prelude::*, try_cpu,
};
use common::{Count, scope, wait_until};
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn the_runtime_goes_on_while_jobs_compute() {
    // One thread drives tokio. The jobs end when it has ticked ten times: a blocked one would never.
    let ticks = Arc::new(AtomicUsize::new(0));
    let (scope, _token) = scope(4);
    let ticker = tokio::spawn({
        let ticks = Arc::clone(&ticks);
        async move {
            let mut interval = tokio::time::interval(Duration::from_millis(1));
            loop {
                interval.tick().await;
                ticks.fetch_add(1, SeqCst);
            }
        }
    });
    let job = || {
        let ticks = Arc::clone(&ticks);
        cpu(move || wait_until("ten ticks", || ticks.load(SeqCst) >= 10))
    };
    scope.run(async { tokio::try_join!(job(), job(), job(), job()) }).await.unwrap();
    ticker.abort();
}

#[tokio::test]
async fn plain_rayon_inside_uses_the_pool_of_the_scope() {
    let (scope, _token) = scope(3);
    let work = || {
        let n_threads = [
            rayon::current_num_threads(),
            rayon::join(rayon::current_num_threads, || ()).0,
            (0..100).into_par_iter().map(|_| rayon::current_num_threads()).max().unwrap(),
        ];
        let mut numbers: Vec<u64> = (0..10_000).rev().collect();
        numbers.par_sort_unstable();
        let mut halves = (0, 0);
        rayon::scope(|scope| {
            let (left, right) = numbers.split_at(5_000);
            let (first, second) = (&mut halves.0, &mut halves.1);
            scope.spawn(move |_| *first = left.iter().sum());
            scope.spawn(move |_| *second = right.iter().sum());
        });
        let folded: u64 = numbers.par_iter().fold(|| 0, |sum, n| sum + n).reduce(|| 0, |a, b| a + b);
        (n_threads, numbers.is_sorted(), halves.0 + halves.1, folded)
    };
    let (n_threads, is_sorted, by_scope, by_fold): (_, _, u64, u64) = scope.run(cpu(work)).await.unwrap();
    assert_eq!(n_threads, [3, 3, 3]);
    assert!(is_sorted);
    assert_eq!((by_scope, by_fold), (49_995_000, 49_995_000));
}

#[tokio::test]
async fn a_merge_sort_by_join_sorts() {
    fn sort(numbers: &mut [u32]) {
        if numbers.len() <= 64 {
            return numbers.sort_unstable();
        }
        let (left, right) = numbers.split_at_mut(numbers.len() / 2);
        rayon::join(|| sort(left), || sort(right));
        let merged = {
            let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
            let next = || match (left.peek(), right.peek()) {
                (Some(a), Some(b)) if a <= b => left.next(),
                (Some(_), None) => left.next(),
                _ => right.next(),
            };
            std::iter::from_fn(next).copied().collect::<Vec<_>>()
        };
        numbers.copy_from_slice(&merged);
    }
    let mut random = common::Numbers(7);
    let mut numbers: Vec<u32> = (0..100_000).map(|_| random.below(1 << 32) as u32).collect();
    let mut expected = numbers.clone();
    expected.sort_unstable();
    let sorted = cpu(move || {
        sort(&mut numbers);
        numbers
    });
    assert_eq!(sorted.await.unwrap(), expected);
}

#[tokio::test]
async fn a_pool_works_on_as_many_items_as_it_has_threads_and_no_more() {
    let pool = Pool::new(3).unwrap();
    let count = Count::default();
    let all_at_work = Arc::new(Barrier::new(3));
    let counting = count.clone();
    let work = move || {
        (0..300_u32).par_map(|n| {
            let _live = counting.begin();
            // The first item of each thread waits until all three have one.
            if n % 100 == 0 {
                all_at_work.wait();
            }
        })
    };
    pool.try_cpu(work).await.unwrap();
    assert_eq!(count.peak(), 3);
    let small = Pool::new(1).unwrap();
    assert_eq!(cpu(rayon::current_num_threads).on(&small).await.unwrap(), 1);
    assert_eq!(pool.scope(async { Pool::current().n_threads() }).await, 3);
    assert_eq!(small.install(|| Pool::current().n_threads()), 1);
}

#[tokio::test]
async fn a_panic_is_an_error_and_costs_no_thread() {
    let (scope, _token) = scope(2);
    for _ in 0..20 {
        let error = scope.clone().run(async { cpu(|| panic!("no {}", "luck")).await }).await.unwrap_err();
        let Error::Panicked { message, location, index, .. } = error else { panic!("{error:?}") };
        assert_eq!((message.as_str(), index), ("no luck", None));
        assert!(location.unwrap().contains("tests/cpu.rs"));
    }
    // A panic of plain rayon, on whichever thread; and one of a job that nobody waits for.
    let error = scope
        .clone()
        .run(async { cpu(|| (0..100).into_par_iter().for_each(|n| assert!(n != 70, "at {n}"))).await });
    assert!(error.await.unwrap_err().to_string().contains("at 70"));
    let spawned = scope.clone().run(async { cpu(|| rayon::spawn(|| panic!("alone"))).await });
    spawned.await.unwrap();
    let both = Arc::new(Barrier::new(2));
    scope.pool().install(|| rayon::broadcast(|_| both.wait()));
}

#[tokio::test]
async fn what_never_began_when_the_scope_was_called_off_never_runs() {
    let (scope, token) = scope(1);
    token.cancel();
    let error = scope.run(async { cpu(|| unreachable!("it was called off")).await }).await.unwrap_err();
    assert!(matches!(error, Error::Cancelled));
}

#[tokio::test]
async fn dropping_the_future_stops_the_function_at_its_next_check() {
    let (scope, token) = scope(2);
    let count = Count::default();
    for n_ms in 0..20 {
        let counting = count.clone();
        let endless = scope.clone().run(async {
            try_cpu(move || -> Result<(), Error> {
                let _live = counting.begin();
                loop {
                    check()?;
                }
            })
            .await
        });
        assert!(tokio::time::timeout(Duration::from_millis(n_ms), endless).await.is_err());
    }
    count.settle("cpu").await;
    assert!(!token.is_cancelled(), "only its own token was cancelled");
}

#[tokio::test]
async fn nothing_starts_before_the_first_poll() {
    let count = Count::default();
    let counting = count.clone();
    drop(cpu(move || drop(counting.begin())));
    assert_eq!(count.begun(), 0);
}

#[test]
fn a_job_awaited_on_the_only_thread_of_its_pool_runs_there() {
    let pool = Pool::new(1).unwrap();
    let answer = pool.install(|| futures::executor::block_on(cpu(|| 1)).unwrap());
    assert_eq!(answer, 1);
}

#[tokio::test]
async fn scopes_are_entered_and_left_like_brackets() {
    let (outer, outer_token) = scope(1);
    let (inner, inner_token) = scope(2);
    inner_token.cancel();
    let seen = outer.run(async move {
        let before = is_cancelled();
        let inside = inner.clone().run(async { (is_cancelled(), Pool::current().n_threads()) }).await;
        let plain = inner.run_plain(is_cancelled);
        tokio::task::yield_now().await;
        (before, inside, plain, is_cancelled(), Pool::current().n_threads())
    });
    assert_eq!(seen.await, (false, (true, 2), true, false, 1));
    assert!(!outer_token.is_cancelled());
    assert!(check().is_ok());
}

#[test]
fn a_child_is_called_off_with_its_parent_and_by_itself_alone() {
    let parent = Scope::new(Pool::current(), CancellationToken::new());
    let (child, other) = (parent.child(), parent.child());
    assert!(child.check().is_ok());
    child.token().cancel();
    assert!(child.check().is_err() && other.check().is_ok() && parent.check().is_ok());
    parent.token().cancel();
    assert!(other.check().is_err() && parent.check().is_err());
    assert!(parent.child().check().is_err(), "one made afterwards knows at once");
}

#[test]
fn a_cancel_is_seen_by_all_threads_that_look() {
    let (scope, token) = scope(4);
    let looks = scope.clone().run_plain(|| {
        let cancel = Cancel::current();
        scope.pool().install(|| {
            let started = AtomicUsize::new(0);
            let looks = rayon::broadcast(|_| {
                if started.fetch_add(1, SeqCst) == 3 {
                    token.cancel();
                }
                wait_until("the cancel", || cancel.is_cancelled());
                cancel.check().is_err()
            });
            looks.len()
        })
    });
    assert_eq!(looks, 4);
}

#[test]
fn carried_closures_find_their_scope_on_every_thread() {
    let (scope, token) = scope(4);
    token.cancel();
    let names: HashSet<bool> = scope.pool().clone().install(|| {
        scope.run_plain(|| (0..10_000_u32).into_par_iter().map(carry(|_| is_cancelled())).collect())
    });
    assert_eq!(names, HashSet::from([true]));
}

#[tokio::test]
async fn a_borrowing_helper_may_be_called_outside_every_scope_and_pool() {
    let words = vec!["a".to_owned(), "bb".to_owned()];
    assert_eq!((&words).par_map(String::len).unwrap(), [1, 2]);
    assert_eq!(rayon::join(|| words.as_slice().par_map(String::len), || ()).0.unwrap(), [1, 2]);
}
