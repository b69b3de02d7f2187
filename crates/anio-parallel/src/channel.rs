//! A bounded channel between any number of producers and consumers, each async or a plain thread.

use std::fmt;
use std::future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use tokio::sync::Mutex;

use crate::cancel;
use crate::error::Error;

/// How often a blocked thread looks whether it was called off.
const LOOK: Duration = Duration::from_millis(20);

/// A channel that holds at most `n_items_max` items, at least one. Senders wait while it is full.
///
/// Each item goes to one receiver. The channel ends when all senders are gone and it is empty; when all
/// receivers are gone, sending fails.
///
/// ```
/// use anio_parallel::channel;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let (sender, receiver) = channel(2);
/// tokio::spawn(async move {
///     for n in 0..100 {
///         sender.send(n).await.unwrap();
///     }
/// });
/// let mut sum = 0;
/// while let Some(n) = receiver.recv().await {
///     sum += n;
/// }
/// assert_eq!(sum, 4950);
/// assert!(receiver.high_water_mark() <= 2);
/// # }
/// ```
pub fn channel<T>(n_items_max: usize) -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = flume::bounded(n_items_max.max(1));
    let peak = Arc::new(AtomicUsize::new(0));
    (Sender { sender, peak: Arc::clone(&peak) }, Receiver::new(receiver, peak))
}

/// A channel that holds nothing: an item goes from hand to hand, and the sender goes on once it was taken.
/// Where the receiver waits already, one item may lie in between.
pub(crate) fn rendezvous<T>() -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = flume::bounded(0);
    let peak = Arc::default();
    (Sender { sender, peak: Arc::clone(&peak) }, Receiver::new(receiver, peak))
}

/// The sending side of a [`channel`]. A clone is one more producer.
pub struct Sender<T> {
    sender: flume::Sender<T>,
    peak: Arc<AtomicUsize>,
}

/// Why an item was not sent, with the item.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Unsent<T> {
    /// The item.
    pub item: T,
    /// What was in the way.
    pub reason: Reason,
}

/// What was in the way of sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// All receivers are gone.
    Closed,
    /// The channel is full, and the sender would not wait.
    Full,
    /// The scope of the sending thread was called off while it waited.
    Cancelled,
}

impl<T> Sender<T> {
    /// Sends an item, waiting while the channel is full.
    ///
    /// # Errors
    /// [`Reason::Closed`] when all receivers are gone; the item comes back.
    ///
    /// # Cancel safety
    /// Dropping the future before it is ready drops the item, sent or not.
    pub async fn send(&self, item: T) -> Result<(), Unsent<T>> {
        let sent = self.sender.send_async(item).await;
        sent.map_err(|flume::SendError(item)| Unsent { item, reason: Reason::Closed })?;
        self.note_peak();
        Ok(())
    }

    /// Sends an item, blocking this thread while the channel is full: for CPU and blocking work.
    ///
    /// # Errors
    /// [`Reason::Closed`] when all receivers are gone, [`Reason::Cancelled`] when the scope of this
    /// thread is called off meanwhile; the item comes back.
    pub fn send_blocking(&self, item: T) -> Result<(), Unsent<T>> {
        let mut unsent = item;
        loop {
            match self.sender.send_timeout(unsent, LOOK) {
                Ok(()) => break,
                Err(flume::SendTimeoutError::Disconnected(item)) => {
                    return Err(Unsent { item, reason: Reason::Closed });
                }
                Err(flume::SendTimeoutError::Timeout(item)) if cancel::is_cancelled() => {
                    return Err(Unsent { item, reason: Reason::Cancelled });
                }
                Err(flume::SendTimeoutError::Timeout(item)) => unsent = item,
            }
        }
        self.note_peak();
        Ok(())
    }

    /// Sends an item if there is room for it.
    ///
    /// # Errors
    /// [`Reason::Full`] or [`Reason::Closed`]; the item comes back.
    pub fn try_send(&self, item: T) -> Result<(), Unsent<T>> {
        self.sender.try_send(item).map_err(|error| match error {
            flume::TrySendError::Full(item) => Unsent { item, reason: Reason::Full },
            flume::TrySendError::Disconnected(item) => Unsent { item, reason: Reason::Closed },
        })?;
        self.note_peak();
        Ok(())
    }

