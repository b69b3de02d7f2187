//! A process is harmed at every call by which it changes the database, for one run of three tasks; on Postgres at
//! a sample of them, and of all that there is.

use std::path::PathBuf;

use anio_testkit::postgres;
use anio_torture::points::Tour;
use anio_torture::points::play::{Backend, Scene};

fn tour(backend: Backend, scenes: Vec<Scene>) -> Tour {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_anio-torture"));
    Tour { scenes, n_jobs: 2, ..Tour::new(program, backend, "test") }
}

#[test]
fn a_small_dag_survives_every_crash_point_on_sqlite() {
    let figures = tour(Backend::Sqlite, vec![Scene::Small]).go().unwrap();
    assert_eq!(figures.violations, 0);
    assert!(figures.of("plays") > 30 && figures.of("kills") > 15, "{figures:?}");
}

#[test]
fn everything_survives_a_sample_of_the_crash_points() {
    let mut backends = vec![Backend::Sqlite];
    backends.extend((!postgres::is_off()).then_some(Backend::Postgres));
    for backend in backends {
        let figures = Tour { every: 60, ..tour(backend, vec![Scene::Whole, Scene::Takeover]) }.go().unwrap();
        assert_eq!(figures.violations, 0);
        assert!(figures.of("points") > 100 && figures.of("plays") > 4, "{figures:?}");
    }
}
