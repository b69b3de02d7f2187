//! Counts what a worker does.
//!
//! The loop counts by what the state machines of its runs ask for, as they ask for it, so whoever is answered
//! finds what led to the answer counted. The numbers are atomics beside one another, read without a lock: a
//! snapshot taken while the loop works may have the end of something and not yet what comes with it.
//!
//! Here is no name of a workflow or a task: how many numbers there are is fixed.
//!
//! With the feature `metrics` each number is told to the `metrics` facade too, as it changes.

mod number;

use anio_core::error::FailureKind;
use anio_core::run::{Conclusion, Effect, Event, Fact, FactKind, RunState};

use self::number::{Count, Level};

/// What a worker has done since it started, and what it is doing.
///
/// Of this process only, and kept in memory only: a restart begins at 0. What the store says of all runs and
/// all workers is asked of the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Runs that came and went.
    pub runs: Runs,
    /// Task runs that ended.
    pub tasks: Tasks,
    /// Attempts that began and ended.
    pub attempts: Attempts,
    /// How things stand.
    pub now: Now,
}

/// Runs that came and went.
///
/// A run is held from when this worker has it until it has ended, is let go or is given back. A run that
/// was cancelled while nobody held it was ended by no worker, and is not among the `cancelled`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Runs {
    /// Submitted through this engine and durable, whoever executes them. Not those that were submitted inside
    /// a transaction of the user's own: whether that was committed is not known here.
    pub submitted: u64,
    /// Taken up from the store: queued by whomever, left behind by a dead worker, resumed, to be done again.
    /// Each time counts.
    pub taken_up: u64,
    /// Ended here, durably, with success.
    pub succeeded: u64,
    /// Ended here, durably, with a failure; those whose deadline passed too.
    pub failed: u64,
    /// Ended here, durably, because somebody asked for it.
    pub cancelled: u64,
    /// Let go, durably, because they are paused.
    pub paused: u64,
    /// Set aside, instead of taken up, because they cannot go on under this program.
    pub parked: u64,
    /// Held when the worker stopped or lost its lease: they go on elsewhere, or at the next start.
    pub given_back: u64,
}

/// Task runs that ended: of a mapped task, each element. Counted when the end is decided; a worker that loses its
/// lease before that is durable has counted an end that another worker decides again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tasks {
    /// Succeeded.
    pub succeeded: u64,
    /// Failed for good, without another attempt.
    pub failed: u64,
    /// Will not run: a condition does not hold, a task that they need failed or was skipped, the body decided
    /// so, or the task has enough.
    pub skipped: u64,
    /// Given up by request, or not ended when their run was cancelled or reached its deadline.
    pub cancelled: u64,
}

/// Attempts that were begun, and how they ended.
///
/// `begun` is the sum of `succeeded`, `failed`, `declined`, `interrupted` and [`Now::executing`]. A task run that
/// fails without a body (its condition cannot be decided, it was given up before its turn) has no attempt here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempts {
    /// Attempts that were handed to their lane. One that is called off before the lane comes to it is interrupted,
    /// and its body never begins.
    pub begun: u64,
    /// Ended with success.
    pub succeeded: u64,
    /// Ended with an error, a panic or a time-out, those that are tried again too.
    pub failed: u64,
    /// Of `failed`: those after which another attempt was due.
    pub retried: u64,
    /// The body decided that its task does not run.
    pub declined: u64,
    /// Cut short: the run was cancelled or late, the task has enough, the worker stopped or lost its lease.
    pub interrupted: u64,
}

/// How things stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Now {
    /// Runs that this worker holds in memory.
    pub held: u64,
    /// Attempts that have begun and have not ended. The thread of a plain function that timed out may be busy
    /// for longer.
    pub executing: u64,
    /// Task runs that wait for a slot, or for a resource or a rate. One whose run is paused or cancelled
    /// meanwhile counts until its turn comes.
    pub ready: u64,
}

