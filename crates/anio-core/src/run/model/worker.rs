//! A worker that owns the run, or owned it.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use crate::run::scope::Scopes;
use crate::run::task_run::TaskRun;
use crate::run::{Fact, RunEnd, RunState, TaskRunKey};
use crate::time::Timestamp;

/// What a writer has before it.
#[derive(Clone, Debug)]
pub(super) enum Record {
    Fact(Rc<Fact>),
    Note(Rc<Fact>),
    End(Rc<RunEnd>),
    Hold,
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a thing of its own that may be so")]
pub(super) struct Worker {
    pub(super) state: RunState,
    pub(super) epoch: u32,
    pub(super) ready: Vec<TaskRunKey>,
    /// Task runs that hold a slot; those of them without an attempt wait for their start to be durable.
    pub(super) slots: Vec<(TaskRunKey, Option<u32>)>,
    pub(super) timers: Vec<(TaskRunKey, Timestamp)>,
    /// What has gathered for the writer, with its place in the order of production.
    pub(super) gathered: VecDeque<(u64, Record)>,
    pub(super) n_produced: u64,
    /// Of those that are counted in [`Event::Committed`].
    pub(super) n_written: u64,
    pub(super) answer: Option<u64>,
    /// The last attempt of each task run that this worker has executed.
    pub(super) executed: Vec<(TaskRunKey, u32)>,
    /// The tasks that were ready when the run was resumed, each with how many of its task runs might have begun.
    pub(super) resumed: Vec<(u32, u32)>,
    pub(super) is_shutting_down: bool,
    /// Bodies that are told to stop; all of them.
    pub(super) called_off: Vec<TaskRunKey>,
    pub(super) all_called_off: bool,
    /// Callbacks that have not returned, `None` for the run's own.
    pub(super) calls: Vec<Option<TaskRunKey>>,
    /// A zombie that has not come to its next commit.
    pub(super) is_awake: bool,
    /// Whether what it notes next will be written.
    pub(super) notes: bool,
}

impl Worker {
    pub(super) fn new(state: RunState, epoch: u32) -> Self {
        Self {
            state,
            epoch,
            ready: Vec::new(),
            slots: Vec::new(),
            timers: Vec::new(),
            gathered: VecDeque::new(),
            n_produced: 0,
            n_written: 0,
            answer: None,
            executed: Vec::new(),
            resumed: Vec::new(),
            is_shutting_down: false,
            called_off: Vec::new(),
            all_called_off: false,
            calls: Vec::new(),
            is_awake: true,
            notes: true,
        }
    }

    pub(super) fn fork(&self) -> Self {
        Self {
            state: self.state.fork(),
            ready: self.ready.clone(),
            slots: self.slots.clone(),
            timers: self.timers.clone(),
            gathered: self.gathered.clone(),
            executed: self.executed.clone(),
            resumed: self.resumed.clone(),
            called_off: self.called_off.clone(),
            calls: self.calls.clone(),
            ..*self
        }
    }

    pub(super) fn gather(&mut self, record: Record) {
        self.n_produced += 1;
        self.gathered.push_back((self.n_produced, record));
    }

    /// A body has ended: its slot is free.
    pub(super) fn leave(&mut self, key: TaskRunKey) -> u32 {
        self.called_off.retain(|called_off| *called_off != key);
        let slot = self.slots.iter().position(|(slot, _)| *slot == key).expect("a body has a slot");
        self.slots.remove(slot).1.expect("a body that ends was executed")
    }

    pub(super) fn is_idle(&self) -> bool {
        self.slots.is_empty() && self.gathered.is_empty() && self.answer.is_none()
    }
}

impl RunState {
    /// A copy that goes its own way.
    pub(super) fn fork(&self) -> Self {
        Self {
            plan: Arc::clone(&self.plan),
            input: self.input.clone(),
            nodes: self.nodes.clone(),
            // What tasks see of the context is kept only to save time.
            scopes: Scopes::default(),
            failures: self.failures.clone(),
            awaited: self.awaited.clone(),
            halt: self.halt.clone(),
            given_up: self.given_up.clone(),
            attempts_before: self.attempts_before.clone(),
            conclusion: self.conclusion.clone(),
            ..*self
        }
    }

    pub(super) fn run(&self, key: TaskRunKey) -> Option<&TaskRun> {
        self.nodes[key.task as usize].stage.run(key.map_index)
    }
}
