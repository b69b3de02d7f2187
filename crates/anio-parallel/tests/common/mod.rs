//! What the tests share: counted work, and waiting for it to be over.
#![allow(dead_code, reason = "each test file takes its part")]
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use anio_parallel::{Pool, Scope};
use tokio_util::sync::CancellationToken;

/// Counts work that begins, is under way, and ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Count(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    begun: AtomicUsize,
    live: AtomicUsize,
    peak: AtomicUsize,
}

impl Count {
    /// One piece of work begins, and ends when the guard is dropped.
    pub(crate) fn begin(&self) -> Live {
        self.0.begun.fetch_add(1, SeqCst);
        self.0.peak.fetch_max(self.0.live.fetch_add(1, SeqCst) + 1, SeqCst);
        Live(self.clone())
    }

    pub(crate) fn begun(&self) -> usize {
        self.0.begun.load(SeqCst)
    }

    pub(crate) fn live(&self) -> usize {
        self.0.live.load(SeqCst)
    }

    pub(crate) fn peak(&self) -> usize {
        self.0.peak.load(SeqCst)
    }

    /// Waits until nothing is under way and nothing begins any more.
    pub(crate) async fn settle(&self, what: &str) {
        let count = self.clone();
        let what = what.to_owned();
        tokio::task::spawn_blocking(move || count.settle_blocking(&what)).await.unwrap();
    }

    pub(crate) fn settle_blocking(&self, what: &str) {
        // What had passed its last look when it was called off may still begin; over an endless source,
        // what was not called off never comes to rest.
        wait_until(what, || {
            let begun = self.begun();
            std::thread::sleep(Duration::from_millis(5));
            (self.live(), self.begun()) == (0, begun)
        });
    }
}

pub(crate) struct Live(Count);

impl Drop for Live {
    fn drop(&mut self) {
        self.0.0.live.fetch_sub(1, SeqCst);
    }
}

/// Fails after a time that even a busy machine does not need.
pub(crate) fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(30), "{what}: waited too long");
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub(crate) fn scope(n_threads: usize) -> (Scope, CancellationToken) {
    let token = CancellationToken::new();
    (Scope::new(Pool::new(n_threads).unwrap(), token.clone()), token)
}

/// Numbers that look random and are the same in every run (splitmix64).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}
