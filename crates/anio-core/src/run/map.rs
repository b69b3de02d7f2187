//! The task runs of a task that has many: the elements of a map, the nodes of a tree, the steps of a loop.

use std::sync::OnceLock;

use super::task_run::{State, TaskRun};
use super::tree::{self, Place};
use crate::error::TaskFailure;
use crate::output::{Gather, Output};
use crate::task::{Tally, Until};

/// The task runs of a task.
#[derive(Clone, Debug)]
pub(super) struct Map {
    pub(super) form: Form,
    pub(super) runs: Vec<TaskRun>,
    /// Task runs whose end is not decided; and one, while the list still grows.
    pub(super) n_undecided: u32,
    /// Task runs whose end is not durable; one, while the list still grows; and one, while that it was
    /// stopped is not durable.
    pub(super) n_undurable: u32,
    pub(super) n_failed: u32,
    pub(super) n_skipped: u32,
    /// Of steps: how many elements they have made, and how many of those are durable.
    pub(super) n_items: u32,
    pub(super) n_durable_items: u32,
    /// Its list still grows.
    pub(super) is_open: bool,
    /// It has enough: no other task run begins.
    pub(super) is_stopped: bool,
    /// The task that makes its list failed, after some of it was taken.
    pub(super) cut_by: Option<u32>,
    /// What its `until` has made of the outputs so far, and whether that is enough.
    pub(super) tally: Option<Tally>,
    pub(super) has_enough: bool,
    /// The list of the outputs, and the elements of the list that the task is over; made when first read.
    pub(super) gathered: OnceLock<Output>,
    pub(super) values: OnceLock<Vec<Output>>,
}

/// How the task runs hang together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// One per element of a list.
    List,
    /// One per element of a list that still grows.
    Stream,
    /// One per two neighbours, of a list or of what other task runs made of it.
    Tree,
    /// One after the other.
    Steps,
}

impl Map {
    pub(super) fn new(form: Form, mut runs: Vec<TaskRun>) -> Self {
        let n = runs.len() as u32;
        if form == Form::Tree {
            for (node, run) in (0..).zip(&mut runs) {
                let of_nodes =
                    tree::children(node, n).into_iter().filter(|two| matches!(two, Place::Node(_)));
                run.hold(of_nodes.count() as u8);
            }
        }
        let n_open = n + u32::from(form == Form::Stream);
        Self {
            form,
            runs,
            n_undecided: n_open,
            n_undurable: n_open,
            n_failed: 0,
            n_skipped: 0,
            n_items: 0,
            n_durable_items: 0,
            is_open: form == Form::Stream,
            is_stopped: false,
            cut_by: None,
            tally: None,
            has_enough: false,
            gathered: OnceLock::new(),
            values: OnceLock::new(),
        }
    }

    pub(super) fn has_succeeded(&self) -> bool {
        self.n_undecided == 0 && self.n_failed == 0 && self.cut_by.is_none()
    }

    /// The end of a task run is decided: whether it is the first that failed. What follows within the task is
    /// decided with it: another step, or that those are skipped who needed it.
    pub(super) fn decided(&mut self, index: u32, fresh: impl FnOnce(u32) -> TaskRun) -> bool {
        let has_failed = matches!(self.runs[index as usize].state, State::Failed);
        self.n_undecided -= 1;
        self.n_failed += u32::from(has_failed);
        self.n_skipped += u32::from(matches!(self.runs[index as usize].state, State::Skipped));
        match self.form {
            Form::Tree if has_failed => {
                for node in self.built_on(index) {
                    self.skip(node as usize);
                }
            }
            Form::Steps if self.item(index).is_some() => {
                self.n_items += 1;
                if self.is_stopped {
                    return false;
                }
                let mut next = fresh(index + 1);
                next.hold(1);
                self.push(next);
            }
            _ => {}
        }
        has_failed && self.n_failed == 1
    }

    /// Another task run, at the end.
    pub(super) fn push(&mut self, run: TaskRun) {
        self.runs.push(run);
        self.n_undecided += 1;
        self.n_undurable += 1;
    }

    /// A task run has succeeded durably: which other one of the task is ready by that.
    pub(super) fn released_by(&mut self, index: u32) -> Option<u32> {
        let next = match self.form {
            Form::List | Form::Stream => return None,
            Form::Tree => tree::parent(index)?,
            Form::Steps => {
                self.n_durable_items += u32::from(self.item(index).is_some());
                index + 1
            }
        };
        self.runs.get_mut(next as usize)?.release().then_some(next)
    }

