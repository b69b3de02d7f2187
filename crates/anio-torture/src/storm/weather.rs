//! What goes on around a storm beside its kills.

use std::time::Duration;

use crate::Result;

/// What goes on around a storm.
pub trait Weather {
    /// How much longer each worker lives at the longest, so that there is something to be seen of the weather.
    fn longer(&self) -> Duration;

    /// Whether a worker may fail to come up, or to shut down as it was told: its database may be out of reach.
    fn is_rough(&self) -> bool;

    /// From now on nothing is in the way of what is left.
    ///
    /// # Errors
    /// When that cannot be brought about.
    fn calm_down(&self) -> Result<()>;
}

/// Nothing but the kills.
pub(super) struct Calm;

impl Weather for Calm {
    fn longer(&self) -> Duration {
        Duration::ZERO
    }

    fn is_rough(&self) -> bool {
        false
    }

    fn calm_down(&self) -> Result<()> {
        Ok(())
    }
}
