//! The bounded channel.

mod common;

use std::time::Duration;

use anio_parallel::{Error, Reason, channel};
use common::scope;
use futures::StreamExt;

#[test]
fn a_million_items_of_four_producers_never_exceed_the_bound() {
    let (sender, receiver) = channel::<u64>(16);
    let producers = (0..4_u64).map(|producer| {
        let sender = sender.clone();
        std::thread::spawn(move || (0..250_000).for_each(|n| sender.send_blocking(n * 4 + producer).unwrap()))
    });
    let producers: Vec<_> = producers.collect();
    drop(sender);
    let (mut n_items, mut sum) = (0_u64, 0);
    while let Some(n) = receiver.recv_blocking().unwrap() {
        assert!(receiver.len() <= 16);
        (n_items, sum) = (n_items + 1, sum + n);
    }
    for producer in producers {
        producer.join().unwrap();
    }
    assert_eq!((n_items, sum), (1_000_000, 499_999_500_000));
    assert!((1..=16).contains(&receiver.high_water_mark()));
}

#[tokio::test]
async fn a_slow_consumer_holds_the_producers_back() {
    let (sender, mut receiver) = channel(3);
    let producer = tokio::spawn(async move {
        for n in 0..100 {
            sender.send(n).await.unwrap();
        }
        sender.high_water_mark()
    });
    let mut seen = Vec::new();
    while let Some(n) = receiver.next().await {
        seen.push(n);
        tokio::task::yield_now().await;
    }
    assert_eq!(seen, (0..100).collect::<Vec<_>>());
    assert_eq!(producer.await.unwrap(), 3);
}

#[tokio::test]
async fn after_the_end_sending_is_an_error_and_gives_the_item_back() {
    let (sender, receiver) = channel(1);
    sender.try_send(1).unwrap();
    let full = sender.try_send(2).unwrap_err();
    assert_eq!((full.item, full.reason), (2, Reason::Full));
    drop(receiver);
    for n in 0..100 {
        assert_eq!(sender.try_send(n).unwrap_err().reason, Reason::Closed);
        assert_eq!(sender.send_blocking(n).unwrap_err().reason, Reason::Closed);
        let closed = sender.send(n).await.unwrap_err();
        assert_eq!((closed.item, closed.reason), (n, Reason::Closed));
        assert!(matches!(Error::from(closed), Error::Closed));
    }
    assert!(sender.is_closed());
}

#[test]
fn what_was_sent_is_received_after_the_last_sender_is_gone() {
    let (sender, receiver) = channel(10);
    (0..10).for_each(|n| sender.try_send(n).unwrap());
    drop(sender);
    let rest: Vec<i32> = std::iter::from_fn(|| receiver.recv_blocking().unwrap()).collect();
    assert_eq!(rest, (0..10).collect::<Vec<_>>());
}

#[test]
fn a_thread_that_waits_is_called_off() {
    for waits_to_send in [true, false] {
        let (scope, token) = scope(1);
        let (sender, receiver) = channel(1);
        let waiting = std::thread::spawn(move || {
            scope.run_plain(|| {
                if waits_to_send {
                    sender.send_blocking(1).unwrap();
                    (sender.send_blocking(2).unwrap_err().reason == Reason::Cancelled, receiver.len())
                } else {
                    (matches!(receiver.recv_blocking(), Err(Error::Cancelled)), sender.len() + 1)
                }
            })
        });
        std::thread::sleep(Duration::from_millis(5));
        token.cancel();
        assert_eq!(waiting.join().unwrap(), (true, 1));
    }
}

#[tokio::test]
async fn idle_receivers_do_not_widen_the_channel() {
    let (sender, receiver) = channel(2);
    let readers: Vec<_> = (0..8)
        .map(|_| {
            let receiver = receiver.clone();
            tokio::spawn(async move {
                let mut n_items = 0;
                while receiver.recv().await.is_some() {
                    n_items += 1;
                }
                n_items
            })
        })
        .collect();
    for _ in 0..10 {
        // All wait now: there is nothing.
        tokio::task::yield_now().await;
        let n_sent = (0..8).filter(|n| sender.try_send(*n).is_ok()).count();
        assert!(n_sent <= 2, "{n_sent} items in a channel of 2");
        while !receiver.is_empty() {
            tokio::task::yield_now().await;
        }
    }
    assert!(receiver.high_water_mark() <= 2);
    drop(sender);
    let mut n_received = 0;
    for reader in readers {
        n_received += reader.await.unwrap();
    }
    assert!(n_received >= 10, "each time at least one: {n_received}");
}

/// One item at a time, each acknowledged before the next: where a receiver that competes for it misses the
/// wake-up of the next, all wait for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receivers_that_compete_miss_no_item() {
    const N_ITEMS: u64 = 20_000;
    for is_stream in [false, true] {
        let (sender, receiver) = channel::<u64>(2);
        let (ack_sender, acks) = channel::<u64>(2);
        for _ in 0..4 {
            let (mut receiver, acks) = (receiver.clone(), ack_sender.clone());
            tokio::spawn(async move {
                while let Some(n) = if is_stream { receiver.next().await } else { receiver.recv().await } {
                    acks.send(n).await.unwrap();
                }
            });
        }
        for n in 0..N_ITEMS {
            sender.send(n).await.unwrap();
            let ack = tokio::time::timeout(Duration::from_secs(30), acks.recv()).await;
            assert_eq!(ack.unwrap_or_else(|_| panic!("item {n} is missed, stream: {is_stream}")), Some(n));
        }
    }
}
