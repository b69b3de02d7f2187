//! What was asked of a run, and when: cancels, pauses, deadlines, times to begin at.
//!
//! Moments of different processes are compared by the clock that they share: what somebody had been told
//! before something else began, was so before.

use anio_core::run::FactKind;
use anio_core::{RunId, Timestamp};
use anio_store::record::RunStatus;

use super::{Rule, Violation};
use crate::diary::{Line, What};
use crate::history::{History, StoredRun};
use crate::intent::Intent;
use crate::operator::{Ask, Asked};

/// Checks one run.
pub(super) fn check(history: &History, run: &StoredRun, lines: &[(usize, &Line)], out: &mut Vec<Violation>) {
    let asks: Vec<&Ask> = history.asks.iter().filter(|ask| ask.run == run.id).collect();
    let begins = lines.iter().map(|(_, line)| *line);
    let begins = begins.filter(|line| line.what == What::Begin);
    let mut check = Check { history, run: run.id, begins: begins.collect(), out };
    check.end(run);
    check.intent(run);
    for ask in &asks {
        match &ask.what {
            Asked::Cancel => check.cancel(run, ask, lines),
            Asked::GiveUp(task, index) => {
                // A retry takes it back.
                let cleared = run.facts.iter().find(|fact| fact.kind == FactKind::Cleared);
                let is_before = |at: Timestamp| cleared.is_none_or(|cleared| at < cleared.at);
                let is_meant = |line: &&Line| {
                    let (name, element) = &line.task_run;
                    name == task && (index.is_none() || index == element) && is_before(line.at)
                };
                check.nothing_in_later_processes(Rule::TaskCancelsHold, ask.at, is_meant);
            }
            Asked::SeenPaused => {
                let resumes = asks.iter().filter(|of| of.what == Asked::Resume && of.at >= ask.at);
                check.pause(ask.at, resumes.map(|of| of.at).min());
            }
            Asked::Pause | Asked::Resume | Asked::Retry => {}
        }
    }
    check.given_up(run);
}

struct Check<'a> {
    history: &'a History,
    run: RunId,
    begins: Vec<&'a Line>,
    out: &'a mut Vec<Violation>,
}

impl Check<'_> {
    fn end(&mut self, run: &StoredRun) {
        let Some(end) = run.finished_at.filter(|_| run.status.is_terminal()) else { return };
        if let Some(line) = self.begins.iter().find(|line| line.at > end).copied() {
            self.violate(
                Rule::EndsAreEnds,
                line,
                format!("began {:?} after the run's end", line.at.since(end)),
            );
        }
    }

    fn intent(&mut self, run: &StoredRun) {
        match run.intent {
            Intent::Due(due) => {
                if let Some(line) = self.begins.iter().find(|line| line.at < due).copied() {
                    self.violate(
                        Rule::DueRunsWait,
                        line,
                        format!("began {:?} too early", due.since(line.at)),
                    );
                }
            }
            Intent::Late(deadline) => {
                self.nothing_in_later_processes(Rule::DeadlinesHold, deadline, |_| true);
            }
            _ => {}
        }
    }

    /// The worker that asked knew by the answer that the run is cancelled; a later one, when it took it.
    fn cancel(&mut self, run: &StoredRun, ask: &Ask, lines: &[(usize, &Line)]) {
        self.nothing_in_later_processes(Rule::CancelsHold, ask.at, |_| true);
        let by_asker = |line: &Line| line.pid == ask.pid && line.at > ask.at && line.what != What::Called;
        if run.status != RunStatus::Cancelled
            && let Some((_, line)) = lines.iter().find(|(_, line)| by_asker(line))
        {
            let found = format!("was cancelled {:?} before this, and {}", line.at.since(ask.at), run.status);
            self.violate(Rule::CancelsHold, line, found);
        }
    }

    fn pause(&mut self, from: Timestamp, until: Option<Timestamp>) {
        let is_held = |line: &&&Line| line.at > from && until.is_none_or(|until| line.at < until);
        if let Some(line) = self.begins.iter().find(is_held).copied() {
            let found = format!("began {:?} after the run was seen paused", line.at.since(from));
            self.violate(Rule::PausesHold, line, found);
        }
    }

    /// Whoever ended as cancelled was asked to.
    fn given_up(&mut self, run: &StoredRun) {
        use anio_core::error::FailureKind::Cancelled;
        for (at, fact) in run.facts.iter().enumerate() {
            let is_cancelled =
                matches!(&fact.kind, FactKind::Failed { failure, .. } if failure.kind == Cancelled);
            let was_asked = || run.facts[..at].iter().any(|of| super::life::gives_up(of, fact));
            if is_cancelled && !was_asked() && run.status != RunStatus::Cancelled {
                self.out.push(Violation {
                    rule: Rule::TaskCancelsHold,
                    run: Some(self.run),
                    task_run: Some(super::life::name(fact)),
                    found: "it ended as cancelled, and nobody asked".to_owned(),
                });
            }
        }
    }

    fn nothing_in_later_processes(&mut self, rule: Rule, than: Timestamp, is_meant: impl Fn(&&Line) -> bool) {
        let is_later = |pid| self.history.spawned.get(&pid).is_some_and(|&spawned_at| spawned_at > than);
        let begun = self.begins.iter().find(|line| is_meant(line) && is_later(line.pid)).copied();
        if let Some(line) = begun {
            let found = format!("process {} began it, and was started after that was over", line.pid);
            self.violate(rule, line, found);
        }
    }

    fn violate(&mut self, rule: Rule, line: &Line, found: String) {
        let task_run = Some(line.task_run.clone());
        self.out.push(Violation { rule, run: Some(self.run), task_run, found });
    }
}
