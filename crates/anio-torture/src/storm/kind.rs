//! At which instants workers die.

use serde::{Deserialize, Serialize};

/// When a worker was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// While it opened a database on which no worker had come up yet.
    InMigration,
    /// Between the start of its engine and the end of that.
    InStartUp,
    /// In its first milliseconds, with runs of dead workers to take up; others with it, again and again.
    InRecovery,
    /// At any instant.
    AtRandom,
    /// Right after a submit or an end was acknowledged.
    AfterAnswer,
    /// Right after something was asked of a run.
    AfterAsking,
    /// In the middle of a graceful shutdown.
    InShutdown,
    /// After it had been stopped for longer than its lease.
    AsZombie,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::InMigration,
        Self::InStartUp,
        Self::InRecovery,
        Self::AtRandom,
        Self::AfterAnswer,
        Self::AfterAsking,
        Self::InShutdown,
        Self::AsZombie,
    ];

    /// What the figures call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InMigration => "kills_in_migration",
            Self::InStartUp => "kills_in_start_up",
            Self::InRecovery => "kills_in_recovery",
            Self::AtRandom => "kills_at_random",
            Self::AfterAnswer => "kills_after_an_answer",
            Self::AfterAsking => "kills_after_asking",
            Self::InShutdown => "kills_in_shutdown",
            Self::AsZombie => "kills_of_zombies",
        }
    }
}
