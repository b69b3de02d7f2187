//! A task that takes its worker down every time.

use anio_core::RunId;
use anio_core::error::FailureKind;
use anio_core::run::FactKind;
use anio_store::record::RunStatus;
use anio_torture::settings::Settings;
use anio_torture::special::{DEADLY, GATED};

use crate::gate::finish;
use crate::{PATIENCE, Place, spawn};

#[test]
fn a_task_that_ends_its_process_every_time_fails_as_poison_and_its_sibling_finishes() {
    let place = Place::sqlite();
    let settings = Settings { poison_after: 3, ..place.settings() };
    place.open_gate();
    let mut worker = spawn(&settings);
    let deadly: RunId = worker.submit(DEADLY, 0, PATIENCE).unwrap();
    let sibling: RunId = worker.submit(GATED, 0, PATIENCE).unwrap();
    let mut n_deaths = 0;
    loop {
        let status = worker.wait(PATIENCE).unwrap();
        if status.success() {
            break;
        }
        n_deaths += 1;
        assert!(n_deaths <= 10, "it goes on dying");
        worker = spawn(&Settings { until_idle: true, ..settings.clone() });
    }
    // A worker may die before the start of its first attempt is durable; from then on each start is.
    assert!((3..=4).contains(&n_deaths), "{n_deaths} deaths");
    finish(&settings);
    let runs = place.runs();
    let of = |id| runs.iter().find(|run| run.id == id).unwrap();
    assert_eq!((of(deadly).status, of(sibling).status), (RunStatus::Failed, RunStatus::Succeeded));
    let FactKind::Failed { failure, retry_at: None, .. } = &of(deadly).facts.last().unwrap().kind else {
        panic!("{:?}", of(deadly).facts);
    };
    assert_eq!(failure.kind, FailureKind::Poison);
    assert!(failure.message.contains("3 deaths"), "{}", failure.message);
}
