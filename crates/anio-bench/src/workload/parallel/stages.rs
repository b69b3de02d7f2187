//! Workers and the queues between them.

use std::time::Instant;

use anio::parallel::queue::{Fifo, Runner};
use anio::parallel::{Error, Pipeline, Receiver, channel};
use tokio::runtime::Runtime;

use super::{Work, compare};
use crate::Result;
use crate::report::Sample;

const N_WORKERS: usize = 4;
const QUEUE_ITEMS: usize = 64;

/// A producer, a queue, executors, and a handler that adds up.
pub(in crate::workload) fn queue() -> Result<Sample> {
    let runtime = Runtime::new()?;
    let ours = |work: Work, n_items: u64| {
        runtime.block_on(async {
            let begun = Instant::now();
            let mut sum = 0_u64;
            let runner = Runner::new(Fifo::new(QUEUE_ITEMS)).items(0..n_items);
            let runner = runner.execute(N_WORKERS, move |n| async move { Ok::<_, Error>(work.on(n)) });
            let done = runner.handle(|n| sum = sum.wrapping_add(n.unwrap_or_default())).run().await.ok()?;
            assert_eq!((done.n_handled, done.n_failed), (n_items, 0), "all items are handled");
            Ok((begun.elapsed(), sum))
        })
    };
    let by_hand = |work: Work, n_items: u64| {
        runtime.block_on(async {
            let begun = Instant::now();
            let (sender, items) = channel(QUEUE_ITEMS);
            let done = stage(&items, work);
            drop(items);
            let producing = tokio::spawn(async move {
                for n in 0..n_items {
                    sender.send(n).await?;
                }
                Ok::<_, Error>(())
            });
            let sum = sum(done).await;
            producing.await??;
            Ok((begun.elapsed(), sum))
        })
    };
    compare(ours, by_hand)
}

/// Three stages, each with a third of the work.
pub(in crate::workload) fn pipeline() -> Result<Sample> {
    let runtime = Runtime::new()?;
    let ours = |work: Work, n_items: u64| {
        let work = work.share(3);
        runtime.block_on(async {
            let begun = Instant::now();
            let done = Pipeline::source(0..n_items)
                .stage("one", N_WORKERS, move |n| async move { work.on(n) })
                .stage("two", N_WORKERS, move |n| async move { work.on(n) })
                .stage("three", N_WORKERS, move |n| async move { work.on(n) })
                .cap(QUEUE_ITEMS)
                .fold(0_u64, |sum, n| *sum = sum.wrapping_add(n))
                .run()
                .await?;
            Ok((begun.elapsed(), done.value))
        })
    };
    let by_hand = |work: Work, n_items: u64| {
        let work = work.share(3);
        runtime.block_on(async {
            let begun = Instant::now();
            let (sender, items) = channel(QUEUE_ITEMS);
            let done = stage(&stage(&stage(&items, work), work), work);
            drop(items);
            let producing = tokio::spawn(async move {
                for n in 0..n_items {
                    sender.send(n).await?;
                }
                Ok::<_, Error>(())
            });
            let sum = sum(done).await;
            producing.await??;
            Ok((begun.elapsed(), sum))
        })
    };
    compare(ours, by_hand)
}

/// Tasks that take from one channel and give to another.
fn stage(items: &Receiver<u64>, work: Work) -> Receiver<u64> {
    let (sender, done) = channel(QUEUE_ITEMS);
    for _ in 0..N_WORKERS {
        let (items, sender) = (items.clone(), sender.clone());
        tokio::spawn(async move {
            while let Some(n) = items.recv().await {
                if sender.send(work.on(n)).await.is_err() {
                    return;
                }
            }
        });
    }
    done
}

async fn sum(items: Receiver<u64>) -> u64 {
    let mut sum = 0_u64;
    while let Some(n) = items.recv().await {
        sum = sum.wrapping_add(n);
    }
    sum
}
