//! One OpenTelemetry trace for a run, also when several processes execute it. Needs the feature `otel`.

use anio_scheduler::TraceContext;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::traceparent::{self, Parent};

/// The [W3C `traceparent`](https://www.w3.org/TR/trace-context/#traceparent-header) of spans that a
/// `tracing-opentelemetry` layer sees, for [`EngineBuilder::trace_context`](crate::EngineBuilder::trace_context).
///
/// ```
/// use anio::prelude::*;
/// use anio::otel::TraceParent;
///
/// # #[tokio::main]
/// # async fn main() -> anio::Result<()> {
/// let engine = Engine::builder().store("memory:").trace_context(TraceParent).start().await?;
/// # engine.shutdown().await
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct TraceParent;

impl TraceContext for TraceParent {
    fn current(&self, span: &Span) -> Option<String> {
        let context = span.context();
        let span = context.span();
        let span = span.span_context();
        let flags = span.trace_flags().to_u8();
        span.is_valid().then(|| format!("00-{}-{}-{flags:02x}", span.trace_id(), span.span_id()))
    }

    fn continue_from(&self, span: &Span, traceparent: &str) {
        let Some(parent) = parse(traceparent) else {
            tracing::warn!(traceparent, "the run's row names no trace; it goes on in a new one");
            return;
        };
        let parent = opentelemetry::Context::new().with_remote_span_context(parent);
        if let Err(error) = span.set_parent(parent) {
            // Also where no layer of OpenTelemetry is there to see the span.
            tracing::debug!(%error, "the run goes on in a new trace");
        }
    }

    fn link(&self, span: &Span, traceparent: &str) {
        let Some(dead) = parse(traceparent) else {
            tracing::warn!(traceparent, "the start of the attempt that died names no span");
            return;
        };
        span.add_link(dead);
    }
}

fn parse(traceparent: &str) -> Option<SpanContext> {
    let Parent { trace, span, flags } = traceparent::parse(traceparent)?;
    let (trace, span) = (TraceId::from(trace), SpanId::from(span));
    Some(SpanContext::new(trace, span, TraceFlags::new(flags), true, TraceState::default()))
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TracerProvider;
    use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn a_traceparent_is_a_remote_span() {
        let parent = parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
        assert_eq!(parent.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(parent.span_id().to_string(), "00f067aa0ba902b7");
        assert!(parent.is_valid() && parent.is_sampled() && parent.is_remote());
        assert!(parse("00").is_none());
    }

    #[test]
    fn a_link_is_one_to_the_span_that_was_named_and_none_where_none_was() {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let (dead, next) = (tracing::info_span!("dead"), tracing::info_span!("next"));
            TraceParent.link(&next, &TraceParent.current(&dead).unwrap());
            TraceParent.link(&next, "00");
        });
        let spans = exporter.get_finished_spans().unwrap();
        let [next, dead] = &spans[..] else { panic!("{spans:?}") };
        let linked: Vec<_> = next.links.iter().map(|link| link.span_context.span_id()).collect();
        assert_eq!(linked, [dead.span_context.span_id()]);
        assert_eq!(next.links.links[0].span_context.trace_id(), dead.span_context.trace_id());
        assert!(dead.links.is_empty());
    }
}
