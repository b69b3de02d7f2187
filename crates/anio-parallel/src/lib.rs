//! Parallelism within one piece of work: on all cores, over streams, between workers.
//!
//! Built on rayon, tokio and futures; what this crate adds is what joins them. Everything here carries
//! along, into every thread and task that it uses:
//!
//! * the current [tracing](https://docs.rs/tracing) span, also as an OpenTelemetry parent where the
//!   subscriber has one, with a span of its own for each item;
//! * the cancellation token of the current [`Scope`], which loops look at with [`check`];
//! * panics and errors, as an [`Error`] with the index of the item; the first stops the rest, unless the
//!   helper is one that collects them.
//!
//! Memory is bounded in every helper, and nothing is left running when one returns. Where a future or
//! stream is dropped, async items end at their next await point, and functions that compute at their
//! next [`check`].
//!
//! | you have | you want | take |
//! |---|---|---|
//! | async code | to compute without blocking tokio | [`cpu`], [`try_cpu`] |
//! | a slice, a vector | a function over all items, on all cores | [`ParMap`] |
//! | a stream | an async function over n items at a time | [`par_then`](ParStreamExt::par_then) |
//! | a stream | a function that computes over n items at a time | [`par_map`](ParStreamExt::par_map) |
//! | a line of work in several steps | each step with its workers, queues between them | [`Pipeline`] |
//! | a stream | several readers | [`broadcast`](ParStreamExt::broadcast), [`scatter`](ParStreamExt::scatter) and [`gather`] |
//! | items that come and go, results to be handled one by one | a queue with its own order and pace | [`queue::Runner`] |
//! | a service, or anything async | to know how it bears a load | `LoadTest`, with the feature `load` |
//! | threads and tasks of your own | a bounded way between them | [`channel()`] |
//! | a closure for plain rayon | scope and span in it | [`carry`] |
//!
//! ```
//! use anio_parallel::{Stage, prelude::*, try_cpu};
//! use futures::{TryStreamExt, stream};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), anio_parallel::Error> {
//! // One function over many items, on the pool, out of async code.
//! let words = vec!["pipelines", "of", "streams"];
//! let lengths = try_cpu(move || words.par_map(|word| word.len())).await?;
//! assert_eq!(lengths, [9, 2, 7]);
//!
//! // Two steps side by side: at most 8 tasks that wait, then at most 2 jobs that compute.
//! let squares: Vec<u64> = stream::iter(1..=4_u64)
//!     .par_then(Stage::new("fetch", 8), |n| async move { n + 1 })
//!     .try_par_map(Stage::new("square", 2), |n| n.checked_mul(n).ok_or("too large"))
//!     .try_collect()
//!     .await?;
//! assert_eq!(squares, [4, 9, 16, 25]);
//! # Ok(()) }
//! ```

mod cancel;
mod carrier;
mod channel;
mod cpu;
mod error;
#[cfg(feature = "load")]
pub mod load;
mod panic;
mod par_map;
mod partition;
pub mod pipeline;
mod pool;
mod progress;
mod quantity;
pub mod queue;
pub mod scope;
mod stage;
pub mod stream;
mod threads;

pub use cancel::{Cancel, check, is_cancelled};
pub use carrier::{Carrier, carry};
pub use channel::{Reason, Receiver, Sender, Unsent, channel};
pub use cpu::{Cpu, cpu, try_cpu};
pub use error::{Cause, Error};
#[cfg(feature = "load")]
pub use load::LoadTest;
pub use par_map::ParMap;
pub use partition::partition;
pub use pipeline::{Pipeline, Source};
pub use pool::Pool;
pub use progress::{Progress, progress};
pub use quantity::{QuantityError, Rate, StandsFor};
pub use scope::Scope;
pub use stage::Stage;
pub use stream::{ParStreamExt, TryParStreamExt, gather, gather_ordered};
pub use threads::Threads;

/// The extension traits of this crate and of rayon.
pub mod prelude {
    pub use rayon::prelude::*;

    pub use crate::queue::WorkQueue;
    pub use crate::{ParMap, ParStreamExt, TryParStreamExt};
}
