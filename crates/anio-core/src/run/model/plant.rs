//! Bugs that can be planted, to show that the explorer finds them.

use crate::run::RunState;
use crate::run::task_run::Stage;

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
    // ------ in the state machine, by a hand that reaches into its fields ------
    /// Dependants are released when an attempt returns.
    ReleasesOnReturn,
    /// A resumed run starts what it finds without recording that first.
    NeverCautious,
    /// The deaths of workers are not counted.
    ForgetsDeaths,
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
            for (_, run) in node.stage.runs_mut(task) {
                match plant {
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
