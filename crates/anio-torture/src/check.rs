//! Decides whether a history keeps what the engine promises.
//!
//! Pure: it looks at a [`History`] and at what the [reference interpreter](crate::reference) says the runs
//! must come to. Where it compares moments it compares positions in the diary, which one file orders for all
//! processes, or an attempt's own number; by the clock it goes in one place, which says why it may.

mod bodies;
mod control;
mod enough;
mod joint;
mod lease;
mod life;
mod limits;
mod owner;
mod poison;
mod retry;
mod rule;
mod told;
pub(crate) mod zombie;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use anio_core::RunId;
use anio_core::run::FactKind;
use anio_store::record::{FactRecord, RunStatus};

use self::life::Life;
pub use self::rule::{Rule, Violation};
use crate::blueprint::{Blueprint, Fate};
use crate::diary::{Line, What};
use crate::history::{History, StoredRun};
use crate::intent::Intent;
use crate::reference::{self, Expected, ExpectedTaskRun, TaskRunName};
use crate::special::DEADLY;

/// Checks a history of runs of these blueprints; runs of other workflows are left out.
pub fn check(history: &History, blueprints: &[Blueprint]) -> Vec<Violation> {
    let by_name: HashMap<&str, &Blueprint> =
        blueprints.iter().map(|blueprint| (blueprint.name.as_str(), blueprint)).collect();
    let mut diary: BTreeMap<RunId, Vec<(usize, &Line)>> = BTreeMap::new();
    let stale = zombie::stale_begins(history);
    for (position, line) in history.diary.iter().enumerate().filter(|(position, _)| !stale.contains(position))
    {
        diary.entry(line.run).or_default().push((position, line));
    }
    let mut violations = Vec::new();
    check_acknowledged(history, &by_name, &mut violations);
    let stored: HashSet<RunId> = history.runs.iter().map(|run| run.id).collect();
    for (&run, lines) in diary.iter().filter(|(run, _)| !stored.contains(run)) {
        let found = format!("{} lines in the diary and no row", lines.len());
        violations.push(Violation { rule: Rule::BodiesBelongToRuns, run: Some(run), task_run: None, found });
    }
    let mut n_extra = 0;
    for run in &history.runs {
        let lines = diary.get(&run.id).map_or(&[][..], Vec::as_slice);
        if run.workflow == DEADLY {
            poison::check(run, lines, &mut violations);
        }
        let Some(blueprint) = by_name.get(run.workflow.as_str()) else { continue };
        told::check(history, run, lines, &mut violations);
        // What somebody was told is of no task run.
        let lines: Vec<_> = lines.iter().copied().filter(|(_, line)| line.what != What::Told).collect();
        let lines = &lines[..];
        control::check(history, run, lines, &mut violations);
        let all = Life::all(run, lines);
        retry::check(blueprint, run, &all, &mut violations);
        for life in &all {
            let handling = life.handling();
            let expected = reference::execute(blueprint, run.n, &handling);
            let is_whole = run.status.is_terminal() && !life.is_cut_short(run);
            let mut check = RunCheck {
                history,
                run,
                blueprint,
                life,
                is_whole,
                expected: &expected,
                violations: &mut violations,
            };
            n_extra += check.all();
        }
    }
    limits::check(history, &by_name, &mut violations);
    limits::check_rates(history, &by_name, &mut violations);
    owner::check(history, &mut violations);
    joint::check(history, &mut violations);
    lease::check(history, &mut violations);
    let n_extra_max = history.n_deaths * history.n_bodies_max;
    if n_extra > n_extra_max {
        let (n_deaths, n_bodies) = (history.n_deaths, history.n_bodies_max);
        let found = format!("{n_extra} bodies begun again after {n_deaths} deaths with {n_bodies} under way");
        let rule = Rule::CrashesCostWhatWasUnderWay;
        violations.push(Violation { rule, run: None, task_run: None, found });
    }
    violations
}

