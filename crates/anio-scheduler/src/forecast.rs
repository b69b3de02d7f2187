//! What would become of the unfinished runs of a store under this program's workflows.

use std::collections::HashMap;
use std::sync::Arc;

use anio_core::{Fingerprint, RunId, Workflow, WorkflowName};
use anio_store::Store;
use anio_store::record::{ClaimedRun, RunQuery, RunStatus};

use crate::error::Error;
use crate::live_run::take_up;

/// How many runs are read at one time.
const PAGE: u32 = 1_000;

/// What would become of one unfinished run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunForecast {
    /// The run.
    pub run: RunId,
    /// Its workflow.
    pub workflow: WorkflowName,
    /// Its state now.
    pub status: RunStatus,
    /// Whether its workflow has changed since it began.
    pub changed: bool,
    /// Why it would be parked; `None`: it would go on (a paused one when it is resumed).
    pub parks: Option<String>,
}

/// Tells of each run that has not ended whether it would go on under these workflows. Changes nothing, and needs
/// no lease.
///
/// # Errors
/// Those of the store.
pub async fn forecast(store: &Store, workflows: &[Workflow]) -> Result<Vec<RunForecast>, Error> {
    // Of two with one name the first counts; a program with such two does not start.
    let known: HashMap<&str, &Workflow> = workflows.iter().rev().map(|w| (w.name().as_str(), w)).collect();
    let statuses = vec![RunStatus::Queued, RunStatus::Running, RunStatus::Paused, RunStatus::Parked];
    let mut query = RunQuery { statuses, limit: PAGE, ..RunQuery::default() };
    let (mut plans, mut forecasts) = (HashMap::new(), Vec::new());
    loop {
        let page = store.runs(query.clone()).await?;
        let Some(last) = page.last() else { return Ok(forecasts) };
        query.before = Some(last.id);
        for run in page {
            let workflow = run.workflow.clone();
            let (id, status) = (run.id, run.status);
            let (changed, parks) = match known.get(workflow.as_str()) {
                None => (false, Some("its workflow is not known to this program".to_owned())),
                Some(workflow) => {
                    let changed = run.plan != workflow.plan().fingerprint();
                    let plan = stored_plan(store, &mut plans, run.plan).await?;
                    let facts = store.facts(run.id).await?;
                    (changed, take_up(&ClaimedRun { run, facts, plan }, workflow, u32::MAX).err())
                }
            };
            forecasts.push(RunForecast { run: id, workflow, status, changed, parks });
        }
    }
}

type Plans = HashMap<Fingerprint, Option<Arc<anio_core::plan::PlanRecord>>>;

/// Each plan is read once.
async fn stored_plan(
    store: &Store,
    plans: &mut Plans,
    plan: Fingerprint,
) -> Result<Option<Arc<anio_core::plan::PlanRecord>>, Error> {
    if let Some(known) = plans.get(&plan) {
        return Ok(known.clone());
    }
    let record = store.plan(plan).await?.map(Arc::new);
    plans.insert(plan, record.clone());
    Ok(record)
}
