//! A runner at its ordinary work: results, errors, panics, bounds.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anio_parallel::queue::{End, Executor, Fifo, Runner, WorkQueue};
use anio_parallel::{Error, Progress, Scope};
use futures::{StreamExt, stream};

use crate::common::Count;
use crate::{distinct, double, with_each_queue};

#[tokio::test(flavor = "multi_thread")]
async fn every_item_is_handled_once_by_any_number_of_executors_over_any_queue() {
    for (n_executors, n_items_max, n_items) in
        [(1, 1, 0), (1, 1, 1), (1, 1, 50), (4, 5, 100), (4, 500, 100), (9, 2, 100)]
    {
        with_each_queue!(n_items_max, |name, queue| {
            let mut doubled = Vec::new();
            let runner = Runner::new(queue).items(0..n_items).execute(n_executors, double);
            let done = runner.handle(|result| doubled.push(result.unwrap())).run().await;
            assert!(matches!(done.end, End::Finished), "{name}: {:?}", done.end);
            assert_eq!((done.n_handled, done.n_failed, done.unprocessed), (n_items, 0, vec![]), "{name}");
            assert_eq!(distinct(doubled), (0..n_items).map(|n| n * 2).collect(), "{name}");
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn four_executors_over_a_queue_of_five_sum_the_squares() {
    // Text in, numbers out, an error of the program's own: nothing is cast, and a result that is not there is
    // an `Err`.
    let (mut sum, mut n_bad) = (0, 0);
    let items = (1..=100_u64).map(|n| n.to_string()).chain(["many".to_owned()]);
    let square = |text: String| async move { text.parse::<u64>().map(|n| n * n) };
    let done = Runner::new(Fifo::new(5))
        .items(items)
        .execute(4, square)
        .handle(|result| match result {
            Ok(square) => sum += square,
            Err(_) => n_bad += 1,
        })
        .run()
        .await;
    assert!(matches!(done.end, End::Finished), "{:?}", done.end);
    assert_eq!((sum, n_bad, done.n_handled, done.n_failed), (338_350, 1, 101, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_items_pass_a_small_queue() {
    let mut sum = 0;
    let runner = Runner::new(Fifo::new(8)).items(0..100_000_u64);
    let done =
        runner.execute(4, |n| async move { Ok::<_, Error>(n) }).handle(|n| sum += n.unwrap()).run().await;
    assert_eq!((done.n_handled, sum), (100_000, 4_999_950_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_and_an_error_are_those_of_their_items_and_stop_nothing() {
    for n_executors in [1, 4] {
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        let runner = Runner::new(Fifo::new(5)).named("check").items(0..100_u64);
        let runner = runner.execute(n_executors, |n| async move {
            assert!(n != 7, "the seventh");
            if n == 50 { Err("the fiftieth") } else { Ok(n) }
        });
        let done = runner
            .handle(|result| match result {
                Ok(n) => good.push(n),
                Err(error) => bad.push(error),
            })
            .run()
            .await;
        assert!(matches!(done.end, End::Finished));
        assert_eq!((done.n_handled, done.n_failed, good.len()), (100, 2, 98));
        bad.sort_by_key(Error::index);
        let (panicked, failed) = (&bad[0], &bad[1]);
        assert!(matches!(panicked, Error::Panicked { message, .. } if message == "the seventh"));
        assert!(matches!(failed, Error::Failed { .. }));
        assert_eq!((panicked.stage(), failed.stage()), (Some("check"), Some("check")));
        if n_executors == 1 {
            assert_eq!(panicked.index(), Some(7));
            assert_eq!(failed.to_string(), "stage \"check\", item 50: the fiftieth");
        }
    }
}

/// Counts what it has done, and does not survive a 3.
#[derive(Clone, Default)]
struct Fragile {
    n_done: u64,
}

impl Executor<u64> for Fragile {
    type Output = u64;
    type Error = Error;

    async fn execute(&mut self, item: u64) -> Result<u64, Error> {
        self.n_done += 1;
        assert!(item != 3, "three");
        Ok(self.n_done)
    }
}

#[tokio::test]
async fn an_executor_keeps_its_own_state_until_it_panics() {
    let mut seen = Vec::new();
    let runner = Runner::new(Fifo::new(1)).items(1..=5).executors(1, Fragile::default());
    runner.handle(|n| seen.push(n.ok())).run().await.ok().unwrap();
    assert_eq!(seen, [Some(1), Some(2), None, Some(1), Some(2)]);
}

#[tokio::test(start_paused = true)]
async fn as_many_items_as_executors_are_at_work_at_one_time_and_never_more() {
    let count = Count::default();
    let counting = count.clone();
    let runner = Runner::new(Fifo::new(20)).items(0..1_000_u64).execute(8, move |_| {
        let live = counting.begin();
        async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            drop(live);
            Ok::<_, Error>(())
        }
    });
    runner.handle(|_| ()).run().await.ok().unwrap();
    assert_eq!((count.begun(), count.peak(), count.live()), (1_000, 8, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_handler_holds_executors_and_producer_back() {
    let begun = Arc::new(AtomicU64::new(0));
    let pulled = Arc::new(AtomicU64::new(0));
    let (pulling, beginning) = (Arc::clone(&pulled), Arc::clone(&begun));
    let items = (0..500_u64).inspect(move |_| {
        pulling.fetch_add(1, SeqCst);
    });
    let runner = Runner::new(Fifo::new(5)).items(items).execute(3, move |n| {
        beginning.fetch_add(1, SeqCst);
        async move { Ok::<_, Error>(n) }
    });
    let mut n_handled = 0;
    let done = runner
        .handle(|_| {
            let n_begun = begun.load(SeqCst);
            // The one in hand has left its slot.
            assert!(n_begun <= n_handled + 1 + 3, "{n_begun} begun, {n_handled} handled");
            let n_pulled = pulled.load(SeqCst);
            assert!(n_pulled <= n_handled + 1 + 3 + 5 + 1 + 3, "{n_pulled} pulled, {n_handled} handled");
            n_handled += 1;
            std::thread::yield_now();
        })
        .run()
        .await;
    assert_eq!(done.n_handled, 500);
}

#[tokio::test(start_paused = true)]
async fn the_end_is_an_event_and_not_found_by_polling() {
    let started = tokio::time::Instant::now();
    for _ in 0..10 {
        Runner::new(Fifo::new(2))
            .items(0..10)
            .execute(2, double)
            .handle(|_| ())
            .run()
            .await
            .ok()
            .map(drop)
            .unwrap();
    }
    assert_eq!(started.elapsed(), Duration::ZERO, "no timer was needed");
}

#[tokio::test]
async fn an_empty_item_is_an_item() {
    let mut seen = Vec::new();
    let items = [Some(1), None, Some(2), None];
    let runner = Runner::new(Fifo::new(4))
        .items(items)
        .execute(1, |item: Option<u32>| async move { Ok::<_, Error>(item) });
    runner.handle(|item| seen.push(item.unwrap())).run().await.ok().unwrap();
    assert_eq!(seen, items);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_holds_the_queue_may_push_and_closing_it_is_the_end() {
    let queue = Arc::new(Fifo::new(3));
    let pushers = (0..4_u64).map(|pusher| {
        let queue = Arc::clone(&queue);
        async move {
            for n in 0..50 {
                queue.push(pusher * 50 + n).await.unwrap();
            }
        }
    });
    let pushing = async {
        futures::future::join_all(pushers).await;
        queue.close();
    };
    let mut seen = Vec::new();
    let runner = Runner::new(Arc::clone(&queue)).execute(2, |n| async move { Ok::<_, Error>(n) });
    let (done, ()) = tokio::join!(runner.handle(|n| seen.push(n.unwrap())).run(), pushing);
    assert_eq!((done.n_handled, distinct(seen)), (200, (0..200).collect()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_pushed_before_the_producer_failed_is_handled() {
    for panics in [false, true] {
        let count = Count::default();
        let counting = count.clone();
        let source = stream::iter(0..20_u64).map(move |n| {
            assert!(!panics || n < 11, "out of paper");
            if n < 11 { Ok(n) } else { Err("out of paper") }
        });
        let mut seen = Vec::new();
        let runner = Runner::new(Fifo::new(3)).source(source).execute(4, move |n| {
            let live = counting.begin();
            async move {
                let _live = live;
                double(n).await
            }
        });
        let done = runner.handle(|n| seen.push(n.unwrap())).run().await;
        assert_eq!((done.n_handled, done.unprocessed.len(), count.live()), (11, 0, 0));
        assert_eq!(distinct(seen), (0..11).map(|n| n * 2).collect());
        let error = done.ok().unwrap_err();
        assert_eq!(matches!(error, Error::Panicked { .. }), panics);
        assert!(error.to_string().contains("out of paper"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_produces_and_fails_or_panics_is_an_error_too() {
    for panics in [false, true] {
        let runner = Runner::new(Fifo::new(1)).produce(move |queue| async move {
            for n in 0..5 {
                queue.push(n).await?;
            }
            assert!(!panics, "enough");
            Err::<(), _>(Error::from_cause("enough"))
        });
        let done = runner.execute(2, double).handle(|_| ()).run().await;
        assert_eq!(done.n_handled, 5);
        let error = done.ok().unwrap_err();
        assert_eq!(matches!(error, Error::Panicked { .. }), panics);
        assert_eq!(matches!(error, Error::Failed { .. }), !panics);
    }
}

#[tokio::test]
async fn progress_is_reported_with_the_total() {
    #[derive(Default)]
    struct Last(Mutex<(String, u64, Option<u64>)>);
    impl Progress for Last {
        fn report(&self, what: &str, done: u64, total: Option<u64>) {
            *self.0.lock().unwrap() = (what.to_owned(), done, total);
        }
    }
    let last = Arc::new(Last::default());
    let job =
        Runner::new(Fifo::new(2)).named("doubling").items(0..30).execute(2, double).handle(|_| ()).run();
    Scope::current().progress_to(last.clone()).run(job).await.ok().unwrap();
    assert_eq!(*last.0.lock().unwrap(), ("doubling".to_owned(), 30, Some(30)));
}
