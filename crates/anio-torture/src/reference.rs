//! What an undisturbed execution of a blueprint comes to: computed here, without the engine.

mod form;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use crate::blueprint::{Blueprint, Fate, Fortune, Inputs, TaskBlueprint};

/// A task run of a blueprint: the task's name, and which element.
pub type TaskRunName = (String, Option<u32>);

/// What a run of a blueprint must come to.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// All task runs that execute; those of skipped tasks are not there.
    pub task_runs: BTreeMap<TaskRunName, ExpectedTaskRun>,
    /// How many task runs each task has that is expanded.
    pub widths: BTreeMap<String, u32>,
    /// Whether a failure is left that no other task was told of and succeeded.
    pub fails: bool,
}

/// What people did to a run, and time, as far as it matters for what it comes to.
#[derive(Clone, Debug, Default)]
pub struct Handling {
    /// What failed for good was mended.
    pub mended: bool,
    /// Task runs that were given up before they had ended; of a mapped task without an index: before it was
    /// expanded.
    pub given_up: BTreeSet<TaskRunName>,
    /// The tasks that have enough, and which of their elements gave an output: that is a matter of time.
    pub enough: BTreeMap<String, BTreeSet<u32>>,
}

/// What a task run must come to.
#[derive(Clone, Debug)]
pub struct ExpectedTaskRun {
    /// What its body is given, as one number.
    pub inputs: u64,
    /// How often it fails, and whether for good.
    pub fate: Fate,
    /// What it returns, where it succeeds.
    pub output: Value,
    /// What it writes into the context, where it succeeds.
    pub write: Option<(String, Value)>,
    /// What must have succeeded before it begins.
    pub dependencies: Vec<Before>,
    /// The tasks that must have failed before it begins, or were skipped.
    pub told_of: Vec<String>,
    /// How many attempts its body has without crashes.
    pub n_attempts: u32,
    /// Whether its end is told to a callback.
    pub tells: bool,
}

/// What comes before a task run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Before {
    /// A task, with all its task runs.
    Whole(String),
    /// One task run.
    One(TaskRunName),
}

impl ExpectedTaskRun {
    /// Whether it fails for good.
    pub const fn fails(&self) -> bool {
        matches!(self.fate, Fate::Fails(_) | Fate::GivenUp(_))
    }

    /// Whether its task had enough without it.
    pub const fn is_left_out(&self) -> bool {
        matches!(self.fate, Fate::LeftOut(_))
    }
}

/// Interprets a blueprint on an input.
pub fn execute(blueprint: &Blueprint, n: u64, handling: &Handling) -> Expected {
    let mut interpreter = Interpreter {
        blueprint,
        n,
        handling,
        expected: Expected::default(),
        fortunes: Vec::new(),
        context: HashMap::new(),
        written: Vec::new(),
        cut_short: HashMap::new(),
    };
    for task in &blueprint.tasks {
        let mended = handling.mended.then(|| task.mended());
        let fortune = interpreter.task(mended.as_ref().unwrap_or(task));
        interpreter.fortunes.push(fortune);
        // The task runs of one task see nothing of one another; of one key the last one's value counts.
        interpreter.context.extend(interpreter.written.drain(..));
    }
    interpreter.expected.fails = interpreter.is_failure_left();
    interpreter.expected
}

struct Interpreter<'a> {
    blueprint: &'a Blueprint,
    n: u64,
    handling: &'a Handling,
    expected: Expected,
    /// Of the tasks so far.
    fortunes: Vec<Fortune>,
    context: HashMap<String, Value>,
    /// By the task that is looked at.
    written: Vec<(String, Value)>,
    /// What steps made before one failed.
    cut_short: HashMap<String, Vec<Value>>,
}