    /// Whether all receivers are gone.
    pub fn is_closed(&self) -> bool {
        self.sender.is_disconnected()
    }

    /// How many items are in the channel.
    pub fn len(&self) -> usize {
        self.sender.len()
    }

    /// Whether no item is in the channel.
    pub fn is_empty(&self) -> bool {
        self.sender.is_empty()
    }

    /// The most items that were in the channel at one time.
    pub fn high_water_mark(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    fn note_peak(&self) {
        let len = self.sender.len();
        // Most sends set no record; a look is cheaper than a write that all cores wait for.
        if len > self.peak.load(Ordering::Relaxed) {
            self.peak.fetch_max(len, Ordering::Relaxed);
        }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), peak: Arc::clone(&self.peak) }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// The receiving side of a [`channel`], also a [`Stream`]. A clone is one more consumer.
pub struct Receiver<T: 'static> {
    items: flume::Receiver<T>,
    stream: Option<flume::r#async::RecvStream<'static, T>>,
    /// Held by the one that waits. For each that waits, flume takes an item in at once, whether there
    /// is room or not.
    waits: Arc<Mutex<()>>,
    peak: Arc<AtomicUsize>,
}

impl<T> Receiver<T> {
    fn new(items: flume::Receiver<T>, peak: Arc<AtomicUsize>) -> Self {
        Self { items, stream: None, waits: Arc::default(), peak }
    }

    /// The next item; `None` when all senders are gone and the channel is empty.
    ///
    /// # Cancel safety
    /// Dropping the future loses no item.
    pub async fn recv(&self) -> Option<T> {
        match self.items.try_recv() {
            Ok(item) => return Some(item),
            Err(flume::TryRecvError::Disconnected) => return None,
            Err(flume::TryRecvError::Empty) => {}
        }
        let _alone = self.waits.lock().await;
        let mut next = pin!(self.items.recv_async());
        let look = future::poll_fn(|context| {
            // A fresh one looks and lines up in one step. One that was woken for an item which another took
            // is, in flume, for a moment not in line: an item that comes then would wake nobody.
            next.set(self.items.recv_async());
            next.as_mut().poll(context)
        });
        look.await.ok()
    }

    /// The next item, blocking this thread until there is one: for CPU and blocking work. `None` when
    /// all senders are gone and the channel is empty.
    ///
    /// # Errors
    /// [`Error::Cancelled`] when the scope of this thread is called off meanwhile.
    pub fn recv_blocking(&self) -> Result<Option<T>, Error> {
        loop {
            match self.items.recv_timeout(LOOK) {
                Ok(item) => return Ok(Some(item)),
                Err(flume::RecvTimeoutError::Disconnected) => return Ok(None),
                Err(flume::RecvTimeoutError::Timeout) => cancel::check()?,
            }
        }
    }

    /// How many items are in the channel.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether no item is in the channel.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The most items that were in the channel at one time.
    pub fn high_water_mark(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    /// The high-water mark, for somebody who keeps it without being one more receiver.
    pub(crate) const fn peak(&self) -> &Arc<AtomicUsize> {
        &self.peak
    }
}

impl<T> Stream for Receiver<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let Self { items, stream, .. } = &mut *self;
        let stream = stream.get_or_insert_with(|| items.clone().into_stream());
        let polled = Pin::new(stream).poll_next(context);
        if polled.is_pending() && !items.is_empty() {
            // See `recv`; here the look is repeated.
            context.waker().wake_by_ref();
        }
        polled
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        let (waits, peak) = (Arc::clone(&self.waits), Arc::clone(&self.peak));
        Self { items: self.items.clone(), stream: None, waits, peak }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Unsent<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unsent").field("reason", &self.reason).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for Unsent<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.reason {
            Reason::Closed => "the channel is closed",
            Reason::Full => "the channel is full",
            Reason::Cancelled => "cancelled",
        })
    }
}

impl<T> std::error::Error for Unsent<T> {}

impl<T> From<Unsent<T>> for Error {
    fn from(unsent: Unsent<T>) -> Self {
        match unsent.reason {
            Reason::Closed => Self::Closed,
            Reason::Full => Self::Full,
            Reason::Cancelled => Self::Cancelled,
        }
    }
}
