//! One task of a run: what has become of it, or of each of its elements.

use std::sync::Arc;

use super::fact::TaskRunKey;
use super::map::{Form, Map};
use super::stop::had_enough;
use crate::context::Writes;
use crate::error::{FailureKind, TaskFailure};
use crate::name::TaskName;
use crate::output::Output;
use crate::time::Timestamp;

/// How far a task has come.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    /// A dependency is missing, or (in a mapped task) the width of its list.
    Waiting,
    Single(TaskRun),
    Map(Box<Map>),
    Skipped(Skip),
}

/// Why a task will not run.
#[derive(Clone, Debug)]
pub(super) struct Skip {
    /// The task that began it: one that failed, or was skipped by its own decision (perhaps this one).
    pub(super) root: u32,
    /// The reason of a task that decided for itself.
    pub(super) reason: Option<Arc<str>>,
}

/// One task run.
#[derive(Clone, Debug, Default)]
pub(super) struct TaskRun {
    pub(super) attempt: u32,
    pub(super) n_failures: u32,
    /// Deaths of workers in a row during which it was in flight.
    pub(super) deaths: u32,
    /// Its start must be durable before it starts.
    pub(super) cautious: bool,
    /// The callback of its end has returned.
    pub(super) called: bool,
    pub(super) state: State,
    pub(super) started_at: Timestamp,
    pub(super) ended_at: Timestamp,
    pub(super) failure: Option<Arc<TaskFailure>>,
}

#[derive(Clone, Debug, Default)]
pub(super) enum State {
    #[default]
    Ready,
    /// So many others of its task have to end before it.
    Held {
        missing: u8,
    },
    /// It has its slot and waits for the fact of its start to be durable.
    Starting,
    Running,
    Backoff {
        due: Timestamp,
    },
    Succeeded {
        output: Output,
        writes: Option<Arc<Writes>>,
    },
    Failed,
    /// It will not run, or not again: its task has enough, or another of its task failed that it needs.
    Skipped,
}

impl Stage {
    /// A task that goes step by step, before its first step.
    pub(super) fn steps(first: TaskRun) -> Self {
        Self::Map(Box::new(Map::new(Form::Steps, vec![first])))
    }

    /// A task that takes the elements of steps as they come, before the first; the steps may have failed.
    pub(super) fn stream(cut_by: Option<u32>) -> Self {
        Self::Map(Box::new(Map { cut_by, ..Map::new(Form::Stream, Vec::new()) }))
    }

    pub(super) fn run(&self, map_index: Option<u32>) -> Option<&TaskRun> {
        match (self, map_index) {
            (Self::Single(run), None) => Some(run),
            (Self::Map(map), Some(index)) => map.runs.get(index as usize),
            _ => None,
        }
    }

    pub(super) fn run_mut(&mut self, map_index: Option<u32>) -> Option<&mut TaskRun> {
        match (self, map_index) {
            (Self::Single(run), None) => Some(run),
            (Self::Map(map), Some(index)) => map.runs.get_mut(index as usize),
            _ => None,
        }
    }

    /// Whether the task has succeeded: all its elements, where it is mapped.
    pub(super) fn has_succeeded(&self) -> bool {
        match self {
            Self::Single(run) => run.output().is_some(),
            Self::Map(map) => map.has_succeeded(),
            Self::Waiting | Self::Skipped(_) => false,
        }
    }

    /// Whether nothing of it is there yet.
    pub(super) fn is_waiting(&self) -> bool {
        match self {
            Self::Waiting => true,
            Self::Map(map) => map.is_blank(),
            Self::Single(_) | Self::Skipped(_) => false,
        }
    }

    /// All task runs, with their keys.
    pub(super) fn runs(&self, task: u32) -> impl Iterator<Item = (TaskRunKey, &TaskRun)> {
        let (single, elements) = match self {
            Self::Single(run) => (Some(run), &[][..]),
            Self::Map(map) => (None, &map.runs[..]),
            _ => (None, &[][..]),
        };
        let single = single.map(|run| (TaskRunKey { task, map_index: None }, run));
        let elements =
            (0..).zip(elements).map(move |(i, run)| (TaskRunKey { task, map_index: Some(i) }, run));
        single.into_iter().chain(elements)
    }

