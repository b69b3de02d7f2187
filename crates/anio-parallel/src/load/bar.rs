//! The progress bar of a load test.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::recorder::Recorder;

const REFRESH: Duration = Duration::from_millis(200);

/// What a person sees on the standard error while a test runs; nothing where nobody looks.
pub(super) struct Bar(Option<ProgressBar>);

impl Bar {
    pub(super) const fn hidden() -> Self {
        Self(None)
    }

    pub(super) fn on_terminal(total: Duration) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::hidden();
        }
        let style = ProgressStyle::with_template("{bar:30} {percent:>3} % {msg}");
        let bar = ProgressBar::new(millis(total));
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self(Some(bar))
    }

    /// Shows how far the work has come until it is done.
    pub(super) async fn watch<T>(
        self,
        start: Instant,
        recorder: &Recorder,
        work: impl Future<Output = T>,
    ) -> T {
        let Some(bar) = &self.0 else { return work.await };
        let mut refresh = interval(REFRESH);
        refresh.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = refresh.tick() => {
                    let (n_answered, n_errors) = recorder.so_far();
                    bar.set_position(millis(start.elapsed()));
                    bar.set_message(format!("{n_answered} requests, {n_errors} errors"));
                }
            }
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
