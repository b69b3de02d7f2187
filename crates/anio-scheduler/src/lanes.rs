//! Where plain functions execute: on threads, or in a simulation as tasks.

use anio_parallel::{Error, Pool};

use crate::block_on::block_on;

/// Where plain functions execute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lanes {
    /// On the pool for CPU work and on threads that may block.
    #[default]
    Threads,
    /// On the runtime that the scheduler was started on, beside everything else: for simulations that hold the
    /// time. A body that computes keeps all others waiting.
    Tasks,
}

impl Lanes {
    /// The pool for CPU work, with its threads where there are any.
    pub(crate) fn pool(self, n_threads: usize) -> Result<Pool, Error> {
        match self {
            Self::Threads => Pool::new(n_threads),
            // Starts no threads before somebody computes on them.
            Self::Tasks => Ok(Pool::current()),
        }
    }

    /// Executes a body that keeps its thread until it ends: one of a pool, where it computes, or one that may
    /// block.
    pub(crate) fn spawn(self, threads: Option<&Pool>, body: impl Future<Output = ()> + Send + 'static) {
        match (self, threads) {
            (Self::Tasks, _) => drop(tokio::spawn(body)),
            // A plain function is done at the first poll; a hand-written task that waits is waited for.
            (Self::Threads, Some(pool)) => pool.rayon().spawn(move || block_on(body)),
            (Self::Threads, None) => drop(tokio::task::spawn_blocking(move || block_on(body))),
        }
    }
}
