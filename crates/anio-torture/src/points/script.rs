//! What a process does while it passes the points: one thing after the other, so that the n-th call of a verb
//! is about the same every time.
//!
//! It speaks as a [`worker`] does, tells the diary when it has told an end, and says at last how
//! often each verb was called: `COUNT <verb> <n>`.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use anio::{Engine, RunHandle};
use anio_core::{TaskError, TaskOptions, Workflow};
use anio_store::record::{Request, Requested, RunQuery, RunStatus};
use anio_store::{Store, StoreOptions};
use rustix::process::{Signal, getpid, kill_process};
use serde::{Deserialize, Serialize};

use super::backend::{Fated, Pointed};
use super::blueprints::{self, DAGS, N, dag};
use super::point::Point;
use crate::Result;
use crate::body::{self, RunInput, mended, now};
use crate::diary::{Diary, Line, What};
use crate::operator::{self, Ask, Asked};
use crate::settings::Settings;
use crate::surroundings::Process;
use crate::worker::{self, LOOK_EVERY, say};

/// A workflow that is pruned: nothing of it ever begins.
const HUSK: &str = "husk";

/// How long a call is tried again.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// One small run.
    Small,
    /// Everything.
    Whole,
    /// Begins a lot, and is killed in the middle of it, always at the same place.
    Wreck,
    /// Finishes what is there.
    Finish,
}

/// What a process is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Orders {
    /// Where the store and the diary are.
    pub settings: Settings,
    /// What it does.
    pub part: Part,
    /// Where it is harmed.
    pub point: Option<Point>,
}

/// Does what it is told.
///
/// # Errors
/// Those of the engine.
pub async fn run(orders: Orders) -> Result<()> {
    let Orders { settings, part, point } = orders;
    let diary = Arc::new(Diary::open(&settings.diary())?);
    let (mut workflows, process) = (Vec::new(), Process::around(&settings, &diary));
    for blueprint in blueprints::all() {
        workflows.push(body::workflow(&blueprint, &process)?);
    }
    let husk = Workflow::builder(HUSK);
    workflows.push(husk.task("never", TaskOptions::new(), |_| async { Ok::<_, TaskError>(()) }).build()?);
    let fated = Fated::new(point);
    let (url, its_fate) = (settings.url.clone(), Arc::clone(&fated));
    // A connection waits, which no thread of tokio may.
    let backend = tokio::task::spawn_blocking(move || Pointed::connect(&url, its_fate)).await??;
    let options = StoreOptions { patience: PATIENCE, ..StoreOptions::default() };
    let store = Store::with_backend(Box::new(backend), options).await?;
    let builder = settings.engine().open_store(store);
    let engine = workflows.iter().cloned().fold(builder, anio::EngineBuilder::workflow).start().await?;
    say("UP");
    let script = Script { engine, settings, workflows, diary };
    match part {
        Part::Small => script.small().await,
        Part::Whole => script.whole().await,
        Part::Wreck => script.wreck().await,
        Part::Finish => script.finish().await,
    }?;
    script.engine.shutdown().await?;
    say("STOPPED");
    for (verb, n) in fated.counts() {
        say(&format!("COUNT {} {n}", verb.word()));
    }
    Ok(())
}

struct Script {
    engine: Engine,
    settings: Settings,
    workflows: Vec<Workflow>,
    diary: Arc<Diary>,
}

impl Script {
    async fn small(&self) -> Result<()> {
        self.play(&dag(DAGS - 1)).await;
        Ok(())
    }

    async fn whole(&self) -> Result<()> {
        lenient("a husk was not pruned", self.prune().await);
        for n in 0..DAGS {
            self.play(&dag(n)).await;
        }
        tokio::join!(self.play("mapped"), self.play("again"), self.play("limited"), self.play("bad"));
        tokio::join!(self.play("tree"), self.play("steps"), self.play("enough"));
        lenient("not keyed", self.keyed().await);
        lenient("not cancelled", self.cancel().await);
        lenient("not paused", self.pause().await);
        lenient("not given up", self.give_up().await);
        // The shutdown finds a body of it under way.
        drop(self.submit("slow").await);
        tokio::time::sleep(Duration::from_millis(10)).await;
        Ok(())
    }

    /// Leaves behind: maps, a tree, steps and a chain in the middle, a retry to come, a cancel and a pause that were
    /// asked for and not carried out, a task that was given up.
    async fn wreck(&self) -> Result<()> {
        let (mapped, again, limited, tree, steps, enough) = tokio::join!(
            self.submit("mapped"),
            self.submit("again"),
            self.submit("limited"),
            self.submit("tree"),
            self.submit("steps"),
            self.submit("enough")
        );
        let (cancelled, paused, robbed) = tokio::join!(
            self.submit_meant("slow", "cancel"),
            self.submit_meant("slow", "pause"),
            self.submit_meant("slow", "give-up:1")
        );
        mapped.and(again).and(limited).and(tree).and(steps).and(enough)?;
        tokio::time::sleep(Duration::from_millis(25)).await;
        let store = self.engine.store();
        // In the store alone: asked of the engine, it would be done before the process is gone.
        let (cancelled, paused) = (cancelled?.id(), paused?.id());
        // A slow machine may have ended them before.
        if !matches!(store.request(cancelled, Request::Cancel).await?, Requested::Refused(_)) {
            // Nobody has told the worker: it may end the run before it hears of it, and dies soon after.
            Ask { pid: 0, ..Ask::now(cancelled, Asked::Cancel) }.tell();
        }
        if !matches!(store.request(paused, Request::Pause).await?, Requested::Refused(_)) {
            Ask::now(paused, Asked::Pause).tell();
        }
        lenient("not given up", self.give_up_of(&robbed?).await);
        loop {
            kill_process(getpid(), Signal::KILL)?;
        }
    }

