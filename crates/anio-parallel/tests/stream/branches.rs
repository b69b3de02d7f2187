//! `batching`, `broadcast`, `tee`, `scatter` and `gather`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use anio_parallel::stream::Numbered;
use anio_parallel::{Error, ParStreamExt, TryParStreamExt, gather, gather_ordered};
use futures::stream;
use futures::{Stream, StreamExt, TryStreamExt};
use tokio::time::Instant;

use crate::common::scope;
use crate::{MS, baseline, wait_for_tasks};

#[tokio::test(start_paused = true)]
async fn batches_are_full_or_due() {
    let batches: Vec<Vec<u32>> = stream::iter(0..1050).batching(100, 10 * MS).collect().await;
    assert_eq!(batches.len(), 11);
    assert_eq!(batches.concat(), (0..1050).collect::<Vec<_>>());

    let (sender, receiver) = anio_parallel::channel(10);
    let mut batches = receiver.batching(100, 10 * MS);
    sender.try_send(1).unwrap();
    let started = Instant::now();
    assert_eq!(batches.next().await.unwrap(), [1]);
    assert!(started.elapsed() <= 11 * MS, "a lone item leaves in time");
    drop(sender);
    assert!(batches.next().await.is_none());
    assert_eq!(stream::iter(0..3).batching(0, MS).count().await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_branch_gets_every_item_and_the_slowest_sets_the_pace() {
    let tasks = baseline();
    let pulled = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&pulled);
    let source = stream::iter(0..200).inspect(move |_| {
        counting.fetch_add(1, SeqCst);
    });
    let (fast, mut slow) = source.tee(2);
    let fast = tokio::spawn(fast.try_collect::<Vec<i32>>());
    let mut seen = Vec::new();
    while let Some(item) = slow.next().await {
        seen.push(item.unwrap());
        tokio::task::yield_now().await;
        assert!(pulled.load(SeqCst) <= seen.len() + 3);
    }
    assert_eq!(seen, (0..200).collect::<Vec<_>>());
    assert_eq!(fast.await.unwrap().unwrap(), seen);

    // A branch that is gone holds nothing back; with the last, the task ends.
    let mut branches = stream::iter(0..).broadcast(3, 1);
    drop(branches.pop());
    let (mut first, second) = (branches.remove(0), branches.remove(0));
    drop(second);
    for n in 0..10 {
        assert_eq!(first.next().await.unwrap().unwrap(), n);
    }
    drop(first);
    drop(stream::pending::<i32>().tee(1));
    wait_for_tasks(tasks, "broadcast").await;
}

#[tokio::test]
async fn every_branch_learns_of_errors_panics_and_the_cancel() {
    let source = stream::iter([Ok(1), Err("bad"), Ok(3)]);
    for branch in source.try_broadcast(3, 1).into_iter().map(tokio_join).collect::<Vec<_>>() {
        let results = branch.await.unwrap();
        assert_eq!(results.len(), 2);
        assert_eq!(results[1].as_ref().unwrap_err().to_string(), "bad");
    }
    for branch in stream::iter(0..)
        .inspect(|n| assert!(*n < 2))
        .broadcast(2, 5)
        .into_iter()
        .map(tokio_join)
        .collect::<Vec<_>>()
    {
        let results = branch.await.unwrap();
        assert!(matches!(results[2], Err(Error::Panicked { .. })));
    }
    let (scope, token) = scope(1);
    let (first, second) = scope.run_plain(|| stream::pending::<i32>().tee(1));
    token.cancel();
    for branch in [first, second] {
        let results: Vec<_> = branch.collect().await;
        assert!(matches!(results[..], [Err(Error::Cancelled)]));
    }
}

/// Reads a branch on a task of its own, so that none waits for another.
fn tokio_join<T: Send + 'static>(
    branch: impl Stream<Item = T> + Send + 'static,
) -> tokio::task::JoinHandle<Vec<T>> {
    tokio::spawn(branch.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_share_the_work_and_lose_nothing_when_one_is_dropped() {
    let tasks = baseline();
    let mut shards = stream::iter(0..100).scatter(4);
    let mut lost = shards.pop().unwrap();
    let taken = lost.next().await.unwrap().unwrap().value;
    drop(lost);
    let rest: Vec<i32> = gather_ordered(shards).try_collect().await.unwrap();
    assert_eq!(rest, (0..100).filter(|n| *n != taken).collect::<Vec<_>>());
    assert!(stream::iter(0..3).scatter(0).is_empty());
    drop(stream::pending::<i32>().scatter(2));
    wait_for_tasks(tasks, "scatter").await;
}

/// By a paused clock, which runs on by itself where all wait: what hangs is late.
#[tokio::test(start_paused = true)]
async fn branches_of_four_and_eight_items_are_joined_and_end() {
    let branch = |n_items: u64, step: u64| {
        let items = (0..n_items).map(move |n| Ok::<_, Error>(Numbered { index: n * step, value: n * step }));
        stream::iter(items)
    };
    let joined = async {
        // The even numbers below 8 and all below 16 that are odd: one branch ends long before the other.
        let odd =
            branch(8, 2).map_ok(|Numbered { index, value }| Numbered { index: index + 1, value: value + 1 });
        let ordered: Vec<u64> =
            gather_ordered([branch(4, 2).boxed(), odd.boxed()]).try_collect().await.unwrap();
        assert_eq!(ordered, [0, 1, 2, 3, 4, 5, 6, 7, 9, 11, 13, 15]);
        let mut all: Vec<u64> = gather([branch(4, 1), branch(8, 1)]).try_collect().await.unwrap();
        all.sort_unstable();
        assert_eq!(all, [0, 0, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7]);
        // Of two that read the same, one stops after four of eight.
        let (mut four, eight) = stream::iter(0..8).tee(1);
        let eight = tokio_join(eight);
        for n in 0..4 {
            assert_eq!(four.next().await.unwrap().unwrap(), n);
        }
        drop(four);
        assert_eq!(eight.await.unwrap().len(), 8);
    };
    tokio::time::timeout(3_600_000 * MS, joined).await.expect("it ends");
}

#[tokio::test]
async fn what_a_shard_filters_out_holds_up_no_other() {
    let shards = stream::iter(0..100_u64).scatter(3).into_iter();
    let even = shards.map(|shard| shard.try_filter(|item| std::future::ready(item.value % 2 == 0)));
    let even: Vec<u64> = gather_ordered(even).try_collect().await.unwrap();
    assert_eq!(even, (0..50).map(|n| n * 2).collect::<Vec<_>>());
}
