//! What people ask of a run while it goes on: to pause, to go on, to end, to give a task up.
//!
//! ```text
//!            Pause                    nothing runs, all is durable
//!   running ───────► pausing ─────────────────────────────────────► Hold ──► let go
//!      ▲                │  Resume
//!      └────────────────┘
//!            Cancel, Deadline          nothing runs
//!   running ───────────────► called off ────────────► End (cancelled; failed)
//! ```
//!
//! What was asked of a run before it is taken up again is told before [`Event::Begin`](super::Event::Begin).
//!
//! A halted run starts nothing: what is ready stays ready and is offered again when the run goes on. What
//! runs is recorded as ever. Once a run is called off, the end of a task leads to no fact of another: what waited for
//! it counts as ready, as it does when the facts are read back, and never starts.

use super::fact::TaskRunKey;
use super::task_run::{State, TaskRun};
use super::{Effect, Phase, RunFailure, RunState};
use crate::error::{FailureKind, TaskFailure};
use crate::time::Timestamp;

/// Why nothing starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Halt {
    Pausing,
    Cancelling,
    /// The deadline has passed; with what the run fails.
    Late(RunFailure),
}

/// The failure of a task run that somebody gave up.
pub(super) fn given_up() -> TaskFailure {
    TaskFailure::new(FailureKind::Cancelled, "cancelled by request")
}

impl RunState {
    pub(super) fn pause(&mut self, effects: &mut Vec<Effect>) {
        if matches!(self.phase, Phase::Replaying | Phase::Running) && self.halt.is_none() {
            self.halt = Some(Halt::Pausing);
            effects.push(Effect::Withdraw);
        }
    }

    pub(super) fn resume(&mut self, effects: &mut Vec<Effect>) {
        if self.phase != Phase::Running || self.halt != Some(Halt::Pausing) {
            return;
        }
        self.halt = None;
        for (task, node) in (0..).zip(&self.nodes) {
            let ready = node.stage.runs(task).filter(|(_, run)| matches!(run.state, State::Ready));
            effects.extend(ready.map(|(key, _)| Effect::Ready(key)));
        }
    }

    /// Cancels the run, or ends it because its deadline has passed; the first of the two counts.
    pub(super) fn call_off(&mut self, halt: Halt, effects: &mut Vec<Effect>) {
        if !matches!(self.phase, Phase::Replaying | Phase::Running) || self.is_called_off() {
            return;
        }
        self.halt = Some(halt);
        effects.extend([Effect::Withdraw, Effect::CallOff(None)]);
    }

    /// The failure of a run that is not done at its deadline: it names a task that is running, or else
    /// the first that has not ended.
    pub(super) fn lateness(&self, deadline: Timestamp) -> RunFailure {
        let runs =
            || self.plan.topological().iter().flat_map(|&task| self.nodes[task as usize].stage.runs(task));
        let is_open = |task: &&u32| match &self.nodes[**task as usize].stage {
            stage if stage.is_waiting() => true,
            stage => stage.runs(**task).any(|(_, run)| !run.has_ended()),
        };
        let running = runs().find(|(_, run)| run.is_active()).map(|(key, run)| (key, run.attempt));
        let first = self.plan.topological().iter().find(is_open);
        let first = first.map(|&task| (TaskRunKey { task, map_index: None }, 0));
        let (key, attempts) = running.or(first).unwrap_or((TaskRunKey { task: 0, map_index: None }, 0));
        RunFailure {
            task: self.plan.task(key.task).name.to_string(),
            map_index: key.map_index,
            attempts,
            failure: TaskFailure::new(
                FailureKind::Timeout,
                format!("the run's deadline ({}) passed before it had ended", deadline.to_utc()),
            ),
        }
    }

    /// A task run is not to begin another attempt; the body of one that is running is told to stop. One
    /// that waits for others is given up when its turn comes.
    pub(super) fn give_up(&mut self, key: TaskRunKey, at: Timestamp, effects: &mut Vec<Effect>) {
        if self.phase != Phase::Running || self.is_called_off() {
            return;
        }
        self.given_up.insert(key);
        let Some(node) = self.nodes.get(key.task as usize) else { return };
        let is_meant =
            |(other, _): &(TaskRunKey, &TaskRun)| key.map_index.is_none() || key.map_index == other.map_index;
        let runs: Vec<_> =
            node.stage.runs(key.task).filter(is_meant).map(|(key, run)| (key, run.state.clone())).collect();
        for (key, state) in runs {
            match state {
                State::Ready | State::Held { .. } | State::Backoff { .. } => {
                    // One whose task run another of the task needed is skipped with it.
                    let Some(run) = self.live(key) else { continue };
                    run.start(run.attempt + 1, at);
                    self.fail(key, at, given_up(), None, effects);
                }
                State::Running => effects.push(Effect::CallOff(Some(key))),
                State::Starting | State::Succeeded { .. } | State::Failed | State::Skipped => {}
            }
        }
    }

    pub(super) fn is_given_up(&self, key: TaskRunKey) -> bool {
        !self.given_up.is_empty()
            && (self.given_up.contains(&key)
                || self.given_up.contains(&TaskRunKey { map_index: None, ..key }))
    }

    /// Whether the run ends whatever its tasks do.
    pub(super) fn is_called_off(&self) -> bool {
        matches!(self.halt, Some(Halt::Cancelling | Halt::Late(_)))
    }

    /// Whether anything of the run has a slot. Looks at all task runs: for halted runs only.
    pub(super) fn is_active(&self) -> bool {
        (0..).zip(&self.nodes).any(|(task, node)| node.stage.runs(task).any(|(_, run)| run.is_active()))
    }
}
