//! What people do with runs: submit them once only, hold them, stop them, do them again, look for them, delete
//! them.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anio::error::FailureKind;
use anio::prelude::*;
use anio::{Error as EngineError, StoreError};
use tokio::sync::watch;

/// The archive that the days of a month are sent to.
pub struct Archive {
    state: watch::Sender<Doors>,
    n_uploads: AtomicU32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doors {
    Open,
    /// Whoever comes waits.
    Closed,
    /// There is no place for the 13th.
    Full,
}

// region: workflow
#[workflow]
mod archive {
    use std::fs;
    use std::sync::Arc;

    use anio::prelude::*;

    use super::{Archive, data};

    /// How many flights there were on each day of the month.
    #[task(blocking)]
    pub fn days(month: Input<u32>) -> Result<Vec<u32>> {
        let flights = fs::read_to_string(data(*month))?;
        let mut days = vec![0; 31];
        for line in flights.lines().skip(1) {
            let day: usize = line.split(',').nth(2).unwrap_or_default().parse()?;
            days[day - 1] += 1;
        }
        Ok(days)
    }

    /// Sends one day, at most four at one time.
    #[task(concurrency = 4)]
    pub async fn upload(days: Each<u32>, task: TaskHandle, archive: State<Arc<Archive>>) -> Result<u32> {
        archive.upload(task.map_index()).await?;
        Ok(*days)
    }

    #[task]
    pub fn report(upload: &[u32]) -> Result<String> {
        Ok(format!("{} flights on {} days", upload.iter().sum::<u32>(), upload.len()))
    }
}
// endregion

impl Archive {
    fn doors(&self, doors: Doors) {
        self.state.send_replace(doors);
    }