impl Interpreter<'_> {
    fn task(&mut self, task: &TaskBlueprint) -> Fortune {
        let list = task.mapped_over.or(task.pairs_over);
        let needed = list.iter().chain(&task.after);
        let values: Option<Vec<Value>> = needed.map(|&position| self.value(position)).collect();
        if values.is_none() && !task.decides() {
            return self.cut_short(task).unwrap_or(Fortune::Skipped);
        }
        let streams = self.blueprint.streams_from(task).is_some();
        let whole = (task.name.clone(), None);
        let is_given_up = self.handling.given_up.contains(&whole) && task.steps_max.is_none() && !streams;
        if is_given_up && (list.is_some() || values.is_none() || !self.may_run(task)) {
            // Its turn came, and it was given up before anything else was decided.
            self.expect(task, None, Vec::new(), None);
            return Fortune::Failed;
        }
        let Some(mut values) = values.filter(|_| self.may_run(task)) else { return Fortune::Skipped };
        let told = task.settled.iter().map(|&position| match self.value(position) {
            Some(value) => value,
            None => told_of(&self.fortunes[position]),
        });
        values.extend(told.collect::<Vec<_>>());
        if task.steps_max.is_some() {
            return self.steps(task, &values);
        }
        if list.is_none() {
            return self.expect(task, None, values, None).map_or(Fortune::Failed, Fortune::Succeeded);
        }
        let list = values.remove(0).as_array().cloned().unwrap_or_default();
        if task.pairs_over.is_some() {
            return self.tree(task, list, &values);
        }
        if !streams {
            self.expected.widths.insert(task.name.clone(), list.len() as u32);
        }
        self.map(task, list, &values)
    }

    fn value(&self, position: usize) -> Option<Value> {
        match &self.fortunes[position] {
            Fortune::Succeeded(value) => Some(self.blueprint.tasks[position].shown(value.clone())),
            Fortune::Failed | Fortune::Skipped => None,
        }
    }

    fn may_run(&self, task: &TaskBlueprint) -> bool {
        let written = |position: usize| self.context.get(&self.blueprint.tasks[position].name).cloned();
        task.when.as_ref().is_none_or(|when| when.holds(&self.fortunes, written))
    }

    /// Notes what a task run comes to, and returns its output where it succeeds. `before` are task runs that it
    /// waits for beside whole tasks; where it waits for one of the steps that it takes, not for all of them.
    fn expect(
        &mut self,
        task: &TaskBlueprint,
        map_index: Option<u32>,
        values: Vec<Value>,
        before: impl IntoIterator<Item = Before>,
    ) -> Option<Value> {
        let steps = self.blueprint.streams_from(task);
        // What takes the elements of steps as they come sees nothing of what the steps write.
        let unseen = steps.map(|steps| self.blueprint.tasks[steps].own_key(None));
        let read = self.blueprint.keys_read(task).into_iter().map(|key| {
            let value = self.context.get(&key).filter(|_| unseen.as_ref() != Some(&key));
            let value = value.cloned().unwrap_or(Value::Null);
            (key, value)
        });
        let inputs = Inputs { map_index, n: self.n, values, read: read.collect() };
        let name = (task.name.clone(), map_index);
        let given_up = self.handling.given_up.contains(&name);
        let ended = self.handling.enough.get(&task.name).zip(map_index);
        let fate = if given_up {
            Fate::GivenUp(task.attempts)
        } else if ended.is_some_and(|(ended, index)| !ended.contains(&index)) {
            Fate::LeftOut(task.attempts)
        } else {
            task.fate(map_index)
        };
        let succeeded = |position: &usize| matches!(self.fortunes[*position], Fortune::Succeeded(_));
        let name_of = |position: usize| self.blueprint.tasks[position].name.clone();
        let (dependencies, told_of): (Vec<_>, Vec<_>) =
            task.before().filter(|position| Some(*position) != steps).partition(succeeded);
        let run = ExpectedTaskRun {
            inputs: inputs.hash(),
            fate,
            output: task.output(&inputs),
            write: task.write(&inputs),
            dependencies: dependencies.into_iter().map(name_of).map(Before::Whole).chain(before).collect(),
            told_of: told_of.into_iter().map(name_of).collect(),
            n_attempts: match fate {
                Fate::Succeeds(n) => n + 1,
                Fate::Fails(n) | Fate::GivenUp(n) | Fate::LeftOut(n) => n,
            },
            tells: task.tells,
        };
        let output = (!run.fails() && !run.is_left_out()).then(|| run.output.clone());
        if output.is_some() {
            self.written.extend(run.write.clone());
        }
        self.expected.task_runs.insert(name, run);
        output
    }

    fn is_failure_left(&self) -> bool {
        let handles = |failed: usize, task: &TaskBlueprint| {
            task.settled.contains(&failed) || task.when.as_ref().is_some_and(|when| when.names(failed))
        };
        let is_handled = |failed: usize| {
            self.blueprint
                .tasks
                .iter()
                .zip(&self.fortunes)
                .any(|(task, fortune)| handles(failed, task) && matches!(fortune, Fortune::Succeeded(_)))
        };
        self.fortunes.iter().enumerate().any(|(at, fortune)| *fortune == Fortune::Failed && !is_handled(at))
    }
}

/// What a body that is told of this one's fortune makes of it.
pub fn told_of(fortune: &Fortune) -> Value {
    match fortune {
        Fortune::Succeeded(value) => value.clone(),
        Fortune::Failed => "failed".into(),
        Fortune::Skipped => "skipped".into(),
    }
}

#[cfg(test)]
mod tests;
