//! How the items of a stream are spread: over how many workers, how far ahead, under what name.

use std::sync::Arc;

/// One step of a stream that runs in parallel. A number alone stands for that many workers.
///
/// ```
/// use anio_parallel::{Stage, prelude::*};
/// use futures::{StreamExt, TryStreamExt, stream};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let pages = stream::iter(0..10_u32).map(Ok::<_, anio_parallel::Error>);
/// let error = pages
///     .try_par_then(Stage::new("fetch", 4), |page| async move {
///         if page == 7 { Err(format!("no page {page}")) } else { Ok(page) }
///     })
///     .try_collect::<Vec<_>>()
///     .await
///     .unwrap_err();
/// assert_eq!((error.stage(), error.index()), (Some("fetch"), Some(7)));
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    pub(crate) name: Option<Arc<str>>,
    pub(crate) n_workers: usize,
    look_ahead: Option<usize>,
    pub(crate) on_error: OnError,
}

/// What a failed item does to the rest of its stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnError {
    Stop,
    GoOn,
}

impl Stage {
    /// A stage with a name, which its errors and spans then carry, and this many workers, at least one.
    pub fn new(name: impl Into<Arc<str>>, n_workers: usize) -> Self {
        Self { name: Some(name.into()), ..Self::from(n_workers) }
    }

    /// How many items the stage may hold at one time: those that run, and those that are done and wait
    /// for their turn or for the consumer. At least the number of workers; twice that by default.
    #[must_use]
    pub fn look_ahead(mut self, n_items: usize) -> Self {
        self.look_ahead = Some(n_items);
        self
    }

    /// Lets the other items go on when one fails: the stream then has an error in that item's place, and
    /// does not end there.
    #[must_use]
    pub fn settled(mut self) -> Self {
        self.on_error = OnError::GoOn;
        self
    }

    pub(crate) fn n_items_max(&self) -> usize {
        self.look_ahead.unwrap_or(self.n_workers.saturating_mul(2)).max(self.n_workers)
    }
}

impl From<usize> for Stage {
    fn from(n_workers: usize) -> Self {
        Self { name: None, n_workers: n_workers.max(1), look_ahead: None, on_error: OnError::Stop }
    }
}
