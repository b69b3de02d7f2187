//! One OpenTelemetry trace for a run, also when several processes execute it. Needs the feature `otel`.

use anio_scheduler::TraceContext;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

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
}

/// `00-<32 hex digits>-<16 hex digits>-<2 hex digits>`; of later versions what is like the first.
fn parse(traceparent: &str) -> Option<SpanContext> {
    let mut parts = traceparent.split('-');
    let mut part = |length| {
        let part = parts.next()?;
        let is_hex = part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (part.len() == length && is_hex).then_some(part)
    };
    let (version, trace, span, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
    if version == "ff" || (version == "00" && parts.next().is_some()) {
        return None;
    }
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?);
    Some(SpanContext::new(trace, span, flags, true, TraceState::default())).filter(SpanContext::is_valid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_traceparent_names_a_trace() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let parent = parse(text).unwrap();
        assert_eq!(parent.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(parent.span_id().to_string(), "00f067aa0ba902b7");
        assert!(parent.is_sampled() && parent.is_remote());
        assert!(parse("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-later").is_some());
        for bad in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-é",
        ] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }
}
