//! What a storm comes to, in figures.

use std::collections::HashSet;
use std::time::Duration;

use anio_core::run::FactKind;
use anio_core::{RunId, Timestamp};

use crate::diary::What;
use crate::history::StoredRun;
use crate::intent::Intent;
use crate::ledger::Entry;
use crate::operator::Asked;
use crate::storm::Aftermath;

/// Adds the figures of a storm.
pub fn figures(aftermath: &Aftermath, to: &mut Entry) {
    let history = &aftermath.history;
    let ends = history.runs.iter().flat_map(|run| &run.facts).filter(|fact| {
        matches!(fact.kind, FactKind::Succeeded { .. } | FactKind::Failed { retry_at: None, .. })
    });
    let asked = |is_it: &dyn Fn(&Asked) -> bool| history.asks.iter().filter(|ask| is_it(&ask.what)).count();
    let was_retried = |run: &&StoredRun| run.facts.iter().any(|fact| fact.kind == FactKind::Cleared);
    let written = |what: What| history.diary.iter().filter(|line| line.what == what).count();
    for (what, n) in [
        ("kills", aftermath.n_kills()),
        ("runs", history.runs.len()),
        ("runs_acknowledged", history.acks.len()),
        ("task_runs", ends.count()),
        ("bodies_begun", written(What::Begin)),
        ("callbacks", written(What::Called)),
        ("cancels", asked(&|what| *what == Asked::Cancel)),
        ("task_cancels", asked(&|what| matches!(what, Asked::GiveUp(_)))),
        ("pauses", asked(&|what| *what == Asked::Pause)),
        ("pauses_seen", asked(&|what| *what == Asked::SeenPaused)),
        ("retries", history.runs.iter().filter(was_retried).count()),
        ("keyed_submits", history.acks.iter().filter(|ack| ack.key.is_some()).count()),
        ("keyed_runs", history.runs.iter().filter(|run| run.key.is_some()).count()),
    ] {
        to.count(what, n as u64);
    }
    to.time("start_to_first_task", restarts(aftermath));
    to.time("kill_to_takeover", takeovers(aftermath));
}

/// From the start of a process to the first body that it began, for processes that began one.
fn restarts(aftermath: &Aftermath) -> Vec<Duration> {
    let mut lives: Vec<_> = aftermath.lives.clone();
    lives.sort_by_key(|life| life.spawned_at);
    // The first has nothing to resume.
    let times = lives.iter().skip(1).filter_map(|life| {
        let first = aftermath.history.diary.iter().find(|line| line.pid == life.pid)?;
        Some(first.at.since(life.spawned_at))
    });
    times.collect()
}

/// From the death of a worker to the first body that another began for one of its runs.
fn takeovers(aftermath: &Aftermath) -> Vec<Duration> {
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
    times.collect()
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
