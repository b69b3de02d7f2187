//! The bars of a run, one for each count that is reported.

use std::collections::HashMap;

use anio::TaskProgress;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::title;

pub(crate) struct Bars {
    screen: MultiProgress,
    bars: HashMap<String, ProgressBar>,
}

impl Bars {
    pub(crate) fn new(screen: MultiProgress) -> Self {
        Self { screen, bars: HashMap::new() }
    }

    /// Draws what is reported now; the bars of what has ended go away.
    pub(crate) fn draw(&mut self, progress: &[TaskProgress]) {
        let titles: Vec<String> = progress.iter().map(title).collect();
        self.bars.retain(|title, bar| {
            let is_there = titles.contains(title);
            if !is_there {
                bar.finish_and_clear();
            }
            is_there
        });
        for (one, title) in progress.iter().zip(titles) {
            let bar = self.bars.entry(title).or_insert_with_key(|title| new_bar(&self.screen, title, one));
            bar.set_message(measured(one));
            match one.total {
                Some(total) => {
                    bar.set_length(total);
                    bar.set_position(one.done);
                }
                None => bar.set_position(one.done),
            }
        }
    }
}

fn new_bar(screen: &MultiProgress, title: &str, progress: &TaskProgress) -> ProgressBar {
    let (bar, form) = match progress.total {
        Some(total) => (ProgressBar::new(total), "{prefix:20} [{bar:30}] {pos}/{len}{msg}"),
        None => (ProgressBar::no_length(), "{prefix:20} {spinner} {pos}{msg}"),
    };
    let style = ProgressStyle::with_template(form).expect("the template is well-formed");
    let bar = screen.add(bar.with_style(style.progress_chars("=> ")));
    bar.set_prefix(title.to_owned());
    bar
}

/// The rate and the time left, as the engine reckons them: from the reports themselves, not from when they
/// were drawn.
fn measured(progress: &TaskProgress) -> String {
    let rate = progress.rate().map(|rate| format!("  {rate:.0}/s"));
    let left = progress.time_left().map(|left| format!("  {:.1} s left", left.as_secs_f64()));
    rate.into_iter().chain(left).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use anio::TaskCall;
    use anio::prelude::*;
    use indicatif::{InMemoryTerm, ProgressDrawTarget};
    use tokio::sync::Notify;

    use super::*;
    use crate::line;

    #[tokio::test]
    async fn a_task_has_a_bar_or_a_line_while_it_runs() -> anio::Result<()> {
        let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (begins, waits) = (Arc::clone(&begun), Arc::clone(&go_on));
        let workflow = Workflow::builder("files").task("load", TaskOptions::new(), move |call: TaskCall| {
            let (begins, waits) = (Arc::clone(&begins), Arc::clone(&waits));
            async move {
                call.handle().progress(0, 40);
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                call.handle().progress(10, 40);
                begins.notify_one();
                waits.notified().await;
                Ok::<_, TaskError>(())
            }
        });
        let engine = Engine::open("memory:").await?;
        let run = engine.submit(workflow.build()?, ()).await?;
        begun.notified().await;
        let progress = run.progress();

        let line = line(&progress[0]);
        assert!(line.starts_with("load: 10 of 40 (25 %), ") && line.ends_with(" s left"), "{line}");

        let terminal = InMemoryTerm::new(5, 100);
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(terminal.clone()), 255);
        let mut bars = Bars::new(MultiProgress::with_draw_target(target));
        bars.draw(&progress);
        bars.bars["load"].tick();
        let drawn = terminal.contents();
        assert!(drawn.starts_with("load                 [=======>"), "{drawn}");
        assert!(drawn.contains("] 10/40  ") && drawn.ends_with(" s left"), "{drawn}");

        go_on.notify_one();
        assert!(run.wait().await?.is_success());
        bars.draw(&run.progress());
        assert_eq!(terminal.contents(), "");
        engine.shutdown().await
    }
}
