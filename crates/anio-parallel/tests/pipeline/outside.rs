//! What is seen from outside: counts, spans, events, progress.

use std::fmt;
use std::sync::{Arc, Mutex};

use anio_parallel::{Pipeline, Progress, check};
use tokio::time::sleep;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Instrument, Subscriber, info_span};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use crate::MS;
use crate::common::scope;

#[tokio::test(start_paused = true)]
async fn a_report_says_what_each_stage_has_done() {
    let parse = |n: u64| async move {
        sleep(10 * MS).await;
        if n % 10 == 3 { Err("a three") } else { Ok(n) }
    };
    let pipeline = Pipeline::source(0..100).try_stage("parse", 2, parse).settle().cap(4);
    let report = pipeline.named("import").sink(|_| async {}).run().await;
    let report = report.unwrap();
    let counts: Vec<_> = report
        .stages
        .iter()
        .map(|s| (&*s.name, s.n_workers, s.n_in, s.n_out, s.n_errors, s.queued, s.queued_max))
        .collect();
    assert_eq!(
        counts,
        [("source", 1, 0, 100, 0, 0, 0), ("parse", 2, 100, 90, 10, 0, 4), ("sink", 1, 90, 90, 0, 0, 2)]
    );
    // 100 items of 10 ms, by two workers.
    assert_eq!((report.stages[1].busy, report.elapsed), (1000 * MS, 500 * MS));
    let table = report.to_string();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines[0], "stage   workers        in       out    errors  queued  queued max       busy");
    assert_eq!(lines[2], "parse         2       100        90        10       0           4       1.0s");
}

#[tokio::test(start_paused = true)]
async fn counts_can_be_looked_at_while_it_runs() {
    let run = Pipeline::source(0..100_u64).cap(4).sink(|_| sleep(10 * MS));
    let stats = run.stats();
    assert_eq!(stats.snapshot().len(), 2);
    let run = tokio::spawn(run.run());
    sleep(105 * MS).await;
    let [source, sink] = &stats.snapshot()[..] else { panic!("a source and a sink") };
    assert_eq!((source.n_out, sink.n_in, sink.n_out), (15, 11, 10), "ten done, one at work");
    assert_eq!((sink.queued, sink.queued_max, sink.busy), (4, 4, 100 * MS));
    run.await.unwrap().unwrap();
}

#[derive(Default)]
struct Reports(Mutex<Vec<(String, u64, Option<u64>)>>);

impl Progress for Reports {
    fn report(&self, what: &str, done: u64, total: Option<u64>) {
        self.0.lock().unwrap().push((what.to_owned(), done, total));
    }
}

#[tokio::test]
async fn progress_is_told_by_the_items_that_came_to_the_sink() {
    let (scope, _) = scope(1);
    for (n_taken, total) in [(None, Some(100)), (Some(10), Some(10)), (Some(1000), Some(100))] {
        let reports = Arc::new(Reports::default());
        let pipeline = Pipeline::source(0..100_u64).stage("a", 2, |n| async move { n }).named("import");
        let pipeline = if let Some(n) = n_taken { pipeline.take(n) } else { pipeline };
        let scope = scope.progress_to(Arc::clone(&reports) as Arc<dyn Progress>);
        scope.run(pipeline.sink(|_| async { anio_parallel::progress(7, None) }).run()).await.unwrap();
        let reports = reports.0.lock().unwrap();
        assert_eq!(*reports.last().unwrap(), ("import".to_owned(), total.unwrap(), total));
        assert!(reports.iter().all(|(what, ..)| what == "import"), "{reports:?}: the helper counts");
    }
    let reports = Arc::new(Reports::default());
    let scope = scope.progress_to(Arc::clone(&reports) as Arc<dyn Progress>);
    let pipeline = Pipeline::source([vec![1, 2], vec![3]]).flatten();
    scope.run(pipeline.sink(|_| async {}).run()).await.unwrap();
    assert_eq!(*reports.0.lock().unwrap().last().unwrap(), ("pipeline".to_owned(), 3, None));
}

#[tokio::test]
async fn the_scope_is_there_in_every_part() {
    let (scope, _) = scope(3);
    let threads = || rayon_threads() == 3;
    let source = (0..5_u64).inspect(move |_| assert!(pool_of_three(), "in the source"));
    let pipeline = Pipeline::source(source)
        .stage("waits", 1, |n| async move {
            check().unwrap();
            assert!(pool_of_three(), "in an async function");
            n
        })
        .cpu_stage("computes", 1, move |n| {
            assert!(threads(), "in a function");
            vec![n]
        })
        .flatten();
    let run = pipeline.fold(0, |sum, n| {
        assert!(pool_of_three(), "in the sink");
        *sum += n;
    });
    assert_eq!(scope.run(run.run()).await.unwrap().value, 10);
}

