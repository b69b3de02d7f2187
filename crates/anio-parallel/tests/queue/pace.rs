//! The rate-limited queue, by tokio's clock, which stands still until everybody waits.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anio_parallel::queue::{Fifo, RateLimited, Runner, WorkQueue};
use anio_parallel::{Error, Rate};
use futures::poll;
use tokio::time::{Instant, advance, timeout};

const SECOND: Duration = Duration::from_secs(1);

fn limited(rate: &str) -> RateLimited<Fifo<u64>> {
    RateLimited::new(Fifo::new(200_000), rate).unwrap()
}

async fn filled(queue: RateLimited<Fifo<u64>>, n_items: u64) -> Arc<RateLimited<Fifo<u64>>> {
    for n in 0..n_items {
        queue.push(n).await.unwrap();
    }
    Arc::new(queue)
}

/// How many items come out within so much time, for so many that ask.
async fn n_within(queue: &Arc<RateLimited<Fifo<u64>>>, n_poppers: usize, time: Duration) -> usize {
    let popper = || async {
        let mut n = 0;
        let counting = async {
            while queue.pop().await.is_some() {
                n += 1;
            }
        };
        assert!(timeout(time, counting).await.is_err(), "the queue ran empty");
        n
    };
    futures::future::join_all((0..n_poppers).map(|_| popper())).await.into_iter().sum()
}

#[tokio::test(start_paused = true)]
async fn the_rate_is_kept_within_two_per_cent_however_many_ask() {
    for (rate, seconds, n_expected) in
        [("1000/s", 10, 10_000), ("10000/s", 10, 100_000), ("600/min", 10, 100)]
    {
        for n_poppers in [1, 4] {
            let queue = filled(limited(rate), 150_000).await;
            let n = n_within(&queue, n_poppers, seconds * SECOND).await;
            let (least, most) = (n_expected * 98 / 100, n_expected * 102 / 100);
            assert!((least..=most).contains(&n), "{rate} for {n_poppers}: {n}");
        }
    }
}

/// Late timers, as on a real machine: each wait takes a millisecond more than asked.
async fn n_with_late_timers(queue: &RateLimited<Fifo<u64>>) -> usize {
    let started = Instant::now();
    let mut n = 0;
    while started.elapsed() < 10 * SECOND {
        let mut pop = pin!(queue.pop());
        if poll!(&mut pop).is_pending() {
            advance(Duration::from_millis(2)).await;
            pop.await.unwrap();
        }
        n += 1;
    }
    n
}

#[tokio::test(start_paused = true)]
async fn the_default_burst_makes_up_for_late_timers_and_a_burst_of_one_does_not() {
    let queue = filled(limited("1000/s"), 20_000).await;
    let n = n_with_late_timers(&queue).await;
    assert!((9_800..=10_200).contains(&n), "{n}");

    let queue = filled(limited("1000/s").burst(1), 20_000).await;
    let n = n_with_late_timers(&queue).await;
    assert!(n < 9_000, "{n}");
}

#[tokio::test(start_paused = true)]
async fn after_a_pause_no_more_than_a_burst_comes_at_once() {
    let seven = (limited("10/s").burst(7), 7);
    for (queue, burst) in [(limited("1000/s"), 50), (limited("10/s"), 1), (limited("100/s"), 5), seven] {
        let queue = filled(queue, 1_000).await;
        for _ in 0..3 {
            advance(3600 * SECOND).await;
            let mut n = 0;
            while poll!(pin!(queue.pop())).is_ready() {
                n += 1;
            }
            assert_eq!(n, burst, "{queue:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_item_that_waits_for_its_time_is_counted_and_not_lost() {
    let queue = filled(limited("1/s"), 3).await;
    assert_eq!(queue.pop().await, Some(0));
    for _ in 0..5 {
        let mut waiting = pin!(queue.pop());
        assert!(poll!(&mut waiting).is_pending());
        assert_eq!(queue.len(), 2, "one of them is set aside");
    }
    assert_eq!(queue.len(), 2);
    assert_eq!((queue.pop().await, queue.pop().await, queue.len()), (Some(1), Some(2), 0));
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_the_pace() {
    let queue = filled(limited("1/h"), 1_000).await;
    let runner = Runner::new(Arc::clone(&queue)).execute(3, |n| async move { Ok::<_, Error>(n) });
    let started = Instant::now();
    let done = runner.handle(|_| std::ops::ControlFlow::Break(())).run().await;
    assert_eq!((done.n_handled, done.unprocessed), (1, (1..1_000).collect()));
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_woken_when_the_rest_is_drained() {
    let queue = filled(limited("1/h"), 3).await;
    queue.pop().await.unwrap();
    let popping = Arc::clone(&queue);
    let waiting = tokio::spawn(async move { popping.pop().await });
    tokio::task::yield_now().await;
    let started = Instant::now();
    queue.close();
    assert_eq!(queue.drain(), [1, 2]);
    assert_eq!((waiting.await.unwrap(), started.elapsed()), (None, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_job_keeps_the_pace_of_its_queue() {
    let queue = RateLimited::new(Fifo::new(10), Rate::new(100, SECOND).unwrap()).unwrap();
    let started = Instant::now();
    let runner = Runner::new(queue).items(0..1_000_u64).execute(8, |n| async move { Ok::<_, Error>(n) });
    let done = runner.handle(|_| ()).run().await;
    assert_eq!(done.n_handled, 1_000);
    let seconds = started.elapsed().as_secs_f64();
    assert!((9.8..=10.2).contains(&seconds), "{seconds}");
}

#[test]
fn a_rate_that_is_none_is_named() {
    let error = RateLimited::new(Fifo::<u8>::new(1), "fast").unwrap_err();
    assert!(matches!(error, Error::Quantity(_)));
    assert!(error.to_string().contains("\"fast\" is not a rate"));
}
