//! What an undisturbed execution of a blueprint comes to: computed here, without the engine.

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
    /// How wide each mapped task is that is expanded.
    pub widths: BTreeMap<String, u32>,
    /// Whether a failure is left that no other task was told of and succeeded.
    pub fails: bool,
}

/// What people did to a run, as far as it matters for what it comes to.
#[derive(Clone, Debug, Default)]
pub struct Handling {
    /// What failed for good was mended.
    pub mended: bool,
    /// Task runs that were given up before they had ended; of a mapped task without an index: before it was
    /// expanded.
    pub given_up: BTreeSet<TaskRunName>,
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
    /// The tasks that must have succeeded before it begins.
    pub dependencies: Vec<String>,
    /// The tasks that must have failed before it begins, or were skipped.
    pub told_of: Vec<String>,
    /// How many attempts its body has without crashes.
    pub n_attempts: u32,
    /// Whether its end is told to a callback.
    pub tells: bool,
}

impl ExpectedTaskRun {
    /// Whether it fails for good.
    pub const fn fails(&self) -> bool {
        matches!(self.fate, Fate::Fails(_) | Fate::GivenUp(_))
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
    };
    for task in &blueprint.tasks {
        let mended = handling.mended.then(|| task.mended());
        let fortune = interpreter.task(mended.as_ref().unwrap_or(task));
        interpreter.fortunes.push(fortune);
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
}

impl Interpreter<'_> {
    fn task(&mut self, task: &TaskBlueprint) -> Fortune {
        let decides = task.when.is_some() || !task.settled.is_empty();
        let needed = task.mapped_over.iter().chain(&task.after);
        let values: Option<Vec<Value>> = needed.map(|&position| self.value(position)).collect();
        if values.is_none() && !decides {
            return Fortune::Skipped;
        }
        let whole = (task.name.clone(), None);
        let is_given_up = self.handling.given_up.contains(&whole);
        if is_given_up && (task.mapped_over.is_some() || values.is_none() || !self.may_run(task)) {
            // Its turn came, and it was given up before anything else was decided.
            self.expect(task, None, Vec::new());
            return Fortune::Failed;
        }
        let Some(mut values) = values.filter(|_| self.may_run(task)) else { return Fortune::Skipped };
        let told = task.settled.iter().map(|&position| told_of(&self.fortunes[position]));
        values.extend(told.collect::<Vec<_>>());
        if task.mapped_over.is_none() {
            return self.expect(task, None, values).map_or(Fortune::Failed, Fortune::Succeeded);
        }
        let list = values.remove(0);
        let elements = list.as_array().cloned().unwrap_or_default();
        self.expected.widths.insert(task.name.clone(), elements.len() as u32);
        let mut outputs = Some(Vec::new());
        for (index, element) in (0..).zip(elements) {
            // All elements execute, also beside one that fails.
            let values = [element].into_iter().chain(values.iter().cloned()).collect();
            let output = self.expect(task, Some(index), values);
            outputs = outputs.zip(output).map(|(mut outputs, output)| {
                outputs.push(output);
                outputs
            });
        }
        outputs.map_or(Fortune::Failed, |outputs| Fortune::Succeeded(Value::Array(outputs)))
    }

    fn value(&self, position: usize) -> Option<Value> {
        match &self.fortunes[position] {
            Fortune::Succeeded(value) => Some(value.clone()),
            Fortune::Failed | Fortune::Skipped => None,
        }
    }

    fn may_run(&self, task: &TaskBlueprint) -> bool {
        let written = |position: usize| self.context.get(&self.blueprint.tasks[position].name).cloned();
        task.when.as_ref().is_none_or(|when| when.holds(&self.fortunes, written))
    }

