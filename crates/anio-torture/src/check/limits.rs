//! Counts what the bodies of each process hold, line by line in the order of the diary.

use std::collections::HashMap;

use anio_core::RunId;

use super::{Rule, Violation};
use crate::blueprint::{Blueprint, RESOURCE, RESOURCE_UNITS, TaskBlueprint};
use crate::diary::What;
use crate::history::History;

/// Checks the limits of tasks and of the resource.
pub(super) fn check(history: &History, blueprints: &HashMap<&str, &Blueprint>, out: &mut Vec<Violation>) {
    let mut tasks: HashMap<(RunId, &str), (&str, &TaskBlueprint)> = HashMap::new();
    for run in &history.runs {
        let Some(blueprint) = blueprints.get(run.workflow.as_str()) else { continue };
        let limited = blueprint.tasks.iter().filter(|task| task.needs > 0 || task.concurrency.is_some());
        tasks.extend(limited.map(|task| ((run.id, task.name.as_str()), (blueprint.name.as_str(), task))));
    }
    let mut executing: HashMap<(u32, &str, &str), u32> = HashMap::new();
    let mut held: HashMap<u32, u32> = HashMap::new();
    for line in &history.diary {
        let Some((workflow, task)) = tasks.get(&(line.run, line.task_run.0.as_str())) else { continue };
        let n = executing.entry((line.pid, workflow, &task.name)).or_default();
        let units = held.entry(line.pid).or_default();
        match line.what {
            What::Begin => (*n, *units) = (*n + 1, *units + task.needs),
            What::Gone => (*n, *units) = (n.saturating_sub(1), units.saturating_sub(task.needs)),
            What::End | What::Fail | What::Called => continue,
        }
        let mut violate = |found: String| {
            let (run, task_run) = (Some(line.run), Some(line.task_run.clone()));
            out.push(Violation { rule: Rule::LimitsHold, run, task_run, found });
        };
        if task.concurrency.is_some_and(|max| *n > max) {
            violate(format!("{n} of it executed in process {}", line.pid));
        }
        if *units > RESOURCE_UNITS {
            violate(format!("process {} held {units} {RESOURCE}", line.pid));
        }
    }
}
