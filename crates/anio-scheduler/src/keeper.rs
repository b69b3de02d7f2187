//! Keeps the worker's lease, claims queued runs, takes over the runs of dead workers.
//!
//! ```text
//!   register ──► every quarter of the lease (at most 2 s): renew ──► dead workers? bury them
//!                     ▲                                         ├──► queued runs and room? claim
//!                     │ asked to: room has come free            └──► requests for this worker's runs? tell them
//!                     │ told to: another process changed the queue, or asked something of a run
//! ```
//!
//! An idle worker sends the renewal and nothing else: Postgres tells it of changes by others, and in a SQLite
//! file it finds them at its next renewal. While it holds runs, of which somebody may ask something, it asks SQLite
//! five times a second whether others have committed, which is a number in shared memory. A lease that is lost ends
//! this keeper: the scheduler drops what it holds and starts another under a new identity.

use std::sync::Arc;

use anio_store::error::StoreError;
use anio_store::record::{Change, Claim, ClaimedRun, NewWorker, WorkerId};
use anio_store::{Changes, Store};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, MissedTickBehavior};

use crate::config::{CLAIM_AGAIN_AFTER, Config, LOOK_AGAIN_AFTER, LOOK_EVERY};
use crate::metrics::Counters;
use crate::scheduler::Message;

/// What the scheduler asks of its keeper.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// How many runs it can take.
    pub(crate) n_runs: usize,
}

/// The scheduler's end of a running keeper.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) worker: WorkerId,
    /// Bounded at one: a request that waits already asks for the same.
    pub(crate) requests: mpsc::Sender<Room>,
    look: Arc<Notify>,
    pub(crate) metrics: Arc<Counters>,
    task: tokio::task::JoinHandle<()>,
}

