//! A run that a `kill -9` cuts in two is one trace, and the second half names what died.
//!
//! The test starts itself as the worker, as its own test `worker`, with a directory in the environment.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use anio::otel::TraceParent;
use anio::prelude::*;
use anio::run::TaskRunStatus;
use anio_testkit::otlp::Receiver;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, InMemorySpanExporter, SdkTracerProvider, SpanData,
};
use serde_json::Value;
use tracing::Instrument;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::prelude::*;

const DIRECTORY: &str = "ANIO_TEST_TRACE_DIRECTORY";
const ENDPOINT: &str = "ANIO_TEST_TRACE_ENDPOINT";

fn subscribe(provider: &SdkTracerProvider) {
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let filter = EnvFilter::new("off,anio=info,anio_scheduler=info,anio_parallel=info");
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(filter).with(layer)).unwrap();
}

/// The second task of three never ends where the file is there.
fn workflow(hangs: PathBuf) -> Workflow {
    Workflow::builder("letters")
        .task("write", TaskOptions::new(), |_| async { Ok::<_, TaskError>(()) })
        .task("send", TaskOptions::new(), move |_| {
            let hangs = hangs.exists();
            async move {
                if hangs {
                    std::future::pending::<()>().await;
                }
                Ok::<_, TaskError>(())
            }
        })
        .after("write")
        .task("file", TaskOptions::new(), |_| async { Ok::<_, TaskError>(()) })
        .after("send")
        .build()
        .unwrap()
}

/// The worker process; without the environment it is no test at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worker() {
    let (Some(directory), Ok(endpoint)) = (env::var_os(DIRECTORY), env::var(ENDPOINT)) else { return };
    let directory = Path::new(&directory);
    let exporter = SpanExporter::builder().with_http().with_protocol(Protocol::HttpJson);
    let exporter = exporter.with_endpoint(format!("{endpoint}/v1/traces")).build().unwrap();
    let often = BatchConfigBuilder::default().with_scheduled_delay(Duration::from_millis(10)).build();
    let batches = BatchSpanProcessor::builder(exporter).with_batch_config(often).build();
    let provider = SdkTracerProvider::builder().with_span_processor(batches).build();
    subscribe(&provider);

    let workflow = workflow(directory.join("hangs"));
    let store = format!("sqlite://{}", directory.join("letters.db").display());
    let engine = Engine::builder()
        .store(store)
        .workflow(workflow.clone())
        .trace_context(TraceParent)
        .start()
        .await
        .unwrap();
    let run = match engine.runs(RunQuery::default()).await.unwrap().first() {
        Some(found) => engine.run_handle(found.id).await.unwrap(),
        None => engine.submit(workflow, ()).await.unwrap(),
    };
    let is_running = |status| status == TaskRunStatus::Running;
    if directory.join("hangs").exists() {
        while !run.tasks().await.unwrap().iter().any(|task| task.name == "send" && is_running(task.status)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        fs::write(directory.join("is sending"), "").unwrap();
    }
    run.wait().await.unwrap().ok().unwrap();
    engine.shutdown().await.unwrap();
    tokio::task::spawn_blocking(move || provider.shutdown()).await.unwrap().unwrap();
}

