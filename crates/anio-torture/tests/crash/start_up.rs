//! Workers that start: side by side on an empty database, and after one that died or let go.

use std::time::Duration;

use anio_store::record::RunStatus;
use anio_torture::body::now;
use anio_torture::settings::Settings;
use anio_torture::worker_process::Event;

use crate::gate::{done_by, facts_of, finish, submit_gated, wait_at_gate};
use crate::{PATIENCE, Place, spawn, tell};

fn come_up_side_by_side(place: &Place) {
    place.open_gate();
    let settings = place.settings();
    let mut workers = [spawn(&settings), spawn(&settings)];
    for worker in &mut workers {
        let up = worker.wait_for(PATIENCE, |event| *event == Event::Up);
        assert!(up.is_ok(), "{up:?}; the log:\n{}", place.log());
    }
    for worker in &mut workers {
        let run = worker.submit("gated", 0, PATIENCE).unwrap();
        let ended = worker
            .wait_for(PATIENCE, |event| matches!(event, Event::End(ended) if ended.run == run))
            .unwrap();
        assert!(matches!(&ended, Event::End(ended) if ended.status == "succeeded"), "{ended:?}");
    }
}

#[test]
fn two_processes_at_once_come_up_on_an_empty_sqlite_file() {
    come_up_side_by_side(&Place::sqlite());
}

#[test]
fn two_processes_at_once_come_up_on_an_empty_postgres_database() {
    let Some(place) = Place::postgres() else { return };
    come_up_side_by_side(&place);
}

#[test]
fn a_restart_on_the_same_sqlite_file_resumes_without_waiting_for_the_lease() {
    let place = Place::sqlite();
    // A lease of an hour: whoever resumes has not waited for it.
    let settings = Settings { lease: Duration::from_secs(3600), ..place.settings() };
    let mut dead = spawn(&settings);
    let run = submit_gated(&place, &mut dead);
    let (killed_at, _) = dead.kill().unwrap();
    let mut heir = spawn(&settings);
    wait_at_gate(&place, heir.pid());
    tell(&format!("sqlite: at the gate again {:?} after kill -9", now().since(killed_at)));
    place.open_gate();
    heir.shut_down();
    heir.wait_for(PATIENCE, |event| *event == Event::Stopped).unwrap();
    finish(&settings);
    let runs = place.runs();
    assert_eq!((runs[0].id, runs[0].status), (run, RunStatus::Succeeded));
    assert_eq!(done_by(&runs[0], "gate"), heir.pid());
    assert_ne!(done_by(&runs[0], "before"), heir.pid());
}

/// Three times a worker is told to stop while a body is under way that does not end; with a poison limit of
/// one death, a shutdown that counted as a death would show.
fn shutdowns_are_no_deaths(place: &Place) {
    let settings = Settings {
        poison_after: 1,
        lease: Duration::from_secs(3600),
        grace: Duration::from_millis(20),
        ..place.settings()
    };
    let mut worker = spawn(&settings);
    let run = submit_gated(place, &mut worker);
    for _ in 0..3 {
        worker.shut_down();
        worker.wait_for(PATIENCE, |event| *event == Event::Stopped).unwrap();
        assert!(worker.wait(PATIENCE).unwrap().success());
        worker = spawn(&settings);
        wait_at_gate(place, worker.pid());
    }
    place.open_gate();
    worker.shut_down();
    worker.wait_for(PATIENCE, |event| *event == Event::Stopped).unwrap();
    finish(&settings);
    let runs = place.runs();
    assert_eq!((runs[0].id, runs[0].status), (run, RunStatus::Succeeded));
    let mut of_gate = facts_of(&runs[0], "gate");
    of_gate.retain(|(word, _)| *word != "started");
    let interrupted = [("interrupted", 1), ("interrupted", 2), ("interrupted", 3)];
    assert_eq!(of_gate[..3], interrupted, "the log:\n{}", place.log());
    assert_eq!(of_gate.last().map(|(word, _)| *word), Some("succeeded"));
}

#[test]
fn a_graceful_shutdown_on_sqlite_lets_go_and_counts_no_death() {
    shutdowns_are_no_deaths(&Place::sqlite());
}

#[test]
fn a_graceful_shutdown_on_postgres_lets_go_and_counts_no_death() {
    let Some(place) = Place::postgres() else { return };
    shutdowns_are_no_deaths(&place);
}
