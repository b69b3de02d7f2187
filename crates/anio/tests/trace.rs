//! A run that a `kill -9` cuts in pieces is one trace, and each piece is linked with what died in the one before.
//!
//! The test starts itself as the worker, as its own test `worker`, with a directory in the environment.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
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
use tokio::sync::Notify;
use tracing::Instrument;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::prelude::*;

const DIRECTORY: &str = "ANIO_TEST_TRACE_DIRECTORY";
const ENDPOINT: &str = "ANIO_TEST_TRACE_ENDPOINT";

fn subscribe(provider: &SdkTracerProvider) {
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let filter = EnvFilter::new("off,trace=info,anio=info,anio_scheduler=info,anio_parallel=info");
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(filter).with(layer)).unwrap();
}

/// The second task of three has a span of its own, and never ends where the file is there.
fn workflow(hangs: PathBuf) -> Workflow {
    Workflow::builder("letters")
        .task("write", TaskOptions::new(), |_| async { Ok::<_, TaskError>(()) })
        .task("send", TaskOptions::new(), move |_| {
            let hangs = hangs.exists();
            async move {
                tracing::info_span!("letter").in_scope(|| ());
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
        let sent = |attempt: u32| directory.join(format!("is sending {attempt}"));
        let attempt = (1..=2).find(|attempt| !sent(*attempt).exists()).unwrap();
        let is_it = |task: &anio::TaskSummary| {
            task.name == "send" && is_running(task.status) && task.attempts == attempt
        };
        while !run.tasks().await.unwrap().iter().any(is_it) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        fs::write(sent(attempt), "").unwrap();
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

/// What a span is linked with: a trace, and a span in it.
fn links(span: &Value) -> Vec<(&Value, &Value)> {
    let links = span["links"].as_array();
    links.into_iter().flatten().map(|link| (&link["traceId"], &link["spanId"])).collect()
}

/// Killed twice: the start of the first attempt is recorded while it runs, that of the second before it does.
#[test]
fn a_run_goes_on_in_its_trace_after_a_kill_9_linked_with_the_attempt_that_died() {
    let (directory, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().unwrap());
    let directory = directory.path();
    fs::write(directory.join("hangs"), "").unwrap();
    for n in 1..=2 {
        let mut worker = start(directory, &receiver);
        wait_until("the spans that have ended", || spans(&receiver).len() == 1 + n);
        wait_until("the second task", || directory.join(format!("is sending {n}")).exists());
        worker.kill().unwrap();
        worker.wait().unwrap();
    }
    fs::remove_file(directory.join("hangs")).unwrap();
    assert!(start(directory, &receiver).wait().unwrap().success());

    let spans = spans(&receiver);
    let names: Vec<_> =
        spans.iter().map(|span| (span["name"].as_str().unwrap(), field(span, "task"))).collect();
    let attempt = |task: &str| ("attempt", Some(task.to_owned()));
    let letter = ("letter", None);
    let [first, second, third] = [letter.clone(), letter.clone(), letter];
    assert_eq!(
        names,
        [attempt("write"), first, second, third, attempt("send"), attempt("file"), ("run", None)]
    );
    let trace = &spans[0]["traceId"];
    assert!(spans.iter().all(|span| span["traceId"] == *trace), "{spans:#?}");
    // The first process's run was never closed; its span is the parent of what each has exported.
    let (write, send, file, run) = (&spans[0], &spans[4], &spans[5], &spans[6]);
    assert_eq!(run["parentSpanId"], write["parentSpanId"]);
    assert!([send, file].iter().all(|attempt| attempt["parentSpanId"] == run["spanId"]));
    let told =
        |span| (field(span, "attempt"), field(span, "anio.recovered"), field(span, "anio.died_attempt"));
    let (some, none) = (|text: &str| Some(text.to_owned()), None::<String>);
    assert_eq!(told(send), (some("3"), some("true"), some("2")));
    assert_eq!(told(run), (none.clone(), some("true"), none.clone()));
    for undisturbed in [write, file] {
        assert_eq!(told(undisturbed), (some("1"), none.clone(), none.clone()));
        assert_eq!(links(undisturbed), []);
    }
    // The attempts that died were not exported either; what ended in them names them as parents.
    let [died_first, died_second] = [1, 2].map(|n: usize| &spans[n]["parentSpanId"]);
    assert_ne!(died_first, died_second);
    assert_eq!(links(send), [(trace, died_second)]);
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

#[tokio::test(flavor = "current_thread")]
async fn the_record_of_a_start_names_its_span_only_where_there_is_a_trace_context() {
    let (exporter, _default) = kept_spans();
    let mut names = Vec::new();
    for is_traced in [true, false] {
        let builder = Engine::builder().store("memory:");
        let builder = if is_traced { builder.trace_context(TraceParent) } else { builder };
        let engine = builder.start().await.unwrap();
        let go = Arc::new(Notify::new());
        let waits = Arc::clone(&go);
        let workflow = Workflow::builder("slow").task("slow", TaskOptions::new(), move |_| {
            let waits = Arc::clone(&waits);
            async move {
                waits.notified().await;
                Ok::<_, TaskError>(())
            }
        });
        let run = engine.submit(workflow.build().unwrap(), ()).await.unwrap();
        let mut facts = Vec::new();
        while facts.is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
            facts = engine.store().facts(run.id()).await.unwrap();
        }
        go.notify_one();
        run.wait().await.unwrap().ok().unwrap();
        engine.shutdown().await.unwrap();
        names.push(facts[0].traceparent.clone());
    }
    let spans = exporter.get_finished_spans().unwrap();
    let attempt = &spans.iter().find(|span| span.name == "attempt").unwrap().span_context;
    let name = format!("00-{}-{}-01", attempt.trace_id(), attempt.span_id());
    assert_eq!(names, [Some(name.into()), None]);
}
