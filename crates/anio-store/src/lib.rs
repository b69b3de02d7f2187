//! Makes facts durable and finds runs: the `Store` handle over a [`Backend`](backend::Backend).

pub mod backend;
pub mod error;
pub mod record;
