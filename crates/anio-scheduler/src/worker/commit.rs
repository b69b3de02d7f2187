//! What becomes durable together: one batch under way, and the next that gathers meanwhile.
//!
//! It decides when a batch goes to the store, and tells the runs when theirs has come back. What is in a batch, the
//! runs decide.

use anio_core::RunId;
use anio_core::plant::{Plant, is_planted};
use anio_core::run::Event;
use anio_store::error::StoreError;
use anio_store::record::FactRecord;
use futures::future::BoxFuture;
use tokio::time::Instant;

use super::Worker;
use crate::error::Error;
use crate::live_run::{LiveRun, record_of};
use crate::pending::{InFlight, Submitted};

/// A batch that is being made durable, and what is told when it is.
pub(super) type Commit = (BoxFuture<'static, Result<(), StoreError>>, InFlight);

impl Worker {
    pub(super) fn mark_dirty(&mut self, run: RunId) -> Option<&mut LiveRun> {
        let live = self.runs.get_mut(&run)?;
        if !live.is_dirty {
            live.is_dirty = true;
            self.pending.runs.push(run);
        }
        Some(live)
    }

    /// Hands what has gathered to the store, unless the last batch is still under way.
    pub(super) fn flush(&mut self) {
        if self.commit.is_some() {
            return;
        }
        self.gather_notes();
        if self.pending.batch.is_empty() {
            return;
        }
        let mut batch = std::mem::take(&mut self.pending.batch);
        batch.worker = Some(self.keeper.worker);
        let submitted = std::mem::take(&mut self.pending.submitted);
        let runs = std::mem::take(&mut self.pending.runs);
        let mut durable = Vec::with_capacity(runs.len());
        for run in runs {
            if let Some(live) = self.runs.get_mut(&run) {
                live.is_dirty = false;
                durable.push((run, live.state.n_persisted()));
            }
        }
        if is_planted(Plant::EndToldEarly) {
            let now = self.config.clock.now();
            for end in &batch.ends {
                let n = self.runs.get(&end.run).map_or(0, |live| live.state.n_persisted());
                self.apply(end.run, now, Event::Committed { n });
            }
        }
        let store = self.store.clone();
        let commit = Box::pin(async move { store.commit(batch).await });
        self.commit = Some((commit, InFlight { submitted, durable }));
    }

    /// Adds the starts of attempts that have been running for a while.
    fn gather_notes(&mut self) {
        let (now, runs) = (Instant::now(), &self.runs);
        let is_running = |run, key, attempt| {
            runs.get(&run).is_some_and(|live: &LiveRun| live.state.is_running(key, attempt))
        };
        self.pending.notes.drop_ended(is_running);
        while let Some((run, fact)) = self.pending.notes.pop_old(now) {
            if is_running(run, fact.key, fact.attempt) {
                let live = &runs[&run];
                let body = live.bodies.iter().find(|body| body.key == fact.key);
                let traceparent = body.and_then(|body| body.traceparent.clone());
                let record = FactRecord { traceparent, ..record_of(run, &live.workflow, fact) };
                self.pending.batch.facts.push(record);
            }
        }
    }

    pub(super) async fn on_committed(&mut self, result: Result<(), StoreError>) -> Option<String> {
        let (_, in_flight) = self.commit.take().expect("what has answered was under way");
        match result {
            Ok(()) => {
                let now = self.config.clock.now();
                for (run, n) in in_flight.durable {
                    if let Some(progress) = self.runs.get(&run).and_then(|live| live.progress.as_ref()) {
                        progress.send_replace(n);
                    }
                    self.apply(run, now, Event::Committed { n });
                }
                for Submitted { ids, live, reply } in in_flight.submitted {
                    // Only now are those that did not fit to be found in the queue.
                    self.has_queued |= live.len() < ids.len();
                    self.metrics.submitted(ids.len());
                    drop(reply.send(Ok(ids)));
                    self.n_submitting -= live.len();
                    for (live, deadline) in live {
                        let id = live.state.id();
                        self.runs.insert(id, live);
                        self.metrics.held(self.runs.len());
                        self.mind_deadline(id, deadline, now);
                        self.apply(id, now, Event::Begin { epoch: 0 });
                    }
                }
                None
            }
            Err(StoreError::LeaseLost) => {
                refuse(in_flight.submitted, "its lease was lost");
                self.lose_lease().await;
                None
            }
            Err(error) => {
                let reason = error.to_string();
                refuse(in_flight.submitted, &reason);
                Some(reason)
            }
        }
    }
}

/// Tells those whose runs are not stored.
pub(super) fn refuse(submitted: Vec<Submitted>, reason: &str) {
    for submitted in submitted {
        drop(submitted.reply.send(Err(Error::Stopped { reason: Some(reason.to_owned()) })));
    }
}
