//! One number: an atomic, and with the feature `metrics` its likeness in the facade.
//!
//! The likeness is asked of the recorder once, when the number is made: a recorder that is installed later is
//! told nothing.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number that only grows.
pub(super) struct Count {
    value: AtomicU64,
    #[cfg(feature = "metrics")]
    told: ::metrics::Counter,
}

/// A number that rises and falls, with one writer: the loop. Several workers of one process add up in the facade.
pub(super) struct Level {
    value: AtomicU64,
    #[cfg(feature = "metrics")]
    told: ::metrics::Gauge,
}

impl Count {
    #[cfg(feature = "metrics")]
    pub(super) fn new(name: &'static str, help: &'static str) -> Self {
        ::metrics::describe_counter!(name, help);
        Self { value: AtomicU64::new(0), told: ::metrics::counter!(name) }
    }

    #[cfg(not(feature = "metrics"))]
    pub(super) fn new(_name: &'static str, _help: &'static str) -> Self {
        Self { value: AtomicU64::new(0) }
    }

    pub(super) fn get(&self) -> u64 {
        self.value.load(Relaxed)
    }

    /// Counts what the loop alone counts: with one writer, there is nothing to lock.
    pub(super) fn add(&self, n: u64) {
        if n == 0 {
            return;
        }
        self.value.store(self.get() + n, Relaxed);
        #[cfg(feature = "metrics")]
        self.told.increment(n);
    }

    /// Counts what several threads count.
    pub(super) fn add_among_others(&self, n: u64) {
        self.value.fetch_add(n, Relaxed);
        #[cfg(feature = "metrics")]
        self.told.increment(n);
    }
}

impl Level {
    #[cfg(feature = "metrics")]
    pub(super) fn new(name: &'static str, help: &'static str) -> Self {
        ::metrics::describe_gauge!(name, help);
        Self { value: AtomicU64::new(0), told: ::metrics::gauge!(name) }
    }

    #[cfg(not(feature = "metrics"))]
    pub(super) fn new(_name: &'static str, _help: &'static str) -> Self {
        Self { value: AtomicU64::new(0) }
    }

    pub(super) fn get(&self) -> u64 {
        self.value.load(Relaxed)
    }

    pub(super) fn set(&self, n: u64) {
        let before = self.get();
        if n > before {
            self.raise(n - before);
        } else if n < before {
            self.lower(before - n);
        }
    }

    pub(super) fn raise(&self, n: u64) {
        self.value.store(self.get() + n, Relaxed);
        #[cfg(feature = "metrics")]
        self.told.increment(f64::from(u32::try_from(n).unwrap_or(u32::MAX)));
    }

    pub(super) fn lower(&self, n: u64) {
        self.value.store(self.get() - n, Relaxed);
        #[cfg(feature = "metrics")]
        self.told.decrement(f64::from(u32::try_from(n).unwrap_or(u32::MAX)));
    }
}

impl std::fmt::Debug for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.get().fmt(f)
    }
}

impl std::fmt::Debug for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.get().fmt(f)
    }
}
