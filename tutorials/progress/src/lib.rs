//! Waits for a run and meanwhile shows how far its running tasks are, by what they report: a bar for each on a
//! terminal, with its rate and the time left; elsewhere a line for each now and then. All of it goes to stderr,
//! so that what a program prints stays what it prints.

mod bars;

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use anio::{Outcome, RunHandle, TaskProgress};
use indicatif::{MultiProgress, ProgressDrawTarget};
use tokio::time::{MissedTickBehavior, interval};

use crate::bars::Bars;

const REDRAW_EVERY: Duration = Duration::from_millis(100);
const LINES_EVERY: Duration = Duration::from_secs(1);

/// Waits for the end of the run, like [`RunHandle::wait`], and shows its progress.
///
/// # Errors
/// Those of [`RunHandle::wait`].
pub async fn watched(run: &RunHandle) -> anio::Result<Outcome> {
    if stderr().is_terminal() {
        let mut bars = Bars::new(MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));
        let outcome = show(run, REDRAW_EVERY, |progress| bars.draw(progress)).await;
        bars.draw(&[]);
        outcome
    } else {
        show(run, LINES_EVERY, |progress| progress.iter().for_each(|one| eprintln!("{}", line(one)))).await
    }
}

async fn show(
    run: &RunHandle,
    every: Duration,
    mut draw: impl FnMut(&[TaskProgress]),
) -> anio::Result<Outcome> {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await; // The first comes at once, when nothing has begun.
    let mut wait = Box::pin(run.wait());
    loop {
        tokio::select! {
            outcome = &mut wait => return outcome,
            _ = ticks.tick() => draw(&run.progress()),
        }
    }
}

/// What is being counted: the task, its element, the helper or stage.
fn title(progress: &TaskProgress) -> String {
    let element = progress.map_index.map(|index| format!("[{index}]")).unwrap_or_default();
    let what = if progress.what.is_empty() { String::new() } else { format!(" {}", progress.what) };
    format!("{}{element}{what}", progress.task)
}

/// `carriers par_map: 1200 of 2000 (60 %), 400/s, 2.0 s left`.
fn line(progress: &TaskProgress) -> String {
    let mut line = format!("{}: {}", title(progress), progress.done);
    if let Some(total) = progress.total {
        line += &format!(" of {total}");
        if let Some(percent) = (progress.done * 100).checked_div(total) {
            line += &format!(" ({percent} %)");
        }
    }
    if let Some(rate) = progress.rate() {
        line += &format!(", {rate:.0}/s");
    }
    if let Some(left) = progress.time_left() {
        line += &format!(", {:.1} s left", left.as_secs_f64());
    }
    line
}
