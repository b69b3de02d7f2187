//! Records to store, short to write.

use std::sync::Arc;
use std::time::Duration;

use anio_core::context::{Context, Writes};
use anio_core::plan::PlanRecord;
use anio_core::run::FactKind;
use anio_core::{Fingerprint, Output, RunId, TaskName, Timestamp, WorkflowName};
use uuid::Uuid;

use crate::backend::Backend;
use crate::record::{
    Batch, Claim, ClaimedRun, EndRecord, FactRecord, NewRun, NewWorker, ParkRecord, RunOptions, RunRecord,
    RunStatus, Submission, WorkerId,
};

/// A lease that lasts longer than any test.
pub(super) const LONG: Duration = Duration::from_secs(3600);

/// A lease that has run out when it is given.
pub(super) const OVER: Duration = Duration::ZERO;

pub(super) fn run_id(n: u128) -> RunId {
    RunId::from_uuid(Uuid::from_u128((0x0190_7000 << 96) + (0x7 << 76) + (0x8 << 60) + n))
}

pub(super) fn worker(n: u128, lease: Duration) -> NewWorker {
    let id = WorkerId(Uuid::from_u128((0x0190_8000 << 96) + (0x7 << 76) + (0x8 << 60) + n));
    NewWorker { id, name: format!("host/{n}"), lease }
}

pub(super) fn workflow(name: &str) -> WorkflowName {
    WorkflowName::new(name).expect("a sample's name is valid")
}

pub(super) fn plan(workflow_name: &str) -> (Fingerprint, PlanRecord) {
    let record = PlanRecord { workflow: workflow(workflow_name), tasks: Vec::new() };
    (record.fingerprint(), record)
}

pub(super) fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(1_790_000_000_000_000 + micros)
}

pub(super) fn json(text: &str) -> Output {
    Output::from_json(text).expect("a sample is JSON")
}

pub(super) fn new_run(n: u128, workflow_name: &str) -> NewRun {
    NewRun {
        id: run_id(n),
        workflow: workflow(workflow_name),
        plan: plan(workflow_name).0,
        input: json("null"),
        options: RunOptions::default(),
        submitted_at: at(i64::try_from(n).unwrap_or(0)),
        claim: false,
    }
}

pub(super) fn with_priority(priority: i32, run: NewRun) -> NewRun {
    NewRun { options: RunOptions { priority, ..run.options }, ..run }
}

pub(super) fn fact(run: u128, task: &str, kind: FactKind) -> FactRecord {
    FactRecord {
        run: run_id(run),
        task: TaskName::new(task).expect("a sample's name is valid"),
        map_index: None,
        attempt: 1,
        at: at(10),
        kind,
        traceparent: None,
    }
}

pub(super) fn succeeded(output: &str) -> FactKind {
    FactKind::Succeeded { started_at: at(5), output: json(output), writes: None }
}

pub(super) fn writes(key: &str, value: &str) -> Arc<Writes> {
    let mut context = Context::new();
    context.insert(key, value).expect("a sample's key is valid");
    Arc::new(context.into_writes())
}

pub(super) fn end(run: u128, status: RunStatus) -> EndRecord {
    EndRecord { run: run_id(run), status, failure: None, at: at(20) }
}

pub(super) fn park(run: u128, reason: &str) -> ParkRecord {
    ParkRecord { run: run_id(run), reason: reason.to_owned() }
}

/// A run that is given more than its input.
pub(super) fn with_options(options: RunOptions, run: NewRun) -> NewRun {
    NewRun { options, ..run }
}

/// What a run submitted by itself becomes.
pub(super) fn submit(backend: &mut dyn Backend, run: &NewRun) -> Submission {
    let (fingerprint, record) = plan(run.workflow.as_str());
    backend.submit(run, (fingerprint, &record)).expect("a sample can be stored")
}

pub(super) fn ids(runs: &[ClaimedRun]) -> Vec<RunId> {
    runs.iter().map(|claimed| claimed.run.id).collect()
}

pub(super) fn stored(backend: &mut dyn Backend, run: u128) -> RunRecord {
    backend.run(run_id(run)).expect("the database answers").expect("the run is stored")
}

/// A client's batch of new runs with their plans.
pub(super) fn submission(runs: Vec<NewRun>) -> Batch {
    let plans = runs.iter().map(|run| plan(run.workflow.as_str())).collect();
    Batch { plans, runs, ..Batch::default() }
}

/// A worker's batch of new runs that are its own from the start.
pub(super) fn claimed(worker: &NewWorker, runs: Vec<NewRun>) -> Batch {
    let runs = runs.into_iter().map(|run| NewRun { claim: true, ..run }).collect();
    Batch { worker: Some(worker.id), ..submission(runs) }
}

/// A worker's batch of facts.
pub(super) fn facts_of(worker: &NewWorker, facts: Vec<FactRecord>) -> Batch {
    Batch { worker: Some(worker.id), facts, ..Batch::default() }
}

pub(super) fn claim(worker: &NewWorker, workflows: &[&str], limit: u32) -> Claim {
    Claim { worker: worker.id, workflows: workflows.iter().map(|name| workflow(name)).collect(), limit }
}
