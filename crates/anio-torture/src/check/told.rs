//! What a process told as it went: that a run has succeeded, that its shutdown is over. Both by position in
//! the diary, or by attempt.

use anio_core::run::FactKind;
use anio_store::record::FactRecord;

use super::{Rule, Violation};
use crate::diary::{Line, What};
use crate::history::{History, StoredRun};
use crate::reference::TaskRunName;

/// Checks what was told of one run.
pub(super) fn check(
    history: &History,
    run: &StoredRun,
    lines: &[(usize, &Line)],
    violations: &mut Vec<Violation>,
) {
    let mut violate = |rule, task_run: &TaskRunName, found| {
        violations.push(Violation { rule, run: Some(run.id), task_run: Some(task_run.clone()), found });
    };
    let told = lines.iter().position(|(_, line)| line.what == What::Told);
    let was_cleared = run.facts.iter().any(|fact| fact.kind == FactKind::Cleared);
    if let Some(told) = told.filter(|_| !was_cleared) {
        let begins = |line: &Line| line.what == What::Begin;
        for (_, line) in lines[told..].iter().filter(|(_, line)| begins(line)) {
            let found = format!("process {} began attempt {} after that", line.pid, line.attempt);
            violate(Rule::ToldEndsAreDurable, &line.task_run, found);
        }
    }
    let ended = |line: &Line| matches!(line.what, What::End | What::Fail);
    // What its bodies came to is lost with a lease.
    let kept_all = |pid| history.stopped.contains(pid) && !history.lost.iter().any(|(of, _)| of == pid);
    for (_, line) in lines.iter().filter(|(_, line)| kept_all(&line.pid) && ended(line)) {
        if !run.facts.iter().any(|fact| tells_the_end_of(fact, line)) {
            let found = format!("attempt {} ended in process {} and is not there", line.attempt, line.pid);
            violate(Rule::ShutdownsLoseNothing, &line.task_run, found);
        }
    }
}

fn tells_the_end_of(fact: &FactRecord, line: &Line) -> bool {
    let is_of_it =
        fact.task == *line.task_run.0 && fact.map_index == line.task_run.1 && fact.attempt == line.attempt;
    is_of_it && !matches!(fact.kind, FactKind::Started | FactKind::Called | FactKind::Cleared)
}
