//! From what is ready to what executes: slots and limits, bodies and callbacks.

use std::sync::Arc;

use anio_core::plant::{Plant, is_planted};
use anio_core::run::{Event, TaskRunKey};
use anio_core::task::{TaskCall, TaskHandle};
use anio_core::{Lane as LaneKind, RunId};
use anio_store::Store;
use anio_store::rate::Reservation;
use tokio::time::Instant;

use super::Worker;
use super::stop::StopPhase;
use crate::callback::Called;
use crate::config::RESERVE_AGAIN_AFTER;
use crate::executor::{Attempt, Ticket, Token};
use crate::limit::Answer;
use crate::ready::{Lane, Ready, slots_of};
use crate::scheduler::Message;

impl Worker {
    pub(super) fn ready(&mut self, run: RunId, key: TaskRunKey) {
        let Some(live) = self.runs.get(&run) else { return };
        let options = &live.workflow.plan().task(key.task).definition.options;
        let (priority, lane) = (options.priority, slots_of(options));
        let turn = self.next_turn;
        self.next_turn += 1;
        self.lane(lane).push(Ready { priority, turn, run, key });
    }

    pub(super) fn lane(&mut self, lane: LaneKind) -> &mut Lane {
        if lane == LaneKind::Cpu { &mut self.cpu } else { &mut self.plain }
    }

    /// Gives free slots to those who are next in turn.
    pub(super) fn dispatch(&mut self) {
        if self.stopping.is_some() {
            return;
        }
        self.limits.look_at(Instant::now());
        // Who starts on one lane may be who others waited behind on the other.
        while self.dispatch_on(LaneKind::Async) || self.dispatch_on(LaneKind::Cpu) {}
        self.reserve();
        self.metrics.ready(self.plain.n_waiting() + self.cpu.n_waiting() + self.limits.n_waiting());
    }

    /// Takes the next in turn on a lane, and starts it or lets it wait for what it needs beside the slot;
    /// `false` when there is no slot, or nobody to take.
    fn dispatch_on(&mut self, lane: LaneKind) -> bool {
        if !self.lane(lane).has_slot() {
            return false;
        }
        let limited = self.limits.first(lane);
        let plain = self.lane(lane).first();
        let (ready, demand) = match (limited, plain) {
            (Some((ready, demand)), plain) if plain.is_none_or(|plain| plain < ready) => {
                self.limits.pop(&demand);
                (ready, Some(demand))
            }
            (_, Some(ready)) => {
                self.lane(lane).pop();
                (ready, None)
            }
            (_, None) => return false,
        };
        let Some(live) = self.runs.get(&ready.run) else { return true };
        if let Some(demand) = demand {
            if !live.state.is_ready(ready.key) && !is_planted(Plant::LimitsNotGivenBack) {
                return true; // Given up while it waited: it counts for no rate.
            }
            self.limits.take(ready, demand);
        } else if let Some(demand) = self.limits.demand(live.workflow.plan(), ready.key.task) {
            self.limits.wait(demand, ready);
            return true;
        }
        self.lane(lane).n_used += 1;
        self.apply(ready.run, self.config.clock.now(), Event::Dispatched { key: ready.key });
        true
    }

    /// Reserves starts under rates that all workers share, in the background, for those who lack nothing else.
    fn reserve(&mut self) {
        for (resource, reservation) in self.limits.reservations([self.plain.n_free(), self.cpu.n_free()]) {
            let (store, inbox) = (self.store.clone(), self.inbox.clone());
            tokio::spawn(async move {
                let answer = reserve(&store, reservation).await;
                if let Some(inbox) = inbox.upgrade() {
                    // The scheduler is gone when nobody receives.
                    drop(inbox.send(Message::Reserved { resource, answer }).await);
                }
            });
        }
    }

    /// Gives back the slot of a task run that does not start.
    pub(super) fn vacate(&mut self, run: RunId, key: TaskRunKey) {
        let Some(live) = self.runs.get_mut(&run) else { return };
        live.take_ahead(key);
        let lane = slots_of(&live.workflow.plan().task(key.task).definition.options);
        self.lane(lane).n_used -= 1;
        if let Some(demand) = self.limits.begin(run, key)
            && !is_planted(Plant::LimitsNotGivenBack)
        {
            self.limits.leave(&demand);
        }
    }

    /// Calls the callback of a task run's end, or the run's own.
    pub(super) fn call(&mut self, run: RunId, key: Option<TaskRunKey>) {
        let Some(live) = self.runs.get_mut(&run) else { return };
        let plan = Arc::clone(live.workflow.plan());
        let (callbacks, ending) = match key {
            Some(key) => (&plan.task(key.task).definition.callbacks, live.state.ending_of(key)),
            None => (plan.callbacks(), live.state.ending()),
        };
        let callback =
            callbacks.of(ending.failure.is_none()).expect("the state machine asks for what is there");
        let called = Called { run, key, worker: self.keeper.worker };
        self.n_calls += 1;
        self.callbacks.call(called, callback.clone(), ending, &live.span);
    }

    pub(super) fn execute(&mut self, run: RunId, key: TaskRunKey, attempt: u32) {
        if self.stopping.as_ref().is_some_and(|stopping| stopping.phase == StopPhase::Abandoned) {
            // Its start was recorded while the worker was stopping: nobody would wait for its body.
            self.runs.get_mut(&run).map(|live| live.take_ahead(key));
            self.interrupted.push((run, key, attempt));
            return;
        }
        let live = self.runs.get_mut(&run).expect("the run has just asked for it");
        let plan = Arc::clone(live.workflow.plan());
        let task = plan.task(key.task);
        let definition = &task.definition;
        let token = live.cancellation.child_token();
        let span = live.begin(key, attempt, &token, self.config.trace.as_deref());
        let held = self.limits.begin(run, key);
        let lane = slots_of(&definition.options);
        let pool = definition.options.pool.as_ref().map(|name| self.executor.pool(name));
        let scope = if definition.uses_context { live.state.scope(key.task) } else { Arc::default() };
        let reporter = self.executor.reporter(run, &task.name, key.map_index, attempt);
        let handle = TaskHandle::new(
            run,
            plan.workflow().clone(),
            task.name.clone(),
            key.map_index,
            attempt,
            Arc::new(Token(token.clone())),
        )
        .with_progress(reporter.clone());
        let states = Arc::clone(&self.config.states);
        let call =
            TaskCall::new(handle, live.state.input().clone(), live.state.arguments(key), scope, states)
                .with_previous(live.state.previous(key));
        self.executor.spawn(Attempt {
            ticket: Ticket { run, key, attempt, worker: self.keeper.worker, lane, held },
            timeout: definition.options.timeout,
            condition: definition.options.retry_condition,
            pool,
            task: Arc::clone(&definition.task),
            call,
            token,
            value_bytes_max: self.config.value_bytes_max,
            span,
            reporter,
        });
    }
}

/// Reserves starts: how many, and when. The database tells how long to wait by its clock; that time is counted from
/// when its answer is here, and so never too short.
async fn reserve(store: &Store, reservation: Reservation) -> Answer {
    let (n, rate) = (reservation.n, reservation.name.clone());
    match store.reserve(reservation).await {
        Ok(reserved) => {
            let at = Instant::now() + reserved.wait();
            if reserved.is_granted { Answer::Granted(n, at) } else { Answer::AskAgain(at) }
        }
        Err(error) => {
            tracing::warn!(rate, %error, "starts could not be reserved; it is tried again");
            Answer::AskAgain(Instant::now() + RESERVE_AGAIN_AFTER)
        }
    }
}
