//! What the diary tells of the bodies and callbacks of a run, beside its facts.

use std::collections::{BTreeMap, HashSet};
use std::ops::RangeInclusive;

use anio_core::run::FactKind;
use anio_store::record::FactRecord;

use super::{Rule, RunCheck, all_in_short, is_final};
use crate::diary::{Line, What};
use crate::reference::{Before, ExpectedTaskRun, TaskRunName};

impl RunCheck<'_> {
    /// Looks at the bodies of one task run; returns how many were begun again for a crash.
    pub(super) fn check_lines(
        &mut self,
        name: &TaskRunName,
        expected: &ExpectedTaskRun,
        facts: &[&FactRecord],
        lines: &[(usize, &Line)],
    ) -> usize {
        let is_other = |line: &Line| line.what != What::Called && line.inputs != expected.inputs;
        for (_, line) in lines.iter().filter(|(_, line)| is_other(line)) {
            let found = format!("process {} gave attempt {} other inputs", line.pid, line.attempt);
            self.violate(Rule::InputsAgree, Some(name), found);
        }
        let begins: Vec<&Line> =
            lines.iter().map(|(_, line)| *line).filter(|line| line.what == What::Begin).collect();
        let success = facts.iter().find(|fact| matches!(fact.kind, FactKind::Succeeded { .. }));
        if let Some(success) = success {
            let ended = |line: &&Line| line.what == What::End && line.attempt == success.attempt;
            if !lines.iter().map(|(_, line)| *line).any(|line| ended(&line)) {
                let found = format!("attempt {} is recorded, and no body of it ended", success.attempt);
                self.violate(Rule::SuccessesWereExecuted, Some(name), found);
            }
            // By the clock too: the fact's time is when its own body returned, so a body that begins later is
            // one more, and its begin was decided without that fact.
            let again = |line: &&&Line| line.attempt > success.attempt || line.at > success.at;
            if let Some(line) = begins.iter().find(again) {
                let found = format!(
                    "attempt {} succeeded; process {} began attempt {} {:?} later",
                    success.attempt,
                    line.pid,
                    line.attempt,
                    line.at.since(success.at)
                );
                self.violate(Rule::SuccessIsFinal, Some(name), found);
            }
        }
        for fact in facts {
            let FactKind::Failed { retry_at: Some(due), .. } = fact.kind else { continue };
            let is_early = |line: &&&Line| line.attempt == fact.attempt + 1 && line.at < due;
            if let Some(line) = begins.iter().find(is_early) {
                let (pid, attempt, by) = (line.pid, line.attempt, due.since(line.at));
                let found = format!("process {pid} began attempt {attempt} {by:?} too early");
                self.violate(Rule::BackoffsHold, Some(name), found);
            }
        }
        let mut seen = HashSet::new();
        for line in &begins {
            if !seen.insert((self.history.worker_of(line), line.attempt)) {
                let found = format!("process {} began attempt {} twice", line.pid, line.attempt);
                self.violate(Rule::AttemptsBeginOncePerWorker, Some(name), found);
            }
        }
        begins.len().saturating_sub(expected.n_attempts as usize)
    }

    /// Looks at the callbacks of one task run.
    pub(super) fn check_calls(
        &mut self,
        name: &TaskRunName,
        facts: &[&FactRecord],
        lines: &[(usize, &Line)],
    ) {
        let tells = self.blueprint.tasks.iter().any(|task| task.name == name.0 && task.tells);
        let end = facts.iter().find(|fact| is_final(fact));
        let succeeded = end.is_some_and(|fact| matches!(fact.kind, FactKind::Succeeded { .. }));
        let is_true = |line: &Line| {
            end.is_some_and(|end| end.attempt == line.attempt) && line.inputs == u64::from(succeeded)
        };
        let calls = || lines.iter().filter(|(_, line)| line.what == What::Called);
        for (position, call) in calls() {
            let is_later = |at: usize, line: &Line| at > *position && line.at >= call.at;
            let again = lines.iter().find(|(at, line)| line.what == What::Begin && is_later(*at, line));
            if !is_true(call) {
                let found = format!(
                    "process {} called it for attempt {}; {}",
                    call.pid,
                    call.attempt,
                    all_in_short(facts)
                );
                self.violate(Rule::CallbacksAreTrue, Some(name), found);
            } else if let Some((_, line)) = again {
                let found = format!(
                    "process {} began attempt {} after a callback for its end",
                    line.pid, line.attempt
                );
                self.violate(Rule::CallbacksAreTrue, Some(name), found);
            }
        }
        let in_time = |(_, call): &(usize, &Line)| self.life.ended_at.is_none_or(|end| call.at <= end);
        if tells && end.is_some() && self.life.ended_at.is_some() && !calls().any(in_time) {
            let found = format!("{} calls, none before the end of the run", calls().count());
            self.violate(Rule::CallbacksAreCalled, Some(name), found);
        }
    }

    /// Looks at what began before what it depends on, by position in the diary; and that it began again, by the
    /// clock too, since a process may be stopped between its look at the clock and its line.
    pub(super) fn check_order(&mut self, lines: &BTreeMap<TaskRunName, Vec<(usize, &Line)>>) {
        let expected = self.expected;
        let of = |name: &TaskRunName, what: What| {
            let lines = lines.get(name).map_or(&[][..], Vec::as_slice).iter();
            let is_it = move |(_, line): &&(usize, &Line)| line.what == what;
            lines.filter(is_it).map(|(position, _)| *position)
        };
        for (name, task_run) in &expected.task_runs {
            let of_this = lines.get(name).map_or(&[][..], Vec::as_slice).iter();
            let begins = of_this.filter(|(_, line)| line.what == What::Begin);
            let Some((begun, begun_at)) = begins.map(|(at, line)| (*at, line.at)).min() else { continue };
            let before = task_run.dependencies.iter().map(|before| (elements_of(before), true));
            let settled = task_run.told_of.iter().map(|task| (all_of(task), false));
            for (elements, succeeds) in before.chain(settled) {
                for (before, run) in expected.task_runs.range(elements) {
                    let (task, index) = before;
                    if succeeds
                        && !run.is_left_out()
                        && of(before, What::End).min().is_none_or(|ended| ended > begun)
                    {
                        let found = format!("it began before {task} {index:?} had ended");
                        self.violate(Rule::DependenciesEndFirst, Some(name), found);
                    }
                    let begins = lines.get(before).map_or(&[][..], Vec::as_slice).iter();
                    let mut begins = begins.filter(|(_, line)| line.what == What::Begin);
                    if begins.any(|(again, line)| *again > begun && line.at >= begun_at) {
                        let found = format!("{task} {index:?} began again after this had begun");
                        self.violate(Rule::DependenciesAreDurable, Some(name), found);
                    }
                }
            }
        }
    }
}

fn elements_of(before: &Before) -> RangeInclusive<TaskRunName> {
    match before {
        Before::Whole(task) => all_of(task),
        Before::One(name) => name.clone()..=name.clone(),
    }
}

fn all_of(task: &str) -> RangeInclusive<TaskRunName> {
    (task.to_owned(), None)..=(task.to_owned(), Some(u32::MAX))
}
