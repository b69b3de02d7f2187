//! Bugs that can be planted, to show that the harness finds them: each stands at the place where a programmer
//! would make it.
//!
//! It decides only which one this process has, if any. Without the feature `plant` that is none, known when the
//! program is compiled, so that nothing of a bug is in it. With the feature it is the one that the environment
//! variable [`VARIABLE`] names, or that [`sow`] was told.

/// The environment variable that names a bug, as [`Plant::name`] does.
pub const VARIABLE: &str = "ANIO_PLANT";

/// A bug that a programmer might make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Plant {
    // ------ in the store ------
    /// A commit is stored for a worker that has lost its lease.
    FenceLeftOut,
    /// A commit looks at the lease and holds no lock on it until it is stored.
    FenceWithoutLock,
    /// A commit that is sent again is stored again.
    FactsWrittenTwice,
    /// A commit whose outcome is unknown is taken for one that failed, and made anew.
    UnknownIsFailure,
    /// A commit whose outcome is unknown is taken for one that is durable.
    UnknownIsSuccess,
    /// A worker that was seen dead is buried, though it has renewed its lease since.
    RescueByTimeAlone,
    /// A run that is taken from a dead worker stays in its epoch.
    EpochNotRaised,
    /// The end of a run that has ended is written over.
    EndOverwritten,
    /// A submission that stored nothing counts as new, whoever has its key.
    KeyNotLookedUp,
    /// A worker that has lost its lease may claim runs.
    ClaimWithoutLease,
    // ------ in the state machine ------
    /// Dependants are released when an attempt returns, before its fact is durable.
    ReleasedBeforeCommit,
    /// A resumed run does not set the timers of its retries.
    TimersNotRearmed,
    /// A resumed run begins retries at once that were due later.
    BackoffForgotten,
    /// A resumed run does not offer the elements of its maps.
    ElementsForgotten,
    /// A resumed run counts attempts from 1.
    AttemptsCountAnew,
    /// The deaths of workers during an attempt are not counted.
    DeathsNotCounted,
    /// A resumed run does not know which task runs were given up.
    GivenUpForgotten,
    // ------ in the scheduler ------
    /// What was requested of a run is not looked at when it is claimed.
    RequestLost,
    /// A submission is acknowledged before it is durable.
    AcknowledgedEarly,
    /// Who waits for a run is told its end before that is durable.
    EndToldEarly,
    /// A shutdown gives the lease back before the facts of its bodies are durable.
    GivenBackEarly,
    /// What a task run holds of its limits is not counted.
    LimitsNotCounted,
    /// A task run that got a place and does not start keeps what it holds of its limits.
    LimitsNotGivenBack,
}

impl Plant {
    /// All of them.
    pub const ALL: [Self; 23] = [
        Self::FenceLeftOut,
        Self::FenceWithoutLock,
        Self::FactsWrittenTwice,
        Self::UnknownIsFailure,
        Self::UnknownIsSuccess,
        Self::RescueByTimeAlone,
        Self::EpochNotRaised,
        Self::EndOverwritten,
        Self::KeyNotLookedUp,
        Self::ClaimWithoutLease,
        Self::ReleasedBeforeCommit,
        Self::TimersNotRearmed,
        Self::BackoffForgotten,
        Self::ElementsForgotten,
        Self::AttemptsCountAnew,
        Self::DeathsNotCounted,
        Self::GivenUpForgotten,
        Self::RequestLost,
        Self::AcknowledgedEarly,
        Self::EndToldEarly,
        Self::GivenBackEarly,
        Self::LimitsNotCounted,
        Self::LimitsNotGivenBack,
    ];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FenceLeftOut => "fence-left-out",
            Self::FenceWithoutLock => "fence-without-lock",
            Self::FactsWrittenTwice => "facts-written-twice",
            Self::UnknownIsFailure => "unknown-is-failure",
            Self::UnknownIsSuccess => "unknown-is-success",
            Self::RescueByTimeAlone => "rescue-by-time-alone",
            Self::EpochNotRaised => "epoch-not-raised",
            Self::EndOverwritten => "end-overwritten",
            Self::KeyNotLookedUp => "key-not-looked-up",
            Self::ClaimWithoutLease => "claim-without-lease",
            Self::ReleasedBeforeCommit => "released-before-commit",
            Self::TimersNotRearmed => "timers-not-rearmed",
            Self::BackoffForgotten => "backoff-forgotten",
            Self::ElementsForgotten => "elements-forgotten",
            Self::AttemptsCountAnew => "attempts-count-anew",
            Self::DeathsNotCounted => "deaths-not-counted",
            Self::GivenUpForgotten => "given-up-forgotten",
            Self::RequestLost => "request-lost",
            Self::AcknowledgedEarly => "acknowledged-early",
            Self::EndToldEarly => "end-told-early",
            Self::GivenBackEarly => "given-back-early",
            Self::LimitsNotCounted => "limits-not-counted",
            Self::LimitsNotGivenBack => "limits-not-given-back",
        }
    }

    /// The one of a name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|plant| plant.name() == name)
    }
}

/// Whether this process has a bug.
#[cfg(not(feature = "plant"))]
#[inline]
pub const fn is_planted(_: Plant) -> bool {
    false
}

#[cfg(feature = "plant")]
pub use self::sown::{is_planted, sow};

#[cfg(feature = "plant")]
mod sown {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::{Plant, VARIABLE};

    const UNREAD: u8 = u8::MAX;
    const NONE: u8 = u8::MAX - 1;

    /// The bug of this process, by its number.
    static SOWN: AtomicU8 = AtomicU8::new(UNREAD);

    /// Whether this process has a bug.
    ///
    /// # Panics
    /// When the environment names one that is unknown.
    pub fn is_planted(plant: Plant) -> bool {
        let sown = match SOWN.load(Ordering::Relaxed) {
            UNREAD => read(),
            sown => sown,
        };
        sown == plant as u8
    }

    /// Gives this process a bug, in place of the one that it had, or takes it away. What has begun before,
    /// such as a connection to a database, may go on as it was.
    pub fn sow(plant: Option<Plant>) {
        SOWN.store(plant.map_or(NONE, |plant| plant as u8), Ordering::Relaxed);
    }

    fn read() -> u8 {
        let named = std::env::var(VARIABLE).ok().filter(|name| !name.is_empty());
        let plant = named.map(|name| Plant::of_name(&name).unwrap_or_else(|| panic!("no plant {name:?}")));
        sow(plant);
        SOWN.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{Plant, is_planted};

    #[test]
    fn each_plant_has_a_name_of_its_own() {
        let names: HashSet<&str> = Plant::ALL.into_iter().map(Plant::name).collect();
        assert_eq!(names.len(), Plant::ALL.len());
        assert!(Plant::ALL.into_iter().all(|plant| Plant::of_name(plant.name()) == Some(plant)));
        assert_eq!(Plant::of_name("weeds"), None);
    }

    #[test]
    #[cfg(not(feature = "plant"))]
    fn nothing_is_planted_without_the_feature() {
        const _: () = assert!(!is_planted(Plant::FenceLeftOut));
    }

    #[test]
    #[cfg(feature = "plant")]
    fn what_is_sown_is_planted() {
        use super::sow;
        // A run of the whole suite with a bug in it keeps that one.
        let before = Plant::ALL.into_iter().find(|plant| is_planted(*plant));
        sow(before);
        assert_eq!(Plant::ALL.into_iter().find(|plant| is_planted(*plant)), before);
    }
}
