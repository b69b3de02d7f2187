//! A run that this worker holds: its state, who waits for it, what to call off.

use std::sync::Arc;

use anio_core::error::TaskFailure;
use anio_core::run::{Fact, FactKind, RunState};
use anio_core::{RunId, Workflow};
use anio_store::record::{ClaimedRun, FactRecord};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::Span;

use crate::scheduler::Finished;

/// A run in memory.
#[derive(Debug)]
pub(crate) struct LiveRun {
    pub(crate) state: RunState,
    pub(crate) workflow: Workflow,
    pub(crate) cancellation: CancellationToken,
    pub(crate) span: Span,
    pub(crate) watchers: Vec<oneshot::Sender<Option<Finished>>>,
    /// Changes when facts are durable; made when somebody follows the run.
    pub(crate) progress: Option<watch::Sender<u64>>,
    /// Whether it has facts in the batch that is being gathered.
    pub(crate) is_dirty: bool,
}

impl LiveRun {
    pub(crate) fn new(state: RunState, workflow: Workflow, cancellation: CancellationToken) -> Self {
        let span =
            tracing::info_span!(parent: None, "run", run_id = %state.id(), workflow = %workflow.name());
        Self { state, workflow, cancellation, span, watchers: Vec::new(), progress: None, is_dirty: false }
    }
}

/// A fact with names in place of positions, as it is stored.
pub(crate) fn record_of(run: RunId, workflow: &Workflow, fact: Fact) -> FactRecord {
    FactRecord {
        run,
        task: workflow.plan().task(fact.key.task).name.clone(),
        map_index: fact.key.map_index,
        attempt: fact.attempt,
        at: fact.at,
        kind: fact.kind,
    }
}

/// Brings a claimed run back to the state that its facts add up to.
///
/// # Errors
/// Why it cannot go on under this workflow, in words for people: the run is parked with them.
pub(crate) fn take_up(
    claimed: &ClaimedRun,
    workflow: &Workflow,
    poison_deaths: u32,
) -> Result<RunState, String> {
    let plan = workflow.plan();
    if claimed.run.plan != plan.fingerprint() {
        let begun = |task: &str| claimed.facts.iter().any(|fact| fact.task == *task);
        let Some(pinned) = &claimed.plan else {
            return Err("the plan that it began under is not stored".to_owned());
        };
        if let Some(difference) = pinned.difference(plan.record(), begun) {
            return Err(difference);
        }
        tracing::info!(
            run_id = %claimed.run.id,
            workflow = %workflow.name(),
            "the workflow has changed since the run began, only where it has not begun yet; it goes on"
        );
    }
    let mut state = RunState::new(claimed.run.id, Arc::clone(plan), claimed.run.input.clone(), poison_deaths);
    replay(&mut state, &claimed.facts)?;
    Ok(state)
}

/// Replays stored facts.
///
/// # Errors
/// Which fact does not fit, in words for people.
pub fn replay(state: &mut RunState, facts: &[FactRecord]) -> Result<(), String> {
    for record in facts {
        let Some(task) = state.plan().position(record.task.as_str()) else {
            return Err(format!("task {:?} has begun in this run and is gone from the program", record.task));
        };
        let key = anio_core::run::TaskRunKey { task, map_index: record.map_index };
        let fact = Fact { key, attempt: record.attempt, at: record.at, kind: record.kind.clone() };
        state.replay(&fact).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Whether a fact says that its task run failed for good; for the log.
pub(crate) fn final_failure(fact: &Fact) -> Option<&TaskFailure> {
    match &fact.kind {
        FactKind::Failed { failure, retry_at: None, .. } => Some(failure),
        _ => None,
    }
}
