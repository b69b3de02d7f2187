//! How the handle asks those who serve the connections: a thread each, or in a simulation a task.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use flume::Sender;

use crate::backend::Backend;
use crate::error::StoreError;
use crate::schedule::{Pace, Schedule};
use crate::writer::{Answer, Call, Connection, Request, Shared};

/// A thread that owns a connection, or the task that stands for it.
#[derive(Clone)]
pub(crate) struct Thread {
    inbox: Sender<Request>,
    pub(crate) shared: Arc<Shared>,
    /// Nobody, when it was closed.
    server: Arc<Mutex<Option<Server>>>,
}

enum Server {
    Thread(JoinHandle<()>),
    Task,
}

impl Thread {
    /// Starts a thread that opens a connection and serves it; where there is none it ends at once.
    pub(crate) fn start(
        name: &str,
        bound: usize,
        patience: Duration,
        open: impl FnOnce() -> Option<Box<dyn Backend>> + Send + 'static,
    ) -> Result<Self, StoreError> {
        let (inbox, requests) = flume::bounded(bound);
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let serve = move || {
            if let Some(backend) = open() {
                Connection::new(backend, patience, theirs, Pace::Thread).serve(&requests);
            }
        };
        let handle = thread::Builder::new()
            .name(name.to_owned())
            .spawn(serve)
            .map_err(|source| StoreError::Database { source: source.into() })?;
        Ok(Self { inbox, shared, server: Arc::new(Mutex::new(Some(Server::Thread(handle)))) })
    }

    /// Lets a schedule serve a connection.
    pub(crate) fn scheduled(
        bound: usize,
        patience: Duration,
        backend: Box<dyn Backend>,
        schedule: &Arc<dyn Schedule>,
    ) -> Self {
        let (inbox, requests) = flume::bounded(bound);
        let shared = Arc::new(Shared::default());
        let pace = Pace::Scheduled(Arc::clone(schedule));
        let connection = Connection::new(backend, patience, Arc::clone(&shared), pace);
        schedule.spawn(Box::pin(connection.serve_scheduled(requests)));
        Self { inbox, shared, server: Arc::new(Mutex::new(Some(Server::Task))) }
    }

    pub(crate) async fn send(&self, request: Request) -> Result<(), StoreError> {
        self.inbox.send_async(request).await.map_err(|_| StoreError::Closed)
    }

    pub(crate) async fn call<T, F>(&self, idempotent: bool, verb: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut dyn Backend) -> Result<T, StoreError> + Send + 'static,
    {
        let (answer, wait) = oneshot::async_channel();
        let call = Verb { speak: verb, idempotent, answer, value: None };
        self.send(Request::Call(Box::new(call))).await?;
        wait.await.unwrap_or(Err(StoreError::Closed))
    }

    pub(crate) async fn close(&self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(server) = server else { return };
        if let Server::Thread(handle) = &server {
            handle.thread().unpark();
        }
        let (closed, wait) = oneshot::async_channel();
        if self.send(Request::Close(closed)).await.is_ok() {
            // The connection is closed when the answer comes; the thread ends right after.
            let _ = wait.await;
        }
        if let Server::Thread(handle) = server {
            // A thread that panicked has told of it on its own.
            let _ = handle.join();
        }
    }
}

struct Verb<T, F> {
    speak: F,
    idempotent: bool,
    answer: Answer<T>,
    /// What it came to.
    value: Option<T>,
}

impl<T, F> Call for Verb<T, F>
where
    T: Send,
    F: FnMut(&mut dyn Backend) -> Result<T, StoreError> + Send,
{
    fn attempt(&mut self, backend: &mut dyn Backend) -> Result<(), StoreError> {
        self.value = Some((self.speak)(backend)?);
        Ok(())
    }

    fn is_idempotent(&self) -> bool {
        self.idempotent
    }

    // One who no longer waits has dropped its end.
    fn succeed(self: Box<Self>) {
        if let Some(value) = self.value {
            let _ = self.answer.send(Ok(value));
        }
    }

    fn fail(self: Box<Self>, error: StoreError) {
        let _ = self.answer.send(Err(error));
    }
}