    async fn finish(&self) -> Result<()> {
        lenient("not keyed", self.keyed().await);
        let open = RunQuery { statuses: vec![RunStatus::Queued, RunStatus::Running], ..RunQuery::default() };
        loop {
            let runs = self.engine.runs(open.clone()).await?;
            for husk in runs.iter().filter(|run| run.workflow == *HUSK) {
                lenient(
                    "a husk stays",
                    self.engine.run_handle(husk.id).await?.cancel().await.map_err(Into::into),
                );
            }
            let resumed = operator::resume_all(&self.engine).await;
            if runs.is_empty() && resumed.as_ref().is_ok_and(|resumed| !resumed) {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY / 2).await;
        }
    }

    // ------ one thing each ------

    async fn submit(&self, name: &str) -> Result<RunHandle> {
        let workflow = self.workflow(name);
        let handle = self.engine.submit(workflow, RunInput { n: N }).await?;
        say(&format!("ACK {} {name} {N}", handle.id()));
        Ok(handle)
    }

    /// Submits a run and waits for it; one that fails is mended and retried.
    async fn play(&self, name: &str) {
        let played = async {
            let run = self.submit(name).await?;
            if self.wait(&run).await? == RunStatus::Failed {
                File::create(mended(&self.settings, run.id()))?;
                let again = self.engine.retry_failed(run.id()).await?;
                Ask::now(run.id(), Asked::Retry).tell();
                self.wait(&again).await?;
            }
            Ok(())
        };
        lenient(name, played.await);
    }

    async fn wait(&self, run: &RunHandle) -> Result<RunStatus> {
        let (status, _) = worker::wait(run).await.ok_or("not waited for to the end")?;
        if status == RunStatus::Succeeded {
            self.note_told(run);
        }
        Ok(status)
    }

    /// From here on in the diary nothing of the run may begin.
    fn note_told(&self, run: &RunHandle) {
        self.diary.write(&Line {
            at: now(),
            pid: std::process::id(),
            what: What::Told,
            run: run.id(),
            task_run: ("-".to_owned(), None),
            attempt: 0,
            inputs: 0,
        });
    }

    async fn keyed(&self) -> Result<()> {
        for _ in 0..2 {
            let submit = self.engine.submit(self.workflow(&dag(0)), RunInput { n: N });
            let run = submit.tag("keyed").idempotency_key("key").await?;
            say(&format!("ACK {} {} {N} key", run.id(), dag(0)));
            self.wait(&run).await?;
        }
        Ok(())
    }

    async fn cancel(&self) -> Result<()> {
        // It waits behind the first for what both need, and is cancelled while it does.
        let first = self.submit("slow").await?;
        let run = self.submit_meant("slow", "cancel").await?;
        run.cancel().await?;
        Ask::now(run.id(), Asked::Cancel).tell();
        self.wait(&run).await?;
        self.wait(&first).await.map(drop)
    }

    async fn pause(&self) -> Result<()> {
        // Those that wait for what the first of them holds get it when the run does not start them any more.
        let run = self.submit_meant("limited", "pause").await?;
        run.pause().await?;
        Ask::now(run.id(), Asked::Pause).tell();
        loop {
            match run.status().await? {
                RunStatus::Paused => break,
                // It was faster.
                status if status.is_terminal() => return Ok(()),
                _ => tokio::time::sleep(LOOK_EVERY / 4).await,
            }
        }
        Ask::now(run.id(), Asked::SeenPaused).tell();
        Ask::now(run.id(), Asked::Resume).tell();
        run.resume().await?;
        self.wait(&run).await.map(drop)
    }

    async fn give_up(&self) -> Result<()> {
        let run = self.submit_meant("slow", "give-up:1").await?;
        self.give_up_of(&run).await?;
        self.wait(&run).await.map(drop)
    }

    async fn give_up_of(&self, run: &RunHandle) -> Result<()> {
        run.cancel_task("second").await?;
        Ask::now(run.id(), Asked::GiveUp("second".to_owned(), None)).tell();
        Ok(())
    }

    async fn submit_meant(&self, name: &str, intent: &str) -> Result<RunHandle> {
        let handle = self.engine.submit(self.workflow(name), RunInput { n: N }).tag(intent).await?;
        say(&format!("ACK {} {name} {N}", handle.id()));
        tokio::time::sleep(Duration::from_millis(5)).await;
        Ok(handle)
    }

    async fn prune(&self) -> Result<()> {
        let husk =
            self.engine.submit(self.workflow(HUSK), RunInput { n: N }).after(Duration::from_secs(3600));
        husk.await?.cancel().await?;
        self.engine.prune(Duration::ZERO, &[RunStatus::Cancelled]).await?;
        Ok(())
    }

    fn workflow(&self, name: &str) -> Workflow {
        self.workflows.iter().find(|workflow| *workflow.name() == *name).expect("a known name").clone()
    }
}

/// What is harmed may fail; what was not acknowledged need not have happened.
fn lenient(what: &str, done: Result<()>) {
    if let Err(error) = done {
        tracing::warn!(%error, what, "not done");
    }
}
