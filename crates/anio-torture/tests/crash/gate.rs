//! A run whose second task waits for a gate, so that a test holds the moment in which a worker dies.

use std::time::{Duration, Instant};

use anio_core::RunId;
use anio_core::run::FactKind;
use anio_torture::diary::{self, What};
use anio_torture::history::StoredRun;
use anio_torture::settings::Settings;
use anio_torture::special::GATED;
use anio_torture::worker_process::{Event, WorkerProcess};

use crate::{PATIENCE, Place, spawn};

/// Submits a gated run, and waits for it to stand at the gate.
pub(crate) fn submit_gated(place: &Place, worker: &mut WorkerProcess) -> RunId {
    let run = worker.submit(GATED, 0, PATIENCE).unwrap();
    wait_at_gate(place, worker.pid());
    run
}

/// Waits until a body of this process stands at the gate.
pub(crate) fn wait_at_gate(place: &Place, pid: u32) {
    let deadline = Instant::now() + PATIENCE;
    let stands = || {
        let lines = diary::read(&place.settings().diary()).unwrap();
        lines.iter().any(|line| line.pid == pid && line.what == What::Begin && line.task_run.0 == "gate")
    };
    while !stands() {
        assert!(
            Instant::now() < deadline,
            "process {pid} does not reach the gate; the log:\n{}",
            place.log()
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Waits until a worker that runs until idle has come to its end.
pub(crate) fn finish(settings: &Settings) {
    let mut worker = spawn(&Settings { until_idle: true, ..settings.clone() });
    worker.wait_for(PATIENCE, |event| *event == Event::Stopped).unwrap();
    assert!(worker.wait(PATIENCE).unwrap().success());
}

/// The facts of a task in short: their kinds and attempts.
pub(crate) fn facts_of(run: &StoredRun, task: &str) -> Vec<(&'static str, u32)> {
    run.facts.iter().filter(|fact| fact.task == *task).map(|fact| (fact.kind.word(), fact.attempt)).collect()
}

/// Which process brought a task of a gated run to its end.
pub(crate) fn done_by(run: &StoredRun, task: &str) -> u32 {
    let output = run.facts.iter().find_map(|fact| match &fact.kind {
        FactKind::Succeeded { output, .. } if fact.task == *task => Some(output.parse().unwrap()),
        _ => None,
    });
    output.unwrap_or_else(|| panic!("{task} has not succeeded"))
}
