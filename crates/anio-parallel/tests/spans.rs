//! Spans go along into every thread and task, as OpenTelemetry sees them.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use anio_parallel::queue::{Fifo, Runner};
use anio_parallel::{ParMap, ParStreamExt, Pipeline, Pool, Scope, carry, cpu, try_cpu};
use futures::{StreamExt, TryStreamExt, stream};
use opentelemetry::trace::{SpanId, TracerProvider};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use rayon::prelude::*;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info, info_span};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::prelude::*;

struct Trace {
    exporter: InMemorySpanExporter,
    provider: SdkTracerProvider,
    _default: tracing::subscriber::DefaultGuard,
}

impl Trace {
    /// A subscriber at level info, for this thread alone: it must be carried along like the spans.
    fn start() -> Self {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let subscriber = tracing_subscriber::registry().with(EnvFilter::new("info")).with(layer);
        Self { exporter, provider, _default: tracing::subscriber::set_default(subscriber) }
    }

    fn spans(&self) -> Spans {
        self.provider.force_flush().unwrap();
        Spans(self.exporter.get_finished_spans().unwrap())
    }
}

struct Spans(Vec<SpanData>);

impl Spans {
    fn named(&self, name: &str) -> Vec<&SpanData> {
        self.0.iter().filter(|span| span.name == name).collect()
    }

    fn the(&self, name: &str) -> &SpanData {
        let spans = self.named(name);
        assert_eq!(spans.len(), 1, "{name}");
        spans[0]
    }

    fn children(&self, parent: SpanId) -> usize {
        self.0.iter().filter(|span| span.parent_span_id == parent).count()
    }

    fn assert_one_trace(&self) {
        let trace = self.0[0].span_context.trace_id();
        assert!(self.0.iter().all(|span| span.span_context.trace_id() == trace));
    }

    /// `n` items, all children of the span of this name, in one trace.
    fn assert_items_of(&self, parent: &str, n: usize) {
        let parent = self.the(parent).span_context.span_id();
        let items = self.named("item");
        assert_eq!(items.len(), n);
        assert!(items.iter().all(|item| item.parent_span_id == parent));
        self.assert_one_trace();
    }
}

#[tokio::test]
async fn each_item_of_par_map_is_a_child_of_the_task() {
    let trace = Trace::start();
    let work = async { try_cpu(|| (0..8_u32).par_map(|n| n * n)).await.unwrap() };
    let squares = work.instrument(info_span!("task")).await;
    assert_eq!(squares, [0, 1, 4, 9, 16, 25, 36, 49]);

    let spans = trace.spans();
    assert_eq!(spans.0.len(), 9);
    spans.assert_items_of("task", 8);
    let indexes = spans.named("item").into_iter().map(|item| {
        let field = item.attributes.iter().find(|field| field.key.as_str() == "index");
        field.map(|field| field.value.to_string()).unwrap()
    });
    let mut indexes: Vec<String> = indexes.collect();
    indexes.sort();
    assert_eq!(indexes, ["0", "1", "2", "3", "4", "5", "6", "7"]);
}

#[tokio::test]
async fn each_item_of_a_stream_is_a_child_of_the_task() {
    for form in ["then", "then_unordered", "map", "map_unordered", "reduce"] {
        let trace = Trace::start();
        let source = stream::iter(0..20_u32);
        let work = async {
            match form {
                "then" => drop(source.par_then(3, async |n| n).try_collect::<Vec<_>>().await.unwrap()),
                "then_unordered" => {
                    drop(source.par_then_unordered(3, async |n| n).try_collect::<Vec<_>>().await.unwrap());
                }
                "map" => drop(source.par_map(3, |n| n).try_collect::<Vec<_>>().await.unwrap()),
                "map_unordered" => {
                    drop(source.par_map_unordered(3, |n| n).try_collect::<Vec<_>>().await.unwrap());
                }
                _ => assert_eq!(source.par_reduce(3, |a, b| a + b).await.unwrap(), Some(190)),
            }
        };
        work.instrument(info_span!("task")).await;
        trace.spans().assert_items_of("task", if form == "reduce" { 1 } else { 20 });
    }
}

#[tokio::test]
async fn each_item_of_each_stage_of_a_pipeline_is_a_child_of_the_task() {
    let trace = Trace::start();
    let source = (0..8_u32).inspect(|n| drop(info_span!("read", n).entered()));
    let pipeline =
        Pipeline::source(source).stage("fetch", 3, |n| async move { n }).cpu_stage("resize", 2, |n| n);
    let run = pipeline.sink(|_| async { drop(info_span!("write").entered()) }).run();
    run.instrument(info_span!("task")).await.unwrap();
    let spans = trace.spans();
    spans.assert_items_of("task", 3 * 8);
    let task = spans.the("task").span_context.span_id();
    assert!(spans.named("read").iter().all(|span| span.parent_span_id == task));
    let items: Vec<_> = spans.named("item").iter().map(|span| span.span_context.span_id()).collect();
    assert_eq!((spans.named("read").len(), spans.named("write").len()), (8, 8));
    assert!(spans.named("write").iter().all(|span| items.contains(&span.parent_span_id)));
}

