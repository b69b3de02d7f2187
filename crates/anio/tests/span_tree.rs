//! The spans of a run as OpenTelemetry sees them: one trace, run over attempts over items.

use std::collections::HashMap;

use anio::Lane;
use anio::parallel::{ParMap, ParStreamExt, try_cpu};
use anio::prelude::*;
use futures::{TryStreamExt, stream};
use opentelemetry::trace::{SpanId, TracerProvider};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::prelude::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_item_is_below_its_attempt_in_the_trace_of_its_run() {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let subscriber = tracing_subscriber::registry().with(EnvFilter::new("info")).with(layer);
    tracing::subscriber::set_global_default(subscriber).unwrap();

    let engine = Engine::builder().store("memory:").cpu_threads(2).start().await.unwrap();
    let workflow = Workflow::builder("spans")
        .task("async", TaskOptions::new(), |_| async {
            Ok::<_, TaskError>(try_cpu(|| (0..8).par_map(|n| n * n)).await?.len())
        })
        .task("stream", TaskOptions::new(), |_| async {
            let items: Vec<u32> = stream::iter(0..8).par_then(2, async |n| n).try_collect().await?;
            Ok::<_, TaskError>(items.len())
        })
        .task("cpu", TaskOptions::new().lane(Lane::Cpu), |_| async {
            Ok::<_, TaskError>((0..8).par_map(|n| n * n)?.len())
        })
        .task("blocking", TaskOptions::new().lane(Lane::Blocking), |_| async {
            Ok::<_, TaskError>((0..8).par_map(|n| n * n)?.len())
        })
        .build()
        .unwrap();
    engine.run(workflow.clone(), ()).await.unwrap().ok().unwrap();
    engine.run(workflow, ()).await.unwrap().ok().unwrap();
    engine.shutdown().await.unwrap();

    let spans = exporter.get_finished_spans().unwrap();
    let by_id: HashMap<SpanId, &SpanData> =
        spans.iter().map(|span| (span.span_context.span_id(), span)).collect();
    let named = |name| spans.iter().filter(move |span| span.name == name);
    let [first, second] = named("run").collect::<Vec<_>>()[..] else {
        panic!("{} runs", named("run").count())
    };
    assert_ne!(first.span_context.trace_id(), second.span_context.trace_id());
    let mut n_items = HashMap::new();
    for item in named("item") {
        let above = |span: &SpanData| by_id.get(&span.parent_span_id).copied();
        let path: Vec<_> = std::iter::successors(Some(item), |span| above(span)).collect();
        let levels: Vec<_> = path.iter().map(|span| &*span.name).collect();
        assert_eq!(levels, ["item", "attempt", "run"]);
        let trace = path[2].span_context.trace_id();
        assert!(path.iter().all(|span| span.span_context.trace_id() == trace));
        let field = |name| {
            let fields = &path[1].attributes;
            fields.iter().find(|field| field.key.as_str() == name).map(|field| field.value.to_string())
        };
        *n_items.entry((trace, field("task"), field("attempt"))).or_insert(0) += 1;
    }
    let mut seen: Vec<_> =
        n_items.into_iter().map(|((_, task, attempt), n)| (task.unwrap(), attempt.unwrap(), n)).collect();
    seen.sort();
    let one = |task: &str| (task.to_owned(), "1".to_owned(), 8);
    let wanted: Vec<_> =
        ["async", "blocking", "cpu", "stream"].iter().flat_map(|task| [one(task), one(task)]).collect();
    assert_eq!(seen, wanted);
    assert_eq!(spans.len(), 2 * (1 + 4 + 4 * 8), "no other span is at level info");
}
