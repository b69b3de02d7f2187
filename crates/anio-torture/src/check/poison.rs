//! A task run that kills its worker each time that it begins: it fails, and does not go on killing.

use anio_core::error::FailureKind;
use anio_core::run::FactKind;
use anio_store::record::{FactRecord, RunStatus};

use super::{Rule, Violation};
use crate::diary::{Line, What};
use crate::history::StoredRun;
use crate::special::POISON_DEATHS;

/// Checks a run of the workflow that kills.
pub(super) fn check(run: &StoredRun, lines: &[(usize, &Line)], out: &mut Vec<Violation>) {
    let mut violate = |found| {
        out.push(Violation { rule: Rule::PoisonEnds, run: Some(run.id), task_run: None, found });
    };
    let is_poison = |fact: &FactRecord| match &fact.kind {
        FactKind::Failed { failure, .. } => failure.kind == FailureKind::Poison,
        _ => false,
    };
    if run.status != RunStatus::Failed || !run.facts.last().is_some_and(is_poison) {
        violate(format!("it is {}, and its last fact {:?}", run.status, run.facts.last()));
    }
    let n_begun = lines.iter().filter(|(_, line)| line.what == What::Begin).count();
    // The start of the very first attempt need not be durable when its worker dies.
    if n_begun > POISON_DEATHS as usize + 1 {
        violate(format!("it began {n_begun} times, and may kill {POISON_DEATHS} workers in a row"));
    }
}
