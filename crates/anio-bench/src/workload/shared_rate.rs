//! A rate that all workers of a database share: this process and, where the database can be shared, another.

use std::env;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anio::{Engine, TaskCall, TaskError, TaskOptions, Workflow};
use tokio::runtime::Runtime;

use crate::Result;
use crate::database::{Backend, Database};
use crate::report::Sample;

/// Starts per second that all may make together.
const RATE: f64 = 100.0;

/// Starts that are counted: those of so long, from the first.
const WATCHED: Duration = Duration::from_secs(10);

/// More than can start in that time.
const N_RUNS: usize = 1500;

/// Runs that a worker holds at one time, so that there are some for the other one.
const N_LIVE: usize = 20;

/// A process that ends with this value.
struct Other(Child);

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(super) fn shared_rate(backend: Backend) -> Result<Sample> {
    let database = Database::with_tables(backend)?;
    let _other = match backend {
        Backend::Sqlite => None,
        Backend::Postgres => {
            let mut command = Command::new(env::current_exe()?);
            command.args(["--worker", &database.url()]).stdout(Stdio::null());
            Some(Other(command.spawn()?))
        }
    };
    let runtime = Runtime::new()?;
    runtime.block_on(async {
        let engine = start(&database.url()).await?;
        engine.submit_many(workflow()?, (0..N_RUNS).map(|_| ())).await?;
        tokio::time::sleep(WATCHED + Duration::from_secs(2)).await;
        engine.shutdown().await?;
        Result::Ok(())
    })?;
    runtime.shutdown_timeout(Duration::from_secs(1));
    let micros = WATCHED.as_micros();
    let n_started = database.number(&format!(
        "select count(*) from anio_attempts where kind = 'succeeded' and started_at
            < (select min(started_at) from anio_attempts where kind = 'succeeded') + {micros}"
    ))?;
    let n_workers =
        database.number("select count(distinct worker) from anio_runs where status = 'succeeded'")?;
    Ok(Sample {
        figure: n_started as f64 / WATCHED.as_secs_f64(),
        limit: Some(RATE),
        details: vec![("started", n_started as f64), ("workers", n_workers as f64)],
    })
}

/// Works on what others have submitted, until it is killed.
pub(crate) fn work(url: &str) -> Result<()> {
    Runtime::new()?.block_on(async {
        let _engine = start(url).await?;
        std::future::pending().await
    })
}

async fn start(url: &str) -> Result<Engine> {
    let rate = format!("{RATE}/s");
    let engine = Engine::builder().store(url).workflow(workflow()?).live_runs_max(N_LIVE);
    let engine = engine.shared_resource_rate("api", rate.as_str());
    Ok(engine.shutdown_grace(Duration::from_millis(100)).start().await?)
}

fn workflow() -> Result<Workflow> {
    let options = TaskOptions::new().needs("api", 1);
    let ask = |_: TaskCall| async { Ok::<_, TaskError>(()) };
    Ok(Workflow::builder("shared-rate").task("ask", options, ask).build()?)
}
