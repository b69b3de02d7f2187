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
use crate::trace::{DeadAttempt, TraceContext, run_span};

/// A run in memory.
#[derive(Debug)]
pub(crate) struct LiveRun {
    pub(crate) state: RunState,
    pub(crate) workflow: Workflow,
    pub(crate) cancellation: CancellationToken,
    /// The attempts that execute now.
    pub(crate) bodies: Vec<Body>,
    /// The spans of attempts that execute when their start is durable, which names them.
    pub(crate) starting: Vec<(TaskRunKey, Span)>,
    /// How much of what others changed about the run is known here.
    pub(crate) n_news: u64,
    pub(crate) span: Span,
    /// The attempts that an earlier worker did not bring to an end, until the next of their task run begins.
    pub(crate) died: HashMap<TaskRunKey, DeadAttempt>,
    pub(crate) watchers: Vec<oneshot::Sender<Option<Finished>>>,
    /// Changes when facts are durable; made when somebody follows the run.
    pub(crate) progress: Option<watch::Sender<u64>>,
    /// Whether it has facts in the batch that is being gathered.
    pub(crate) is_dirty: bool,
}

/// An attempt that executes.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) key: TaskRunKey,
    pub(crate) token: CancellationToken,
    /// The name of its span, for the record of its start.
    pub(crate) traceparent: Option<Box<str>>,
}

impl LiveRun {
    pub(crate) fn new(state: RunState, workflow: Workflow, cancellation: CancellationToken) -> Self {
        let span = run_span(state.id(), workflow.name());
        Self {
            state,
            workflow,
            cancellation,
            bodies: Vec::new(),
            starting: Vec::new(),
            n_news: 0,
            span,
            died: HashMap::new(),
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

    /// Takes note of an attempt that executes from now on; its span is the one that was made ahead, if there is one.
    pub(crate) fn begin(
        &mut self,
        key: TaskRunKey,
        attempt: u32,
        token: &CancellationToken,
        trace: Option<&dyn TraceContext>,
    ) -> Span {
        let ahead = self.take_ahead(key);
        let is_named = ahead.is_some();
        let span = ahead.unwrap_or_else(|| self.attempt_span(key, attempt, trace));
        let name = trace.filter(|_| !is_named).and_then(|trace| trace.current(&span));
        let traceparent = name.map(String::into_boxed_str);
        self.bodies.push(Body { key, token: token.clone(), traceparent });
        span
    }

    /// The span of an attempt that is about to begin, linked with the one before it where that died.
    fn attempt_span(&mut self, key: TaskRunKey, attempt: u32, trace: Option<&dyn TraceContext>) -> Span {
        let died = self.died.remove(&key);
        let span = tracing::info_span!(
            parent: &self.span,
            "attempt",
            run_id = %self.state.id(),
            task = %self.workflow.plan().task(key.task).name,
            map_index = key.map_index,
            attempt,
            anio.recovered = died.as_ref().map(|_| true),
            anio.died_attempt = died.as_ref().map(|died| died.attempt)
        );
        let dead = died.and_then(|died| died.traceparent);
        if let (Some(trace), Some(dead)) = (trace, &dead) {
            trace.link(&span, dead);
        }
        span
    }

    /// Makes the span of an attempt before it executes, and names it for the record of its start.
    pub(crate) fn name_ahead(
        &mut self,
        key: TaskRunKey,
        attempt: u32,
        trace: &dyn TraceContext,
    ) -> Option<Box<str>> {
        let span = self.attempt_span(key, attempt, Some(trace));
        let name = trace.current(&span).map(String::into_boxed_str);
        self.starting.push((key, span));
        name
    }

    /// Takes the span that was made ahead.
    pub(crate) fn take_ahead(&mut self, key: TaskRunKey) -> Option<Span> {
        let place = self.starting.iter().position(|(other, _)| *other == key)?;
        Some(self.starting.swap_remove(place).1)
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
        traceparent: None,
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
fn in_flight(plan: &Plan, facts: &[FactRecord]) -> HashMap<TaskRunKey, DeadAttempt> {
    let mut attempts = HashMap::new();
    for fact in facts {
        let Some(task) = plan.position(fact.task.as_str()) else { continue };
        let key = TaskRunKey { task, map_index: fact.map_index };
        match fact.kind {
            FactKind::Started => {
                let traceparent = fact.traceparent.clone();
                attempts.insert(key, DeadAttempt { attempt: fact.attempt, traceparent })
            }
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