    async fn upload(&self, index: Option<u32>) -> Result<()> {
        let doors = *self.state.subscribe().wait_for(|doors| *doors != Doors::Closed).await?;
        if doors == Doors::Full && index == Some(12) {
            return Err(TaskError::message("there is no place for the 13th"));
        }
        self.n_uploads.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// How many uploads there were since the last time.
    fn n_uploads(&self) -> u32 {
        self.n_uploads.swap(0, Ordering::Relaxed)
    }
}

fn data(month: u32) -> String {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/nycflights13");
    directory.join(format!("flights-2013-{month:02}.csv")).display().to_string()
}

type Done = Result<(), Box<dyn Error>>;

// region: submit
async fn submit(engine: &Engine, archive: &Archive) -> Result<RunHandle, Box<dyn Error>> {
    archive.doors(Doors::Closed);
    let january = engine.submit(archive::workflow(), 1).idempotency_key("order 42").tag("nightly").await?;
    let again = engine.submit(archive::workflow(), 1).idempotency_key("order 42").await?;
    println!("the same order: the same run, {}", january.id() == again.id());

    match engine.submit(archive::workflow(), 2).idempotency_key("order 42").await {
        Err(EngineError::Store(StoreError::IdempotencyConflict { run, .. })) => {
            println!("the same order for another month: refused, {}", run == january.id());
        }
        other => println!("{other:?}"),
    }

    let hour = Duration::from_secs(3600);
    let later = engine.submit(archive::workflow(), 1).after(hour).priority(5).tag("nightly").await?;
    println!("in an hour: {}", later.status().await?);
    Ok(january)
}
// endregion

// region: pause
async fn pause(run: &RunHandle, archive: &Archive) -> Done {
    until_uploading(run).await?;
    run.pause().await?;
    archive.doors(Doors::Open);
    while run.status().await? != RunStatus::Paused {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!("paused: {}", uploads(run).await?);
    run.resume().await?;
    let outcome = run.wait().await?.ok()?;
    println!("resumed: {}, {}", uploads(run).await?, outcome.output::<archive::report>()?);
    archive.n_uploads();
    Ok(())
}
// endregion

// region: retry
async fn retry(engine: &Engine, archive: &Archive) -> Done {
    archive.doors(Doors::Full);
    let run = engine.submit(archive::workflow(), 1).tag("nightly").await?;
    let outcome = run.wait().await?;
    println!("{}", outcome.error().map(ToString::to_string).unwrap_or_default());
    println!("failed: {}; {} sent", uploads(&run).await?, archive.n_uploads());

    archive.doors(Doors::Open);
    let outcome = engine.retry_failed(run.id()).await?.wait().await?.ok()?;
    println!("retried: {}; {} sent", uploads(&run).await?, archive.n_uploads());

    let attempts = |outcome: &Outcome| outcome.tasks().iter().map(|task| task.attempts).sum::<u32>();
    println!("{} attempts in all", attempts(&outcome));
    let outcome = engine.rerun_from(run.id(), "report").await?.wait().await?.ok()?;
    println!("run again from the report: {} attempts, {} sent", attempts(&outcome), archive.n_uploads());
    Ok(())
}
// endregion

// region: stop
async fn stop(engine: &Engine, archive: &Archive) -> Done {
    archive.doors(Doors::Closed);
    let run = engine.submit(archive::workflow(), 1).tag("by hand").await?;
    until_uploading(&run).await?;
    run.cancel().await?;
    println!("cancelled: the run is {}; {}", run.wait().await?.status(), uploads(&run).await?);
    if let Err(EngineError::InvalidState { status, .. }) = engine.retry_failed(run.id()).await {
        println!("to retry it: refused, since it is {status}");
    }

    let limit = Duration::from_millis(300);
    let run = engine.submit(archive::workflow(), 1).within(limit).tag("by hand").await?;
    let outcome = run.wait().await?;
    let is_late = outcome.error().is_some_and(|error| error.failure.kind == FailureKind::Timeout);
    println!("too late: the run {}, for its deadline: {is_late}", outcome.status());
    Ok(())
}
// endregion

// region: list
async fn list(engine: &Engine) -> Done {
    let mut query = RunQuery { tag: Some("nightly".to_owned()), limit: 2, ..RunQuery::default() };
    loop {
        let page = engine.runs(query.clone()).await?;
        let Some(last) = page.last() else { break };
        let states: Vec<_> = page.iter().map(|run| run.status.to_string()).collect();
        println!("nightly: {}", states.join(", "));
        query.before = Some(last.id);
    }
    let failed = RunQuery { statuses: vec![RunStatus::Failed], ..RunQuery::default() };
    println!("failed: {}", engine.runs(failed).await?.len());
    Ok(())
}
// endregion

// region: prune
async fn prune(engine: &Engine) -> Done {
    let month = Duration::from_secs(30 * 24 * 60 * 60);
    println!("older than a month: {}", engine.prune(month, &[]).await?);
    println!("failed: {}", engine.prune(Duration::ZERO, &[RunStatus::Failed]).await?);
    println!("all that have ended: {}", engine.prune(Duration::ZERO, &[]).await?);
    println!("left: {}", engine.runs(RunQuery::default()).await?.len());
    Ok(())
}
// endregion

// region: look
/// Waits until four uploads are under way: more are not at one time.
async fn until_uploading(run: &RunHandle) -> Done {
    while uploads(run).await? != "4 running, 27 waiting" {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// How many uploads are in which state.
async fn uploads(run: &RunHandle) -> Result<String, Box<dyn Error>> {
    let mut states = std::collections::BTreeMap::new();
    for task in run.tasks().await? {
        if task.name == "upload" {
            *states.entry(task.status.to_string()).or_insert(0) += 1;
        }
    }
    let states: Vec<_> = states.iter().map(|(state, n)| format!("{n} {state}")).collect();
    Ok(states.join(", "))
}
// endregion

// region: main
#[tokio::main]
async fn main() -> Done {
    let directory = tempfile::tempdir()?;
    let database = format!("sqlite://{}", directory.path().join("archive.db").display());
    let archive = Arc::new(Archive { state: watch::Sender::new(Doors::Open), n_uploads: AtomicU32::new(0) });
    let engine = Engine::builder().store(database).state(Arc::clone(&archive)).start().await?;

    println!("# submit");
    let january = submit(&engine, &archive).await?;
    println!("\n# pause");
    pause(&january, &archive).await?;
    println!("\n# retry");
    retry(&engine, &archive).await?;
    println!("\n# stop");
    stop(&engine, &archive).await?;
    println!("\n# list");
    list(&engine).await?;
    println!("\n# prune");
    prune(&engine).await?;

    engine.shutdown().await?;
    Ok(())
}
// endregion