    pub(super) fn runs_mut(&mut self, task: u32) -> impl Iterator<Item = (TaskRunKey, &mut TaskRun)> {
        let (single, elements) = match self {
            Self::Single(run) => (Some(run), &mut [][..]),
            Self::Map(map) => (None, &mut map.runs[..]),
            _ => (None, &mut [][..]),
        };
        let single = single.map(|run| (TaskRunKey { task, map_index: None }, run));
        let elements =
            (0..).zip(elements).map(move |(i, run)| (TaskRunKey { task, map_index: Some(i) }, run));
        single.into_iter().chain(elements)
    }
}

impl TaskRun {
    pub(super) fn start(&mut self, attempt: u32, at: Timestamp) {
        self.attempt = attempt;
        self.started_at = at;
        self.state = State::Running;
    }

    pub(super) fn succeed(&mut self, at: Timestamp, output: Output, writes: Option<Arc<Writes>>) {
        self.ended_at = at;
        self.deaths = 0;
        self.failure = None;
        self.state = State::Succeeded { output, writes };
    }

    pub(super) fn fail(&mut self, at: Timestamp, failure: Arc<TaskFailure>, retry_at: Option<Timestamp>) {
        self.ended_at = at;
        self.n_failures += 1;
        self.deaths = 0;
        self.failure = Some(failure);
        self.state = retry_at.map_or(State::Failed, |due| State::Backoff { due });
    }

    pub(super) fn leave_out(&mut self, attempt: u32, at: Timestamp) {
        self.attempt = attempt;
        self.ended_at = at;
        self.deaths = 0;
        self.state = State::Skipped;
    }

    pub(super) fn interrupt(&mut self) {
        self.deaths = 0;
        self.state = State::Ready;
    }

    /// Lets it wait for so many others of its task.
    pub(super) fn hold(&mut self, missing: u8) {
        self.state = if missing == 0 { State::Ready } else { State::Held { missing } };
    }

    /// One of those it waits for has ended durably: whether it is ready by that.
    pub(super) fn release(&mut self) -> bool {
        let State::Held { missing } = self.state else { return false };
        self.hold(missing - 1);
        missing == 1
    }

    pub(super) fn is_active(&self) -> bool {
        matches!(self.state, State::Starting | State::Running)
    }

    pub(super) fn has_ended(&self) -> bool {
        matches!(self.state, State::Succeeded { .. } | State::Failed | State::Skipped)
    }

    /// Whether its callbacks are told of its end.
    pub(super) fn is_told(&self) -> bool {
        matches!(self.state, State::Succeeded { .. } | State::Failed)
    }

    /// Whether it failed because somebody gave it up.
    pub(super) fn is_cancelled(&self) -> bool {
        let kind = self.failure.as_ref().map(|failure| failure.kind);
        matches!(self.state, State::Failed) && kind == Some(FailureKind::Cancelled)
    }

    pub(super) fn is_due(&self, at: Timestamp) -> bool {
        matches!(self.state, State::Backoff { due } if due <= at)
    }

    pub(super) fn output(&self) -> Option<&Output> {
        match &self.state {
            State::Succeeded { output, .. } => Some(output),
            _ => None,
        }
    }

    pub(super) fn writes(&self) -> Option<&Arc<Writes>> {
        match &self.state {
            State::Succeeded { writes, .. } => writes.as_ref(),
            _ => None,
        }
    }
}

/// The state of a task run, as people see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TaskRunStatus {
    /// It waits for a dependency or for a slot.
    Waiting,
    /// Its body is running.
    Running,
    /// It waits for its next attempt.
    Backoff,
    /// It succeeded.
    Succeeded,
    /// It failed for good.
    Failed,
    /// It will not run: a task before it failed, or its condition does not hold.
    Skipped,
    /// It was cancelled.
    Cancelled,
}

impl TaskRunStatus {
    /// The word that is shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Backoff => "backoff",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
        }
    }
}

