//! How the handle asks the threads that own the connections.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use flume::Sender;

use crate::backend::Backend;
use crate::error::StoreError;
use crate::writer::{Answer, Call, Connection, Request, Shared};

/// A thread that owns a connection.
#[derive(Clone)]
pub(crate) struct Thread {
    inbox: Sender<Request>,
    pub(crate) shared: Arc<Shared>,
    handle: Arc<Mutex<Option<JoinHandle<()>>>>,
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
                Connection::new(backend, patience, theirs).serve(&requests);
            }
        };
        let handle = thread::Builder::new()
            .name(name.to_owned())
            .spawn(serve)
            .map_err(|source| StoreError::Database { source: source.into() })?;
        Ok(Self { inbox, shared, handle: Arc::new(Mutex::new(Some(handle))) })
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
        let call = Verb { speak: verb, idempotent, answer: Some(answer) };
        self.send(Request::Call(Box::new(call))).await?;
        wait.await.unwrap_or(Err(StoreError::Closed))
    }

    pub(crate) async fn close(&self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        let handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(handle) = handle else { return };
        handle.thread().unpark();
        let (closed, wait) = oneshot::async_channel();
        if self.send(Request::Close(closed)).await.is_ok() {
            // The connection is closed when the answer comes; the thread ends right after.
            let _ = wait.await;
        }
        // A thread that panicked has told of it on its own.
        let _ = handle.join();
    }
}

struct Verb<T, F> {
    speak: F,
    idempotent: bool,
    answer: Option<Answer<T>>,
}

impl<T, F> Call for Verb<T, F>
where
    T: Send,
    F: FnMut(&mut dyn Backend) -> Result<T, StoreError> + Send,
{
    fn attempt(&mut self, backend: &mut dyn Backend) -> Result<(), StoreError> {
        let value = (self.speak)(backend)?;
        if let Some(answer) = self.answer.take() {
            // One who no longer waits has dropped its end.
            let _ = answer.send(Ok(value));
        }
        Ok(())
    }

    fn is_idempotent(&self) -> bool {
        self.idempotent
    }

    fn fail(self: Box<Self>, error: StoreError) {
        if let Some(answer) = self.answer {
            let _ = answer.send(Err(error));
        }
    }
}