/// Whether an event that a run is told of is the end of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IsEnd {
    OfAttempt,
    No,
}

impl IsEnd {
    pub(crate) fn of(event: &Event) -> Self {
        match event {
            Event::Returned { .. } | Event::Interrupted { .. } => Self::OfAttempt,
            _ => Self::No,
        }
    }
}

/// The numbers, where the loop counts them.
#[derive(Debug)]
pub(crate) struct Counters {
    submitted: Count,
    taken_up: Count,
    runs_succeeded: Count,
    runs_failed: Count,
    runs_cancelled: Count,
    paused: Count,
    parked: Count,
    given_back: Count,
    tasks_succeeded: Count,
    tasks_failed: Count,
    tasks_skipped: Count,
    tasks_cancelled: Count,
    begun: Count,
    attempts_succeeded: Count,
    attempts_failed: Count,
    retried: Count,
    declined: Count,
    interrupted: Count,
    held: Level,
    executing: Level,
    ready: Level,
}

impl Counters {
    pub(crate) fn new() -> Self {
        Self {
            submitted: Count::new("anio_runs_submitted_total", "Runs submitted through this engine."),
            taken_up: Count::new("anio_runs_taken_up_total", "Runs taken up from the store."),
            runs_succeeded: Count::new("anio_runs_succeeded_total", "Runs that ended with success."),
            runs_failed: Count::new("anio_runs_failed_total", "Runs that ended with a failure."),
            runs_cancelled: Count::new("anio_runs_cancelled_total", "Runs that ended by request."),
            paused: Count::new("anio_runs_paused_total", "Runs let go because they are paused."),
            parked: Count::new("anio_runs_parked_total", "Runs that cannot go on under this program."),
            given_back: Count::new(
                "anio_runs_given_back_total",
                "Runs held when the worker stopped or lost its lease.",
            ),
            tasks_succeeded: Count::new("anio_tasks_succeeded_total", "Task runs that succeeded."),
            tasks_failed: Count::new("anio_tasks_failed_total", "Task runs that failed for good."),
            tasks_skipped: Count::new("anio_tasks_skipped_total", "Task runs that were skipped."),
            tasks_cancelled: Count::new("anio_tasks_cancelled_total", "Task runs that were cancelled."),
            begun: Count::new("anio_attempts_begun_total", "Attempts that were handed to their lane."),
            attempts_succeeded: Count::new(
                "anio_attempts_succeeded_total",
                "Attempts that ended with success.",
            ),
            attempts_failed: Count::new(
                "anio_attempts_failed_total",
                "Attempts that failed, with or without another to come.",
            ),
            retried: Count::new("anio_attempts_retried_total", "Attempts that failed with another to come."),
            declined: Count::new(
                "anio_attempts_declined_total",
                "Attempts whose bodies decided that the task does not run.",
            ),
            interrupted: Count::new("anio_attempts_interrupted_total", "Attempts that were cut short."),
            held: Level::new("anio_runs_held", "Runs that are held in memory."),
            executing: Level::new("anio_attempts_executing", "Attempts that execute now."),
            ready: Level::new("anio_tasks_ready", "Task runs that wait for a slot, a resource or a rate."),
        }
    }

    pub(crate) fn snapshot(&self) -> Metrics {
        Metrics {
            runs: Runs {
                submitted: self.submitted.get(),
                taken_up: self.taken_up.get(),
                succeeded: self.runs_succeeded.get(),
                failed: self.runs_failed.get(),
                cancelled: self.runs_cancelled.get(),
                paused: self.paused.get(),
                parked: self.parked.get(),
                given_back: self.given_back.get(),
            },
            tasks: Tasks {
                succeeded: self.tasks_succeeded.get(),
                failed: self.tasks_failed.get(),
                skipped: self.tasks_skipped.get(),
                cancelled: self.tasks_cancelled.get(),
            },
            attempts: Attempts {
                begun: self.begun.get(),
                succeeded: self.attempts_succeeded.get(),
                failed: self.attempts_failed.get(),
                retried: self.retried.get(),
                declined: self.declined.get(),
                interrupted: self.interrupted.get(),
            },
            now: Now { held: self.held.get(), executing: self.executing.get(), ready: self.ready.get() },
        }
    }

