//! Maps that have enough: when they stop, and what becomes of what was under way.

use std::collections::{BTreeMap, BTreeSet};

use anio_core::run::FactKind;
use anio_store::record::FactRecord;

use super::life::{Life, name};
use super::{Rule, RunCheck};
use crate::blueprint::TaskBlueprint;
use crate::diary::What;

/// The tasks that have enough, by what is recorded, and those of their elements that gave an output.
pub(super) fn of_life(life: &Life<'_>) -> BTreeMap<String, BTreeSet<u32>> {
    let has_stopped = |fact: &&&FactRecord| matches!(fact.kind, FactKind::Stopped { .. });
    let tasks = life.facts.iter().filter(has_stopped).map(|fact| fact.task.to_string());
    tasks.map(|task| (task.clone(), indices(life.facts.iter().copied(), &task, is_success))).collect()
}

/// The elements of a task that have such a fact.
fn indices<'a>(
    facts: impl Iterator<Item = &'a FactRecord>,
    task: &str,
    is_it: impl Fn(&FactRecord) -> bool,
) -> BTreeSet<u32> {
    facts.filter(|fact| fact.task == *task && is_it(fact)).filter_map(|fact| fact.map_index).collect()
}

const fn is_success(fact: &FactRecord) -> bool {
    matches!(fact.kind, FactKind::Succeeded { .. })
}

const fn is_end(fact: &FactRecord) -> bool {
    matches!(
        fact.kind,
        FactKind::Succeeded { .. } | FactKind::Skipped { .. } | FactKind::Failed { retry_at: None, .. }
    )
}

impl RunCheck<'_> {
    /// Looks at the maps that have stopped.
    pub(super) fn check_enough(&mut self) {
        let life = self.life;
        for (at, fact) in life.facts.iter().enumerate() {
            let FactKind::Stopped { running } = &fact.kind else { continue };
            let task = self.blueprint.tasks.iter().find(|task| fact.task == *task.name);
            let wrong = match task.and_then(|task| Some((task, task.enough?))) {
                None => Some("it stopped, and never has enough".to_owned()),
                Some((task, enough)) => self.wrong_with(task, enough, at, &running.iter().copied().collect()),
            };
            if let Some(found) = wrong {
                self.violate(Rule::EnoughIsEnough, Some(&name(fact)), found);
            }
        }
    }

    /// What is wrong with a stop, the fact at this position, after which these may still end.
    fn wrong_with(
        &self,
        task: &TaskBlueprint,
        enough: usize,
        at: usize,
        running: &BTreeSet<u32>,
    ) -> Option<String> {
        let (stop, of_task) =
            (self.life.facts[at], |facts: &[&FactRecord], is_it: fn(&FactRecord) -> bool| {
                indices(facts.iter().copied(), &task.name, is_it)
            });
        let n_before = of_task(&self.life.facts[..at], is_success).len();
        if n_before < enough {
            return Some(format!("it stopped with {n_before} outputs, and has enough with {enough}"));
        }
        let ended = of_task(&self.life.facts[at..], is_end);
        if !ended.is_subset(running) || self.is_whole && !running.is_subset(&ended) {
            return Some(format!("{running:?} were under way when it stopped, {ended:?} ended after that"));
        }
        let begins = self
            .life
            .lines
            .iter()
            .map(|(_, line)| *line)
            .filter(|line| line.what == What::Begin && line.task_run.0 == task.name && line.at > stop.at);
        for line in begins {
            let index = line.task_run.1.unwrap_or_default();
            let is_later = self.history.spawned.get(&line.pid).is_some_and(|spawned| *spawned > stop.at);
            // What was under way may have been just about to begin; in that process, and in no later one.
            if !running.contains(&index) || is_later {
                let after = line.at.since(stop.at);
                return Some(format!(
                    "process {} began element {index} {after:?} after it stopped",
                    line.pid
                ));
            }
        }
        None
    }
}