#[tokio::test]
async fn a_source_that_is_read_by_a_task_of_its_own_stays_in_the_span() {
    let trace = Trace::start();
    let work = async {
        let source = stream::iter(0..5_u32).map(|n| info_span!("read").in_scope(|| n));
        let branches = source.broadcast(2, 1).into_iter().map(TryStreamExt::try_collect::<Vec<_>>);
        assert_eq!(futures::future::try_join_all(branches).await.unwrap().len(), 2);
    };
    work.instrument(info_span!("task")).await;
    let spans = trace.spans();
    assert_eq!(spans.children(spans.the("task").span_context.span_id()), 5);
    spans.assert_one_trace();
}

#[tokio::test]
async fn an_item_within_an_item_is_its_child_also_where_a_waiting_thread_takes_up_other_work() {
    let trace = Trace::start();
    let pool = Pool::new(2).unwrap();
    let work = pool.try_cpu(|| {
        (0..20_u32).par_map(|_| (0..20_u32).par_map(|n| info_span!("leaf").in_scope(|| n)).unwrap().len())
    });
    work.instrument(info_span!("unused")).await.unwrap();
    let spans = trace.spans();
    let leaves = spans.named("leaf");
    assert_eq!(leaves.len(), 400);
    for leaf in leaves {
        assert_eq!(spans.children(leaf.parent_span_id), 1, "an inner item has its own leaf alone");
    }
    let with_20 =
        spans.named("item").iter().filter(|item| spans.children(item.span_context.span_id()) == 20).count();
    assert_eq!(with_20, 20);
}

#[test]
fn a_job_that_a_thread_takes_up_in_the_middle_of_an_item_does_not_become_its_child() {
    let trace = Trace::start();
    let task = info_span!("task");
    let here = task.in_scope(anio_parallel::Carrier::current);
    // What rayon does while it waits: another job of the same span, on a thread that is in an item.
    task.in_scope(|| {
        info_span!("item").in_scope(|| here.run(|| info_span!("inside").in_scope(|| ())));
    });
    drop((here, task));
    let spans = trace.spans();
    let task = spans.the("task").span_context.span_id();
    assert_eq!(spans.children(spans.the("item").span_context.span_id()), 0);
    assert_eq!(spans.the("cpu").parent_span_id, task);
    assert_eq!(spans.the("inside").parent_span_id, spans.the("cpu").span_context.span_id());
}

#[tokio::test]
async fn plain_rayon_closures_are_in_the_span_where_it_is_carried() {
    let trace = Trace::start();
    let work = async {
        cpu(|| {
            (0..50_u32).into_par_iter().for_each(carry(|_| info_span!("leaf").in_scope(|| info!("here"))));
        })
        .await
        .unwrap();
    };
    work.instrument(info_span!("task")).await;
    let spans = trace.spans();
    let task = spans.the("task").span_context.span_id();
    let mut ancestors = spans.named("leaf").into_iter().map(|leaf| {
        let parent = spans.0.iter().find(|span| span.span_context.span_id() == leaf.parent_span_id).unwrap();
        if parent.name == "cpu" { parent.parent_span_id } else { parent.span_context.span_id() }
    });
    assert!(ancestors.all(|ancestor| ancestor == task));
    spans.assert_one_trace();
}

#[tokio::test]
async fn item_spans_can_be_switched_off() {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let filter = EnvFilter::new("info,anio_parallel::item=off");
    let _default = tracing::subscriber::set_default(tracing_subscriber::registry().with(filter).with(layer));
    let work =
        async { try_cpu(|| (0..8_u32).par_map(|_| info_span!("leaf").in_scope(|| ()))).await.unwrap() };
    drop(work.instrument(info_span!("task")).await);
    let spans = Spans(exporter.get_finished_spans().unwrap());
    assert!(spans.named("item").is_empty());
    assert_eq!(spans.named("leaf").len(), 8);
}

#[tokio::test]
async fn a_span_is_closed_before_its_answer_is_there() {
    let trace = Trace::start();
    let scope = Scope::new(Pool::new(1).unwrap(), CancellationToken::new());
    for _ in 0..50 {
        let task = info_span!("task");
        scope.clone().run(cpu(|| ()).instrument(task.clone())).await.unwrap();
        scope.clone().run(async { stream::iter([1]).par_map(1, |n| n).next().await }.instrument(task)).await;
    }
    assert_eq!(trace.spans().named("task").len(), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn items_of_a_work_queue_are_children_of_the_span_that_ran_the_job() {
    let trace = Trace::start();
    let job = Runner::new(Fifo::new(3)).named("fetch").items(0..8_u64).execute(3, |n| async move {
        info_span!("inner").in_scope(|| ());
        Ok::<_, anio_parallel::Error>(n)
    });
    job.handle(|_| ()).run().instrument(info_span!("task")).await.ok().unwrap();
    let spans = trace.spans();
    spans.assert_items_of("task", 8);
    assert_eq!(spans.named("inner").len(), 8);
    spans.assert_one_trace();
}