    /// Runs were submitted, durably: through the loop, or past it with a key of their own.
    pub(crate) fn submitted(&self, n: usize) {
        self.submitted.add_among_others(n as u64);
    }

    /// A run was taken up from the store.
    pub(crate) fn taken_up(&self) {
        self.taken_up.add(1);
    }

    /// A claimed run cannot go on.
    pub(crate) fn parked(&self) {
        self.parked.add(1);
    }

    /// So many runs are held.
    pub(crate) fn held(&self, n: usize) {
        self.held.set(n as u64);
    }

    /// Whether the worker holds any runs.
    pub(crate) fn holds_any(&self) -> bool {
        self.held.get() > 0
    }

    /// So many task runs wait for their turn.
    pub(crate) fn ready(&self, n: usize) {
        self.ready.set(n as u64);
    }

    /// The worker lets go of all its runs, and of the bodies that run.
    pub(crate) fn gave_all_back(&self) {
        self.given_back.add(self.held.get());
        self.interrupted.add(self.executing.get());
        for level in [&self.held, &self.executing, &self.ready] {
            level.set(0);
        }
    }

    /// Counts what a run asks for after an event; so many more of its tasks are skipped than before.
    pub(crate) fn count(&self, state: &RunState, effects: &[Effect], event: IsEnd, n_skipped: u32) {
        // That a task is skipped for the sake of another is no fact of its own.
        self.tasks_skipped.add(u64::from(n_skipped));
        for effect in effects {
            match effect {
                Effect::Execute { .. } => {
                    self.begun.add(1);
                    self.executing.raise(1);
                }
                Effect::Persist(fact) => {
                    self.task_run(fact);
                    // Other facts that end an attempt are of one that never had a body here.
                    if event == IsEnd::OfAttempt {
                        self.attempt(fact);
                    }
                }
                Effect::Held => {
                    self.paused.add(1);
                    self.held.lower(1);
                }
                Effect::Ended => self.ended(state),
                _ => {}
            }
        }
    }

    fn task_run(&self, fact: &Fact) {
        match &fact.kind {
            FactKind::Succeeded { .. } => self.tasks_succeeded.add(1),
            FactKind::Failed { retry_at: None, failure, .. } => match failure.kind {
                FailureKind::Cancelled => self.tasks_cancelled.add(1),
                _ => self.tasks_failed.add(1),
            },
            _ => {}
        }
    }

    fn attempt(&self, fact: &Fact) {
        let how = match &fact.kind {
            FactKind::Succeeded { .. } => &self.attempts_succeeded,
            FactKind::Failed { .. } => &self.attempts_failed,
            // Its task has enough.
            FactKind::Skipped { .. } if fact.key.map_index.is_some() => &self.interrupted,
            FactKind::Skipped { .. } => &self.declined,
            FactKind::Interrupted { .. } => &self.interrupted,
            _ => return,
        };
        how.add(1);
        self.executing.lower(1);
        if matches!(fact.kind, FactKind::Failed { retry_at: Some(_), .. }) {
            self.retried.add(1);
        }
    }

    fn ended(&self, state: &RunState) {
        self.held.lower(1);
        self.tasks_cancelled.add(state.n_unended() as u64);
        match state.conclusion() {
            Some(Conclusion::Failed(_)) => self.runs_failed.add(1),
            Some(Conclusion::Cancelled) => self.runs_cancelled.add(1),
            Some(Conclusion::Succeeded) | None => self.runs_succeeded.add(1),
        }
    }
}
