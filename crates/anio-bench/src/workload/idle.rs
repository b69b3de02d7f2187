//! An engine with nothing to do.

use std::time::Duration;

use super::with_engine;
use crate::database::{Backend, Database};
use crate::report::Sample;
use crate::{Result, process};

const WATCHED: Duration = Duration::from_secs(20);

/// What the start has set going is over by then.
const SETTLED: Duration = Duration::from_secs(3);

pub(super) fn idle(backend: Backend) -> Result<Sample> {
    let database = Database::create(backend)?;
    with_engine(&database, async |engine| {
        tokio::time::sleep(SETTLED).await;
        let (cpu, n_statements) = (process::cpu_seconds()?, engine.store().n_statements());
        tokio::time::sleep(WATCHED).await;
        let (cpu, n_statements) =
            (process::cpu_seconds()? - cpu, engine.store().n_statements() - n_statements);
        let seconds = WATCHED.as_secs_f64();
        Ok(Sample {
            figure: n_statements as f64 / seconds,
            limit: None,
            details: vec![
                ("statements", n_statements as f64),
                ("cpu_seconds", cpu),
                ("cpu_percent", cpu / seconds * 100.0),
            ],
        })
    })
}
