//! Counts what the bodies of each process hold, line by line in the order of the diary; and how often those start
//! that have a rate, by the times of their facts, which are those of the loop that starts them.

use std::collections::HashMap;
use std::time::Duration;

use anio_core::{RunId, Timestamp};

use super::owner::began;
use super::{Rule, Violation};
use crate::blueprint::{Blueprint, RESOURCE, RESOURCE_UNITS, TaskBlueprint};
use crate::diary::{Line, What};
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
            What::End | What::Fail | What::Called | What::Told => continue,
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

/// How much later than the rate allowed it a start may be written down.
const WRITTEN_DOWN_WITHIN: Duration = Duration::from_millis(50);

/// Starts that a rate spreads over less than this may come together.
const TOGETHER: Duration = Duration::from_millis(50);

/// A task on a worker: the worker, the workflow, the task.
type Paced<'a> = ((u32, usize), &'a str, &'a str);

/// Checks the rates of tasks.
pub(super) fn check_rates(
    history: &History,
    blueprints: &HashMap<&str, &Blueprint>,
    out: &mut Vec<Violation>,
) {
    let mut lines: HashMap<RunId, Vec<&Line>> = HashMap::new();
    for line in &history.diary {
        lines.entry(line.run).or_default().push(line);
    }
    let mut starts: HashMap<Paced<'_>, Vec<Timestamp>> = HashMap::new();
    for run in &history.runs {
        let Some(blueprint) = blueprints.get(run.workflow.as_str()) else { continue };
        let of_run = lines.get(&run.id).map_or(&[][..], Vec::as_slice);
        for fact in &run.facts {
            let Some(task) = blueprint.tasks.iter().find(|task| fact.task == *task.name) else { continue };
            let Some((started_at, begin)) = task.rate.and_then(|_| began(fact, of_run)) else { continue };
            let worker = history.worker_of(begin);
            starts.entry((worker, &blueprint.name, &task.name)).or_default().push(started_at);
        }
    }
    for ((worker, workflow, task), mut starts) in starts {
        let blueprint = blueprints[workflow];
        let rate = blueprint.tasks.iter().find(|of| of.name == task).and_then(|task| task.rate);
        let interval = Duration::from_secs(1) / rate.unwrap_or(1).max(1);
        starts.sort_unstable();
        if let Some((n, within)) = too_many(&starts, interval) {
            let found =
                format!("process {} started {task} of {workflow} {n} times within {within:?}", worker.0);
            out.push(Violation { rule: Rule::RatesHold, run: None, task_run: None, found });
        }
    }
}

/// So many within such a time as one of these intervals does not allow.
fn too_many(starts: &[Timestamp], interval: Duration) -> Option<(usize, Duration)> {
    let n_together = (TOGETHER.as_micros() / interval.as_micros()).max(1);
    for (from, first) in starts.iter().enumerate() {
        for (n, last) in (1..).zip(&starts[from..]) {
            let within = last.since(*first);
            let n_max = n_together + (within + WRITTEN_DOWN_WITHIN).as_micros() / interval.as_micros();
            if n as u128 > n_max {
                return Some((n, within));
            }
        }
    }
    None
}