fn pool_of_three() -> bool {
    anio_parallel::Pool::current().n_threads() == 3
}

fn rayon_threads() -> usize {
    rayon::current_num_threads()
}

/// What a subscriber has seen: spans with their parents, events with their fields.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    items: Vec<(String, Option<String>)>,
    events: Vec<(String, Option<String>)>,
}

#[derive(Default)]
struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() != "busy_us" {
            self.0 += &format!("{}={value:?} ", field.name());
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Log {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let span = context.span(id).unwrap();
        let parent = span.parent().map(|parent| parent.name().to_owned());
        if span.name() == "item" {
            self.0.lock().unwrap().items.push((fields.0, parent));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let target = event.metadata().target();
        let mut fields = Fields::default();
        event.record(&mut fields);
        let within = context.lookup_current().map(|span| span.name().to_owned());
        if target == "anio_parallel::pipeline" || target == "test" {
            self.0.lock().unwrap().events.push((fields.0, within));
        }
    }
}

#[tokio::test]
async fn each_item_of_each_stage_has_a_span_and_each_stage_tells_its_end() {
    let log = Log::default();
    // For this thread alone: it must be carried along.
    let subscriber = tracing_subscriber::registry().with(log.clone());
    let _default = tracing::subscriber::set_default(subscriber);
    let (scope, _) = scope(2);
    let pipeline = Pipeline::source((0..2_u64).inspect(|_| tracing::info!(target: "test", "source")))
        .stage("fetch", 2, |n| async move {
            tracing::info!(target: "test", "fetch");
            n
        })
        .cpu_stage("resize", 2, |n| {
            tracing::info!(target: "test", "resize");
            n
        });
    let run = pipeline.sink(|_| async { tracing::info!(target: "test", "sink") }).run();
    scope.run(run.instrument(info_span!("task"))).await.unwrap();

    let seen = log.0.lock().unwrap();
    let mut items = seen.items.clone();
    items.sort();
    let of = |stage, n| (format!("index={n} stage=\"{stage}\" "), Some("task".to_owned()));
    assert_eq!(
        items,
        [of("fetch", 0), of("resize", 0), of("sink", 0), of("fetch", 1), of("resize", 1), of("sink", 1)]
    );
    let within = |message: &str| {
        let of = seen.events.iter().filter(|(fields, _)| *fields == format!("message={message} "));
        of.map(|(_, span)| span.as_deref()).collect::<Vec<_>>()
    };
    assert_eq!(within("source"), [Some("task"); 2]);
    for message in ["fetch", "resize", "sink"] {
        assert_eq!(within(message), [Some("item"); 2], "{message}");
    }
    let ends: Vec<_> = seen.events.iter().filter(|(fields, _)| fields.contains("stage ended")).collect();
    assert_eq!(ends.len(), 4);
    assert!(ends.iter().all(|(_, span)| span.as_deref() == Some("task")));
    let (fetch, _) = ends[1];
    assert!(
        fetch.starts_with(
            "message=stage ended stage=\"fetch\" workers=2 items_in=2 items_out=2 errors=0 queued=0 queued_max="
        ),
        "{fetch}"
    );
}

#[tokio::test]
async fn a_pipeline_that_fails_tells_its_counts_too() {
    let log = Log::default();
    let subscriber = tracing_subscriber::registry().with(log.clone());
    let _default = tracing::subscriber::set_default(subscriber);
    let fail = |n: u64| async move { if n == 5 { Err("five") } else { Ok(n) } };
    let run = Pipeline::source(0..9_u64).try_stage("a", 1, fail).sink(|_| async {});
    run.run().await.unwrap_err();
    let seen = log.0.lock().unwrap();
    let ends: Vec<_> = seen.events.iter().map(|(fields, _)| fields).collect();
    assert_eq!(ends.len(), 3);
    assert!(ends[1].contains("items_in=6 items_out=5 errors=1"), "{}", ends[1]);
}

#[test]
fn what_is_looked_at_shows_its_stages() {
    let pipeline = Pipeline::source(0..9).stage("a", 2, |n: u64| async move { n });
    let shown = r#"{ name: "pipeline", stages: [("source", 1), ("a", 2)], cap: 16, .. }"#;
    assert_eq!(format!("{pipeline:?}"), format!("Pipeline {shown}"));
    assert_eq!(
        format!("{:?}", pipeline.collect::<Vec<_>>()),
        format!("Runnable {}", shown.replace("2)]", "2), (\"sink\", 1)]"))
    );
}