impl Keeper {
    /// Gives the worker a lease and starts to keep it.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn start(
        store: &Store,
        config: &Config,
        metrics: Arc<Counters>,
        inbox: mpsc::WeakSender<Message>,
    ) -> Result<Self, StoreError> {
        let worker = WorkerId(config.ids.next());
        let new = NewWorker { id: worker, name: config.name.clone(), lease: config.lease };
        store.register(new.clone()).await?;
        let (requests, receiver) = mpsc::channel(1);
        let look = Arc::new(Notify::new());
        let every = config.renew_every();
        let asked = Asked { requests: receiver, look: Arc::clone(&look), metrics: Arc::clone(&metrics) };
        let task = tokio::spawn(keep(store.clone(), new, every, asked, inbox));
        Ok(Self { worker, requests, look, metrics, task })
    }

    /// Looks at once for what the next tick would look for.
    pub(crate) fn look(&self) {
        self.look.notify_one();
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A keeper's end of what the scheduler asks of it.
struct Asked {
    requests: mpsc::Receiver<Room>,
    look: Arc<Notify>,
    /// Which tell whether the worker holds any runs.
    metrics: Arc<Counters>,
}

async fn keep(
    store: Store,
    worker: NewWorker,
    every: std::time::Duration,
    asked: Asked,
    inbox: mpsc::WeakSender<Message>,
) {
    let Asked { mut requests, look, metrics } = asked;
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // A file would have to be looked at all the time, and tells of this worker's own renewals, too.
    let mut changes = if store.notifies() { subscribe(&store).await } else { None };
    let mut not_before = Instant::now();
    let mut has_claimed = false;
    loop {
        let told = async {
            tokio::time::sleep_until(not_before).await;
            while let Some(changes) = &mut changes {
                match changes.changed().await {
                    Some(Change::Facts) => {}
                    Some(Change::Runs | Change::Any) => return,
                    None => break,
                }
            }
            std::future::pending::<()>().await;
        };
        // The lease before all; then, of those who ask, the one whose turn it was not the last time.
        let asked = tokio::select! {
            biased;
            _ = ticks.tick() => None,
            () = look.notified(), if has_claimed => None,
            room = requests.recv() => match room {
                Some(room) => Some(room),
                None => return,
            },
            () = look.notified(), if !has_claimed => None,
            () = told => {
                not_before = Instant::now() + LOOK_AGAIN_AFTER;
                None
            }
            _ = looks.tick(), if !store.notifies() => {
                // An error is told by the next renewal.
                if !metrics.holds_any() || !store.changed_by_others().await.unwrap_or(false) {
                    continue;
                }
                None
            }
        };
        has_claimed = asked.is_some();
        let result = match asked {
            Some(room) => claim(&store, &worker, room, &inbox).await,
            None => renew(&store, &worker, &inbox).await,
        };
        match result {
            Ok(()) => {}
            // Runs may have been claimed that nobody here knows of: give all back, and begin anew.
            Err(error @ StoreError::OutcomeUnknown { .. }) if asked.is_some() => {
                tracing::warn!(worker = %worker.id, %error, "a claim may have been lost; the lease is given back");
                if let Err(error) = store.release(worker.id).await {
                    tracing::warn!(worker = %worker.id, %error, "the lease could not be given back; it runs out");
                }
                tell(&inbox, Message::LeaseLost { worker: worker.id }).await;
                return;
            }
            Err(StoreError::LeaseLost) => {
                tell(&inbox, Message::LeaseLost { worker: worker.id }).await;
                return;
            }
            // The lease stands until it runs out; the next tick tries again.
            Err(error) if asked.is_none() => {
                tracing::warn!(worker = %worker.id, %error, "the lease could not be renewed");
            }
            // What was asked for is answered in any case, or the scheduler would never ask again.
            Err(error) => {
                tracing::warn!(worker = %worker.id, %error, "queued runs could not be claimed");
                tokio::time::sleep(CLAIM_AGAIN_AFTER).await;
                tell(&inbox, Message::Claimed { worker: worker.id, runs: Vec::new(), has_more: true }).await;
            }
        }
    }
}

async fn subscribe(store: &Store) -> Option<Changes> {
    let told = store.changes().await;
    let missed = |error: &StoreError| {
        tracing::warn!(%error, "nothing tells of changes by others; they are looked for at each renewal");
    };
    told.inspect_err(missed).ok()
}

async fn renew(
    store: &Store,
    worker: &NewWorker,
    inbox: &mpsc::WeakSender<Message>,
) -> Result<(), StoreError> {
    let renewal = store.renew(worker.clone()).await?;
    let mut queued = renewal.queued;
    if !renewal.dead.is_empty() {
        let n_runs = store.bury(renewal.dead.clone()).await?;
        tracing::info!(dead = ?renewal.dead, n_runs, "took over from dead workers");
        queued |= n_runs > 0;
    }
    if queued {
        tell(inbox, Message::Queued).await;
    }
    if !renewal.news.is_empty() || renewal.next_due.is_some() {
        let (worker, news, next_due) = (worker.id, renewal.news, renewal.next_due);
        tell(inbox, Message::News { worker, news, next_due }).await;
    }
    Ok(())
}

async fn claim(
    store: &Store,
    worker: &NewWorker,
    room: Room,
    inbox: &mpsc::WeakSender<Message>,
) -> Result<(), StoreError> {
    let (answer, workflows) = tokio::sync::oneshot::channel();
    tell(inbox, Message::Workflows { reply: answer }).await;
    let Ok(workflows) = workflows.await else { return Ok(()) };
    let limit = room.n_runs as u32;
    let runs: Vec<ClaimedRun> = if limit == 0 {
        Vec::new()
    } else {
        store.claim(Claim { worker: worker.id, workflows, limit }).await?
    };
    let has_more = runs.len() == room.n_runs;
    tell(inbox, Message::Claimed { worker: worker.id, runs, has_more }).await;
    Ok(())
}

/// Sends a message, if the scheduler is still there. The end is weak, so that a keeper does not keep a
/// scheduler alive that nobody holds any more.
async fn tell(inbox: &mpsc::WeakSender<Message>, message: Message) {
    if let Some(inbox) = inbox.upgrade() {
        drop(inbox.send(message).await);
    }
}
