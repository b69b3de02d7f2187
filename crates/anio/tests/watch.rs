//! An async task that holds a thread of tokio is told of; work on the other lanes is not.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use anio::Lane;
use anio::prelude::*;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context as LayerContext, SubscriberExt};
use tracing_subscriber::{Layer, Registry};

/// The field `task` of each warning that names how long a thread was held.
#[derive(Clone, Default)]
struct Held(Arc<Mutex<Vec<String>>>);

#[derive(Default)]
struct Fields {
    task: Option<String>,
    held_ms: Option<u64>,
}

impl Visit for Fields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "held_ms" {
            self.held_ms = Some(value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "task" {
            self.task = Some(format!("{value:?}"));
        }
    }
}

impl<S: Subscriber> Layer<S> for Held {
    fn on_event(&self, event: &Event<'_>, _context: LayerContext<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        if let (&Level::WARN, Some(held_ms), Some(task)) =
            (event.metadata().level(), fields.held_ms, fields.task)
        {
            assert!(held_ms >= 200);
            self.0.lock().unwrap().push(task);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_an_async_task_that_holds_a_thread_is_told_of_and_only_once() {
    let held = Held::default();
    tracing::subscriber::set_global_default(Registry::default().with(held.clone())).unwrap();
    let engine = Engine::open("memory:").await.unwrap();
    let mut builder = Workflow::builder("lanes");
    for lane in [Lane::Async, Lane::Cpu, Lane::Blocking] {
        builder = builder.task(format!("{lane:?}"), TaskOptions::new().lane(lane), |_| async {
            for _ in 0..2 {
                thread::sleep(Duration::from_millis(300));
                tokio::task::yield_now().await;
            }
            Ok::<_, TaskError>(())
        });
    }
    let workflow = builder
        .task("waits", TaskOptions::new(), |_| async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            Ok::<_, TaskError>(())
        })
        .after("Async")
        .build()
        .unwrap();
    engine.run(workflow, ()).await.unwrap().ok().unwrap();
    engine.shutdown().await.unwrap();
    assert_eq!(*held.0.lock().unwrap(), ["Async"]);
}
