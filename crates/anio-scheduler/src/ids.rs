//! Where the identities of runs and workers come from.

use std::fmt;

use uuid::Uuid;

/// Names what is new, so that a simulation can give the same names again.
pub trait Ids: fmt::Debug + Send + Sync + 'static {
    /// A UUIDv7 that nobody else has, later in order than those before it.
    fn next(&self) -> Uuid;
}

/// Identities out of the time and the randomness of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemIds;

impl Ids for SystemIds {
    fn next(&self) -> Uuid {
        Uuid::now_v7()
    }
}
