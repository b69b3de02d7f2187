//! All that is known after a storm: what was acknowledged, what the database says, what the bodies wrote.

mod outputs;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use anio_core::run::FactKind;
use anio_core::{RunId, Timestamp};
use anio_store::record::{FactRecord, RunQuery, RunRecord, RunStatus, WorkerId};
use anio_store::{Store, StoreOptions};
use serde_json::Value;

use crate::Result;
use crate::blueprint::Blueprint;
use crate::body::RunInput;
use crate::diary::{Line, What};
use crate::dice::hash;
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
    pub ends: Vec<Ended>,
    /// What was asked of runs, as far as it was told.
    pub asks: Vec<Ask>,
    /// When the processes were started.
    pub spawned: BTreeMap<u32, Timestamp>,
    /// What the database says.
    pub runs: Vec<StoredRun>,
    /// The numbers of the user's rows beside which runs were submitted.
    pub rows: Vec<u64>,
    /// What the bodies wrote, in the order of the file.
    pub diary: Vec<Line>,
    /// How often a worker died, stopped or lost its lease.
    pub n_deaths: usize,
    /// How many bodies a worker has under way at the most.
    pub n_bodies_max: usize,
    /// Processes that were stopped for longer than their lease, and went on.
    pub stops: Vec<Stop>,
    /// Processes all of whose beginnings count for nothing, where that is known for certain: they had lost their
    /// lease before each of them.
    pub zombies: BTreeSet<u32>,
    /// Which processes said that their lease was lost, and when.
    pub lost: Vec<(u32, Timestamp)>,
    /// Processes that told that a graceful shutdown was over.
    pub stopped: BTreeSet<u32>,
    /// What became of leases, in the order in which the database did it; where somebody watches it that closely.
    pub leases: Vec<LeaseStep>,
}

impl History {
    /// Which worker a process was when it wrote a line: it is another one each time that it has lost its lease.
    pub fn worker_of(&self, line: &Line) -> (u32, usize) {
        (line.pid, self.lost.iter().filter(|(pid, at)| *pid == line.pid && *at < line.at).count())
    }
}

/// Something that the database did with a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseStep {
    /// When it was done.
    pub at: Timestamp,
    /// Whose lease it is.
    pub worker: WorkerId,
    /// What was done.
    pub what: LeaseDeed,
}

/// What the database does with leases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseDeed {
    /// It is taken or renewed, until then.
    Stands(Timestamp),
    /// Its worker gave it back.
    GivenBack,
    /// Another worker ended it.
    Buried,
    /// Its worker took a run, in this epoch.
    Takes(RunId, u32),
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

/// An end that was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The run.
    pub run: RunId,
    /// How it ended, in a word.
    pub status: String,
    /// All outputs that the client saw, as one number; see [`digest`].
    pub outputs: u64,
}

/// One number for outputs by the names of their tasks, whatever their order.
pub fn digest<'a>(outputs: impl IntoIterator<Item = (&'a str, Value)>) -> u64 {
    let of_one = |(task, output): (&str, Value)| hash(hash(0, task), &output.to_string());
    outputs.into_iter().map(of_one).fold(0, u64::wrapping_add)
}

/// A process that was stopped, and went on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The process.
    pub pid: u32,
    /// When it stood still already.
    pub stopped_at: Timestamp,
    /// When it was still standing.
    pub continued_at: Timestamp,
    /// Whether it was let live until it had said that its lease was lost, or had had its time for that.
    pub waited: bool,
}

impl Stop {
    /// When another process had surely taken over from it, if one had before it went on: that one began a body
    /// of a run that this one had. What zombies begin tells nothing, and is not to be in the diary. `moves` are runs that may go from one to another without that.
    pub fn buried_at<'a>(
        &self,
        diary: impl IntoIterator<Item = &'a Line>,
        lost: &[(u32, Timestamp)],
        moves: &HashSet<RunId>,
    ) -> Option<Timestamp> {
        // What it had when it lost an earlier lease, it has dropped.
        let anew =
            lost.iter().filter(|(pid, at)| *pid == self.pid && *at < self.stopped_at).map(|(_, at)| *at);
        let anew = anew.max().unwrap_or_default();
        let mut latest: HashMap<RunId, &Line> = HashMap::new();
        let mut heirs = Vec::new();
        for line in diary.into_iter().filter(|line| !moves.contains(&line.run)) {
            if line.at <= self.stopped_at {
                latest.insert(line.run, line);
            } else if line.at < self.continued_at && line.pid != self.pid && line.what == What::Begin {
                heirs.push(line);
            }
        }
        let had = |run| latest.get(&run).is_some_and(|line| line.pid == self.pid && line.at > anew);
        heirs.into_iter().find(|line| had(line.run)).map(|line| line.at)
    }
}

impl History {
    /// The runs that may go from one worker to another while both live: somebody pauses them or has some of them
    /// run again.
    pub fn moves(&self) -> HashSet<RunId> {
        let is_reopened = |run: &StoredRun| run.facts.iter().any(|fact| fact.kind == FactKind::Cleared);
        let moves = self.runs.iter().filter(|run| run.intent == Intent::Pause || is_reopened(run));
        moves.map(|run| run.id).collect()
    }
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

impl StoredRun {
    /// All its outputs, as one number.
    pub fn outputs(&self, blueprint: Option<&Blueprint>) -> u64 {
        let outputs = outputs::of_tasks(&self.facts, blueprint);
        digest(outputs.iter().map(|(task, output)| (task.as_str(), output.clone())))
    }

    pub(crate) fn new(record: RunRecord, facts: Vec<FactRecord>) -> Result<Self> {
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
