//! A second worker on the same Postgres database takes over from one that died, or that was away for too long.

use std::time::Duration;

use anio_core::RunId;
use anio_store::record::RunStatus;
use anio_torture::body::now;
use anio_torture::settings::Settings;
use anio_torture::worker_process::{Event, WorkerProcess};

use crate::gate::{done_by, facts_of, submit_gated, wait_at_gate};
use crate::{PATIENCE, Place, spawn, tell};

/// Waits until the heir has brought the run to its end; a shutdown before that would hand it on once more.
fn wait_for_end(heir: &mut WorkerProcess, run: RunId) {
    let ended =
        heir.wait_for(PATIENCE, |event| matches!(event, Event::End(ended) if ended.run == run)).unwrap();
    assert!(matches!(&ended, Event::End(ended) if ended.status == "succeeded"), "{ended:?}");
}

#[test]
fn a_live_worker_takes_over_the_runs_of_one_that_was_killed() {
    let Some(place) = Place::postgres() else { return };
    let settings = place.settings();
    let mut victim = spawn(&settings);
    let run = submit_gated(&place, &mut victim);
    let mut heir = spawn(&settings);
    heir.wait_for(PATIENCE, |event| *event == Event::Up).unwrap();
    let victim_pid = victim.pid();
    let (killed_at, _) = victim.kill().unwrap();
    wait_at_gate(&place, heir.pid());
    tell(&format!("postgres: at the gate in another process {:?} after kill -9", now().since(killed_at)));
    place.open_gate();
    wait_for_end(&mut heir, run);
    let runs = place.runs();
    assert_eq!((runs[0].id, runs[0].status), (run, RunStatus::Succeeded));
    // What had succeeded is kept; what was under way is done by the heir, as the next attempt or, where the
    // start of the first was not durable yet, as the first again.
    assert_eq!((done_by(&runs[0], "before"), done_by(&runs[0], "gate")), (victim_pid, heir.pid()));
}

#[test]
fn a_worker_that_was_stopped_for_longer_than_its_lease_commits_nothing_and_says_so() {
    let Some(place) = Place::postgres() else { return };
    let settings = Settings { lease: Duration::from_secs(1), ..place.settings() };
    let mut zombie = spawn(&settings);
    let run = submit_gated(&place, &mut zombie);
    let mut heir = spawn(&settings);
    heir.wait_for(PATIENCE, |event| *event == Event::Up).unwrap();
    zombie.signal("STOP").unwrap();
    let stopped_at = now();
    wait_at_gate(&place, heir.pid());
    tell(&format!("postgres: at the gate in another process {:?} after SIGSTOP", now().since(stopped_at)));
    // The gate opens for both: the zombie's body ends too, and its worker tries to record that.
    place.open_gate();
    zombie.signal("CONT").unwrap();
    let deadline = std::time::Instant::now() + PATIENCE;
    while !place.log().contains("the lease is lost") {
        assert!(std::time::Instant::now() < deadline, "the zombie says nothing:\n{}", place.log());
        std::thread::sleep(Duration::from_millis(5));
    }
    wait_for_end(&mut heir, run);
    let runs = place.runs();
    assert_eq!((runs[0].id, runs[0].status), (run, RunStatus::Succeeded));
    for task in ["gate", "after"] {
        assert_ne!(done_by(&runs[0], task), zombie.pid(), "{task} was recorded by the zombie");
        let succeeded = facts_of(&runs[0], task).into_iter().filter(|(word, _)| *word == "succeeded");
        assert_eq!(succeeded.count(), 1);
    }
}
