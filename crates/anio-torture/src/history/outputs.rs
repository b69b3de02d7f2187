//! What the tasks of a run returned, by its facts alone.

use std::collections::{BTreeMap, HashMap, HashSet};

use anio_core::run::FactKind;
use anio_store::record::FactRecord;
use serde_json::Value;

use crate::blueprint::{Blueprint, TaskBlueprint};

/// The outputs of all tasks that succeeded, by their names.
pub(super) fn of_tasks(facts: &[FactRecord], blueprint: Option<&Blueprint>) -> BTreeMap<String, Value> {
    let mut told = Told::default();
    for fact in facts {
        told.note(fact);
    }
    let mut outputs = told.of_whole.clone();
    let Some(blueprint) = blueprint else { return outputs };
    for task in blueprint.tasks.iter().filter(|task| task.has_many()) {
        let output_of = |position: usize| outputs.get(&blueprint.tasks[position].name);
        let list_of = |position: usize| output_of(position).and_then(Value::as_array);
        let width = match blueprint.streams_from(task) {
            // One that takes steps as they come has no width on record: it is that of their list.
            Some(steps) => {
                list_of(steps).filter(|_| task.after.iter().all(|&of| output_of(of).is_some())).map(Vec::len)
            }
            None => told.widths.get(&task.name).map(|n| *n as usize),
        };
        if let Some(output) = told.of_many(task, width, task.pairs_over.and_then(list_of)) {
            outputs.insert(task.name.clone(), output);
        }
    }
    outputs
}

/// What facts tell.
#[derive(Debug, Default)]
struct Told {
    widths: HashMap<String, u32>,
    of_whole: BTreeMap<String, Value>,
    of_each: HashMap<String, BTreeMap<u32, Value>>,
    /// What was under way when a task had enough.
    stopped: HashMap<String, Vec<u32>>,
    left_out: HashSet<(String, u32)>,
    failed: HashSet<String>,
}

impl Told {
    fn note(&mut self, fact: &FactRecord) {
        let task = fact.task.to_string();
        match &fact.kind {
            FactKind::Expanded { n } => drop(self.widths.insert(task, *n)),
            FactKind::Succeeded { output, .. } => {
                let Ok(value) = output.parse::<Value>() else { return };
                match fact.map_index {
                    Some(index) => drop(self.of_each.entry(task).or_default().insert(index, value)),
                    None => drop(self.of_whole.insert(task, value)),
                }
            }
            FactKind::Stopped { running } => drop(self.stopped.insert(task, running.clone())),
            FactKind::Skipped { .. } => self.left_out.extend(fact.map_index.map(|index| (task, index))),
            FactKind::Failed { retry_at: None, .. } => drop(self.failed.insert(task)),
            _ => {}
        }
    }

    /// Whether a task has stopped with enough, and all that was under way then has ended well.
    fn has_enough(&self, task: &TaskBlueprint, each: &BTreeMap<u32, Value>) -> bool {
        let is_left_out = |index: u32| self.left_out.contains(&(task.name.clone(), index));
        let running = self.stopped.get(&task.name).filter(|_| !self.failed.contains(&task.name));
        running.is_some_and(|all| all.iter().all(|index| each.contains_key(index) || is_left_out(*index)))
    }

    /// What the task runs of a task add up to, where all are there.
    fn of_many(
        &self,
        task: &TaskBlueprint,
        width: Option<usize>,
        list: Option<&Vec<Value>>,
    ) -> Option<Value> {
        let empty = BTreeMap::new();
        let each = self.of_each.get(&task.name).unwrap_or(&empty);
        if task.steps_max.is_some() {
            let has_ended = each.values().next_back().is_some_and(Value::is_null);
            return has_ended.then(|| each.values().filter(|item| !item.is_null()).cloned().collect());
        }
        match (task.pairs_over, width?) {
            (Some(_), 0) => list?.first().cloned(),
            (Some(_), _) => each.get(&0).cloned(),
            (None, _) if self.has_enough(task, each) => Some(each.values().cloned().collect()),
            (None, width) => (each.len() == width).then(|| each.values().cloned().collect()),
        }
    }
}
