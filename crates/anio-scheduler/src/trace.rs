//! Keeps a run in one trace, whichever processes execute it.

use std::fmt;

use anio_core::{RunId, WorkflowName};
use tracing::Span;

/// Names the trace that a span belongs to, and puts a span into the trace that a name stands for.
///
/// With one, a run's row keeps the W3C `traceparent` of the run's first span, and a worker that takes the run up
/// goes on in that trace. The engine itself knows only `tracing`, which has no such names; the crate `anio` has
/// one for OpenTelemetry.
pub trait TraceContext: fmt::Debug + Send + Sync + 'static {
    /// The `traceparent` of this span, 1 to 255 bytes; `None` where it belongs to no trace.
    fn current(&self, span: &Span) -> Option<String>;

    /// Puts the span, which has only just been made, below the one that `traceparent` names. A text that names
    /// none leaves it as it is.
    fn continue_from(&self, span: &Span, traceparent: &str);

    /// Links the span, which has only just been made, with the one that `traceparent` names: the attempt that died
    /// before this one. Does nothing, where it is not defined.
    fn link(&self, span: &Span, traceparent: &str) {
        let _ = (span, traceparent);
    }
}

/// An attempt of which nobody knows how it ended, since its worker died.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DeadAttempt {
    pub(crate) attempt: u32,
    /// The name of its span, where its start is stored with one.
    pub(crate) traceparent: Option<Box<str>>,
}

/// The span of a run.
pub(crate) fn run_span(run: RunId, workflow: &WorkflowName) -> Span {
    let recovered = tracing::field::Empty;
    tracing::info_span!(parent: None, "run", run_id = %run, workflow = %workflow, anio.recovered = recovered)
}

/// The first span of a run that is queued for whichever worker has room for it.
pub(crate) fn queued_span(run: RunId, workflow: &WorkflowName) -> Span {
    tracing::info_span!(parent: None, "queued", run_id = %run, workflow = %workflow)
}

/// Puts the first span of a run into the trace that was asked for, or else into one of its own, and names its
/// place for the run's row. Without a trace context the row keeps what was asked for.
pub(crate) fn place(
    trace: Option<&dyn TraceContext>,
    asked: Option<&str>,
    span: impl FnOnce() -> Span,
) -> Option<String> {
    let Some(trace) = trace else { return asked.map(str::to_owned) };
    let span = span();
    if let Some(asked) = asked {
        trace.continue_from(&span, asked);
    }
    trace.current(&span).or_else(|| asked.map(str::to_owned))
}
