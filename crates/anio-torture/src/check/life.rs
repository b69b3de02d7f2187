//! What a run did between two retries: each of its lives is checked as if it were a run.
//!
//! A life begins with what was kept of the one before: the facts and lines of the task runs that were not
//! cleared. A run that was never retried has one.

use std::collections::{BTreeSet, HashMap};

use anio_core::Timestamp;
use anio_core::error::FailureKind;
use anio_core::run::FactKind;
use anio_store::record::{FactRecord, RunStatus};

use super::enough;
use crate::diary::Line;
use crate::history::StoredRun;
use crate::intent::Intent;
use crate::reference::{Handling, TaskRunName};

/// One life of a run.
#[derive(Clone, Debug)]
pub(super) struct Life<'a> {
    pub(super) facts: Vec<&'a FactRecord>,
    /// With their positions in the diary.
    pub(super) lines: Vec<(usize, &'a Line)>,
    /// How it ended.
    pub(super) status: RunStatus,
    /// When it had ended at the latest; `None` while it goes on.
    pub(super) ended_at: Option<Timestamp>,
    pub(super) is_last: bool,
    /// What was cleared at its beginning, with the attempts that it had before.
    pub(super) cleared: HashMap<TaskRunName, u32>,
    /// Whether what failed for good was mended before.
    is_mended: bool,
}

impl<'a> Life<'a> {
    /// The lives of a run, the first first.
    pub(super) fn all(run: &'a StoredRun, lines: &[(usize, &'a Line)]) -> Vec<Self> {
        let mut all = vec![Self {
            facts: Vec::new(),
            lines: lines.to_vec(),
            status: run.status,
            ended_at: run.finished_at.filter(|_| run.status.is_terminal()),
            is_last: true,
            cleared: HashMap::new(),
            is_mended: false,
        }];
        let is_retry = !matches!(run.intent, Intent::Rerun(_) | Intent::Clear(..));
        // Facts that clear are committed together, all of one moment.
        let mut clearing = None;
        for fact in &run.facts {
            let is_new = fact.kind == FactKind::Cleared && clearing != Some(fact.at);
            if is_new {
                clearing = Some(fact.at);
                let cleared = run.facts.iter().filter(|of| of.kind == FactKind::Cleared && of.at == fact.at);
                let cleared = cleared.map(|of| (name(of), of.attempt)).collect();
                let heir = all.last_mut().expect("a run has a life").cut(fact.at, cleared);
                all.push(Self { is_mended: is_retry, ..heir });
            }
            if fact.kind != FactKind::Cleared {
                all.last_mut().expect("a run has a life").facts.push(fact);
            }
        }
        all
    }

    /// Ends this life at a moment, and begins the next with what is not cleared.
    fn cut(&mut self, at: Timestamp, cleared: HashMap<TaskRunName, u32>) -> Self {
        let is_kept = |name: &TaskRunName| {
            !cleared.contains_key(name) && !cleared.contains_key(&(name.0.clone(), None))
        };
        // That a whole task was given up is taken back with any of its task runs.
        let is_kept_fact = |fact: &FactRecord| {
            let was_asked = fact.kind == FactKind::Cancelled && fact.map_index.is_none();
            // So is that it had enough, and who was left out for that.
            let was_enough = matches!(fact.kind, FactKind::Stopped { .. })
                || matches!(fact.kind, FactKind::Skipped { .. }) && fact.map_index.is_some();
            is_kept(&name(fact))
                && !((was_asked || was_enough) && cleared.keys().any(|(task, _)| fact.task == **task))
        };
        let (lines, after): (Vec<_>, Vec<_>) = self.lines.iter().partition(|(_, line)| line.at < at);
        let heir = Self {
            facts: self.facts.iter().copied().filter(|fact| is_kept_fact(fact)).collect(),
            lines: lines.iter().copied().filter(|(_, line)| is_kept(&line.task_run)).chain(after).collect(),
            cleared,
            ..self.clone()
        };
        (self.lines, self.status, self.ended_at, self.is_last) = (lines, RunStatus::Failed, Some(at), false);
        heir
    }

    /// How many attempts a task run had before this life.
    pub(super) fn attempts_before(&self, name: &TaskRunName) -> u32 {
        self.cleared.get(name).copied().unwrap_or_default()
    }

    /// What people did, by what is recorded. An attempt that fails by itself after its task was cancelled is
    /// the last, as if it had been told to stop.
    pub(super) fn handling(&self) -> Handling {
        let is_asked = |at: usize, fact: &FactRecord| self.facts[..at].iter().any(|of| gives_up(of, fact));
        let is_given_up = |(at, fact): &(usize, &&FactRecord)| match &fact.kind {
            FactKind::Failed { failure, retry_at: None, .. } => {
                failure.kind == FailureKind::Cancelled || is_asked(*at, fact)
            }
            _ => false,
        };
        let given_up: BTreeSet<TaskRunName> =
            self.facts.iter().enumerate().filter(is_given_up).map(|(_, fact)| name(fact)).collect();
        Handling { mended: self.is_mended, given_up, enough: enough::of_life(self) }
    }

    /// Whether the run was stopped before all was done that there was to do.
    pub(super) const fn is_cut_short(&self, run: &StoredRun) -> bool {
        match self.status {
            RunStatus::Cancelled => true,
            RunStatus::Failed => matches!(run.intent, Intent::Late(_)),
            _ => false,
        }
    }
}

/// Whether this fact is that somebody gave up what that one is about.
pub(super) fn gives_up(asked: &FactRecord, fact: &FactRecord) -> bool {
    let is_meant = asked.map_index.is_none() || asked.map_index == fact.map_index;
    asked.kind == FactKind::Cancelled && asked.task == fact.task && is_meant
}

pub(super) fn name(fact: &FactRecord) -> TaskRunName {
    (fact.task.to_string(), fact.map_index)
}
