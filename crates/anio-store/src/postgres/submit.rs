//! New runs, and the plans that they are pinned to: the parts of a commit that store them.

use std::collections::{HashMap, HashSet};

use anio_core::plan::PlanRecord;
use anio_core::{Fingerprint, RunId};
use uuid::Uuid;

use super::commit::Ending;
use crate::record::{Batch, NewRun, RunStatus};
use crate::row::to_json;

pub(super) const RUNS: &str = "
, runs as (
    insert into anio_runs (id, workflow, plan, status, priority, epoch, worker, submitted_at, started_at,
        finished_at, failure, parked_reason, input)
    select id, workflow, plan, status, priority, 0, worker, submitted_at, started_at,
        finished_at, failure::json, parked_reason, input::json
    from unnest($20::uuid[], $21::text[], $22::text[], $23::text[], $24::integer[], $25::uuid[],
        $26::bigint[], $27::bigint[], $28::bigint[], $29::text[], $30::text[], $31::text[])
        as run (id, workflow, plan, status, priority, worker, submitted_at, started_at, finished_at, failure,
            parked_reason, input)
    where exists (select from lease)
)";

// In the order of the fingerprints: two that store the same plans at once wait for each other, and would
// otherwise lock each other out.
pub(super) const PLANS: &str = "
, plans as (
    insert into anio_plans (fingerprint, workflow, record, created_at)
    select fingerprint, workflow, record::json, (extract(epoch from clock_timestamp()) * 1000000)::bigint
    from unnest($32::text[], $33::text[], $34::text[]) as plan (fingerprint, workflow, record)
    where exists (select from lease)
    order by fingerprint
    on conflict (fingerprint) do nothing
)";

/// The plans of a batch that are not known to be stored, each once.
pub(super) fn unknown_plans(
    batch: &Batch,
    is_known: impl Fn(&Fingerprint) -> bool,
) -> Vec<(Fingerprint, &PlanRecord)> {
    let mut seen = HashSet::new();
    let plans = batch.plans.iter().filter(|(plan, _)| !is_known(plan) && seen.insert(*plan));
    plans.map(|(plan, record)| (*plan, record)).collect()
}

/// New runs, laid out in columns.
#[derive(Default)]
pub(super) struct Runs<'a> {
    pub(super) id: Vec<Uuid>,
    pub(super) workflow: Vec<&'a str>,
    pub(super) plan: Vec<String>,
    pub(super) status: Vec<&'static str>,
    pub(super) priority: Vec<i32>,
    pub(super) worker: Vec<Option<Uuid>>,
    pub(super) submitted_at: Vec<i64>,
    pub(super) started_at: Vec<Option<i64>>,
    pub(super) finished_at: Vec<Option<i64>>,
    pub(super) failure: Vec<Option<String>>,
    pub(super) parked_reason: Vec<Option<String>>,
    pub(super) input: Vec<&'a str>,
}

impl<'a> Runs<'a> {
    /// Runs to be claimed belong to `worker` from the start; a run that ends in the same batch takes its
    /// ending along.
    pub(super) fn of(
        runs: &'a [NewRun],
        worker: Option<Uuid>,
        endings: &mut HashMap<RunId, Ending<'_>>,
    ) -> Self {
        let mut columns = Self::default();
        for run in runs {
            let worker = worker.filter(|_| run.claim);
            let ending = endings.remove(&run.id);
            let status = match &ending {
                Some(ending) => ending.status(),
                None if worker.is_some() => RunStatus::Running,
                None => RunStatus::Queued,
            };
            let submitted_at = run.submitted_at.as_micros();
            columns.id.push(*run.id.as_uuid());
            columns.workflow.push(run.workflow.as_str());
            columns.plan.push(run.plan.to_string());
            columns.status.push(status.as_str());
            columns.priority.push(run.options.priority);
            columns.worker.push(worker.filter(|_| status != RunStatus::Parked));
            columns.submitted_at.push(submitted_at);
            columns.started_at.push(worker.map(|_| submitted_at));
            columns.finished_at.push(ending.as_ref().and_then(Ending::finished_at));
            columns.failure.push(ending.as_ref().and_then(Ending::failure));
            columns.parked_reason.push(ending.as_ref().and_then(Ending::parked_reason));
            columns.input.push(run.input.json().get());
        }
        columns
    }
}

/// Plans, laid out in columns.
pub(super) struct Plans<'a> {
    pub(super) fingerprint: Vec<String>,
    pub(super) workflow: Vec<&'a str>,
    pub(super) record: Vec<String>,
}

impl<'a> Plans<'a> {
    pub(super) fn of(plans: &[(Fingerprint, &'a PlanRecord)]) -> Self {
        Self {
            fingerprint: plans.iter().map(|(plan, _)| plan.to_string()).collect(),
            workflow: plans.iter().map(|(_, record)| record.workflow.as_str()).collect(),
            record: plans.iter().map(|(_, record)| to_json(record)).collect(),
        }
    }
}
