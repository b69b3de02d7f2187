//! Waits for a future on a thread of the pool.
//!
//! A thread that waits inside rayon may take up another body, which then waits within the first one's poll.
//! The executors of `futures` and tokio refuse to be entered twice on one thread; this one does not mind.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

struct Unpark {
    thread: Thread,
    /// The thread's own token may be taken by another future that waits further in.
    is_woken: AtomicBool,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.is_woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// Polls the future on this thread until it is ready; between polls the thread is parked.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let unpark = Arc::new(Unpark { thread: thread::current(), is_woken: AtomicBool::new(false) });
    let waker = Waker::from(Arc::clone(&unpark));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        while !unpark.is_woken.swap(false, Ordering::Acquire) {
            thread::park();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[test]
    fn a_wake_up_is_not_lost_to_a_future_that_waits_further_in() {
        let (outer_sender, outer) = oneshot::channel();
        let (inner_sender, inner) = oneshot::channel();
        let mut inner = Some((outer_sender, inner_sender, inner));
        let mut outer = Box::pin(outer);
        let future = std::future::poll_fn(move |context| {
            let poll = outer.as_mut().poll(context);
            // The outer future is woken while the thread waits for the inner one.
            if let Some((outer_sender, inner_sender, inner)) = inner.take() {
                let other = thread::spawn(move || {
                    outer_sender.send(1).ok();
                    inner_sender.send(2).ok();
                });
                assert_eq!(block_on(inner), Ok(2));
                other.join().ok();
            }
            poll
        });
        assert_eq!(block_on(future), Ok(1));
    }
}
