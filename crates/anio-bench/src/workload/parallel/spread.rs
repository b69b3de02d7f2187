//! Streams of items that are spawned.

use std::time::Instant;

use anio::parallel::ParStreamExt;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::runtime::Runtime;

use super::{Work, compare};
use crate::Result;
use crate::report::Sample;

const N_WORKERS: usize = 8;

pub(in crate::workload) fn par_then() -> Result<Sample> {
    let runtime = Runtime::new()?;
    let ours = |work: Work, n_items: u64| {
        runtime.block_on(async {
            let begun = Instant::now();
            let items = stream::iter(0..n_items).par_then(N_WORKERS, move |n| async move { work.on(n) });
            let sum = items.try_fold(0, |sum: u64, n| async move { Ok(sum.wrapping_add(n)) }).await?;
            Ok((begun.elapsed(), sum))
        })
    };
    let by_hand = |work: Work, n_items: u64| {
        runtime.block_on(async {
            let begun = Instant::now();
            let spawned = stream::iter(0..n_items).map(|n| tokio::spawn(async move { work.on(n) }));
            let items = spawned.buffered(N_WORKERS);
            let sum = items.try_fold(0, |sum: u64, n| async move { Ok(sum.wrapping_add(n)) }).await?;
            Ok((begun.elapsed(), sum))
        })
    };
    compare(ours, by_hand)
}

pub(in crate::workload) fn par_then_unordered() -> Result<Sample> {
    let runtime = Runtime::new()?;
    let ours = |work: Work, n_items: u64| {
        runtime.block_on(async {
            let begun = Instant::now();
            let items = stream::iter(0..n_items);
            let items = items.par_then_unordered(N_WORKERS, move |n| async move { work.on(n) });
            let sum = items.try_fold(0, |sum: u64, n| async move { Ok(sum.wrapping_add(n)) }).await?;
            Ok((begun.elapsed(), sum))
        })
    };
    let by_hand = |work: Work, n_items: u64| {
        runtime.block_on(async {
            let begun = Instant::now();
            let spawned = stream::iter(0..n_items).map(|n| tokio::spawn(async move { work.on(n) }));
            let items = spawned.buffer_unordered(N_WORKERS);
            let sum = items.try_fold(0, |sum: u64, n| async move { Ok(sum.wrapping_add(n)) }).await?;
            Ok((begun.elapsed(), sum))
        })
    };
    compare(ours, by_hand)
}