fn check_acknowledged(
    history: &History,
    blueprints: &HashMap<&str, &Blueprint>,
    violations: &mut Vec<Violation>,
) {
    let stored: HashMap<RunId, &StoredRun> = history.runs.iter().map(|run| (run.id, run)).collect();
    let mut violate = |rule, run, found| {
        violations.push(Violation { rule, run: Some(run), task_run: None, found });
    };
    for ack in &history.acks {
        match stored.get(&ack.run) {
            None => violate(Rule::AcknowledgedRunsAreKept, ack.run, "it is gone".to_owned()),
            Some(run) if run.workflow != ack.workflow || run.n != ack.n => {
                let found = format!(
                    "submitted as {} on {}, stored as {} on {}",
                    ack.workflow, ack.n, run.workflow, run.n
                );
                violate(Rule::AcknowledgedRunsAreKept, ack.run, found);
            }
            Some(_) => {}
        }
    }
    let mut keys: HashMap<(&str, &str), RunId> = HashMap::new();
    let acks = history.acks.iter().map(|ack| (ack.run, &ack.workflow, &ack.key));
    let rows = history.runs.iter().map(|run| (run.id, &run.workflow, &run.key));
    for (run, workflow, key) in acks.chain(rows) {
        let Some(key) = key else { continue };
        let first = *keys.entry((workflow, key)).or_insert(run);
        if first != run {
            violate(Rule::KeysAreOneRun, run, format!("{key} of {workflow} is run {first}, too"));
        }
    }
    let outputs = |run: &StoredRun| run.outputs(blueprints.get(run.workflow.as_str()).copied());
    for ended in &history.ends {
        let run = stored.get(&ended.run);
        // Who tries a run again, or has some of it run again, takes its end back.
        let was_reopened = |run: &&&StoredRun| run.facts.iter().any(|fact| fact.kind == FactKind::Cleared);
        let (status, now) = (&ended.status, run.map_or("gone", |run| run.status.as_str()));
        if run.is_some_and(|run| was_reopened(&run)) {
            continue;
        }
        if now != status {
            violate(
                Rule::AcknowledgedEndsAreKept,
                ended.run,
                format!("told to have {status}, now it is {now}"),
            );
        } else if run.is_some_and(|run| outputs(run) != ended.outputs) {
            let found = "its outputs are not those that were told".to_owned();
            violate(Rule::AcknowledgedEndsAreKept, ended.run, found);
        }
    }
}

/// The check of one run.
struct RunCheck<'a> {
    history: &'a History,
    run: &'a StoredRun,
    blueprint: &'a Blueprint,
    life: &'a Life<'a>,
    /// Whether all was done that there was to do.
    is_whole: bool,
    expected: &'a Expected,
    violations: &'a mut Vec<Violation>,
}

