//! Notices an async body that computes or blocks: while it holds a thread of tokio, all else there waits.

use std::future::poll_fn;
use std::pin::pin;
use std::time::Instant;

use anio_core::TaskName;

use crate::config::HELD_MAX;

/// Polls the body; the first poll that takes too long is told of, with the task's name.
pub(crate) async fn watched<F: Future>(task: TaskName, body: F) -> F::Output {
    let mut body = pin!(body);
    let mut is_told = false;
    let poll = |context: &mut std::task::Context<'_>| {
        let started = Instant::now();
        let poll = body.as_mut().poll(context);
        let held = started.elapsed();
        if held >= HELD_MAX && !is_told {
            is_told = true;
            let held_ms = u64::try_from(held.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(
                %task,
                held_ms,
                "an async task held a thread of tokio between two await points; make it a plain `fn`, \
                 `#[task(blocking)]` if it waits, or hand that part to `anio::parallel::cpu`"
            );
        }
        poll
    };
    poll_fn(poll).await
}
