//! Nothing is lost, wherever a job is stopped.

use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::{Arc, Mutex};

use anio_parallel::queue::{End, Fifo, Runner, WorkQueue};
use anio_parallel::{Error, Reason};
use futures::poll;

use crate::common::{Numbers, scope};
use crate::{distinct, with_each_queue};

/// Three pushers beside the job note what was accepted; it is stopped at a random point, by the token or
/// by the handler.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_was_accepted_is_handled_or_given_back() {
    let mut random = Numbers(1);
    for round in 0..100 {
        with_each_queue!(1 + round % 6, |name, queue| {
            let (scope, token) = scope(1);
            let (queue, accepted) = (Arc::new(queue), Arc::new(Mutex::new(Vec::new())));
            let pushers = (0..3_u64).map(|pusher| {
                let (queue, accepted) = (Arc::clone(&queue), Arc::clone(&accepted));
                tokio::spawn(async move {
                    for n in 0.. {
                        let item = pusher << 32 | n;
                        match queue.push(item).await {
                            Ok(()) => accepted.lock().unwrap().push(item),
                            Err(unsent) => {
                                assert_eq!((unsent.item, unsent.reason), (item, Reason::Closed));
                                return;
                            }
                        }
                    }
                })
            });
            let pushers: Vec<_> = pushers.collect();
            let runner =
                Runner::new(Arc::clone(&queue)).execute(1 + round % 4, |n| async move { Ok::<_, Error>(n) });
            let (mut handled, mut n_called_off) = (Vec::new(), 0);
            let stop_at = random.below(80) as usize;
            let job = runner.handle(|result| {
                match result {
                    Ok(n) => handled.push(n),
                    Err(_) => n_called_off += 1,
                }
                if handled.len() < stop_at {
                    return ControlFlow::Continue(());
                }
                if round % 2 == 0 {
                    return ControlFlow::Break(());
                }
                token.cancel();
                ControlFlow::Continue(())
            });
            let done = scope.run(job.run()).await;
            for pusher in pushers {
                pusher.await.unwrap();
            }
            assert!(matches!(done.end, End::Stopped | End::Cancelled), "{name}");
            assert_eq!(queue.len(), 0, "{name}: the rest was given back");
            let n_accepted = accepted.lock().unwrap().len();
            let n_found = distinct(handled.iter().copied().chain(done.unprocessed.iter().copied())).len();
            assert_eq!(n_accepted, n_found + n_called_off, "{name}, round {round}");
            assert_eq!(done.n_handled as usize, handled.len() + n_called_off, "{name}");
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_the_producer_had_ready_is_given_back() {
    for round in 0..50 {
        let (mut pulled, mut handled) = (0, Vec::new());
        let items = (0..u64::MAX).inspect(|_| pulled += 1);
        let runner = Runner::new(Fifo::new(2)).items(items).execute(2, crate::double);
        let done = runner
            .handle(|n| {
                handled.push(n.unwrap() / 2);
                if handled.len() > round { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .run()
            .await;
        let all = distinct(handled.into_iter().chain(done.unprocessed));
        assert_eq!(all, (0..pulled).collect());
    }
}

#[tokio::test]
async fn a_push_to_a_closed_queue_is_refused_always() {
    with_each_queue!(1, |name, queue| {
        queue.push(1).await.unwrap();
        let mut waiting = pin!(queue.push(2));
        assert!(poll!(&mut waiting).is_pending(), "{name}: it is full");
        queue.close();
        queue.close();
        let refused = waiting.await.unwrap_err();
        assert_eq!((refused.item, refused.reason), (2, Reason::Closed), "{name}");
        for n in 0..100 {
            let refused = queue.push(n).await.unwrap_err();
            assert_eq!((refused.item, refused.reason), (n, Reason::Closed), "{name}");
        }
        assert_eq!((queue.pop().await, queue.pop().await), (Some(1), None), "{name}");
    });
}

#[tokio::test]
async fn those_who_wait_for_an_item_are_woken_by_the_end() {
    with_each_queue!(1, |name, queue| {
        let queue = Arc::new(queue);
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let queue = Arc::clone(&queue);
                tokio::spawn(async move { queue.pop().await })
            })
            .collect();
        tokio::task::yield_now().await;
        queue.close();
        for waiting in waiting {
            assert_eq!(waiting.await.unwrap(), None, "{name}");
        }
    });
}

#[tokio::test]
async fn a_dropped_pop_loses_nothing_and_a_dropped_push_adds_nothing() {
    with_each_queue!(2, |name, queue| {
        for _ in 0..10 {
            let mut waiting = pin!(queue.pop());
            assert!(poll!(&mut waiting).is_pending(), "{name}");
        }
        // One that was handed an item, and is dropped before it takes it.
        {
            let mut waiting = pin!(queue.pop());
            assert!(poll!(&mut waiting).is_pending(), "{name}");
            queue.push(1).await.unwrap();
        }
        queue.push(2).await.unwrap();
        {
            let mut waiting = pin!(queue.push(3));
            assert!(poll!(&mut waiting).is_pending(), "{name}");
        }
        assert_eq!(queue.len(), 2, "{name}");
        assert_eq!(
            distinct([queue.pop().await.unwrap(), queue.pop().await.unwrap()]),
            [1, 2].into(),
            "{name}"
        );
        assert_eq!(queue.len(), 0, "{name}");
    });
}

#[tokio::test]
async fn a_drained_queue_goes_on() {
    with_each_queue!(2, |name, queue| {
        for round in 0..5 {
            queue.push(round).await.unwrap();
            queue.push(round + 10).await.unwrap();
            assert_eq!(distinct(queue.drain()), [round, round + 10].into(), "{name}");
            assert_eq!(queue.len(), 0, "{name}");
        }
        queue.push(7).await.unwrap();
        assert_eq!(queue.pop().await, Some(7), "{name}");
        let mut waiting = pin!(queue.pop());
        assert!(poll!(&mut waiting).is_pending(), "{name}: an item that was drained does not count");
    });
}