impl std::fmt::Display for TaskRunStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// What is known of a task run.
#[derive(Clone, Debug)]
pub struct TaskRunView<'a> {
    /// The task.
    pub task: &'a TaskName,
    /// Which element, where the task is mapped and its width is known.
    pub map_index: Option<u32>,
    /// Its state.
    pub status: TaskRunStatus,
    /// Whether it waits for nothing but a slot.
    pub is_ready: bool,
    /// How many attempts have begun.
    pub attempts: u32,
    /// Why its last attempt failed.
    pub failure: Option<&'a Arc<TaskFailure>>,
    /// Which task it was skipped for, that failed or was skipped; `None` where it decided for itself.
    pub skipped_because: Option<&'a TaskName>,
    /// Why it was skipped, in words.
    pub skip_reason: Option<String>,
    /// When its next attempt is due, in backoff.
    pub retry_at: Option<Timestamp>,
    /// When its last attempt began.
    pub started_at: Option<Timestamp>,
    /// When its last attempt ended.
    pub ended_at: Option<Timestamp>,
    /// Its output, once it has succeeded.
    pub output: Option<&'a Output>,
}

impl TaskRunView<'_> {
    /// The run has ended: what has not will not.
    pub(super) fn conclude(&mut self) {
        if matches!(self.status, TaskRunStatus::Waiting | TaskRunStatus::Running | TaskRunStatus::Backoff) {
            (self.status, self.retry_at, self.is_ready) = (TaskRunStatus::Cancelled, None, false);
        }
    }
}

pub(super) fn views<'a>(
    task: u32,
    name: &'a TaskName,
    stage: &'a Stage,
    because: impl Fn(u32) -> &'a TaskName,
    reason: impl Fn(&Skip) -> String,
) -> Vec<TaskRunView<'a>> {
    let blank = TaskRunView {
        task: name,
        map_index: None,
        status: TaskRunStatus::Waiting,
        is_ready: false,
        attempts: 0,
        failure: None,
        skipped_because: None,
        skip_reason: None,
        retry_at: None,
        started_at: None,
        ended_at: None,
        output: None,
    };
    match stage {
        stage if stage.is_waiting() => vec![blank],
        Stage::Waiting => unreachable!("it is waiting"),
        Stage::Skipped(skip) => {
            let skipped_because = (skip.root != task).then(|| because(skip.root));
            let skip_reason = Some(reason(skip));
            vec![TaskRunView { status: TaskRunStatus::Skipped, skipped_because, skip_reason, ..blank }]
        }
        Stage::Single(_) => stage.runs(task).map(|(key, run)| view(key, run, &blank)).collect(),
        Stage::Map(map) => {
            let reason = || {
                let lost = || format!("another task run of task {name:?} failed");
                if map.is_stopped { had_enough(name) } else { lost() }
            };
            let views = stage.runs(task).map(|(key, run)| view(key, run, &blank));
            let told = views.map(|view| match view.status {
                TaskRunStatus::Skipped => TaskRunView { skip_reason: Some(reason()), ..view },
                _ => view,
            });
            told.collect()
        }
    }
}

fn view<'a>(key: TaskRunKey, run: &'a TaskRun, blank: &TaskRunView<'a>) -> TaskRunView<'a> {
    let (status, retry_at) = match run.state {
        State::Ready | State::Held { .. } | State::Starting => (TaskRunStatus::Waiting, None),
        State::Running => (TaskRunStatus::Running, None),
        State::Backoff { due } => (TaskRunStatus::Backoff, Some(due)),
        State::Succeeded { .. } => (TaskRunStatus::Succeeded, None),
        State::Failed if run.is_cancelled() => (TaskRunStatus::Cancelled, None),
        State::Failed => (TaskRunStatus::Failed, None),
        State::Skipped => (TaskRunStatus::Skipped, None),
    };
    // A task run that was cleared has attempts from before, and no time of its own yet.
    let has_begun = run.started_at > Timestamp::default();
    TaskRunView {
        map_index: key.map_index,
        status,
        is_ready: matches!(run.state, State::Ready),
        attempts: run.attempt,
        failure: run.failure.as_ref(),
        retry_at,
        started_at: has_begun.then_some(run.started_at),
        ended_at: (has_begun && run.ended_at >= run.started_at && !run.is_active()).then_some(run.ended_at),
        output: run.output(),
        ..blank.clone()
    }
}
