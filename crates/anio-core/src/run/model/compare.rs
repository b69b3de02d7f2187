//! The state of the owner against the log, field by field.

use super::rule::{Checked, Rule, check};
use super::world::World;
use crate::run::RunState;
use crate::run::task_run::{Stage, State, TaskRun};

impl World<'_> {
    /// The owner's state against the log: what has ended in the log has ended likewise in the state, and
    /// where nothing is on its way to the log the two agree on everything.
    pub(super) fn compare(&self) -> Checked {
        let (log, live) = (&self.store.replayed, &self.owner.state);
        // What nobody has does not follow the log.
        if self.is_blind || self.is_held {
            return Ok(());
        }
        let all_durable = live.awaited.is_empty();
        // What takes the elements of steps ends when these have durably: the log may be ahead then.
        let has_streams = self.case.plan.tasks().iter().any(|task| task.streams);
        let log_state = log;
        for (task, (log, live)) in (0..).zip(log.nodes.iter().zip(&live.nodes)) {
            let told = || {
                format!("the log has {log:?} of {}, the state has {live:?}", self.case.plan.task(task).name)
            };
            let agrees = match (&log.stage, &live.stage) {
                (Stage::Skipped(a), Stage::Skipped(b)) => a.root == b.root,
                (Stage::Skipped(_), Stage::Waiting) => has_streams && !all_durable,
                (Stage::Skipped(_), _) => false,
                (Stage::Waiting, Stage::Waiting) => true,
                // That a task has decided to run is told by what it does then.
                (Stage::Waiting, Stage::Single(run)) if log_state.is_undecided(task) => {
                    !all_durable || !run.has_ended()
                }
                (Stage::Waiting, _) => !all_durable,
                // Its body decided that it does not run; or the log is ahead while an answer is on its way.
                (Stage::Single(run), Stage::Skipped(_) | Stage::Waiting) => !all_durable && !run.has_ended(),
                (map @ Stage::Map(_), Stage::Waiting) => {
                    !all_durable && !map.runs(task).any(|(_, run)| run.has_ended())
                }
                // What follows a step is there when it is decided, or when that is in the log.
                (a, b) => {
                    let (n_log, n_live) = (a.runs(task).count(), b.runs(task).count());
                    (n_log == n_live || (!all_durable && (n_log < n_live || has_streams)))
                        && a.runs(task).zip(b.runs(task)).all(|((_, a), (_, b))| agree(a, b, all_durable))
                }
            };
            check(agrees && (log.missing == live.missing || !all_durable), Rule::ReplayAgrees, told)?;
        }
        let failures = |state: &RunState| state.failures.iter().map(|(task, _)| *task).collect::<Vec<_>>();
        let (a, b) = (failures(log), failures(live));
        check(a == b || (!all_durable && b.starts_with(&a)), Rule::ReplayAgrees, || {
            format!("{a:?} failed in the log, {b:?} in the state")
        })?;
        check(
            log.n_open == live.n_open || (!all_durable && (log.n_open > live.n_open || has_streams)),
            Rule::ReplayAgrees,
            || format!("{} tasks are open in the log, {} in the state", log.n_open, live.n_open),
        )
    }
}

/// Whether a task run in the log is what it is in the state, or was.
fn agree(log: &TaskRun, live: &TaskRun, all_durable: bool) -> bool {
    let state = match (&log.state, &live.state) {
        (State::Succeeded { output: a, .. }, State::Succeeded { output: b, .. }) => a == b,
        (State::Failed, State::Failed) | (State::Skipped, State::Skipped) => true,
        (State::Succeeded { .. } | State::Failed | State::Skipped, _) => false,
        (State::Backoff { due: a }, State::Backoff { due: b }) => a == b,
        (State::Held { missing: a }, State::Held { missing: b }) if all_durable => a == b,
        (State::Held { .. }, _) | (_, State::Held { .. }) => !all_durable,
        (_, live) => {
            !all_durable || !matches!(live, State::Succeeded { .. } | State::Failed | State::Skipped)
        }
    };
    let last = (log.attempt, log.n_failures, &log.failure) == (live.attempt, live.n_failures, &live.failure);
    state && (last || (!log.has_ended() && log.attempt <= live.attempt && log.n_failures <= live.n_failures))
}
