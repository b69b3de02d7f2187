//! Who committed what: one worker at a time, and nobody who was buried.
//!
//! The rows do not name the worker. The diary does: a fact that tells when its attempt began and ended is that of
//! the process whose body began in between, first after that beginning.

use std::collections::{BTreeMap, HashMap};

use anio_core::error::FailureKind;
use anio_core::run::FactKind;
use anio_core::{RunId, Timestamp};
use anio_store::record::FactRecord;

use super::life::name;
use super::{Rule, Violation};
use crate::diary::{Line, What};
use crate::history::{History, Stop, StoredRun};

/// Checks all stops of a history, and who committed the facts of all its runs.
pub(super) fn check(history: &History, out: &mut Vec<Violation>) {
    let mut lines: HashMap<RunId, Vec<&Line>> = HashMap::new();
    for line in &history.diary {
        lines.entry(line.run).or_default().push(line);
    }
    let buried = super::zombie::buried(history);
    for stop in &buried {
        if stop.waited && said_at(history, stop).is_none() {
            let found = format!("process {} was stopped and taken over from, and did not say so", stop.pid);
            out.push(Violation { rule: Rule::ZombiesSaySo, run: None, task_run: None, found });
        }
    }
    for run in &history.runs {
        let lines = lines.get(&run.id).map_or(&[][..], Vec::as_slice);
        check_run(history, &buried, run, lines, out);
    }
}

fn check_run(
    history: &History,
    buried: &[&Stop],
    run: &StoredRun,
    lines: &[&Line],
    out: &mut Vec<Violation>,
) {
    let mut latest: BTreeMap<u32, Timestamp> = BTreeMap::new();
    for fact in &run.facts {
        let Some((_, begin)) = began(fact, lines) else { continue };
        let mut violate = |rule, found| {
            out.push(Violation { rule, run: Some(run.id), task_run: Some(name(fact)), found });
        };
        let heir = latest.iter().find(|(pid, at)| **pid != begin.pid && **at > begin.at);
        let is_disputed = is_begun_by_another(fact, begin, lines);
        if let Some((heir, at)) = heir.filter(|_| !is_disputed) {
            let found = format!(
                "process {} began it {:?} before {heir} began something that was recorded first",
                begin.pid,
                at.since(begin.at)
            );
            violate(Rule::OneOwnerCommits, found);
        }
        if !is_disputed {
            let latest = latest.entry(begin.pid).or_insert(begin.at);
            *latest = begin.at.max(*latest);
        }
        let is_zombie = |stop: &&&Stop| {
            let knew_at = said_at(history, stop).unwrap_or(Timestamp::from_micros(i64::MAX));
            stop.pid == begin.pid && fact.at > stop.continued_at && fact.at < knew_at
        };
        if let Some(stop) = buried.iter().find(is_zombie) {
            let found = format!(
                "process {} went on as a zombie, and recorded this {:?} later",
                stop.pid,
                fact.at.since(stop.continued_at)
            );
            violate(Rule::ZombiesCommitNothing, found);
        }
    }
}

/// When a process that went on said that its lease was lost.
fn said_at(history: &History, stop: &Stop) -> Option<Timestamp> {
    let of_it = history.lost.iter().filter(|(pid, at)| *pid == stop.pid && *at >= stop.continued_at);
    of_it.map(|(_, at)| *at).min()
}

/// Whether another process began the same attempt before this was recorded, not knowing that it was taken over
/// from: which of them recorded it cannot be told.
fn is_begun_by_another(fact: &FactRecord, begin: &Line, lines: &[&Line]) -> bool {
    lines.iter().any(|line| {
        let is_same =
            line.what == What::Begin && line.attempt == fact.attempt && line.task_run == begin.task_run;
        is_same && line.pid != begin.pid && line.at >= begin.at && line.at <= fact.at
    })
}

/// When the attempt began whose end this fact tells, and the line with which its body did; where it is that of a
/// body.
pub(super) fn began<'a>(fact: &FactRecord, lines: &[&'a Line]) -> Option<(Timestamp, &'a Line)> {
    let started_at = match &fact.kind {
        // Those two are recorded by whoever comes after, too.
        FactKind::Failed { failure, .. }
            if matches!(failure.kind, FailureKind::Cancelled | FailureKind::Poison) =>
        {
            return None;
        }
        FactKind::Succeeded { started_at, .. } | FactKind::Failed { started_at, .. } => *started_at,
        _ => return None,
    };
    let is_it = |line: &&&Line| {
        let is_begin = line.what == What::Begin && line.attempt == fact.attempt;
        is_begin && line.at >= started_at && line.at <= fact.at && line.task_run == name(fact)
    };
    let line = lines.iter().filter(is_it).min_by_key(|line| line.at)?;
    Some((started_at, line))
}
