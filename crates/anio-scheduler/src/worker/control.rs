//! What people ask of runs that this worker holds, and the times that runs were given: the store keeps it,
//! the keeper brings it, the state machine carries it out.

use anio_core::run::{Event, FactKind, TaskRunKey};
use anio_core::{RunId, Timestamp};
use anio_store::record::{News, Request};
use tokio::time::Instant;

use super::Worker;
use crate::config::LOOK_AGAIN_AFTER;
use crate::scheduler::Message;

impl Worker {
    /// Runs that others have changed: what is asked of them now, and, read in the background, which of
    /// their task runs were given up.
    pub(super) fn on_news(&mut self, news: Vec<News>) {
        let now = self.config.clock.now();
        for News { run, requested, n } in news {
            let Some(live) = self.runs.get_mut(&run) else { continue };
            if n <= live.n_news {
                continue;
            }
            live.n_news = n;
            let event = match requested {
                Some(Request::Cancel) => Event::Cancel,
                Some(Request::Pause) => Event::Pause,
                Some(Request::Resume) | None => Event::Resume,
            };
            self.apply(run, now, event);
            self.read_given_up(run);
        }
    }

    fn read_given_up(&self, run: RunId) {
        let (store, inbox, worker) = (self.store.clone(), self.inbox.clone(), self.keeper.worker);
        tokio::spawn(async move {
            match store.facts(run).await {
                Ok(facts) => {
                    let given_up = facts.into_iter().filter(|fact| fact.kind == FactKind::Cancelled);
                    let tasks: Vec<_> = given_up.map(|fact| (fact.task, fact.map_index)).collect();
                    if let Some(inbox) = inbox.upgrade().filter(|_| !tasks.is_empty()) {
                        // The scheduler is gone when nobody receives.
                        drop(inbox.send(Message::GivenUp { worker, run, tasks }).await);
                    }
                }
                Err(error) => tracing::warn!(run_id = %run, %error, "what was given up cannot be read"),
            }
        });
    }

    /// Task runs were given up, durably.
    pub(super) fn on_given_up(&mut self, run: RunId, tasks: Vec<(anio_core::TaskName, Option<u32>)>) {
        let now = self.config.clock.now();
        for (task, map_index) in tasks {
            let Some(live) = self.runs.get(&run) else { return };
            // What was undone since is not given up any more; the state machine knows who is.
            if let Some(task) = live.workflow.plan().position(task.as_str()) {
                self.apply(run, now, Event::CancelTask { key: TaskRunKey { task, map_index } });
            }
        }
    }

    /// Tells a run of its deadline where that has passed, and sets a timer where it is still to come.
    pub(super) fn mind_deadline(&mut self, run: RunId, deadline: Option<Timestamp>, now: Timestamp) {
        match deadline {
            Some(deadline) if deadline <= now => self.apply(run, now, Event::Deadline { deadline }),
            Some(deadline) => self.timers.arm_deadline(deadline, run),
            None => {}
        }
    }

    /// Somewhere a run waits for its time: the queue is looked at then.
    pub(super) fn mind_due(&mut self, due: Option<Timestamp>) {
        self.next_due = [self.next_due, due].into_iter().flatten().min();
    }

    /// Looks at the queue when runs have become due. It is the database that decides whether they are: where its
    /// clock is behind this worker's, they may not be for a while, and are looked for again a little later.
    pub(super) fn look_for_due(&mut self, now: Timestamp) {
        let look_at = Instant::now();
        if self.next_due.is_some_and(|due| due <= now) && look_at >= self.due_looks_from {
            self.next_due = None;
            self.due_looks_from = look_at + LOOK_AGAIN_AFTER;
            self.has_queued = true;
            self.keeper.look(); // It brings the time of the next one.
        }
    }
}
