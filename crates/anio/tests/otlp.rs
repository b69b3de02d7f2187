//! What reaches a receiver of OTLP over HTTP: each span of a run once, and the tree that they make.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashMap;

use anio::parallel::ParMap;
use anio::prelude::*;
use anio::{Lane, TaskCall};
use anio_testkit::otlp::Receiver;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde_json::Value;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::prelude::*;

/// All spans that were received, by their ids.
fn spans(receiver: &Receiver) -> HashMap<String, Value> {
    let mut spans = HashMap::new();
    for body in receiver.bodies("/v1/traces") {
        let request: Value = serde_json::from_str(&body).unwrap();
        let resources = request["resourceSpans"].as_array().unwrap();
        let scopes = resources.iter().flat_map(|resource| resource["scopeSpans"].as_array().unwrap());
        for span in scopes.flat_map(|scope| scope["spans"].as_array().unwrap()) {
            let id = span["spanId"].as_str().unwrap().to_owned();
            assert!(spans.insert(id, span.clone()).is_none(), "a span is sent once");
        }
    }
    spans
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_gets_the_run_its_attempts_and_their_items() {
    let receiver = Receiver::start().unwrap();
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpJson)
        .with_endpoint(format!("{}/v1/traces", receiver.endpoint()))
        .build()
        .unwrap();
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    // The exporter's own HTTP client has spans, too.
    let filter = EnvFilter::new("off,anio=info,anio_scheduler=info,anio_parallel=info");
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(filter).with(layer)).unwrap();

    let engine = Engine::open("memory:").await.unwrap();
    let twice = TaskOptions::new().retry(RetryPolicy::attempts(2));
    let workflow = Workflow::builder("report")
        .task("load", twice, |call: TaskCall| async move {
            if call.handle().attempt() == 1 { Err(TaskError::message("again")) } else { Ok(()) }
        })
        .task("compute", TaskOptions::new().lane(Lane::Cpu), |_| async {
            Ok::<_, TaskError>((0..8).par_map(|n| n * n)?.len())
        })
        .after("load")
        .task("print", TaskOptions::new(), |_| async { Ok::<_, TaskError>(()) })
        .after("compute")
        .build()
        .unwrap();
    let run = engine.submit(workflow, ()).await.unwrap();
    run.wait().await.unwrap().ok().unwrap();
    engine.shutdown().await.unwrap();
    tokio::task::spawn_blocking(move || provider.shutdown()).await.unwrap().unwrap();

    let spans = spans(&receiver);
    let named = |name| spans.values().filter(move |span| span["name"] == name);
    let counts = ["run", "attempt", "item"].map(|name| named(name).count());
    assert_eq!(counts, [1, 4, 8]);
    assert_eq!(spans.len(), 13, "1 run, 4 attempts, 8 items");
    let root = named("run").next().unwrap();
    assert!(spans.values().all(|span| span["traceId"] == root["traceId"]));
    assert!(named("attempt").all(|attempt| attempt["parentSpanId"] == root["spanId"]));
    let field = |span: &Value, name: &str| {
        let fields = span["attributes"].as_array().unwrap();
        fields.iter().find(|field| field["key"] == name).map(|field| field["value"].clone())
    };
    assert_eq!(field(root, "run_id").unwrap()["stringValue"], run.id().to_string());
    for item in named("item") {
        let attempt = &spans[item["parentSpanId"].as_str().unwrap()];
        assert_eq!(field(attempt, "task").unwrap()["stringValue"], "compute");
    }
}