fn start(directory: &Path, receiver: &Receiver) -> Child {
    let mut worker = Command::new(env::current_exe().unwrap());
    worker.args(["--exact", "worker"]).env(DIRECTORY, directory).env(ENDPOINT, receiver.endpoint());
    worker.spawn().unwrap()
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(60), "{what}: waited too long");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The value of a field, as text.
fn field(span: &Value, name: &str) -> Option<String> {
    let fields = span["attributes"].as_array().unwrap();
    let value = fields.iter().find(|field| field["key"] == name)?["value"].as_object()?.values().next()?;
    Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

fn spans(receiver: &Receiver) -> Vec<Value> {
    let mut spans = Vec::new();
    for body in receiver.bodies("/v1/traces") {
        let request: Value = serde_json::from_str(&body).unwrap();
        for resource in request["resourceSpans"].as_array().unwrap() {
            for scope in resource["scopeSpans"].as_array().unwrap() {
                spans.extend(scope["spans"].as_array().unwrap().iter().cloned());
            }
        }
    }
    spans
}

#[test]
fn a_run_goes_on_in_its_trace_after_a_kill_9() {
    let (directory, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().unwrap());
    let directory = directory.path();
    fs::write(directory.join("hangs"), "").unwrap();
    let mut first = start(directory, &receiver);
    wait_until("the span of the first task", || spans(&receiver).len() == 1);
    wait_until("the second task", || directory.join("is sending").exists());
    first.kill().unwrap();
    first.wait().unwrap();
    fs::remove_file(directory.join("hangs")).unwrap();
    assert!(start(directory, &receiver).wait().unwrap().success());

    let spans = spans(&receiver);
    let names: Vec<_> =
        spans.iter().map(|span| (span["name"].as_str().unwrap(), field(span, "task"))).collect();
    let attempt = |task: &str| ("attempt", Some(task.to_owned()));
    assert_eq!(names, [attempt("write"), attempt("send"), attempt("file"), ("run", None)]);
    assert!(spans.iter().all(|span| span["traceId"] == spans[0]["traceId"]), "{spans:#?}");
    // The first process's run was never closed; its span is the parent of what both have exported.
    let (write, run) = (&spans[0], &spans[3]);
    assert_eq!(run["parentSpanId"], write["parentSpanId"]);
    assert!(spans[1..3].iter().all(|attempt| attempt["parentSpanId"] == run["spanId"]));
    let told: Vec<_> = spans
        .iter()
        .map(|span| (field(span, "attempt"), field(span, "anio.recovered"), field(span, "anio.died_attempt")))
        .collect();
    let (some, none) = (|text: &str| Some(text.to_owned()), None::<String>);
    assert_eq!(
        told,
        [
            (some("1"), none.clone(), none.clone()),
            (some("2"), some("true"), some("1")),
            (some("1"), none.clone(), none.clone()),
            (none.clone(), some("true"), none),
        ]
    );
}

/// Keeps all spans that end on this thread while the guard is there.
fn kept_spans() -> (InMemorySpanExporter, tracing::subscriber::DefaultGuard) {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let subscriber = tracing_subscriber::registry().with(EnvFilter::new("info")).with(layer);
    (exporter, tracing::subscriber::set_default(subscriber))
}

fn one() -> Workflow {
    let one = |_| async { Ok::<_, TaskError>(()) };
    Workflow::builder("one").task("one", TaskOptions::new(), one).build().unwrap()
}

/// The subscriber of this test is that of its thread: the whole engine runs there, but for the items.
#[tokio::test(flavor = "current_thread")]
async fn a_run_that_was_queued_goes_on_in_the_trace_of_its_submission() {
    let (exporter, _default) = kept_spans();
    let engine =
        Engine::builder().store("memory:").live_runs_max(1).trace_context(TraceParent).start().await.unwrap();
    for run in engine.submit_many(one(), [1, 2, 3]).await.unwrap() {
        run.wait().await.unwrap().ok().unwrap();
    }
    let records = engine.runs(RunQuery::default()).await.unwrap();
    engine.shutdown().await.unwrap();
    let spans = exporter.get_finished_spans().unwrap();
    let mut by_trace = HashMap::<String, Vec<_>>::new();
    for span in &spans {
        by_trace.entry(span.span_context.trace_id().to_string()).or_default().push(span.name.to_string());
    }
    assert_eq!(by_trace.len(), 3);
    let mut names: Vec<_> = by_trace.values().map(|names| names.join(" ")).collect();
    names.sort();
    assert_eq!(names, ["attempt run", "queued attempt run", "queued attempt run"]);
    for record in records {
        let traceparent = record.options.traceparent.unwrap();
        assert!(by_trace.contains_key(traceparent.split('-').nth(1).unwrap()), "{traceparent}");
    }
}

const ASKED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Held by this worker, queued for it, with a key: the three ways by which a run comes in.
#[tokio::test(flavor = "current_thread")]
async fn a_run_is_in_the_trace_that_its_submission_names_whatever_span_is_current() {
    let (exporter, _default) = kept_spans();
    let engine =
        Engine::builder().store("memory:").live_runs_max(1).trace_context(TraceParent).start().await.unwrap();
    async {
        let held = engine.submit(one(), 1).traceparent(ASKED).await.unwrap();
        let soon = Duration::from_millis(1);
        let queued = engine.submit(one(), 2).after(soon).traceparent(ASKED).await.unwrap();
        let keyed = engine.submit(one(), 3).traceparent(ASKED).idempotency_key("three").await.unwrap();
        for run in [&held, &queued, &keyed] {
            run.wait().await.unwrap().ok().unwrap();
        }
    }
    .instrument(tracing::info_span!("caller"))
    .await;
    engine.shutdown().await.unwrap();

    let mut spans = exporter.get_finished_spans().unwrap();
    spans.retain(|span| span.name != "caller");
    assert!(spans.iter().all(|span| span.span_context.trace_id().to_string() == ASKED[3..35]), "{spans:#?}");
    let id_of = |span: &SpanData| span.span_context.span_id();
    let mut paths: Vec<String> = spans
        .iter()
        .filter(|span| span.name == "attempt")
        .map(|span| {
            let (mut names, mut at) = (vec![span.name.as_ref()], span);
            while let Some(parent) = spans.iter().find(|span| id_of(span) == at.parent_span_id) {
                names.push(&parent.name);
                at = parent;
            }
            assert_eq!(
                at.parent_span_id.to_string(),
                ASKED[36..52],
                "the first span is below what was named"
            );
            names.join(" in ")
        })
        .collect();
    paths.sort();
    assert_eq!(paths, ["attempt in run", "attempt in run in queued", "attempt in run in queued"]);
}

#[tokio::test]
async fn an_engine_without_a_trace_keeps_what_was_asked_for_and_a_text_that_names_none_is_refused() {
    let engine = Engine::open("memory:").await.unwrap();
    for bad in ["", "00", "4bf92f3577b34da6a3ce929d0e0e4736", &ASKED.to_uppercase().replace("00F", "00x")] {
        let error = engine.submit(one(), ()).traceparent(bad).await.unwrap_err();
        assert!(error.to_string().contains("traceparent"), "{error}");
        assert!(matches!(error, anio::Error::Store(anio::StoreError::InvalidOption { .. })), "{error:?}");
    }
    assert_eq!(engine.runs(RunQuery::default()).await.unwrap().len(), 0);
    engine.submit(one(), ()).traceparent(ASKED).await.unwrap();
    engine.submit(one(), ()).traceparent(ASKED).idempotency_key("key").await.unwrap();
    for record in engine.runs(RunQuery::default()).await.unwrap() {
        assert_eq!(record.options.traceparent.as_deref(), Some(ASKED));
    }
    engine.shutdown().await.unwrap();
}
