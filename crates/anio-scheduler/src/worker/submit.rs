//! How runs come in: checked, written with whatever else is gathered, begun when they are durable.

use std::sync::Arc;

use anio_core::plant::{Plant, is_planted};
use anio_core::run::RunState;
use anio_core::{Output, RunId, Timestamp, Workflow};
use anio_store::record::{NewRun, RunOptions};
use tokio::sync::oneshot;

use super::Worker;
use crate::error::Error;
use crate::live_run::LiveRun;
use crate::pending::Submitted;
use crate::scheduler::register;
use crate::trace::{place, queued_span};

impl Worker {
    /// Puts new runs into the batch that is being gathered; they begin when it is durable.
    pub(super) fn submit(
        &mut self,
        workflow: &Workflow,
        inputs: Vec<Output>,
        options: &RunOptions,
        reply: oneshot::Sender<Result<Vec<RunId>, Error>>,
    ) {
        let checked = match &self.stopping {
            Some(_) => Err(Error::Stopped { reason: None }),
            None => register(&mut self.workflows, &self.config, workflow.clone())
                .and_then(|()| inputs.iter().try_for_each(|input| self.check_input(workflow, input))),
        };
        if let Err(error) = checked {
            drop(reply.send(Err(error)));
            return;
        }
        if inputs.is_empty() {
            drop(reply.send(Ok(Vec::new())));
            return;
        }
        let (plan, batch) = (workflow.plan(), &mut self.pending.batch);
        if self.stored_plans.insert(plan.fingerprint()) {
            batch.plans.push((plan.fingerprint(), plan.record().clone()));
        }
        let n_room = self.config.live_runs_max.saturating_sub(self.runs.len() + self.n_submitting);
        let mut submitted = Submitted { ids: Vec::with_capacity(inputs.len()), live: Vec::new(), reply };
        for input in inputs {
            let id = RunId::from_uuid(self.config.ids.next());
            let claim = options.due_at.is_none() && submitted.live.len() < n_room;
            let live = claim.then(|| {
                let state = RunState::new(id, Arc::clone(plan), input.clone(), self.config.poison_deaths);
                LiveRun::new(state, workflow.clone(), self.cancellation.child_token())
            });
            let traceparent =
                place(self.config.trace.as_deref(), options.traceparent.as_deref(), || match &live {
                    Some(live) => live.span.clone(),
                    None => queued_span(id, workflow.name()),
                });
            batch.runs.push(NewRun {
                id,
                workflow: workflow.name().clone(),
                plan: plan.fingerprint(),
                input,
                options: RunOptions { traceparent, ..options.clone() },
                submitted_at: self.config.clock.now(),
                claim,
            });
            submitted.ids.push(id);
            submitted.live.extend(live.map(|live| (live, options.deadline)));
        }
        if is_planted(Plant::AcknowledgedEarly) {
            let later = std::mem::replace(&mut submitted.reply, oneshot::channel().0);
            drop(later.send(Ok(submitted.ids.clone())));
        }
        self.mind_due(options.due_at);
        self.n_submitting += submitted.live.len();
        self.pending.submitted.push(submitted);
    }

    /// Checks what the store takes by itself, and makes the workflow known; gives the time, and the trace that
    /// the run belongs to.
    pub(super) fn check(
        &mut self,
        run: RunId,
        workflow: Workflow,
        input: &Output,
        asked: Option<&str>,
    ) -> Result<(Timestamp, Option<String>), Error> {
        if self.stopping.is_some() {
            return Err(Error::Stopped { reason: None });
        }
        self.check_input(&workflow, input)?;
        let traceparent = place(self.config.trace.as_deref(), asked, || queued_span(run, workflow.name()));
        register(&mut self.workflows, &self.config, workflow)?;
        Ok((self.config.clock.now(), traceparent))
    }

    fn check_input(&self, workflow: &Workflow, input: &Output) -> Result<(), Error> {
        let invalid = |problem| Error::InvalidInput { workflow: workflow.name().to_string(), problem };
        let (size, max) = (input.n_bytes(), self.config.value_bytes_max);
        if size > max {
            return Err(invalid(format!(
                "the input has {size} bytes of JSON, over the limit of {max} (`value_bytes_max`)"
            )));
        }
        for task in workflow.plan().tasks() {
            if let Some(check) = task.definition.check_input {
                check(input)
                    .map_err(|error| invalid(format!("task {:?} wants another input: {error}", task.name)))?;
            }
        }
        Ok(())
    }
}