impl RunCheck<'_> {
    /// Returns how many bodies were begun again for a crash.
    fn all(&mut self) -> usize {
        if self.life.is_last && !self.run.status.is_terminal() {
            let (workflow, n, status) = (&self.run.workflow, self.run.n, self.run.status);
            let facts: Vec<_> = self.run.facts.iter().map(in_short).collect();
            self.violate(Rule::RunsEnd, None, format!("{workflow} on {n} is {status}: {}", facts.join(", ")));
        }
        self.check_end();
        let mut facts: BTreeMap<TaskRunName, Vec<&FactRecord>> = BTreeMap::new();
        self.check_repeats();
        self.check_enough();
        // What is asked for, decided and called is looked at elsewhere.
        for &fact in self.life.facts.iter().filter(|fact| is_of_attempt(fact)) {
            facts.entry((fact.task.to_string(), fact.map_index)).or_default().push(fact);
        }
        let mut lines: BTreeMap<TaskRunName, Vec<(usize, &Line)>> = BTreeMap::new();
        for (position, line) in &self.life.lines {
            lines.entry(line.task_run.clone()).or_default().push((*position, line));
        }
        self.check_widths(&mut facts);
        let known: BTreeSet<&TaskRunName> = self.expected.task_runs.keys().collect();
        let seen: BTreeSet<TaskRunName> = facts.keys().chain(lines.keys()).cloned().collect();
        // Elements may have begun before their number was durable; then the crash came, and the whole task was
        // given up before it was expanded again.
        let given_up = self.life.handling().given_up;
        let in_vain =
            |name: &TaskRunName| !facts.contains_key(name) && given_up.contains(&(name.0.clone(), None));
        for name in seen.iter().filter(|name| !known.contains(name) && !in_vain(name)) {
            self.violate(Rule::NothingExtraExecutes, Some(name), "it should have been skipped".to_owned());
        }
        let expected = self.expected;
        let mut n_extra = 0;
        for (name, expected) in &expected.task_runs {
            let facts = facts.get(name).map_or(&[][..], Vec::as_slice);
            let lines = lines.get(name).map_or(&[][..], Vec::as_slice);
            self.check_facts(name, expected, facts);
            n_extra += self.check_lines(name, expected, facts, lines);
            self.check_calls(name, facts, lines);
        }
        self.check_order(&lines);
        n_extra
    }

    fn check_end(&mut self) {
        let wanted = if self.expected.fails { RunStatus::Failed } else { RunStatus::Succeeded };
        let run = self.run;
        let status = self.life.status;
        let may_be = match run.intent {
            Intent::Cancel => status == RunStatus::Cancelled,
            Intent::Late(_) => status == RunStatus::Failed,
            // How it ended before some of it ran again is not on record.
            Intent::Rerun(_) | Intent::Clear(..) => !self.life.is_last,
            _ => false,
        };
        if status.is_terminal() && status != wanted && !may_be {
            self.violate(
                Rule::StatusAgrees,
                None,
                format!(
                    "it has {status}; without crashes it has {wanted}, being meant to {}",
                    run.intent.tag()
                ),
            );
        }
        if self.is_whole
            && let Some(name) = &run.failed_for
            && self.life.is_last
            && !self.expected.task_runs.get(name).is_some_and(ExpectedTaskRun::fails)
        {
            self.violate(
                Rule::StatusAgrees,
                Some(name),
                "the run failed for it; it should not fail".to_owned(),
            );
        }
    }

    /// Looks for what is recorded twice: the same of the same attempt.
    fn check_repeats(&mut self) {
        let mut seen = HashSet::new();
        for fact in self.life.facts.iter().filter(|fact| fact.kind != FactKind::Cancelled) {
            let name = (fact.task.to_string(), fact.map_index);
            let is_expansion = matches!(fact.kind, FactKind::Expanded { .. });
            if !is_expansion && !seen.insert((name.clone(), fact.attempt, fact.kind.word())) {
                let found = format!("{} of attempt {} is there twice", fact.kind.word(), fact.attempt);
                self.violate(Rule::FactsAreRecordedOnce, Some(&name), found);
            }
        }
    }

    /// Looks at the facts of expansion, and takes them out.
    fn check_widths(&mut self, facts: &mut BTreeMap<TaskRunName, Vec<&FactRecord>>) {
        let expected = self.expected;
        let is_expansion = |fact: &&FactRecord| matches!(fact.kind, FactKind::Expanded { .. });
        let mut found: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for (name, facts) in facts.iter_mut() {
            for fact in facts.iter().filter(|fact| is_expansion(fact)) {
                if let FactKind::Expanded { n } = fact.kind {
                    found.entry(name.0.clone()).or_default().push(n);
                }
            }
            facts.retain(|fact| !is_expansion(fact));
        }
        facts.retain(|_, facts| !facts.is_empty());
        for (task, &width) in &expected.widths {
            let found = found.remove(task).unwrap_or_default();
            if found.len() > 1 {
                self.violate(
                    Rule::FactsAreRecordedOnce,
                    Some(&(task.clone(), None)),
                    format!("expanded to {found:?}"),
                );
            } else if found != [width] && (self.is_whole || !found.is_empty()) {
                self.violate(
                    Rule::WidthsAgree,
                    Some(&(task.clone(), None)),
                    format!("{found:?} in place of {width}"),
                );
            }
        }
        for (task, widths) in found {
            self.violate(Rule::NothingExtraExecutes, Some(&(task, None)), format!("expanded to {widths:?}"));
        }
    }

    fn check_facts(&mut self, name: &TaskRunName, expected: &ExpectedTaskRun, facts: &[&FactRecord]) {
        let attempts: BTreeSet<u32> = facts.iter().map(|fact| fact.attempt).collect();
        let in_order = facts.windows(2).all(|pair| pair[0].attempt <= pair[1].attempt);
        let ends_once = attempts.iter().all(|attempt| {
            let ends =
                |fact: &&&FactRecord| fact.attempt == *attempt && !matches!(fact.kind, FactKind::Started);
            facts.iter().filter(ends).count() <= 1
        });
        let before = self.life.attempts_before(name);
        if !attempts.iter().copied().eq(before + 1..=before + attempts.len() as u32)
            || !in_order
            || !ends_once
        {
            self.violate(Rule::AttemptsCountUp, Some(name), all_in_short(facts));
        }
        let ends = facts.iter().filter(|fact| is_final(fact)).count();
        // What is left out has an end of its own only if it was under way; that is looked at elsewhere.
        let is_over = self.is_whole && !expected.is_left_out();
        if ends > 1 || is_over && ends != 1 || ends == 1 && !facts.last().is_some_and(|fact| is_final(fact)) {
            self.violate(Rule::TaskRunsEndOnce, Some(name), all_in_short(facts));
        }
        let n_failed =
            facts.iter().filter(|fact| matches!(fact.kind, FactKind::Failed { .. })).count() as u32;
        let agrees = match expected.fate {
            Fate::Succeeds(n_max) | Fate::GivenUp(n_max) | Fate::LeftOut(n_max) => n_failed <= n_max,
            Fate::Fails(n) => n_failed == n || !is_over && n_failed <= n,
        };
        if !agrees {
            let found = format!("failed {n_failed} times; without crashes it {:?}", expected.fate);
            self.violate(Rule::FailuresAgree, Some(name), found);
        }
        for fact in facts {
            if let FactKind::Succeeded { output, writes, .. } = &fact.kind {
                if expected.fails()
                    || expected.is_left_out()
                    || !output.parse().is_ok_and(|output: serde_json::Value| output == expected.output)
                {
                    let found = format!("{output:?}; without crashes {:?}", expected.output);
                    self.violate(Rule::OutputsAgree, Some(name), found);
                }
                let found: BTreeMap<String, serde_json::Value> = writes
                    .iter()
                    .flat_map(|writes| &writes.set)
                    .filter_map(|(key, value)| {
                        Some((key.to_string(), serde_json::from_str(value.raw().get()).ok()?))
                    })
                    .collect();
                if !found.iter().eq(expected.write.iter().map(|(key, value)| (key, value))) {
                    let found = format!("{found:?}; without crashes {:?}", expected.write);
                    self.violate(Rule::WritesAgree, Some(name), found);
                }
            }
        }
    }

    fn violate(&mut self, rule: Rule, task_run: Option<&TaskRunName>, found: String) {
        self.violations.push(Violation { rule, run: Some(self.run.id), task_run: task_run.cloned(), found });
    }
}

const fn is_of_attempt(fact: &FactRecord) -> bool {
    use FactKind::{Called, Cancelled, Cleared, Skipped, Stopped};
    !matches!(fact.kind, Called | Cancelled | Cleared | Skipped { .. } | Stopped { .. })
}

const fn is_final(fact: &FactRecord) -> bool {
    matches!(fact.kind, FactKind::Succeeded { .. } | FactKind::Failed { retry_at: None, .. })
}

fn in_short(fact: &FactRecord) -> String {
    let index = fact.map_index.map_or_else(String::new, |index| format!("[{index}]"));
    format!("{}{index} {} {}", fact.task, fact.kind.word(), fact.attempt)
}

fn all_in_short(facts: &[&FactRecord]) -> String {
    facts.iter().map(|fact| in_short(fact)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
