//! Each run has a span, each attempt a span within it, and the attempt's span is entered in every lane.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use anio::prelude::*;
use anio::{Lane, TaskCall};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context as LayerContext, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};

/// An event with the fields of all spans around it, innermost first.
type Seen = Vec<(String, HashMap<&'static str, String>)>;

#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<Seen>>>);

#[derive(Default)]
struct Fields(HashMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Recorder {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: LayerContext<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        context.span(id).unwrap().extensions_mut().insert(fields);
    }

    fn on_event(&self, event: &Event<'_>, context: LayerContext<'_, S>) {
        if event.metadata().target() != "body" {
            return;
        }
        let spans = context.event_scope(event).into_iter().flatten();
        let seen = spans.map(|span| {
            let fields = span.extensions().get::<Fields>().map(|fields| fields.0.clone()).unwrap_or_default();
            (span.name().to_owned(), fields)
        });
        self.0.lock().unwrap().push(seen.collect());
    }
}

#[test]
fn bodies_run_in_the_span_of_their_attempt_in_every_lane() {
    let recorder = Recorder::default();
    tracing::subscriber::set_global_default(Registry::default().with(recorder.clone())).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let engine = Engine::open("memory:").await.unwrap();
        let mut builder = Workflow::builder("spans");
        for lane in [Lane::Async, Lane::Cpu, Lane::Blocking] {
            let options = TaskOptions::new().lane(lane).retry(RetryPolicy::attempts(2));
            builder = builder.task(format!("{lane:?}"), options, |call: TaskCall| async move {
                tracing::info!(target: "body", "here");
                if call.handle().attempt() == 1 { Err(TaskError::message("again")) } else { Ok(()) }
            });
        }
        let run = engine.submit(builder.build().unwrap(), ()).await.unwrap();
        assert!(run.wait().await.unwrap().is_success());
        engine.shutdown().await.unwrap();

        let seen = recorder.0.lock().unwrap().clone();
        assert_eq!(seen.len(), 6);
        for lane in ["Async", "Cpu", "Blocking"] {
            for attempt in ["1", "2"] {
                let (run_id, expected) = (run.id().to_string(), |fields: &HashMap<&str, String>| {
                    fields.get("task").is_some_and(|task| task == lane)
                        && fields.get("attempt").is_some_and(|a| a == attempt)
                });
                let spans = seen.iter().find(|spans| expected(&spans[0].1)).unwrap();
                let names: Vec<_> = spans.iter().map(|(name, _)| name.as_str()).collect();
                assert_eq!(names, ["attempt", "run"]);
                assert_eq!((&spans[0].1["run_id"], &spans[1].1["run_id"]), (&run_id, &run_id));
                assert_eq!(spans[1].1["workflow"], "spans");
            }
        }
    });
}
