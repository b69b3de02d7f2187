//! What a storm comes to, in figures.

use std::collections::HashSet;
use std::time::Duration;

use anio_core::run::FactKind;
use anio_core::{RunId, Timestamp};

use crate::check::zombie;
use crate::diary::{Line, What};
use crate::history::StoredRun;
use crate::intent::Intent;
use crate::ledger::Entry;
use crate::operator::Asked;
use crate::storm::{Aftermath, Kind};

/// Adds the figures of a storm.
pub fn figures(aftermath: &Aftermath, to: &mut Entry) {
    let history = &aftermath.history;
    let ends = history.runs.iter().flat_map(|run| &run.facts).filter(|fact| {
        matches!(fact.kind, FactKind::Succeeded { .. } | FactKind::Failed { retry_at: None, .. })
    });
    let asked = |is_it: &dyn Fn(&Asked) -> bool| history.asks.iter().filter(|ask| is_it(&ask.what)).count();
    let was_reopened = |run: &&StoredRun| run.facts.iter().any(|fact| fact.kind == FactKind::Cleared);
    let was_retried = |run: &&StoredRun| was_reopened(run) && run.intent.may_be_retried();
    let of_intent = |is_it: &dyn Fn(&StoredRun) -> bool| history.runs.iter().filter(|run| is_it(run)).count();
    let written = |what: What| history.diary.iter().filter(|line| line.what == what).count();
    for kind in Kind::ALL {
        let killed = aftermath.lives.iter().filter(|life| life.killed.is_some_and(|(_, of)| of == kind));
        to.count(kind.name(), killed.count() as u64);
    }
    for (what, n) in [
        ("kills", aftermath.n_kills()),
        ("stops", history.stops.len()),
        ("stops_taken_over", zombie::buried(history).len()),
        ("leases_lost", history.lost.len()),
        ("runs", history.runs.len()),
        ("runs_acknowledged", history.acks.len()),
        ("task_runs", ends.count()),
        ("bodies_begun", written(What::Begin)),
        ("callbacks", written(What::Called)),
        ("cancels", asked(&|what| *what == Asked::Cancel)),
        ("task_cancels", asked(&|what| matches!(what, Asked::GiveUp(_, None)))),
        ("element_cancels", asked(&|what| matches!(what, Asked::GiveUp(_, Some(_))))),
        (
            "run_again",
            of_intent(&|run| {
                matches!(run.intent, Intent::Rerun(_) | Intent::Clear(..)) && was_reopened(&run)
            }),
        ),
        ("joint_submits", of_intent(&|run| matches!(run.intent, Intent::Joint(_)))),
        ("pauses", asked(&|what| *what == Asked::Pause)),
        ("pauses_seen", asked(&|what| *what == Asked::SeenPaused)),
        ("retries", history.runs.iter().filter(was_retried).count()),
        ("keyed_submits", history.acks.iter().filter(|ack| ack.key.is_some()).count()),
        ("keyed_runs", history.runs.iter().filter(|run| run.key.is_some()).count()),
    ] {
        to.count(what, n as u64);
    }
    let (by_another, by_a_restart) = resumptions(aftermath);
    to.time("resumed_by_another_worker", by_another);
    to.time("resumed_by_a_restart", by_a_restart);
}

/// How long it took after the death of a worker until a body of one of its runs began: from the kill to that of
/// another worker that was alive then; and where there was none, from the start of the next.
fn resumptions(aftermath: &Aftermath) -> (Vec<Duration>, Vec<Duration>) {
    let diary = &aftermath.history.diary;
    let spawned = &aftermath.history.spawned;
    // A run that somebody paused goes on when somebody resumes it.
    let paused: HashSet<RunId> =
        aftermath.history.runs.iter().filter(|run| run.intent == Intent::Pause).map(|run| run.id).collect();
    let (mut by_another, mut by_a_restart) = (Vec::new(), Vec::new());
    for life in &aftermath.lives {
        let Some((killed_at, kind)) = life.killed else { continue };
        if kind == Kind::AsZombie {
            continue;
        }
        let mut held = held(aftermath, life.pid, killed_at);
        held.retain(|run| !paused.contains(run));
        let is_next = |line: &&Line| line.at > killed_at && line.pid != life.pid && held.contains(&line.run);
        let Some(next) = diary.iter().find(is_next) else { continue };
        match spawned.get(&next.pid) {
            Some(&spawned_at) if spawned_at > killed_at => by_a_restart.push(next.at.since(spawned_at)),
            _ => by_another.push(next.at.since(killed_at)),
        }
    }
    (by_another, by_a_restart)
}

/// The runs that a worker had bodies of under way when it died.
fn held(aftermath: &Aftermath, pid: u32, killed_at: Timestamp) -> HashSet<RunId> {
    let mut under_way = HashSet::new();
    for line in aftermath.history.diary.iter().filter(|line| line.pid == pid && line.at <= killed_at) {
        let body = (line.run, line.task_run.clone(), line.attempt);
        match line.what {
            What::Begin => drop(under_way.insert(body)),
            What::End | What::Fail => drop(under_way.remove(&body)),
            What::Gone | What::Called | What::Told => {}
        }
    }
    under_way.into_iter().map(|(run, ..)| run).collect()
}
