//! What a storm comes to, in figures.

use std::collections::HashSet;
use std::time::Duration;

use anio_core::run::FactKind;
use anio_core::{RunId, Timestamp};
use serde::Serialize;

use crate::diary::What;
use crate::history::StoredRun;
use crate::intent::Intent;
use crate::operator::Asked;
use crate::storm::Aftermath;

/// The figures of one storm, or of several added up.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The backend.
    pub backend: String,
    /// The seed of the first storm.
    pub seed: u64,
    /// Workers killed by SIGKILL.
    pub kills: usize,
    /// Runs that were stored and checked.
    pub runs: usize,
    /// Of them, runs whose submit was acknowledged before its worker died.
    pub acknowledged: usize,
    /// Task runs that came to an end.
    pub task_runs: usize,
    /// Bodies that were begun.
    pub executions: usize,
    /// Runs whose cancel was acknowledged.
    pub cancels: usize,
    /// Cancels of one task of a run that were acknowledged.
    pub task_cancels: usize,
    /// Pauses that were acknowledged.
    pub pauses: usize,
    /// Runs that were seen paused.
    pub seen_paused: usize,
    /// Failed runs that were mended and tried again.
    pub retries: usize,
    /// Submits with an idempotency key that were acknowledged, and how many runs they came to.
    pub keyed: (usize, usize),
    /// Callbacks that were called.
    pub callbacks: usize,
    /// Rules that did not hold, and surprises.
    pub violations: usize,
    /// How long it all took.
    pub seconds: f64,
    /// From the start of a process to the first body that it began, for processes that began one.
    pub restart_to_first_task: Times,
    /// From the death of a worker to the first body that another began for one of its runs.
    pub kill_to_takeover: Times,
}

/// How long things took; shown in milliseconds.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(into = "Percentiles")]
pub struct Times(Vec<Duration>);

#[derive(Debug, Serialize)]
struct Percentiles {
    n: usize,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    max_ms: Option<f64>,
}

impl Times {
    /// The time that so many per cent of all do not exceed.
    pub fn percentile(&self, percent: usize) -> Option<Duration> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
        sorted.get(rank).copied()
    }
}

impl From<Times> for Percentiles {
    fn from(times: Times) -> Self {
        let ms = |percent| times.percentile(percent).map(|time| time.as_secs_f64() * 1000.0);
        Self { n: times.0.len(), p50_ms: ms(50), p99_ms: ms(99), max_ms: ms(100) }
    }
}

impl Report {
    /// The figures of a storm.
    pub fn of(aftermath: &Aftermath, n_violations: usize, took: Duration) -> Self {
        let history = &aftermath.history;
        let ends = history.runs.iter().flat_map(|run| &run.facts).filter(|fact| {
            matches!(fact.kind, FactKind::Succeeded { .. } | FactKind::Failed { retry_at: None, .. })
        });
        let asked =
            |is_it: &dyn Fn(&Asked) -> bool| history.asks.iter().filter(|ask| is_it(&ask.what)).count();
        let was_retried = |run: &StoredRun| run.facts.iter().any(|fact| fact.kind == FactKind::Cleared);
        Self {
            kills: aftermath.n_kills(),
            runs: history.runs.len(),
            acknowledged: history.acks.len(),
            task_runs: ends.count(),
            executions: history.diary.iter().filter(|line| line.what == What::Begin).count(),
            cancels: asked(&|what| *what == Asked::Cancel),
            task_cancels: asked(&|what| matches!(what, Asked::GiveUp(_))),
            pauses: asked(&|what| *what == Asked::Pause),
            seen_paused: asked(&|what| *what == Asked::SeenPaused),
            retries: history.runs.iter().filter(|run| was_retried(run)).count(),
            keyed: (
                history.acks.iter().filter(|ack| ack.key.is_some()).count(),
                history.runs.iter().filter(|run| run.key.is_some()).count(),
            ),
            callbacks: history.diary.iter().filter(|line| line.what == What::Called).count(),
            violations: n_violations,
            seconds: took.as_secs_f64(),
            restart_to_first_task: restarts(aftermath),
            kill_to_takeover: takeovers(aftermath),
            ..Self::default()
        }
    }

    /// Adds the figures of another storm.
    pub fn add(&mut self, other: Self) {
        self.kills += other.kills;
        self.runs += other.runs;
        self.acknowledged += other.acknowledged;
        self.task_runs += other.task_runs;
        self.executions += other.executions;
        self.cancels += other.cancels;
        self.task_cancels += other.task_cancels;
        self.pauses += other.pauses;
        self.seen_paused += other.seen_paused;
        self.retries += other.retries;
        self.keyed = (self.keyed.0 + other.keyed.0, self.keyed.1 + other.keyed.1);
        self.callbacks += other.callbacks;
        self.violations += other.violations;
        self.seconds += other.seconds;
        self.restart_to_first_task.0.extend(other.restart_to_first_task.0);
        self.kill_to_takeover.0.extend(other.kill_to_takeover.0);
    }
}

fn restarts(aftermath: &Aftermath) -> Times {
    let mut lives: Vec<_> = aftermath.lives.clone();
    lives.sort_by_key(|life| life.spawned_at);
    // The first has nothing to resume.
    let times = lives.iter().skip(1).filter_map(|life| {
        let first = aftermath.history.diary.iter().find(|line| line.pid == life.pid)?;
        Some(first.at.since(life.spawned_at))
    });
    Times(times.collect())
}

fn takeovers(aftermath: &Aftermath) -> Times {
    // A run that somebody paused goes on when somebody resumes it.
    let paused: HashSet<RunId> =
        aftermath.history.runs.iter().filter(|run| run.intent == Intent::Pause).map(|run| run.id).collect();
    let times = aftermath.lives.iter().filter_map(|life| {
        let killed_at = life.killed_at?;
        let mut held = held(aftermath, life.pid, killed_at);
        held.retain(|run| !paused.contains(run));
        let diary = &aftermath.history.diary;
        let first = diary
            .iter()
            .find(|line| line.at > killed_at && line.pid != life.pid && held.contains(&line.run))?;
        Some(first.at.since(killed_at))
    });
    Times(times.collect())
}

/// The runs that a worker had bodies of under way when it died.
fn held(aftermath: &Aftermath, pid: u32, killed_at: Timestamp) -> HashSet<RunId> {
    let mut under_way = HashSet::new();
    for line in aftermath.history.diary.iter().filter(|line| line.pid == pid && line.at <= killed_at) {
        let body = (line.run, line.task_run.clone(), line.attempt);
        match line.what {
            What::Begin => drop(under_way.insert(body)),
            What::End | What::Fail => drop(under_way.remove(&body)),
            What::Gone | What::Called => {}
        }
    }
    under_way.into_iter().map(|(run, ..)| run).collect()
}
