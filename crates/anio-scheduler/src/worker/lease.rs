//! What this worker holds under its lease: runs that it claims and takes up, and all of them lost when it is.

use std::sync::Arc;
use std::time::Duration;

use anio_core::plant::{Plant, is_planted};
use anio_core::run::Event;
use anio_store::record::{ClaimedRun, EndRecord, ParkRecord, Request, RunRecord, RunStatus};
use tokio_util::sync::CancellationToken;

use super::Worker;
use super::commit::refuse;
use crate::keeper::{Keeper, Room};
use crate::live_run::{LiveRun, take_up};
use crate::pending::Pending;
use crate::ready::slots_of;

impl Worker {
    pub(super) fn claim_if_room(&mut self) {
        let n_held = self.runs.len() + self.n_submitting;
        let n_runs = self.config.live_runs_max.saturating_sub(n_held);
        // Half of the room at least, so that claims come in batches too.
        let is_worth_it = n_runs * 2 >= self.config.live_runs_max;
        if self.has_queued && !self.is_claiming && is_worth_it && self.stopping.is_none() {
            self.is_claiming = self.keeper.requests.try_send(Room { n_runs }).is_ok();
            self.has_queued = !self.is_claiming; // What is queued from here on may miss this claim.
        }
    }

    pub(super) fn take_up(&mut self, claimed: &ClaimedRun) {
        let Some(workflow) = self.workflows.get(&claimed.run.workflow).cloned() else { return };
        match take_up(claimed, &workflow, self.config.poison_deaths) {
            Ok(state) => {
                let RunRecord { id, epoch, requested, news, ref options, .. } = claimed.run;
                let mut live = LiveRun::new(state, workflow, self.cancellation.child_token());
                live.n_news = news;
                self.runs.insert(id, live.resumed(claimed, self.config.trace.as_deref()));
                self.metrics.taken_up();
                self.metrics.held(self.runs.len());
                let now = self.config.clock.now();
                match requested.filter(|_| !is_planted(Plant::RequestLost)) {
                    Some(Request::Cancel) => self.apply(id, now, Event::Cancel),
                    Some(Request::Pause) => self.apply(id, now, Event::Pause),
                    Some(Request::Resume) | None => {}
                }
                self.mind_deadline(id, options.deadline, now);
                self.apply(id, now, Event::Begin { epoch });
            }
            Err(_) if claimed.run.requested == Some(Request::Cancel) => {
                let (run, at) = (claimed.run.id, self.config.clock.now());
                let end = EndRecord { run, status: RunStatus::Cancelled, failure: None, at };
                self.pending.batch.ends.push(end);
            }
            Err(reason) => {
                tracing::warn!(run_id = %claimed.run.id, workflow = %claimed.run.workflow, %reason, "parked");
                self.metrics.parked();
                self.pending.batch.parks.push(ParkRecord { run: claimed.run.id, reason });
            }
        }
    }

    /// Runs have come back (resumed, or to be done again) before the answer was read of the commit by which
    /// they went. That commit was durable before they could be claimed, so its answer is there.
    pub(super) async fn let_go_first(&mut self) {
        if let Some((commit, _)) = &mut self.commit {
            let result = commit.await;
            self.given_up = self.on_committed(result).await;
        }
    }

    /// Another worker has taken over: nothing that is held here counts any more.
    pub(super) async fn lose_lease(&mut self) {
        // First, so that nothing begins any more when it is told.
        self.cancellation.cancel();
        self.cancellation = CancellationToken::new();
        tracing::error!(
            worker = %self.keeper.worker,
            n_runs = self.runs.len(),
            "the lease is lost: another worker has taken over; this one drops its runs and begins anew"
        );
        self.metrics.gave_all_back();
        if let Some((_, in_flight)) = self.commit.take() {
            refuse(in_flight.submitted, "its lease was lost");
        }
        self.stored_plans.clear();
        // Those that were about to start never do; the slots of running bodies come back with their answers.
        let starting = self.runs.values().flat_map(|live| {
            let plan = live.workflow.plan();
            live.state.starting().map(|key| slots_of(&plan.task(key.task).definition.options))
        });
        for lane in starting.collect::<Vec<_>>() {
            self.lane(lane).n_used -= 1;
        }
        // Who watches is told that the run is not held here, and looks in the store.
        let watchers = self.runs.drain().flat_map(|(_, live)| live.watchers);
        watchers.for_each(|watcher| drop(watcher.send(None)));
        self.timers.clear();
        self.plain.clear();
        self.cpu.clear();
        self.limits.clear();
        refuse(std::mem::take(&mut self.pending.submitted), "its lease was lost");
        self.n_submitting = 0;
        self.pending = Pending::default();
        self.is_claiming = false;
        self.has_queued = true;
        let mut delay = Duration::from_millis(100);
        while self.inbox.strong_count() > 0 {
            match Keeper::start(&self.store, &self.config, Arc::clone(&self.metrics), self.inbox.clone())
                .await
            {
                Ok(keeper) => {
                    self.keeper = keeper;
                    return;
                }
                Err(error) => tracing::warn!(%error, "no new lease yet"),
            }
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(Duration::from_secs(10));
        }
    }
}
