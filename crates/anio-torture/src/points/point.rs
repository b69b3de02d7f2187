//! Where a process is harmed, and how: at the n-th call of a verb that changes something.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A verb that changes the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each is the verb of `Backend` of its name")]
pub enum Verb {
    Migrate,
    Register,
    Unpark,
    Commit,
    Submit,
    Claim,
    Renew,
    Bury,
    Request,
    Append,
    Reopen,
    Prune,
    Release,
    Reserve,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Migrate,
        Self::Register,
        Self::Unpark,
        Self::Commit,
        Self::Submit,
        Self::Claim,
        Self::Renew,
        Self::Bury,
        Self::Request,
        Self::Append,
        Self::Reopen,
        Self::Prune,
        Self::Release,
        Self::Reserve,
    ];

    /// Its name in [`Backend`](anio_store::backend::Backend).
    pub const fn word(self) -> &'static str {
        match self {
            Self::Migrate => "migrate",
            Self::Register => "register",
            Self::Unpark => "unpark",
            Self::Commit => "commit",
            Self::Submit => "submit",
            Self::Claim => "claim",
            Self::Renew => "renew",
            Self::Bury => "bury",
            Self::Request => "request",
            Self::Append => "append",
            Self::Reopen => "reopen",
            Self::Prune => "prune",
            Self::Release => "release",
            Self::Reserve => "reserve",
        }
    }

    /// The one of a name.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.word() == word)
    }
}

/// What happens at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Harm {
    /// The process is killed before the database is asked.
    KillBefore,
    /// The process is killed when the database has done it, before anybody in the process knows.
    KillAfter,
    /// The database is not asked, and nobody knows.
    LoseQuestion,
    /// The database has done it, and nobody knows.
    LoseAnswer,
}

impl Harm {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::KillBefore, Self::KillAfter, Self::LoseQuestion, Self::LoseAnswer];

    const fn word(self) -> &'static str {
        match self {
            Self::KillBefore => "killed before it",
            Self::KillAfter => "killed after it",
            Self::LoseQuestion => "its question lost",
            Self::LoseAnswer => "its answer lost",
        }
    }
}

/// A point: the `n`-th call of a verb in a process, the first is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// The verb.
    pub verb: Verb,
    /// Which call of it.
    pub n: u64,
    /// What happens there.
    pub harm: Harm,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}, {}", self.verb.word(), self.n, self.harm.word())
    }
}
