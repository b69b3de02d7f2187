//! What a worker asks of the runs that it submitted: to stop, to wait, to go on, to give a task up, to try
//! again. One worker alone asks things of a run, but for the last ones, which resume what is still paused; so
//! a run that was seen paused is paused until somebody is about to resume it.
//!
//! It tells of each thing that it asked, as `ASKED <run> <what> <when> <pid>` on standard output: of a resume
//! before it is asked, of everything else after the answer.

use std::fs::File;
use std::sync::Arc;

use anio::{Engine, Error, RunHandle};
use anio_core::{RunId, Timestamp};
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
    /// This task of it was.
    GiveUp(String),
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
    fn now(run: RunId, what: Asked) -> Self {
        Self { run, what, at: now(), pid: std::process::id() }
    }

    fn tell(&self) {
        let what = match &self.what {
            Asked::Cancel => "cancel",
            Asked::GiveUp(task) => &format!("give-up:{task}"),
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
            ("give-up", task) => Asked::GiveUp(task.to_owned()),
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
pub(crate) async fn operate(run: RunHandle, intent: Intent, tasks: Arc<[String]>, mut dice: Dice) {
    if let Err(error) = ask(&run, &intent, &tasks, &mut dice).await {
        match error {
            Error::InvalidState { .. } => {}
            error => tracing::warn!(run = %run.id(), %error, "not asked"),
        }
    }
}

async fn ask(run: &RunHandle, intent: &Intent, tasks: &[String], dice: &mut Dice) -> anio::Result<()> {
    tokio::time::sleep(dice.duration(ASK_WITHIN)).await;
    match intent {
        Intent::Cancel => {
            run.cancel().await?;
            Ask::now(run.id(), Asked::Cancel).tell();
        }
        Intent::GiveUp(position) => {
            let Some(task) = tasks.get(*position as usize % tasks.len().max(1)) else { return Ok(()) };
            run.cancel_task(task).await?;
            Ask::now(run.id(), Asked::GiveUp(task.clone())).tell();
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
        Intent::Plain | Intent::Late(_) | Intent::Generous(_) | Intent::Due(_) | Intent::Keyed => {}
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