    /// Notes what a task run comes to, and returns its output where it succeeds.
    fn expect(&mut self, task: &TaskBlueprint, map_index: Option<u32>, values: Vec<Value>) -> Option<Value> {
        let read = self.blueprint.keys_read(task).into_iter().map(|key| {
            let value = self.context.get(&key).cloned().unwrap_or(Value::Null);
            (key, value)
        });
        let inputs = Inputs { map_index, n: self.n, values, read: read.collect() };
        let name = (task.name.clone(), map_index);
        let given_up = self.handling.given_up.contains(&name);
        let fate = if given_up { Fate::GivenUp(task.attempts) } else { task.fate(map_index) };
        let succeeded = |&position: &usize| matches!(self.fortunes[position], Fortune::Succeeded(_));
        let names = |positions: Vec<usize>| {
            positions.into_iter().map(|position| self.blueprint.tasks[position].name.clone()).collect()
        };
        let before = task.after.iter().chain(&task.settled).chain(&task.mapped_over).copied();
        let (dependencies, told_of) = before.partition(succeeded);
        let run = ExpectedTaskRun {
            inputs: inputs.hash(),
            fate,
            output: task.output(&inputs),
            write: task.write(&inputs),
            dependencies: names(dependencies),
            told_of: names(told_of),
            n_attempts: match fate {
                Fate::Succeeds(n) => n + 1,
                Fate::Fails(n) | Fate::GivenUp(n) => n,
            },
            tells: task.tells,
        };
        let output = (!run.fails()).then(|| run.output.clone());
        if let (Some(_), Some((key, value))) = (&output, &run.write) {
            self.context.insert(key.clone(), value.clone());
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
mod tests {
    use super::*;
    use crate::blueprint::{How, Trouble, When, WriteKind};

    /// A chain in which nothing fails and nothing is decided.
    fn chain() -> Blueprint {
        let mut blueprint = Blueprint::new(1, 0);
        for (position, task) in blueprint.tasks.iter_mut().enumerate() {
            task.trouble = Trouble::None;
            task.after = position.checked_sub(1).into_iter().collect();
            (task.settled, task.when) = (Vec::new(), None);
        }
        blueprint
    }

    fn undisturbed(blueprint: &Blueprint) -> Expected {
        execute(blueprint, 5, &Handling::default())
    }

    fn names(expected: &Expected) -> Vec<&str> {
        expected.task_runs.keys().map(|(task, _)| task.as_str()).collect()
    }

    #[test]
    fn what_waits_for_a_failure_does_not_execute_until_it_is_mended() {
        let mut blueprint = chain();
        assert_eq!(undisturbed(&blueprint).task_runs.len(), blueprint.tasks.len());
        assert!(!undisturbed(&blueprint).fails);
        blueprint.tasks[2].trouble = Trouble::Always(How::Fatal);
        let failed = undisturbed(&blueprint);
        assert_eq!(names(&failed), ["t00", "t01", "t02"]);
        assert!(failed.fails);
        let mended = execute(&blueprint, 5, &Handling { mended: true, ..Handling::default() });
        assert_eq!(mended.task_runs.len(), blueprint.tasks.len());
        assert!(!mended.fails);
    }

    #[test]
    fn a_failure_that_another_is_told_of_is_handled_when_that_one_succeeds() {
        let mut blueprint = chain();
        let told = undisturbed(&blueprint).task_runs[&("t03".to_owned(), None)].inputs;
        blueprint.tasks[3].settled = std::mem::take(&mut blueprint.tasks[3].after);
        let given_up = BTreeSet::from([("t02".to_owned(), None)]);
        let handled = execute(&blueprint, 5, &Handling { given_up, mended: false });
        assert_eq!(handled.task_runs.len(), blueprint.tasks.len());
        assert!(!handled.fails);
        assert_ne!(handled.task_runs[&("t03".to_owned(), None)].inputs, told);
        blueprint.tasks[2].trouble = Trouble::Always(How::Error);
        blueprint.tasks[3].trouble = Trouble::Always(How::Error);
        assert!(undisturbed(&blueprint).fails);
    }

    #[test]
    fn a_condition_decides_who_executes() {
        let mut blueprint = chain();
        let n_executed = |blueprint: &Blueprint| undisturbed(blueprint).task_runs.len();
        for (when, runs) in [
            (When::Failed(1), false),
            (When::NotSkipped(1), true),
            (When::AnySucceeded(vec![0]), true),
            (When::IsLow(0), false),
        ] {
            blueprint.tasks[0].writes = WriteKind::Nothing;
            blueprint.tasks[2].when = Some(when.clone());
            let n_tasks = if runs { blueprint.tasks.len() } else { 2 };
            assert_eq!(n_executed(&blueprint), n_tasks, "{when:?}");
        }
    }

    #[test]
    fn every_output_depends_on_the_input() {
        let blueprint = chain();
        let run = |n| execute(&blueprint, n, &Handling::default());
        let last = |n| run(n).task_runs.into_values().next_back().map(|run| run.inputs);
        assert_eq!(last(1), last(1));
        assert_ne!(last(1), last(2));
    }
}
