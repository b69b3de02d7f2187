//! Makes facts durable and finds runs: the `Store` handle over a [`Backend`](backend::Backend).

pub mod backend;
pub mod changes;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod error;
pub mod memory;
mod options;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod rate;
pub mod record;
mod request;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod row;
mod schedule;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod sown;
#[cfg(feature = "sqlite")]
pub mod sqlite;
pub mod store;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub mod submit_in;
mod thread;
mod url;
mod writer;

pub use changes::Changes;
pub use error::StoreError;
pub use record::Durability;
pub use schedule::{Schedule, Wait};
pub use store::{Pending, Store, StoreOptions};
