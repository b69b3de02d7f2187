//! What goes into the store and comes out of it: plain records, with names in place of positions.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anio_core::plan::PlanRecord;
use anio_core::run::{FactKind, RunFailure};
use anio_core::{Fingerprint, Output, RunId, TaskName, Timestamp, WorkflowName};
use uuid::Uuid;

/// When a commit counts as durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Durability {
    /// When it is on the disk: SQLite `synchronous = full`, Postgres `synchronous_commit = on`.
    #[default]
    Full,
    /// When the operating system (SQLite) or the server (Postgres) has it: a crash of the program loses
    /// nothing, a loss of power may lose the last commits. SQLite `synchronous = normal`, Postgres
    /// `synchronous_commit = off`.
    Relaxed,
}

/// The state of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RunStatus {
    /// Submitted; no worker has it.
    Queued,
    /// A worker has it.
    Running,
    /// Held by an operator.
    Paused,
    /// Ended: every task is settled and no failure was left unhandled.
    Succeeded,
    /// Ended: a task failed.
    Failed,
    /// Ended by an operator.
    Cancelled,
    /// Cannot go on by itself; the reason is stored.
    Parked,
}

impl RunStatus {
    /// All states.
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Running,
        Self::Paused,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::Parked,
    ];

    /// The word that is stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Parked => "parked",
        }
    }

    /// The state with this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Whether the run has ended for good.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The identity of a worker: one lease of one process. A `UUIDv7`; a worker that lost its lease comes
/// back under another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub Uuid);

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A worker that wants a lease.
#[derive(Clone, Debug)]
pub struct NewWorker {
    /// Its identity.
    pub id: WorkerId,
    /// What people see: host name and process id.
    pub name: String,
    /// How long the lease holds without renewal.
    pub lease: Duration,
}

/// A run to be stored.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// Its identity.
    pub id: RunId,
    /// Its workflow.
    pub workflow: WorkflowName,
    /// The plan that it is pinned to; stored before (or with) the run.
    pub plan: Fingerprint,
    /// Its input.
    pub input: Output,
    /// Among queued runs the higher goes first.
    pub priority: i32,
    /// When it was submitted.
    pub submitted_at: Timestamp,
    /// Whether the batch's worker has it from the start (state `running`), or nobody yet (`queued`).
    pub claim: bool,
}

/// A fact to be stored, or read back.
#[derive(Clone, Debug, PartialEq)]
pub struct FactRecord {
    /// The run.
    pub run: RunId,
    /// The task, by name.
    pub task: TaskName,
    /// Which element, where the task is mapped.
    pub map_index: Option<u32>,
    /// Which attempt, from 1; 0 for an expansion.
    pub attempt: u32,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub kind: FactKind,
}

/// The end of a run, to be stored.
#[derive(Clone, Debug, PartialEq)]
pub struct EndRecord {
    /// The run.
    pub run: RunId,
    /// `Succeeded`, `Failed` or `Cancelled`.
    pub status: RunStatus,
    /// Why it failed.
    pub failure: Option<RunFailure>,
    /// When it ended.
    pub at: Timestamp,
}

/// A run that cannot go on by itself, to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkRecord {
    /// The run.
    pub run: RunId,
    /// Why, in words for people.
    pub reason: String,
}

/// All that becomes durable in one commit, or not at all.
///
/// Several batches of one worker may share a transaction; their order is kept.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The worker that must still hold its lease for the batch to be committed. `None` for a client that
    /// only submits.
    pub worker: Option<WorkerId>,
    /// Plans that new runs are pinned to; known ones are left as they are.
    pub plans: Vec<(Fingerprint, PlanRecord)>,
    /// New runs.
    pub runs: Vec<NewRun>,
    /// Facts, in the order in which they happened.
    pub facts: Vec<FactRecord>,
    /// Runs that ended.
    pub ends: Vec<EndRecord>,
    /// Runs to be parked.
    pub parks: Vec<ParkRecord>,
}

impl Batch {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.plans.is_empty()
            && self.runs.is_empty()
            && self.facts.is_empty()
            && self.ends.is_empty()
            && self.parks.is_empty()
    }
}

/// A run as it is stored.
#[derive(Clone, Debug)]
pub struct RunRecord {
    /// Its identity.
    pub id: RunId,
    /// Its workflow.
    pub workflow: WorkflowName,
    /// The plan that it is pinned to.
    pub plan: Fingerprint,
    /// Its state.
    pub status: RunStatus,
    /// Its input.
    pub input: Output,
    /// Among queued runs the higher goes first.
    pub priority: i32,
    /// How often it was taken over from a worker that died or let go.
    pub epoch: u32,
    /// When it was submitted.
    pub submitted_at: Timestamp,
    /// When a worker first had it.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Why it failed.
    pub failure: Option<RunFailure>,
    /// Why it is parked.
    pub parked_reason: Option<String>,
}

/// A run that a worker has just taken, with all that is known of it.
#[derive(Clone, Debug)]
pub struct ClaimedRun {
    /// The run.
    pub run: RunRecord,
    /// Its facts, in the order in which they were committed.
    pub facts: Vec<FactRecord>,
    /// What is stored of the plan that it is pinned to.
    pub plan: Option<Arc<PlanRecord>>,
}

/// Which runs to claim.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Who wants them.
    pub worker: WorkerId,
    /// The workflows that the worker knows; runs of others are left.
    pub workflows: Vec<WorkflowName>,
    /// At most so many.
    pub limit: u32,
}

/// What a worker learns when it renews its lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renewal {
    /// Workers whose lease has run out by the database's clock, or whose process is provably gone.
    pub dead: Vec<WorkerId>,
    /// Whether there are queued runs.
    pub queued: bool,
}

/// Which runs to list.
#[derive(Clone, Debug, Default)]
pub struct RunQuery {
    /// Only runs of this workflow.
    pub workflow: Option<String>,
    /// Only runs in one of these states; empty for all.
    pub statuses: Vec<RunStatus>,
    /// Only runs submitted before this one: the cursor of the next page.
    pub before: Option<RunId>,
    /// At most so many; 0 means 100.
    pub limit: u32,
}
