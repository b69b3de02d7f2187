//! Bugs that can be planted, to show that the explorer finds them.

use crate::run::RunState;
use crate::run::task_run::{Skip, Stage, State, TaskRun};

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plant {
    // ------ in the world around the state machine ------
    /// The driver says that a fact is durable as soon as it is asked to make it so.
    AnswersEarly,
    /// The driver says so of the run's end only.
    AnswersTheEndEarly,
    /// The writer counts notes among the facts that are waited for.
    CountsNotes,
    /// The writer turns a batch of facts round.
    ReordersABatch,
    /// The writer sends a batch again whose answer was lost.
    WritesTwice,
    /// The writer leaves the widths of maps out.
    LosesExpansions,
    /// The writer leaves out that tasks have enough.
    LosesStops,
    /// The store takes facts from a worker that has lost its lease.
    NoFence,
    /// The store has lost its last fact after a crash.
    LosesTheLastFact,
    /// Replay leaves out the first fact of the log.
    ForgetsTheFirstFact,
    /// Replay leaves out what began and did not end.
    CountsAnew,
    /// A resumed run's timers are not set.
    ForgetsTimersOnResume,
    /// An attempt begins before its recorded start is durable.
    StartsUnrecorded,
    /// A shutdown drops bodies without telling the state machine.
    DropsInterruptions,
    /// The writer sends again that a task is skipped.
    TellsSkipsTwice,
    /// Replay leaves out that tasks decided not to run.
    ForgetsDecisions,
    /// Replay leaves out that tasks have enough.
    ForgetsStops,
    /// The run's end names its first failure, handled or not.
    HandlesNothing,
    /// The run's end takes a failure for handled that a task was only told of.
    HandlesByTelling,
    /// What is asked of a run is forgotten when its worker dies.
    ForgetsRequests,
    /// What is asked of a run is heard and forgotten at once.
    ForgetsTheHalt,
    /// The owner is not told that a task run was given up.
    LosesAGivingUp,
    /// Replay leaves out who was given up.
    ForgetsWhoWasGivenUp,
    /// Replay leaves out which callbacks have returned.
    ForgetsCalls,
    /// Replay reads what was undone as if it counted.
    ReadsWhatWasCleared,
    // ------ in the state machine, by a hand that reaches into its fields ------
    /// Dependants are released when an attempt returns.
    ReleasesOnReturn,
    /// A resumed run starts what it finds without recording that first.
    NeverCautious,
    /// The deaths of workers are not counted.
    ForgetsDeaths,
    /// A resumed run does not wait for the time of an attempt.
    ForgetsBackoffs,
    /// Failures from before the run was resumed are not counted.
    ForgetsFailures,
    /// A resumed run does not know whom it skipped.
    ForgetsSkips,
    /// A resumed run does not know that it fails.
    ForgetsTheFailure,
    /// A resumed run takes all tasks but one for all.
    ForgetsATask,
    /// A resumed run leaves a number out.
    LeavesANumberOut,
    /// A task decides when an attempt returns that it waited for.
    DecidesOnReturn,
    /// A task decides by one that is skipped, while others before that are still running.
    DecidesBySkipsAtOnce,
    /// A resumed run executes what it had skipped.
    RunsTheSkipped,
    /// A resumed run takes what failed for skipped.
    TakesFailedForSkipped,
    /// A resumed run leaves those waiting who were about to decide.
    ForgetsToDecide,
}

impl RunState {
    /// What is wrong with a state that was read back, with this bug planted.
    pub(super) fn misremember(&mut self, plant: Option<Plant>) {
        match plant {
            Some(Plant::ForgetsTheFailure) => self.failures.clear(),
            Some(Plant::ForgetsATask) => self.n_open = self.n_open.saturating_sub(1),
            _ => {}
        }
        for (task, node) in (0..).zip(&mut self.nodes) {
            if plant == Some(Plant::ForgetsSkips) && matches!(node.stage, Stage::Skipped(_)) {
                node.stage = Stage::Waiting;
                self.n_open += 1;
            }
            let is_failed = |(_, run): (_, &TaskRun)| matches!(run.state, State::Failed);
            match (plant, &node.stage) {
                (Some(Plant::RunsTheSkipped), Stage::Skipped(_)) => {
                    node.stage = Stage::Single(TaskRun::default());
                    self.n_open += 1;
                }
                (Some(Plant::TakesFailedForSkipped), Stage::Single(_))
                    if node.stage.runs(task).any(is_failed) =>
                {
                    node.stage = Stage::Skipped(Skip { root: task, reason: Some("".into()) });
                }
                (Some(Plant::ForgetsToDecide), Stage::Waiting) if node.missing == 0 => node.missing = 1,
                _ => {}
            }
            for (_, run) in node.stage.runs_mut(task) {
                match plant {
                    Some(Plant::ForgetsBackoffs) if matches!(run.state, State::Backoff { .. }) => {
                        run.state = State::Ready;
                    }
                    Some(Plant::ForgetsDeaths) => run.deaths = 0,
                    Some(Plant::ForgetsFailures) => run.n_failures = 0,
                    Some(Plant::NeverCautious) => run.cautious = false,
                    Some(Plant::LeavesANumberOut) => run.attempt += 1,
                    _ => {}
                }
            }
        }
    }
}
