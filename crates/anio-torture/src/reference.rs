//! What an undisturbed execution of a blueprint comes to: computed here, without the engine.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use crate::blueprint::{Blueprint, Fate, Inputs};

/// A task run of a blueprint: the task's name, and which element.
pub type TaskRunName = (String, Option<u32>);

/// What a run of a blueprint must come to.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// All task runs that execute; those of skipped tasks are not there.
    pub task_runs: BTreeMap<TaskRunName, ExpectedTaskRun>,
    /// How wide each mapped task is that is expanded.
    pub widths: BTreeMap<String, u32>,
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
    /// The task runs that must have ended before it begins.
    pub dependencies: Vec<String>,
    /// How many attempts its body has without crashes.
    pub n_attempts: u32,
}

impl Expected {
    /// Whether a task run fails for good, and so the run.
    pub fn fails(&self) -> bool {
        self.task_runs.values().any(ExpectedTaskRun::fails)
    }
}

impl ExpectedTaskRun {
    /// Whether it fails for good.
    pub const fn fails(&self) -> bool {
        matches!(self.fate, Fate::Fails(_))
    }
}

/// The output of a task that has succeeded; `None` for one that failed or was skipped.
type TaskOutput = Option<Value>;

/// Interprets a blueprint on an input.
pub fn execute(blueprint: &Blueprint, n: u64) -> Expected {
    let mut expected = Expected::default();
    let mut outputs: Vec<TaskOutput> = Vec::new();
    let mut context: HashMap<String, Value> = HashMap::new();
    for task in &blueprint.tasks {
        let wanted = task.after.iter().map(|&dependency| outputs[dependency].clone());
        let over = task.mapped_over.map_or(Some(Over::Nothing), |list| Over::list(&outputs[list]));
        let (Some(values), Some(over)) = (wanted.collect::<Option<Vec<_>>>(), over) else {
            outputs.push(None);
            continue;
        };
        let read: Vec<(String, Value)> = blueprint
            .keys_read(task)
            .into_iter()
            .map(|key| (key.clone(), context.get(&key).cloned().unwrap_or(Value::Null)))
            .collect();
        let mut execute_one = |map_index: Option<u32>, element: Option<Value>| {
            let values = element.into_iter().chain(values.iter().cloned()).collect();
            let inputs = Inputs { map_index, n, values, read: read.clone() };
            let fate = task.fate(map_index);
            let run = ExpectedTaskRun {
                inputs: inputs.hash(),
                fate,
                output: task.output(&inputs),
                write: task.write(&inputs),
                dependencies: task
                    .after
                    .iter()
                    .chain(&task.mapped_over)
                    .map(|&dependency| blueprint.tasks[dependency].name.clone())
                    .collect(),
                n_attempts: match fate {
                    Fate::Succeeds(n) => n + 1,
                    Fate::Fails(n) => n,
                },
            };
            let output = (!run.fails()).then(|| run.output.clone());
            if let (Some(_), Some((key, value))) = (&output, &run.write) {
                context.insert(key.clone(), value.clone());
            }
            expected.task_runs.insert((task.name.clone(), map_index), run);
            output
        };
        let output = match over {
            Over::Nothing => execute_one(None, None),
            Over::List(elements) => {
                expected.widths.insert(task.name.clone(), elements.len() as u32);
                // All elements execute, also beside one that fails.
                let ended: Vec<TaskOutput> = (0..)
                    .zip(elements)
                    .map(|(index, element)| execute_one(Some(index), Some(element)))
                    .collect();
                ended.into_iter().collect::<Option<Vec<Value>>>().map(Value::Array)
            }
        };
        outputs.push(output);
    }
    expected
}

/// What a task executes for.
enum Over {
    /// Itself, once.
    Nothing,
    /// Each element.
    List(Vec<Value>),
}

impl Over {
    /// `None` where the task before has no output.
    fn list(output: &TaskOutput) -> Option<Self> {
        Some(Self::List(output.as_ref()?.as_array().cloned().unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blueprint::{How, Trouble};

    #[test]
    fn what_waits_for_a_failure_does_not_execute() {
        let mut blueprint = Blueprint::new(1, 0);
        blueprint.tasks.iter_mut().for_each(|task| task.trouble = Trouble::None);
        let undisturbed = execute(&blueprint, 5);
        assert_eq!(undisturbed.task_runs.len(), blueprint.tasks.len());
        assert!(!undisturbed.fails());
        blueprint.tasks[2].trouble = Trouble::Always(How::Fatal);
        let failed = execute(&blueprint, 5);
        let names: Vec<&str> = failed.task_runs.keys().map(|(task, _)| task.as_str()).collect();
        assert_eq!(names, ["t00", "t01", "t02"]);
        assert!(failed.fails());
    }

    #[test]
    fn every_output_depends_on_the_input() {
        let blueprint = Blueprint::new(1, 0);
        let last = |n| execute(&blueprint, n).task_runs.into_values().next_back().map(|run| run.inputs);
        assert_eq!(last(1), last(1));
        assert_ne!(last(1), last(2));
    }
}
