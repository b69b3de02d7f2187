//! Who changed something tells the others: `notify` in the transaction that changes, `listen` on a session of
//! its own. An accelerator that nothing rests on; behind a pooler that lends out sessions by the transaction
//! it is silent.
//!
//! A transaction that notifies takes a lock of the whole server until its commit is on the disk, and so the
//! commits of all that notify stand in line. Therefore a worker tells of mere facts at most once per
//! [`PAUSE`], and the facts of the last such commits before a silence are told by nobody: a follower looks
//! by itself from time to time. What others wait for is always told: that a run has ended, or is parked or
//! let go, and that there is something in the queue or asked of a run.

use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio_postgres::{AsyncMessage, Client};

use super::address::{Address, LoginError, Messages};
use super::error;
use super::submit::is_claimed;
use crate::backend::Watcher;
use crate::error::StoreError;
use crate::record::{Batch, Change};

/// The channel of [`Change::Runs`].
pub(super) const RUNS: &str = "anio_runs";

/// The channel of [`Change::Facts`].
pub(super) const FACTS: &str = "anio_facts";

/// How long a worker's commits of mere facts are silent after one that told something.
const PAUSE: Duration = Duration::from_millis(50);

/// What a commit tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tidings {
    runs: bool,
    facts: bool,
}

impl Tidings {
    /// The channels, as the parameter that [`tell_from`] wants.
    pub(super) fn channels(self) -> Vec<&'static str> {
        let channels = [(self.runs, RUNS), (self.facts, FACTS)];
        channels.into_iter().filter(|(is_told, _)| *is_told).map(|(_, channel)| channel).collect()
    }
}

/// SQL: the last part of a statement, with a row for each of `rows`; tells something on the channels that a
/// parameter names. One text whatever is told, so that it is prepared once.
pub(super) fn tell_from(rows: &str, parameter: u32) -> String {
    format!(
        "
select (select count(pg_notify(channel, '')) from unnest(${parameter}::text[]) as channel)
from {rows}"
    )
}

/// Decides what each commit of a connection tells.
#[derive(Debug, Default)]
pub(super) struct Teller {
    told_facts_at: Option<Instant>,
}

impl Teller {
    /// What a batch has to tell.
    pub(super) fn of(&self, batch: &Batch) -> Tidings {
        let is_for_others = |run| batch.worker.is_none() || !is_claimed(run);
        let frees = !batch.holds.is_empty();
        let ends = !batch.ends.is_empty() || !batch.parks.is_empty();
        let is_quiet = self.told_facts_at.is_some_and(|at| at.elapsed() < PAUSE);
        Tidings {
            runs: frees || batch.runs.iter().any(is_for_others),
            facts: frees || ends || !(batch.facts.is_empty() || is_quiet),
        }
    }

    /// A commit that told something is stored.
    pub(super) fn told(&mut self, tidings: Tidings) {
        if tidings.facts {
            self.told_facts_at = Some(Instant::now());
        }
    }
}

/// Listens on a session of its own.
pub(super) struct Listener {
    address: Address,
    runtime: Option<Runtime>,
    session: Option<Session>,
}

/// A session that listens. The server ends it when the client is dropped.
struct Session {
    client: Client,
    messages: Messages,
}

impl Listener {
    /// Connects and listens.
    pub(super) fn open(address: Address) -> Result<Self, StoreError> {
        let runtime = super::connection::runtime();
        let session = runtime.block_on(Session::open(&address))?;
        Ok(Self { address, runtime: Some(runtime), session: Some(session) })
    }
}

impl Watcher for Listener {
    fn wait(&mut self, timeout: Duration) -> Result<Option<Change>, StoreError> {
        let Self { address, runtime, session } = self;
        let runtime = runtime.as_ref().expect("the runtime is taken on drop only");
        runtime.block_on(async {
            let Some(listening) = session else {
                *session = Some(Session::open(address).await?);
                return Ok(Some(Change::Any));
            };
            // The runtime looks at the socket before it comes back to a task that yields; without that a time
            // that is over at once would be over before.
            tokio::task::yield_now().await;
            match tokio::time::timeout(timeout, listening.next()).await {
                Err(_) => Ok(None),
                Ok(Ok(change)) => Ok(Some(change)),
                Ok(Err(error)) => {
                    *session = None;
                    Err(error.map_or_else(error::closed, |error| error::on_statement(address, error)))
                }
            }
        })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.session = None;
        if let Some(runtime) = self.runtime.take() {
            // Nothing runs in it; and within another runtime nothing may block.
            runtime.shutdown_background();
        }
    }
}

impl Session {
    async fn open(address: &Address) -> Result<Self, StoreError> {
        let (client, messages) = address.open().await.map_err(|error| error::on_connect(address, error))?;
        let mut session = Self { client, messages };
        match tokio::time::timeout(address.connect_timeout(), session.listen()).await {
            Ok(Ok(())) => Ok(session),
            Ok(Err(error)) => Err(error::on_statement(address, error)),
            Err(_) => Err(error::on_connect(address, LoginError::Silent(address.connect_timeout()))),
        }
    }

    /// Sends `listen`, and serves the socket until the answer is there.
    async fn listen(&mut self) -> Result<(), tokio_postgres::Error> {
        let sql = format!("listen {RUNS}; listen {FACTS}");
        let mut listening = std::pin::pin!(self.client.batch_execute(&sql));
        poll_fn(|cx| {
            // What it says is not lost: whoever begins to listen looks for himself.
            while let Poll::Ready(Some(_)) = (self.messages)(cx) {}
            listening.as_mut().poll(cx)
        })
        .await
    }

    /// The next change, and all that were told with it. An error without a cause: the server has hung up.
    async fn next(&mut self) -> Result<Change, Option<tokio_postgres::Error>> {
        poll_fn(|cx| {
            let mut change = None;
            loop {
                match (self.messages)(cx) {
                    Poll::Ready(Some(Ok(message))) => change = both(change, told_by(&message)),
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(Some(error))),
                    Poll::Ready(None) => return Poll::Ready(Err(None)),
                    Poll::Pending => return change.map_or(Poll::Pending, |change| Poll::Ready(Ok(change))),
                }
            }
        })
        .await
    }
}

fn told_by(message: &AsyncMessage) -> Option<Change> {
    let AsyncMessage::Notification(notification) = message else { return None };
    match notification.channel() {
        RUNS => Some(Change::Runs),
        FACTS => Some(Change::Facts),
        _ => None,
    }
}

fn both(one: Option<Change>, other: Option<Change>) -> Option<Change> {
    match (one, other) {
        (Some(one), Some(other)) if one != other => Some(Change::Any),
        (one, other) => one.or(other),
    }
}
