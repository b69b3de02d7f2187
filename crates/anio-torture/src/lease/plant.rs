//! Mistakes that the protocol could contain, each of which the explorer must find, under the rule that it breaks.

use super::Bounds;
use super::rule;

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Plant {
    /// A commit does not ask whether the lease stands.
    NoFence,
    /// A commit asks whether the lease stands, and stores its facts later, without a lock in between.
    FenceWithoutLock,
    /// A claim does not ask whether the lease stands.
    ClaimWithoutFence,
    /// A burial takes whom the renewal found dead, and does not judge again.
    BuryWithoutJudging,
    /// A rescue puts the runs back and leaves the lease alone.
    RescueWithoutBurial,
    /// A burial puts back the runs that it saw before it waited for the lock.
    PutBackInOneStatement,
    /// Two claims may take the same run.
    ClaimWithoutLock,
    /// The fence does not look at the number of a commit.
    ResendWithoutNumber,
    /// A commit whose outcome is unknown is taken for a failure and sent under the next number.
    UnknownTakenForFailure,
    /// A commit whose outcome is unknown is taken for a success.
    UnknownTakenForSuccess,
    /// Runs that are put back keep their epoch.
    EpochNotRaised,
    /// A run that its worker lets go keeps its epoch.
    EpochNotRaisedByHold,
    /// A claim whose answer was lost is forgotten.
    LostClaimForgotten,
    /// A lease that is given back leaves its runs behind.
    ReleaseKeepsRuns,
    /// The lease is not looked at by others: only a session lock that is released tells of a death.
    SessionLockAlone,
    /// The server waits for ever for a client in the middle of a transaction.
    OpenTransactionsStay,
}

impl Plant {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::NoFence,
        Self::FenceWithoutLock,
        Self::ClaimWithoutFence,
        Self::BuryWithoutJudging,
        Self::RescueWithoutBurial,
        Self::PutBackInOneStatement,
        Self::ClaimWithoutLock,
        Self::ResendWithoutNumber,
        Self::UnknownTakenForFailure,
        Self::UnknownTakenForSuccess,
        Self::EpochNotRaised,
        Self::EpochNotRaisedByHold,
        Self::LostClaimForgotten,
        Self::ReleaseKeepsRuns,
        Self::SessionLockAlone,
        Self::OpenTransactionsStay,
    ];

    /// The rule that it breaks.
    pub const fn breaks(self) -> &'static str {
        match self {
            Self::NoFence | Self::FenceWithoutLock | Self::ClaimWithoutFence => rule::LOST_LEASE,
            Self::BuryWithoutJudging => rule::LEFT_ALONE,
            Self::RescueWithoutBurial => rule::OWNER,
            Self::ResendWithoutNumber | Self::UnknownTakenForFailure => rule::TWICE,
            Self::UnknownTakenForSuccess => rule::ACKNOWLEDGED,
            Self::ClaimWithoutLock | Self::EpochNotRaised | Self::EpochNotRaisedByHold => rule::ONE_OWNER,
            Self::PutBackInOneStatement
            | Self::LostClaimForgotten
            | Self::ReleaseKeepsRuns
            | Self::SessionLockAlone
            | Self::OpenTransactionsStay => rule::GOES_ON,
        }
    }

    /// How far one must go to see that.
    pub const fn bounds(self) -> Bounds {
        let (n_faults, n_requests) = match self {
            Self::EpochNotRaisedByHold => (0, 2),
            _ => (1, 0),
        };
        Bounds { n_workers: 2, n_runs: 1, n_leases: 3, n_faults, n_requests }
    }
}
