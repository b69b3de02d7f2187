//! A subscriber that keeps the spans of the engine and draws them as a tree: a run, its attempts, their items.

use std::collections::BTreeMap;
use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// A span that has ended: the path of its names, from the run down, and the time that it was open.
type Ended = (Vec<String>, Duration);

/// Keeps spans; what is drawn is what has ended.
#[derive(Clone, Debug, Default)]
pub struct Tree(Arc<Mutex<Vec<Ended>>>);

// region: layer
impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Tree {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let span = context.span(id).expect("the span is new");
        // A run is called after its workflow, an attempt after its task.
        let mut name = Name(span.name().to_owned());
        attributes.record(&mut name);
        span.extensions_mut().insert((name.0, Instant::now()));
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let span = context.span(&id).expect("the span is closed after this");
        let (mut path, mut opened) = (Vec::new(), None);
        for span in span.scope() {
            if let Some((name, at)) = span.extensions().get::<(String, Instant)>() {
                path.push(name.clone());
                opened = opened.or(Some(*at));
            }
        }
        path.reverse();
        let took = opened.map(|at| at.elapsed()).unwrap_or_default();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((path, took));
    }
}
// endregion

struct Name(String);

impl Visit for Name {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if let "workflow" | "task" = field.name() {
            self.0 = format!("{} {}", self.0, format!("{value:?}").trim_matches('"'));
        }
    }
}

impl Tree {
    /// One line for each path; spans of one path are counted and their times added up.
    pub fn draw(&self) -> String {
        let mut lines = BTreeMap::<Vec<String>, (usize, Duration)>::new();
        for (path, took) in &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            let line = lines.entry(path.clone()).or_default();
            *line = (line.0 + 1, line.1 + *took);
        }
        let mut drawn = String::new();
        for (path, (n, took)) in lines {
            let indent = "  ".repeat(path.len() - 1);
            let what = format!("{indent}{n} × {}", path[path.len() - 1]);
            writeln!(drawn, "{what:32} {:5} ms", took.as_millis()).expect("a text can be written to");
        }
        drawn
    }
}
