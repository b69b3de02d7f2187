//! A run that this worker holds: its state, who waits for it, what to call off.

use std::collections::HashMap;
use std::sync::Arc;

use anio_core::error::TaskFailure;
use anio_core::run::{Fact, FactKind, RunState, TaskRunKey, since_cleared};
use anio_core::{Plan, RunId, Workflow};
use anio_store::record::{ClaimedRun, FactRecord};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::Span;

use crate::scheduler::Finished;
use crate::trace::{TraceContext, run_span};

/// A run in memory.
#[derive(Debug)]
pub(crate) struct LiveRun {
    pub(crate) state: RunState,
    pub(crate) workflow: Workflow,
    pub(crate) cancellation: CancellationToken,
    /// The tokens of the attempts that execute now.
    pub(crate) tokens: Vec<(TaskRunKey, CancellationToken)>,
    /// How much of what others changed about the run is known here.
    pub(crate) n_news: u64,
    pub(crate) span: Span,
    /// The attempts that an earlier worker did not bring to an end, until the next of their task run begins.
    pub(crate) died: HashMap<TaskRunKey, u32>,
    pub(crate) watchers: Vec<oneshot::Sender<Option<Finished>>>,
    /// Changes when facts are durable; made when somebody follows the run.
    pub(crate) progress: Option<watch::Sender<u64>>,
    /// Whether it has facts in the batch that is being gathered.
    pub(crate) is_dirty: bool,
}

impl LiveRun {
    pub(crate) fn new(state: RunState, workflow: Workflow, cancellation: CancellationToken) -> Self {
        let span = run_span(state.id(), workflow.name());
        let (tokens, n_news, died) = (Vec::new(), 0, HashMap::new());
        Self {
            state,
            workflow,
            cancellation,
            tokens,
            n_news,
            span,
            died,
            watchers: Vec::new(),
            progress: None,
            is_dirty: false,
        }
    }

    /// Goes on in the trace that the run's row names, and knows what died before.
    pub(crate) fn resumed(mut self, claimed: &ClaimedRun, trace: Option<&dyn TraceContext>) -> Self {
        if let (Some(trace), Some(traceparent)) = (trace, &claimed.run.options.traceparent) {
            trace.continue_from(&self.span, traceparent);
        }
        if claimed.run.epoch > 0 {
            self.span.record("anio.recovered", true);
            self.died = in_flight(self.workflow.plan(), &claimed.facts);
        }
        self
    }
}

/// A fact with names in place of positions, as it is stored.
pub fn record_of(run: RunId, workflow: &Workflow, fact: Fact) -> FactRecord {
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
    let mut log = Vec::with_capacity(facts.len());
    for record in facts {
        let Some(task) = state.plan().position(record.task.as_str()) else {
            return Err(format!("task {:?} has begun in this run and is gone from the program", record.task));
        };
        let key = TaskRunKey { task, map_index: record.map_index };
        log.push(Fact { key, attempt: record.attempt, at: record.at, kind: record.kind.clone() });
    }
    since_cleared(&log).into_iter().try_for_each(|fact| state.replay(fact)).map_err(|error| error.to_string())
}

/// The attempts that had begun, as far as that was recorded, and have no end.
fn in_flight(plan: &Plan, facts: &[FactRecord]) -> HashMap<TaskRunKey, u32> {
    let mut attempts = HashMap::new();
    for fact in facts {
        let Some(task) = plan.position(fact.task.as_str()) else { continue };
        let key = TaskRunKey { task, map_index: fact.map_index };
        match fact.kind {
            FactKind::Started => attempts.insert(key, fact.attempt),
            _ => attempts.remove(&key),
        };
    }
    attempts
}

/// Whether a fact says that its task run failed for good; for the log.
pub(crate) fn final_failure(fact: &Fact) -> Option<&TaskFailure> {
    match &fact.kind {
        FactKind::Failed { failure, retry_at: None, .. } => Some(failure),
        _ => None,
    }
}
