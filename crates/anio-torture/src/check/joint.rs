//! Runs that were submitted in transactions of the user's own: both are there, or neither is.

use std::collections::BTreeSet;

use super::{Rule, Violation};
use crate::history::History;
use crate::intent::Intent;

/// Checks all runs against the user's rows.
pub(super) fn check(history: &History, out: &mut Vec<Violation>) {
    let rule = Rule::JointSubmitsAreOne;
    let mut rows: BTreeSet<u64> = history.rows.iter().copied().collect();
    for run in &history.runs {
        if let Intent::Joint(number) = run.intent
            && !rows.remove(&number)
        {
            let found = format!("it was submitted beside the row {number}, which is not there");
            out.push(Violation { rule, run: Some(run.id), task_run: None, found });
        }
    }
    for number in rows {
        let found = format!("the row {number} is there, and the run beside it is not");
        out.push(Violation { rule, run: None, task_run: None, found });
    }
}
