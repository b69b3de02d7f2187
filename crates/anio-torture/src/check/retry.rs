//! A retry undoes what failed, and what comes after it; attempts are counted on.

use std::collections::BTreeSet;

use anio_core::run::FactKind;
use anio_store::record::FactRecord;

use super::life::{Life, name};
use super::{Rule, Violation, is_final};
use crate::blueprint::{Blueprint, TaskBlueprint};
use crate::history::StoredRun;
use crate::reference::TaskRunName;

/// Checks what each retry of a run cleared. That nothing else is executed again is seen where the life after
/// it is checked: what was kept has its success there.
pub(super) fn check(blueprint: &Blueprint, run: &StoredRun, lives: &[Life<'_>], out: &mut Vec<Violation>) {
    for pair in lives.windows(2) {
        let [before, after] = pair else { continue };
        let again = run.intent.runs_again(blueprint.tasks.len());
        if !again.is_empty() {
            check_again(blueprint, run, &again, after, out);
            continue;
        }
        let failed: BTreeSet<TaskRunName> = before
            .facts
            .iter()
            .filter(|fact| is_final(fact) && matches!(fact.kind, FactKind::Failed { .. }))
            .map(|fact| name(fact))
            .collect();
        // What takes the elements of steps as they come keeps those that there were before a step failed.
        let keeps = |task: &TaskBlueprint, of: usize| {
            let steps = &blueprint.tasks[of].name;
            let gives = |fact: &FactRecord| fact.task == **steps && is_success(fact);
            blueprint.streams_from(task) == Some(of) && before.facts.iter().any(|fact| gives(fact))
        };
        let undone = tasks_after(blueprint, &failed, keeps);
        for cleared in after.cleared.keys() {
            if !failed.contains(cleared) && !undone.contains(cleared.0.as_str()) {
                let found = "it was cleared, and had not failed, nor had any before it".to_owned();
                let (run, task_run) = (Some(run.id), Some(cleared.clone()));
                out.push(Violation { rule: Rule::RetriesKeepWhatSucceeded, run, task_run, found });
            }
        }
        for failed in failed.iter().filter(|failed| !after.cleared.contains_key(*failed)) {
            let found = "it had failed, and was not cleared".to_owned();
            let (run, task_run) = (Some(run.id), Some(failed.clone()));
            out.push(Violation { rule: Rule::RetriesKeepWhatSucceeded, run, task_run, found });
        }
    }
}

/// Whole tasks that were chosen run again, and those after them.
fn check_again(
    blueprint: &Blueprint,
    run: &StoredRun,
    chosen: &[usize],
    after: &Life<'_>,
    out: &mut Vec<Violation>,
) {
    let chosen: BTreeSet<TaskRunName> =
        chosen.iter().map(|&position| (blueprint.tasks[position].name.clone(), None)).collect();
    let mut wanted = tasks_after(blueprint, &chosen, |_, _| false);
    wanted.extend(chosen.iter().map(|(task, _)| task.as_str()));
    let cleared: BTreeSet<&str> = after.cleared.keys().map(|(task, _)| task.as_str()).collect();
    for task in wanted.symmetric_difference(&cleared) {
        let found =
            if cleared.contains(task) { "it was cleared, and nobody asked" } else { "it was not cleared" };
        let (rule, task_run) = (Rule::WhatRunsAgainIsChosen, Some(((*task).to_owned(), None)));
        out.push(Violation { rule, run: Some(run.id), task_run, found: found.to_owned() });
    }
}

const fn is_success(fact: &FactRecord) -> bool {
    matches!(fact.kind, FactKind::Succeeded { .. })
}

/// All tasks that come after one of these, but for those that keep what they have when that one has failed.
fn tasks_after<'a>(
    blueprint: &'a Blueprint,
    failed: &BTreeSet<TaskRunName>,
    keeps: impl Fn(&TaskBlueprint, usize) -> bool,
) -> BTreeSet<&'a str> {
    let (mut after, mut kept) = (BTreeSet::new(), BTreeSet::new());
    for task in &blueprint.tasks {
        let has_failed = |position: usize| {
            let name = &blueprint.tasks[position].name;
            failed.iter().any(|(task, _)| task == name)
        };
        let is_undone = |position: usize| {
            let name = blueprint.tasks[position].name.as_str();
            after.contains(name) || kept.contains(name) || has_failed(position) && !keeps(task, position)
        };
        if task.before().any(is_undone) {
            after.insert(task.name.as_str());
        } else if task.before().any(has_failed) {
            kept.insert(task.name.as_str());
        }
    }
    after
}
