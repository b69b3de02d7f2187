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

/// What a run may be given beside its input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// Among queued runs the higher goes first.
    pub priority: i32,
    /// Of all runs of a workflow at most one has this key; 1 to 255 bytes.
    pub idempotency_key: Option<String>,
    /// Not to be claimed before this time.
    pub due_at: Option<Timestamp>,
    /// When the whole run is given up.
    pub deadline: Option<Timestamp>,
    /// Words to find it by, each of 1 to 255 bytes, without repeats.
    pub tags: Vec<String>,
    /// The W3C `traceparent` of the trace that it belongs to.
    pub traceparent: Option<String>,
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
    /// What else it was given. A run with an idempotency key is stored by
    /// [`Backend::submit`](crate::backend::Backend::submit) alone.
    pub options: RunOptions,
    /// When it was submitted.
    pub submitted_at: Timestamp,
    /// Whether the batch's worker has it from the start (state `running`), or nobody yet (`queued`). A run
    /// with a time that it is due at is nobody's.
    pub claim: bool,
}

/// What became of a submission by itself.
#[derive(Clone, Debug)]
pub enum Submission {
    /// A new run was stored.
    New,
    /// There is a run of this workflow with this idempotency key; nothing was stored.
    Known(Box<RunRecord>),
}

/// What an operator may ask of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    /// Start nothing more; let go of the run when what runs has ended.
    Pause,
    /// Go on.
    Resume,
    /// Start nothing more, stop what runs, end.
    Cancel,
}

impl Request {
    /// The word that is stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
        }
    }

    /// The request with this word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Pause, Self::Resume, Self::Cancel].into_iter().find(|request| request.as_str() == word)
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Requested {
    /// It is done: nobody had the run. Its state now.
    Done(RunStatus),
    /// It is stored; the worker that has the run carries it out.
    Sent,
    /// The run is in a state in which this cannot be asked; nothing was changed.
    Refused(RunStatus),
    /// There is no such run.
    UnknownRun,
}

/// Something that others than its worker have changed about a running run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct News {
    /// The run.
    pub run: RunId,
    /// What is asked of it: [`Request::Pause`], [`Request::Cancel`] or nothing (any more).
    pub requested: Option<Request>,
    /// How often it was changed; what the worker has seen before is news no more.
    pub n: u64,
}

/// A run that has ended and is to go on with some of its task runs undone, to be stored.
#[derive(Clone, Debug)]
pub struct Reopening {
    /// The run.
    pub run: RunId,
    /// Its epoch, as it was when it was decided what to undo.
    pub epoch: u32,
    /// What is undone: facts of the kind [`FactKind::Cleared`].
    pub facts: Vec<FactRecord>,
}

/// Which runs to delete in one step.
#[derive(Clone, Debug)]
pub struct Prune {
    /// Only runs that ended before this time.
    pub finished_before: Timestamp,
    /// Only runs that ended in one of these states; empty for all three.
    pub statuses: Vec<RunStatus>,
    /// Only runs after this one: where the last step stopped.
    pub after: Option<RunId>,
    /// About how many rows (runs and facts) one step deletes at the most; at least 1.
    pub n_rows_max: u32,
}

impl Prune {
    /// How many rows a step deletes that keeps others waiting for a few milliseconds only.
    pub const N_ROWS_DEFAULT: u32 = 500;
}

/// What one step of pruning did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// How many runs are gone.
    pub n_runs: u64,
    /// How many facts are gone.
    pub n_facts: u64,
    /// Where the next step goes on; `None` when nothing is left to delete.
    pub next: Option<RunId>,
}

/// Something that another connection may have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// There may be queued runs, or requests for running ones.
    Runs,
    /// Runs may have new facts, or have ended.
    Facts,
    /// Any of these.
    Any,
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
    /// The W3C `traceparent` of the attempt's span, where it has one; kept of [`FactKind::Started`] alone, so that
    /// the attempt after one that died is linked with it.
    pub traceparent: Option<Box<str>>,
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
    /// Runs that their worker lets go because they are paused: `paused` then, or `queued` where they were
    /// resumed or cancelled in between; one epoch further. Runs that the worker does not have stay as they are.
    pub holds: Vec<RunId>,
}

impl Batch {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.plans.is_empty()
            && self.runs.is_empty()
            && self.facts.is_empty()
            && self.ends.is_empty()
            && self.parks.is_empty()
            && self.holds.is_empty()
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
    /// What else it was given. The time that it was due at is gone once it was due.
    pub options: RunOptions,
    /// What is asked of it and not carried out yet: [`Request::Pause`], [`Request::Cancel`] or nothing.
    pub requested: Option<Request>,
    /// How often others than its worker have changed it.
    pub news: u64,
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
    /// Whether there are queued runs that are due.
    pub queued: bool,
    /// When the next run is due that waits for its time.
    pub next_due: Option<Timestamp>,
    /// The worker's running runs that others have changed: all of them, whether seen before or not.
    pub news: Vec<News>,
}

/// Which runs to list.
#[derive(Clone, Debug, Default)]
pub struct RunQuery {
    /// Only runs of this workflow.
    pub workflow: Option<String>,
    /// Only runs in one of these states; empty for all.
    pub statuses: Vec<RunStatus>,
    /// Only runs with this tag.
    pub tag: Option<String>,
    /// Only runs submitted at this time or later.
    pub submitted_from: Option<Timestamp>,
    /// Only runs submitted before this time.
    pub submitted_until: Option<Timestamp>,
    /// Only runs submitted before this one: the cursor of the next page.
    pub before: Option<RunId>,
    /// At most so many; 0 means 100.
    pub limit: u32,
}
