//! Calls the callbacks of task runs and runs that have ended, on tokio; always answers once.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use anio_core::RunId;
use anio_core::run::TaskRunKey;
use anio_core::task::{Callback, Ending};
use anio_store::record::WorkerId;
use futures::FutureExt;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedSender;
use tracing::{Instrument, Span};

/// How long a callback may take; one that takes longer is dropped, and counts as called.
pub(crate) const CALLBACK_MAX: Duration = Duration::from_secs(60);

/// The answer of a callback.
#[derive(Debug)]
pub(crate) struct Called {
    pub(crate) run: RunId,
    /// The task run whose end it was for; `None` for the run's own.
    pub(crate) key: Option<TaskRunKey>,
    /// The lease under which it was called.
    pub(crate) worker: WorkerId,
}

/// Where callbacks answer, and how many are called at one time.
#[derive(Clone, Debug)]
pub(crate) struct Callbacks {
    pub(crate) returns: UnboundedSender<Called>,
    pub(crate) places: Arc<Semaphore>,
}

impl Callbacks {
    /// Calls a callback and returns at once.
    pub(crate) fn call(&self, called: Called, callback: Callback, ending: Ending, span: &Span) {
        let Self { returns, places } = self.clone();
        let span = tracing::info_span!(parent: span, "callback", name = %ending.name);
        let call = async move {
            // Never closed; without a place there would be nothing to wait for.
            let _place = places.acquire_owned().await;
            let name = ending.name.clone();
            let call = AssertUnwindSafe(async move { callback.call(ending).await }).catch_unwind();
            let (run_id, map_index) = (called.run, called.key.and_then(|key| key.map_index));
            match tokio::time::timeout(CALLBACK_MAX, call).await {
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(error))) => {
                    tracing::error!(%run_id, %name, map_index, %error, "the callback failed; nothing else changes");
                }
                Ok(Err(_)) => {
                    tracing::error!(%run_id, %name, map_index, "the callback panicked; nothing else changes");
                }
                Err(_) => {
                    tracing::error!(%run_id, %name, map_index, "the callback took longer than 60 s and was dropped");
                }
            }
            // The scheduler is gone when nobody receives.
            drop(returns.send(called));
        };
        tokio::spawn(call.instrument(span));
    }
}
