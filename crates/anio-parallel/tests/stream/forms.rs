//! What all forms have in common: results, errors, panics, cancellation, drops, bounds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use anio_parallel::{Error, ParStreamExt, Stage, TryParStreamExt, check, gather, is_cancelled};
use futures::stream;
use futures::{StreamExt, TryStreamExt};

use crate::common::{Count, Numbers, scope, wait_until};
use crate::{FORMS, MS, Results, apply, baseline, keeps_order, wait_for_tasks};

#[tokio::test(flavor = "multi_thread")]
async fn all_forms_give_all_results_and_the_ordered_ones_in_order() {
    for form in FORMS {
        for (n_workers, n_items) in [(1, 0), (1, 50), (4, 0), (4, 1), (4, 200)] {
            let mut results: Vec<u64> =
                apply(form, stream::iter(0..n_items), n_workers, |n| Ok(n + 1)).try_collect().await.unwrap();
            if !keeps_order(form) {
                results.sort_unstable();
            }
            assert_eq!(results, (1..=n_items).collect::<Vec<_>>(), "{form} by {n_workers}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_item_7_of_100_is_the_error_of_item_7_and_the_end() {
    let tasks = baseline();
    for form in FORMS {
        for n_workers in [1, 4] {
            let count = Count::default();
            let counting = count.clone();
            let f = move |n| {
                let _live = counting.begin();
                assert!(n != 7, "the seventh");
                Ok(n)
            };
            let mut results = apply(form, stream::iter(0..100), Stage::new("work", n_workers), f);
            let mut before = Vec::new();
            let error = loop {
                match results.next().await.expect("an error comes before the end") {
                    Ok(n) => before.push(n),
                    Err(error) => break error,
                }
            };
            // Shards are dropped at an error, not waited for.
            if form.starts_with("scatter") {
                count.settle(form).await;
            }
            assert_eq!(count.live(), 0, "{form}: nothing runs when the error is there");
            assert!(results.next().await.is_none(), "{form}");
            let Error::Panicked { message, location, index, .. } = &error else {
                panic!("{form}: {error:?}")
            };
            assert_eq!(message, "the seventh");
            assert!(location.as_deref().unwrap().contains("tests/stream"), "{form}");
            if !form.starts_with("scatter") {
                assert_eq!((*index, error.stage()), (Some(7), Some("work")), "{form}");
            }
            if keeps_order(form) && !form.starts_with("scatter") {
                // Without an order, others may overtake item 7 while it panics.
                assert!(count.begun() <= 8 + 2 * n_workers.max(3), "{form}: {} began", count.begun());
                assert_eq!(before, (0..7).collect::<Vec<_>>(), "{form}");
            }
        }
    }
    wait_for_tasks(tasks, "panic").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancellation_at_any_point_leaves_nothing_running_in_any_form() {
    let tasks = baseline();
    let mut random = Numbers(3);
    for form in FORMS {
        for round in 0..12 {
            let (scope, token) = scope(1 + round % 2);
            let count = Count::default();
            let (counting, at) = (count.clone(), random.below(60) as usize);
            let f = move |n| {
                let _live = counting.begin();
                if counting.begun() > at {
                    token.cancel();
                }
                // Each item goes on until it is told to stop, once the time has come.
                while counting.begun() > at {
                    check()?;
                }
                Ok(n)
            };
            let n_workers = 1 + random.below(5) as usize;
            let results = scope
                .run(async { apply(form, stream::iter(0..), n_workers, f).try_collect::<Vec<_>>().await });
            let error = results.await.unwrap_err();
            assert!(error.is_cancelled(), "{form}: {error:?}");
            count.settle(form).await;
        }
    }
    wait_for_tasks(tasks, "cancel").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drop_at_any_point_leaves_nothing_running_in_any_form() {
    let tasks = baseline();
    let mut random = Numbers(4);
    for form in FORMS {
        for _ in 0..12 {
            let count = Count::default();
            let counting = count.clone();
            let f = move |n| {
                let _live = counting.begin();
                Ok(n)
            };
            let n_taken = random.below(30) as usize;
            let mut results = apply(form, stream::iter(0..), 4, f);
            for _ in 0..n_taken {
                results.next().await.unwrap().unwrap();
            }
            drop(results);
            count.settle(form).await;
            assert!(count.begun() <= n_taken + 16, "{form}: {} began for {n_taken}", count.begun());
        }
    }
    wait_for_tasks(tasks, "drop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_sees_that_its_sibling_failed() {
    // On the pool, item 0 goes on until its sibling has failed.
    let (scope, _token) = scope(2);
    let error = scope.run(async {
        stream::iter(0..2_u64)
            .par_map_unordered(2, |n| {
                assert!(n != 1, "item 1");
                wait_until("the cancel", is_cancelled);
            })
            .try_collect::<Vec<_>>()
            .await
    });
    assert_eq!(error.await.unwrap_err().index(), Some(1));
}

#[tokio::test]
async fn a_slow_consumer_holds_the_source_back() {
    for form in FORMS {
        let (pulled, mut n_taken) = (Arc::new(AtomicUsize::new(0)), 0);
        let counting = Arc::clone(&pulled);
        let source = stream::iter(0..500).inspect(move |_| {
            counting.fetch_add(1, SeqCst);
        });
        // A shard holds one item beyond its stage, the channel three, the task that reads one.
        let ahead_max = if form.starts_with("scatter") { 3 * 2 + 3 + 1 + 3 } else { 6 };
        let mut results = apply(form, source, Stage::from(2).look_ahead(6), Ok);
        while let Some(result) = results.next().await {
            result.unwrap();
            n_taken += 1;
            for _ in 0..5 {
                tokio::task::yield_now().await;
            }
            let n_ahead = pulled.load(SeqCst) - n_taken;
            assert!(n_ahead <= ahead_max, "{form}: {n_ahead} items ahead");
        }
        assert_eq!(n_taken, 500);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_items_pass_through() {
    let total = |results: Results| results.try_fold(0, |sum, n| async move { Ok(sum + n) });
    let n_items = 1_000_000;
    let sum_below = |n: u64| n * (n - 1) / 2;
    let expected = sum_below(n_items);
    let spawned = stream::iter(0..n_items).par_then(8, |n| async move { n });
    assert_eq!(total(spawned).await.unwrap(), expected);
    let batches = stream::iter(0..n_items).batching(1000, MS).par_map(2, |batch| batch.iter().sum::<u64>());
    assert_eq!(total(batches).await.unwrap(), expected);
    let sum = stream::iter(0..n_items).par_reduce(2, |a, b| a + b).await.unwrap();
    assert_eq!(sum, Some(expected));
    let shards = stream::iter(0..n_items / 10).scatter(2);
    assert_eq!(total(gather(shards)).await.unwrap(), sum_below(n_items / 10));
}

#[tokio::test]
async fn an_error_of_the_source_keeps_its_place_and_a_panic_of_the_source_is_an_error() {
    let source = stream::iter(["1", "2", "x", "4"]).map(str::parse::<u64>);
    let mut results = source.try_par_then(4, |n| async move { Ok::<_, Error>(n) });
    assert_eq!(results.next().await.unwrap().unwrap(), 1);
    assert_eq!(results.next().await.unwrap().unwrap(), 2);
    let error = results.next().await.unwrap().unwrap_err();
    assert!(error.cause::<std::num::ParseIntError>().is_some());
    assert!(results.next().await.is_none());

    for form in FORMS {
        let source = stream::iter(0..10).inspect(|n| assert!(*n != 5, "the source"));
        let error =
            apply(form, source, Stage::from(2).settled(), Ok).try_collect::<Vec<_>>().await.unwrap_err();
        assert!(
            matches!(&error, Error::Panicked { message, .. } if message == "the source"),
            "{form}: {error:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn for_each_waits_for_all_and_ends_by_the_first_error() {
    let count = Count::default();
    let counting = count.clone();
    let add = move |_| {
        let counting = counting.clone();
        async move { drop(counting.begin()) }
    };
    stream::iter(0..100).par_for_each(4, add).await.unwrap();
    assert_eq!(count.begun(), 100);
    let failing = |n| async move { if n == 7 { Err("seven") } else { Ok(()) } };
    let error = stream::iter(0..).map(Ok::<i32, Error>).try_par_for_each(4, failing).await.unwrap_err();
    assert_eq!(error.index(), Some(7));
    let panicked = stream::iter(0..).par_for_each(4, |n| async move { assert!(n != 7) }).await.unwrap_err();
    assert_eq!(panicked.index(), Some(7));
    stream::empty::<i32>().par_for_each(1, |_| async {}).await.unwrap();
}

#[tokio::test]
async fn a_settled_stage_goes_on_after_errors() {
    let settled = |n: u64| async move { if n % 10 == 3 { Err("three") } else { Ok(n) } };
    let results: Vec<Result<u64, Error>> = stream::iter(0..100)
        .map(Ok::<_, Error>)
        .try_par_then(Stage::from(4).settled(), settled)
        .try_par_map(Stage::from(2).settled(), |n| if n == 50 { panic!("fifty") } else { Ok::<_, Error>(n) })
        .collect()
        .await;
    for (at, result) in results.iter().enumerate() {
        match at {
            50 => assert!(matches!(result, Err(Error::Panicked { index: Some(50), .. }))),
            _ if at % 10 == 3 => {
                assert_eq!(result.as_ref().unwrap_err().to_string(), format!("item {at}: three"));
            }
            _ => assert_eq!(*result.as_ref().unwrap(), at as u64),
        }
    }
    assert_eq!(results.len(), 100);
}

#[test]
fn a_stream_polled_on_the_only_thread_of_its_pool_goes_on() {
    let pool = anio_parallel::Pool::new(1).unwrap();
    let squares = pool.install(|| {
        futures::executor::block_on(stream::iter(0..10).par_map(4, |n| n * n).try_collect::<Vec<_>>())
            .unwrap()
    });
    assert_eq!(squares, (0..10).map(|n| n * n).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_says_its_stage_and_item_and_ends_all_stages() {
    let tasks = baseline();
    let (count, n_done) = (Count::default(), Arc::new(AtomicUsize::new(0)));
    let (counting, counting_too, counting_done) = (count.clone(), count.clone(), Arc::clone(&n_done));
    let result = stream::iter(0..)
        .par_then(Stage::new("a", 2), move |n| {
            let counting = counting.clone();
            async move {
                let _live = counting.begin();
                tokio::task::yield_now().await;
                n
            }
        })
        .try_par_map(Stage::new("b", 2), move |n| {
            let _live = counting_too.begin();
            if n == 50 { Err("fifty is bad") } else { Ok(n) }
        })
        .try_par_then(Stage::new("c", 2), move |_| {
            let counting_done = Arc::clone(&counting_done);
            async move { Ok::<_, Error>(counting_done.fetch_add(1, SeqCst)) }
        })
        .try_collect::<Vec<_>>()
        .await;
    let error = result.unwrap_err();
    assert_eq!((error.stage(), error.index()), (Some("b"), Some(50)));
    assert_eq!(error.to_string(), r#"stage "b", item 50: fifty is bad"#);
    assert_eq!(n_done.load(SeqCst), 50, "what came before the error went through");
    count.settle("stages").await;
    wait_for_tasks(tasks, "stages").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_of_an_endless_source_stop_all_that_is_before_them() {
    let tasks = baseline();
    let produced = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&produced);
    let source = stream::repeat_with(move || counting.fetch_add(1, SeqCst));
    let taken: Vec<usize> = source
        .par_then(3, |n| async move { n })
        .try_par_map(2, Ok::<_, Error>)
        .try_par_then(4, |n| async move { Ok::<_, Error>(n) })
        .take(10)
        .try_collect()
        .await
        .unwrap();
    assert_eq!(taken, (0..10).collect::<Vec<_>>());
    assert!(produced.load(SeqCst) <= 10 + 2 * (3 + 2 + 4), "{produced:?}");
    wait_for_tasks(tasks, "take").await;
}
