//! All that is known after a storm: what was acknowledged, what the database says, what the bodies wrote.

use std::collections::{BTreeMap, BTreeSet};

use anio_core::run::FactKind;
use anio_core::{RunId, Timestamp};
use anio_store::record::{FactRecord, RunQuery, RunRecord, RunStatus};
use anio_store::{Store, StoreOptions};

use crate::Result;
use crate::body::RunInput;
use crate::diary::Line;
use crate::intent::Intent;
use crate::operator::Ask;
use crate::reference::TaskRunName;

/// How many runs are read at a time.
const PAGE: u32 = 500;

/// What happened, as told by three witnesses that know nothing of one another.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Submits that were acknowledged.
    pub acks: Vec<Ack>,
    /// Ends that were acknowledged.
    pub ends: Vec<(RunId, String)>,
    /// What was asked of runs, as far as it was told.
    pub asks: Vec<Ask>,
    /// When the processes were started.
    pub spawned: BTreeMap<u32, Timestamp>,
    /// What the database says.
    pub runs: Vec<StoredRun>,
    /// What the bodies wrote, in the order of the file.
    pub diary: Vec<Line>,
    /// How often a worker died, stopped or lost its lease.
    pub n_deaths: usize,
    /// How many bodies a worker has under way at the most.
    pub n_bodies_max: usize,
    /// Processes that went on for a while after they had lost their lease. What their bodies began in that
    /// time is allowed: execution is at-least-once.
    pub zombies: BTreeSet<u32>,
}

/// A submit that was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The run.
    pub run: RunId,
    /// Its workflow.
    pub workflow: String,
    /// The number in its input.
    pub n: u64,
    /// Its idempotency key.
    pub key: Option<String>,
}

/// A run as the database has it.
#[derive(Clone, Debug)]
pub struct StoredRun {
    /// Its identity.
    pub id: RunId,
    /// Its workflow.
    pub workflow: String,
    /// The number in its input.
    pub n: u64,
    /// Its idempotency key.
    pub key: Option<String>,
    /// What was meant to be done with it.
    pub intent: Intent,
    /// Its state.
    pub status: RunStatus,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// The task run that it failed for.
    pub failed_for: Option<TaskRunName>,
    /// Its facts, in the order in which they were committed.
    pub facts: Vec<FactRecord>,
}

/// Reads all runs of a store with their facts.
///
/// # Errors
/// Those of the store.
pub async fn read_runs(url: &str) -> Result<Vec<StoredRun>> {
    let store = Store::open(url, StoreOptions::default()).await?;
    let mut runs = Vec::new();
    let mut before = None;
    loop {
        let page = store.runs(RunQuery { before, limit: PAGE, ..RunQuery::default() }).await?;
        let Some(last) = page.last() else { break };
        before = Some(last.id);
        for record in page {
            let facts = store.facts(record.id).await?;
            runs.push(StoredRun::new(record, facts)?);
        }
    }
    store.close().await;
    Ok(runs)
}

/// What a fact tells, in a word.
pub const fn word(fact: &FactRecord) -> &'static str {
    match fact.kind {
        FactKind::Started => "started",
        FactKind::Succeeded { .. } => "succeeded",
        FactKind::Failed { .. } => "failed",
        FactKind::Interrupted { .. } => "interrupted",
        FactKind::Skipped { .. } => "skipped",
        FactKind::Expanded { .. } => "expanded",
        FactKind::Cancelled => "cancelled",
        FactKind::Cleared => "cleared",
        FactKind::Called => "called",
    }
}

impl StoredRun {
    fn new(record: RunRecord, facts: Vec<FactRecord>) -> Result<Self> {
        Ok(Self {
            id: record.id,
            workflow: record.workflow.to_string(),
            n: record.input.parse::<RunInput>()?.n,
            intent: record.options.tags.iter().find_map(|tag| Intent::of_tag(tag)).unwrap_or(Intent::Plain),
            key: record.options.idempotency_key,
            status: record.status,
            finished_at: record.finished_at,
            failed_for: record.failure.map(|failure| (failure.task, failure.map_index)),
            facts,
        })
    }
}
