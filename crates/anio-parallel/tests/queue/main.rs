//! Work queues and their runner.
#![cfg_attr(feature = "rate", expect(clippy::unwrap_used, reason = "a test may panic"))]

#[path = "../common/mod.rs"]
mod common;

mod lost;
mod order;
#[cfg(feature = "rate")]
mod pace;
mod runner;
mod stop;

use std::collections::BTreeSet;

use anio_parallel::Error;
#[cfg(feature = "rate")]
use anio_parallel::queue::RateLimited;
use anio_parallel::queue::{Fifo, Priority};

/// Every kind of queue, at the same work: `$queue` is one that holds `$n_items_max` numbers.
macro_rules! with_each_queue {
    ($n_items_max:expr, |$name:ident, $queue:ident| $body:expr) => {{
        let ($name, $queue) = ("fifo", $crate::fifo($n_items_max));
        $body;
        let ($name, $queue) = ("priority", $crate::priority($n_items_max));
        $body;
        #[cfg(feature = "rate")]
        {
            let ($name, $queue) = ("rate-limited", $crate::fast($crate::fifo($n_items_max)));
            $body;
            let ($name, $queue) = ("rate-limited priority", $crate::fast($crate::priority($n_items_max)));
            $body;
        }
    }};
}
pub(crate) use with_each_queue;

fn fifo(n_items_max: usize) -> Fifo<u64> {
    Fifo::new(n_items_max)
}

fn priority(n_items_max: usize) -> Priority<u64, u64> {
    Priority::by_key(n_items_max, |n| *n % 7)
}

/// So fast that tests need not wait, and slow enough that items are set aside.
#[cfg(feature = "rate")]
fn fast<Q: anio_parallel::queue::WorkQueue>(queue: Q) -> RateLimited<Q> {
    RateLimited::new(queue, "20000/s").unwrap().burst(3)
}

async fn double(n: u64) -> Result<u64, Error> {
    tokio::task::yield_now().await;
    Ok(n * 2)
}

/// The numbers, none of which comes twice.
fn distinct(numbers: impl IntoIterator<Item = u64>) -> BTreeSet<u64> {
    let mut seen = BTreeSet::new();
    for n in numbers {
        assert!(seen.insert(n), "{n} came twice");
    }
    seen
}
