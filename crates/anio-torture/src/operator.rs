//! What a worker asks of the runs that it submitted: to stop, to wait, to go on, to give a task up, to try
//! again. One worker alone asks things of a run, but for the last ones, which resume what is still paused; so
//! a run that was seen paused is paused until somebody is about to resume it.
//!
//! It tells of each thing that it asked, as `ASKED <run> <what> <when> <pid>` on standard output: of a resume
//! before it is asked, of everything else after the answer.

use std::fs::File;

use anio::{Engine, Error, RunHandle};
use anio_core::{RunId, Timestamp, Workflow};
use anio_store::record::{RunQuery, RunStatus};

use crate::Result;
use crate::body::{mended, now};
use crate::dice::Dice;
use crate::intent::{ASK_WITHIN, Intent};
use crate::settings::Settings;
use crate::worker::{LOOK_EVERY, say};

/// Something that was asked of a run, or seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The run.
    pub run: RunId,
    /// What.
    pub what: Asked,
    /// When: after the answer, but for a resume.
    pub at: Timestamp,
    /// By which process.
    pub pid: u32,
}

/// What was asked, or seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The run was cancelled.
    Cancel,
    /// This task of it was, or one element of it.
    GiveUp(String, Option<u32>),
    /// A pause was asked for.
    Pause,
    /// The run was seen to be paused.
    SeenPaused,
    /// It is about to be resumed.
    Resume,
    /// Its failed tasks are tried again.
    Retry,
}

impl Ask {
    pub(crate) fn now(run: RunId, what: Asked) -> Self {
        Self { run, what, at: now(), pid: std::process::id() }
    }

    pub(crate) fn tell(&self) {
        let what = match &self.what {
            Asked::Cancel => "cancel",
            Asked::GiveUp(task, None) => &format!("give-up:{task}"),
            Asked::GiveUp(task, Some(index)) => &format!("give-up:{task}/{index}"),
            Asked::Pause => "pause",
            Asked::SeenPaused => "seen-paused",
            Asked::Resume => "resume",
            Asked::Retry => "retry",
        };
        say(&format!("ASKED {} {what} {} {}", self.run, self.at.as_micros(), self.pid));
    }

    /// Reads back what was told, without the first word.
    pub fn of_words(words: &[&str]) -> Option<Self> {
        let [run, what, at, pid] = words else { return None };
        let what = match what.split_once(':').unwrap_or((what, "")) {
            ("cancel", _) => Asked::Cancel,
            ("give-up", task) => match task.split_once('/') {
                Some((task, index)) => Asked::GiveUp(task.to_owned(), Some(index.parse().ok()?)),
                None => Asked::GiveUp(task.to_owned(), None),
            },
            ("pause", _) => Asked::Pause,
            ("seen-paused", _) => Asked::SeenPaused,
            ("resume", _) => Asked::Resume,
            ("retry", _) => Asked::Retry,
            _ => return None,
        };
        let at = Timestamp::from_micros(at.parse().ok()?);
        Some(Self { run: run.parse().ok()?, what, at, pid: pid.parse().ok()? })
    }
}

/// Does with a run of this worker what is meant to be done; ends early where the run is faster.
pub(crate) async fn operate(run: RunHandle, intent: Intent, workflow: Workflow, mut dice: Dice) {
    if let Err(error) = ask(&run, &intent, &workflow, &mut dice).await {
        match error {
            Error::InvalidState { .. } => {}
            error => tracing::warn!(run = %run.id(), %error, "not asked"),
        }
    }
}

async fn ask(run: &RunHandle, intent: &Intent, workflow: &Workflow, dice: &mut Dice) -> anio::Result<()> {
    tokio::time::sleep(dice.duration(ASK_WITHIN)).await;
    match intent {
        Intent::Cancel => {
            run.cancel().await?;
            Ask::now(run.id(), Asked::Cancel).tell();
        }
        Intent::GiveUp(position) => {
            let tasks = workflow.plan().tasks();
            let task = &tasks[*position as usize % tasks.len()].name.to_string();
            run.cancel_task(task).await?;
            Ask::now(run.id(), Asked::GiveUp(task.clone(), None)).tell();
        }
        Intent::GiveUpElement(position, index) => {
            let tasks = workflow.plan().tasks().iter().filter(|task| task.is_dynamic());
            let tasks: Vec<String> = tasks.map(|task| task.name.to_string()).collect();
            let Some(task) = tasks.get(*position as usize % tasks.len().max(1)) else { return Ok(()) };
            run.cancel_element(task, *index).await?;
            Ask::now(run.id(), Asked::GiveUp(task.clone(), Some(*index))).tell();
        }
        Intent::Pause => {
            run.pause().await?;
            Ask::now(run.id(), Asked::Pause).tell();
            while run.status().await? != RunStatus::Paused {
                if run.status().await?.is_terminal() {
                    return Ok(());
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Ask::now(run.id(), Asked::SeenPaused).tell();
            tokio::time::sleep(dice.duration(2 * ASK_WITHIN)).await;
            Ask::now(run.id(), Asked::Resume).tell();
            run.resume().await?;
        }
        _ => {}
    }
    Ok(())
}

/// Mends what failed in a run, and tries it again.
///
/// # Errors
/// Those of the file system and of the engine.
pub(crate) async fn retry(engine: &Engine, settings: &Settings, run: RunId) -> Result<RunHandle> {
    File::create(mended(settings, run))?;
    let handle = engine.retry_failed(run).await?;
    Ask::now(run, Asked::Retry).tell();
    Ok(handle)
}

/// Has some tasks of a run that has ended run again, where that is meant.
///
/// # Errors
/// Those of the engine.
pub(crate) async fn run_again(
    engine: &Engine,
    run: RunId,
    intent: &Intent,
    workflow: &Workflow,
) -> anio::Result<Option<RunHandle>> {
    let tasks = workflow.plan().tasks();
    let chosen = intent.runs_again(tasks.len());
    let names: Vec<&str> = chosen.iter().map(|&position| tasks[position].name.as_str()).collect();
    match names[..] {
        [] => Ok(None),
        [task] => engine.rerun_from(run, task).await.map(Some),
        _ => engine.clear(run, &names).await.map(Some),
    }
}

/// Resumes all that is paused; returns whether there was anything.
///
/// # Errors
/// Those of the engine.
pub(crate) async fn resume_all(engine: &Engine) -> Result<bool> {
    let paused = engine.runs(RunQuery { statuses: vec![RunStatus::Paused], ..RunQuery::default() }).await?;
    for record in &paused {
        Ask::now(record.id, Asked::Resume).tell();
        match engine.run_handle(record.id).await?.resume().await {
            // Another of the last workers was faster.
            Ok(()) | Err(Error::InvalidState { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(!paused.is_empty())
}