    /// The step that gives an element is durable: whether the element is ready by that.
    pub(super) fn release(&mut self, index: u32) -> bool {
        self.runs.get_mut(index as usize).is_some_and(TaskRun::release)
    }

    /// The task runs that rest on this one: the steps after it, the tree above it.
    pub(super) fn built_on(&self, index: u32) -> Vec<u32> {
        match self.form {
            Form::List | Form::Stream => Vec::new(),
            Form::Steps => (index + 1..self.runs.len() as u32).collect(),
            Form::Tree => std::iter::successors(tree::parent(index), |node| tree::parent(*node)).collect(),
        }
    }

    /// Whether it is open, and has no task run yet.
    pub(super) fn is_blank(&self) -> bool {
        self.is_open && self.runs.is_empty()
    }

    /// Its list grows no more, which is decided but need not be durable.
    pub(super) fn close(&mut self) {
        if std::mem::take(&mut self.is_open) {
            self.n_undecided -= 1;
        }
    }

    /// Skips a task run that has not ended and has no body.
    fn skip(&mut self, index: usize) {
        let run = &mut self.runs[index];
        if !run.has_ended() {
            run.state = State::Skipped;
            self.n_undecided -= 1;
            self.n_undurable -= 1;
            self.n_skipped += 1;
        }
    }

    /// No other task run begins: those that have not ended are skipped, but for these, which are under way.
    /// How many.
    pub(super) fn stop(&mut self, running: &[u32]) -> u32 {
        self.is_stopped = true;
        let n_skipped = self.n_skipped;
        let is_running = |index: &usize| running.binary_search(&(*index as u32)).is_ok();
        for index in (0..self.runs.len()).filter(|index| !is_running(index)) {
            self.skip(index);
        }
        self.n_skipped - n_skipped
    }

    /// Takes note of another output, and tells whether the task has enough by now.
    pub(super) fn tally(&mut self, until: &Until, output: &Output) -> Result<(), TaskFailure> {
        if !self.is_stopped && !self.has_enough {
            self.has_enough = until.fold(&mut self.tally, output)?;
        }
        Ok(())
    }

    /// Whether there is something left of it to stop.
    pub(super) fn is_going_on(&self) -> bool {
        !self.is_stopped && self.n_undecided > 0
    }

    /// Whether it is to be stopped.
    pub(super) fn is_to_stop(&self) -> bool {
        self.has_enough && !self.is_stopped && (self.is_open || self.runs.iter().any(|run| !run.has_ended()))
    }

    /// What a step returned; `None` where it has not succeeded, or found the end.
    pub(super) fn item(&self, index: u32) -> Option<&Output> {
        let output = self.runs.get(index as usize)?.output()?;
        (!output.is_null()).then_some(output)
    }

    /// What the task made, which has succeeded, of this list: a list of its outputs; the last of a tree.
    pub(super) fn output(&self, gather: Option<Gather>, list: impl FnOnce() -> Option<Output>) -> Output {
        match self.form {
            Form::List | Form::Stream | Form::Steps => self.gathered(gather).clone(),
            Form::Tree => match self.runs.first() {
                Some(root) => root.output().expect("a tree that succeeded has its last value").clone(),
                None => self.value(0, &list().expect("a tree is over a list")),
            },
        }
    }

    fn gathered(&self, gather: Option<Gather>) -> &Output {
        self.gathered.get_or_init(|| {
            let outputs = (0..).zip(&self.runs).filter_map(|(index, run)| match self.form {
                Form::Steps => self.item(index),
                _ => run.output(),
            });
            Output::gathered(outputs.cloned().collect(), gather)
        })
    }

    /// The two that a node of a tree makes one of, as a list.
    pub(super) fn pair(&self, node: u32, gather: Option<Gather>, list: &Output) -> Output {
        let pair = tree::children(node, self.runs.len() as u32).map(|place| match place {
            Place::Node(node) => self.runs[node as usize].output().expect("it has succeeded").clone(),
            Place::Value(value) => self.value(value, list),
        });
        Output::gathered(pair.into(), gather)
    }

    fn value(&self, index: u32, list: &Output) -> Output {
        let values = self.values.get_or_init(|| list.elements());
        values.get(index as usize).cloned().unwrap_or_else(Output::null)
    }
}
