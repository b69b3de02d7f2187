//! Order, parallelism and look-ahead, mostly by a paused clock.

use std::sync::Arc;
use std::time::Duration;

use anio_parallel::{Error, ParStreamExt, Stage, TryParStreamExt};
use futures::stream;
use futures::{StreamExt, TryStreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Barrier;
use tokio::time::{Instant, sleep};

use crate::MS;
use crate::common::{Count, Numbers, scope};

#[tokio::test]
async fn items_run_truly_side_by_side_and_never_more_than_asked() {
    // All n workers meet at a barrier, which one polled future could do for async items but not for
    // threads; and the count says that there was never one more.
    for n_workers in [1, 2, 5] {
        let (count, barrier) = (Count::default(), Arc::new(Barrier::new(n_workers)));
        let counting = count.clone();
        let results = stream::iter(0..n_workers * 20).par_then_unordered(n_workers, move |_| {
            let (counting, barrier) = (counting.clone(), Arc::clone(&barrier));
            async move {
                let _live = counting.begin();
                barrier.wait().await;
            }
        });
        results.try_collect::<Vec<_>>().await.unwrap();
        assert_eq!(count.peak(), n_workers);
    }
    let (scope, _token) = scope(3);
    let (count, barrier) = (Count::default(), Arc::new(std::sync::Barrier::new(3)));
    let counting = count.clone();
    let results = scope.run(async {
        let wait = move |_| {
            let _live = counting.begin();
            barrier.wait();
        };
        stream::iter(0..30).par_map(3, wait).try_collect::<Vec<_>>().await
    });
    results.await.unwrap();
    assert_eq!(count.peak(), 3);
}

#[tokio::test(start_paused = true)]
async fn three_stages_of_one_worker_work_at_the_same_time() {
    let pause = |n: u32| async move {
        sleep(10 * MS).await;
        n
    };
    let try_pause = move |n| async move { Ok::<_, Error>(pause(n).await) };
    let started = Instant::now();
    let results = stream::iter(0..100)
        .par_then(1, pause)
        .try_par_then(1, try_pause)
        .try_par_then(1, try_pause)
        .try_collect::<Vec<_>>()
        .await
        .unwrap();
    assert_eq!(results, (0..100).collect::<Vec<_>>());
    assert!(started.elapsed() <= 1150 * MS, "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn stages_work_while_the_consumer_does() {
    let pause = |n: u32| async move {
        sleep(10 * MS).await;
        n
    };
    let started = Instant::now();
    let mut results = stream::iter(0..100)
        .par_then(1, pause)
        .try_par_then(1, move |n| async move { Ok::<_, Error>(pause(n).await) });
    while let Some(result) = results.next().await {
        result.unwrap();
        sleep(10 * MS).await;
    }
    assert!(started.elapsed() <= 1150 * MS, "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn order_is_kept_whatever_the_delays() {
    let mut random = Numbers(5);
    let delays: Vec<u64> = (0..500).map(|_| random.below(11)).collect();
    let results = stream::iter(delays.into_iter().enumerate()).par_then(8, |(at, delay)| async move {
        sleep(Duration::from_millis(delay)).await;
        at
    });
    assert_eq!(results.try_collect::<Vec<_>>().await.unwrap(), (0..500).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_slow_item_holds_up_no_other_where_no_order_is_kept() {
    let started = Instant::now();
    let results = stream::iter(0..100).par_then_unordered(8, |n| async move {
        sleep(if n == 0 { 1000 * MS } else { 10 * MS }).await;
        n
    });
    let first: Vec<i32> = results.take(99).try_collect().await.unwrap();
    assert!(!first.contains(&0));
    assert!(started.elapsed() < 300 * MS, "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_slow_item_is_overtaken_as_far_as_the_look_ahead() {
    let count = Count::default();
    let counting = count.clone();
    let mut results = stream::iter(0..100).par_then(Stage::from(2).look_ahead(10), move |n| {
        let counting = counting.clone();
        async move {
            let _live = counting.begin();
            sleep(if n == 0 { 1000 * MS } else { MS }).await;
            n
        }
    });
    assert_eq!(results.next().await.unwrap().unwrap(), 0);
    assert!((10..=11).contains(&count.begun()), "{}", count.begun());
    assert_eq!(count.peak(), 2);
    assert_eq!(results.try_collect::<Vec<_>>().await.unwrap(), (1..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_server_never_sees_more_than_the_limit_and_sees_it_reached() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Count::default();
    let server = tokio::spawn({
        let (count, eight) = (count.clone(), Arc::new(Barrier::new(8)));
        async move {
            for n in 0.. {
                let (mut connection, _) = listener.accept().await.unwrap();
                let (count, eight) = (count.clone(), Arc::clone(&eight));
                tokio::spawn(async move {
                    let _live = count.begin();
                    if n < 8 {
                        eight.wait().await;
                    }
                    let request = connection.read_u8().await.unwrap();
                    connection.write_u8(request).await.unwrap();
                });
            }
        }
    });
    let fetch = move |n: u64| async move {
        let mut connection = tokio::net::TcpStream::connect(address).await?;
        connection.write_u8(n as u8).await?;
        let answer = connection.read_u8().await?;
        // The server has let go of the request when the connection ends.
        connection.read_to_end(&mut Vec::new()).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answers: Vec<u8> =
        stream::iter(0..1000).map(Ok::<_, Error>).try_par_then(8, fetch).try_collect().await.unwrap();
    assert!(answers.iter().enumerate().all(|(at, answer)| at as u8 == *answer));
    assert_eq!(count.peak(), 8);
    server.abort();
}
