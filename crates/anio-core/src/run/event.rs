//! What comes into the state machine of a run, and what goes out.

use std::time::Duration;

use super::fact::{Fact, RunEnd, TaskRunKey};
use crate::error::{FailureKind, TaskError, TaskFailure};
use crate::task::TaskReturn;
use crate::time::Timestamp;

/// Something that has happened, told to [`RunState::apply`](super::RunState::apply) with its time.
#[derive(Clone, Debug)]
pub enum Event {
    /// A worker takes the run up: a new one, or one that was replayed from its facts.
    Begin {
        /// How often it was taken up before.
        epoch: u32,
    },
    /// A task run that was [`Effect::Ready`] has its slot.
    Dispatched {
        /// Which.
        key: TaskRunKey,
    },
    /// The body of an attempt has ended.
    Returned {
        /// Which task run.
        key: TaskRunKey,
        /// Which attempt.
        attempt: u32,
        /// With what.
        result: Result<TaskReturn, AttemptError>,
    },
    /// The body of an attempt was dropped because the worker shuts down.
    Interrupted {
        /// Which task run.
        key: TaskRunKey,
        /// Which attempt.
        attempt: u32,
    },
    /// The first `n` of all facts that the run asked to persist since it was taken up are durable.
    Committed {
        /// How many, counted from the first.
        n: u64,
    },
    /// The time of an [`Effect::Arm`] has come.
    Due {
        /// Whose.
        key: TaskRunKey,
    },
    /// The callback of a task run's end, asked for by [`Effect::Call`], has returned.
    Called {
        /// Whose.
        key: TaskRunKey,
    },
    /// The run's own callback, asked for by [`Effect::CallRun`], has returned.
    RunCalled,
    /// Start nothing more; let go of the run when what runs has ended.
    Pause,
    /// Go on.
    Resume,
    /// Start nothing more, stop what runs, end.
    Cancel,
    /// The time by which the run should have ended: as [`Event::Cancel`], but the run fails.
    Deadline {
        /// That time.
        deadline: Timestamp,
    },
    /// A [`FactKind::Cancelled`](super::FactKind::Cancelled) of this task run is durable.
    CancelTask {
        /// Which; without a map index, of a mapped task: all elements.
        key: TaskRunKey,
    },
}

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptError {
    /// What is stored of it.
    pub failure: TaskFailure,
    /// What follows.
    pub retry: Retry,
}

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// What the task's policy says.
    Policy,
    /// Nothing: the task run has failed.
    Never,
    /// Another attempt after this delay, if the policy has one left.
    After(Duration),
    /// Nothing: the task decided not to run, and is skipped. Of a mapped task's element as `Never`.
    Skip,
}

impl From<TaskError> for AttemptError {
    fn from(error: TaskError) -> Self {
        let retry = match &error {
            TaskError::RetryAfter { delay, .. } => Retry::After(*delay),
            TaskError::Skipped { reason } => {
                return Self { failure: TaskFailure::new(FailureKind::Error, reason), retry: Retry::Skip };
            }
            error if error.is_fatal() => Retry::Never,
            _ => Retry::Policy,
        };
        Self { failure: error.to_failure(), retry }
    }
}

/// Something that must be done, asked for by [`RunState::apply`](super::RunState::apply).
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Queue the task run for a slot; answer with [`Event::Dispatched`].
    Ready(TaskRunKey),
    /// Execute an attempt; answer with [`Event::Returned`].
    Execute {
        /// Which task run.
        key: TaskRunKey,
        /// Which attempt.
        attempt: u32,
    },
    /// Make a fact durable, in this order; answer with [`Event::Committed`].
    Persist(Fact),
    /// Record that an attempt has begun, when that is cheap. Nobody waits for it, it does not count in
    /// [`Event::Committed`], and it may be left out when the attempt has ended before it is written.
    Note(Fact),
    /// Answer with [`Event::Due`] at this time.
    Arm {
        /// Whose time.
        key: TaskRunKey,
        /// When.
        at: Timestamp,
    },
    /// Make the run's end durable; it counts in [`Event::Committed`] like a fact, and is the last.
    End(RunEnd),
    /// The run's end is durable: tell those who wait, and forget the run.
    Ended,
    /// Forget which task runs wait for a slot: nothing starts. Those that still wait are
    /// [`Effect::Ready`] again when the run goes on.
    Withdraw,
    /// A task run that has its slot does not start after all: give the slot to another.
    Vacate(TaskRunKey),
    /// Tell the body of a running attempt, or all of the run's bodies, to stop; they answer as ever.
    CallOff(Option<TaskRunKey>),
    /// Call the callback of a task run's end, which is durable; answer with [`Event::Called`].
    Call(TaskRunKey),
    /// Call the run's own callback; answer with [`Event::RunCalled`]. The facts that decide how the run
    /// ends are durable.
    CallRun,
    /// Make durable that the run is let go because it is paused; it counts in [`Event::Committed`] like a
    /// fact, and is the last.
    Hold,
    /// The run is let go durably: forget it.
    Held,
}
