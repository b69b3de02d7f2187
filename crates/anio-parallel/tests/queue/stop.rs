//! The ways to stop a runner: by its handler, by its token, by dropping it.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use anio_parallel::queue::{End, Fifo, Runner, WorkQueue};
use anio_parallel::{Error, Reason, check, cpu};

use crate::common::{Count, Numbers, scope, wait_until};
use crate::with_each_queue;

#[tokio::test(flavor = "multi_thread")]
async fn after_the_handler_breaks_at_most_as_many_more_are_begun_as_there_are_executors() {
    for n_executors in [1, 2, 8] {
        for _ in 0..20 {
            let count = Count::default();
            let counting = count.clone();
            let (mut sum, mut begun_at_break) = (0, None);
            let runner = Runner::new(Fifo::new(50)).items(1..=1_000_000_u64).execute(n_executors, move |n| {
                drop(counting.begin());
                async move { Ok::<_, Error>(n) }
            });
            let done = runner
                .handle(|n| {
                    sum += n.unwrap();
                    if sum > 1_000 {
                        begun_at_break.get_or_insert(count.begun());
                        return ControlFlow::Break(());
                    }
                    ControlFlow::Continue(())
                })
                .run()
                .await;
            assert!(matches!(done.end, End::Stopped), "{:?}", done.end);
            let n_further = count.begun() - begun_at_break.unwrap();
            assert!(n_further <= n_executors, "{n_further} further executions by {n_executors}");
            assert_eq!(done.n_handled, count.begun() as u64, "all that ran was handled");
            assert!(!done.unprocessed.is_empty());
            assert!(done.ok().is_ok(), "that is an end like others");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_called_off_ends_with_its_executors_wherever_they_are() {
    let mut random = Numbers(5);
    for round in 0..40 {
        with_each_queue!(4, |name, queue| {
            let (scope, token) = scope(2);
            let count = Count::default();
            let (counting, at) = (count.clone(), random.below(50));
            let stop = token.clone();
            let runner = Runner::new(queue).items(0..u64::MAX).execute(1 + round % 4, move |n| {
                let (live, stop) = (counting.begin(), stop.clone());
                async move {
                    let _live = live;
                    if n >= at {
                        stop.cancel();
                        // Some wait for ever, some look whether they should end.
                        match n % 3 {
                            0 => std::future::pending().await,
                            1 => cpu(|| while check().is_ok() {}).await?,
                            _ => tokio::time::sleep(Duration::from_secs(3600)).await,
                        }
                    }
                    Ok::<_, Error>(n)
                }
            });
            let mut n_called_off = 0;
            let job =
                runner.handle(|result| n_called_off += u64::from(matches!(result, Err(Error::Cancelled))));
            let done = scope.run(job.run()).await;
            assert_eq!(count.live(), 0, "{name}: nothing runs when it has returned");
            assert!(matches!(done.end, End::Cancelled), "{name}");
            assert!(n_called_off >= 1, "{name}: the item that called it off is handled as such");
            assert_eq!((done.n_handled, done.n_failed), (count.begun() as u64, n_called_off), "{name}");
            assert!(done.ok().unwrap_err().is_cancelled(), "{name}");
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_without_a_producer_is_called_off_while_it_waits() {
    with_each_queue!(4, |name, queue| {
        let (scope, token) = scope(1);
        let queue = Arc::new(queue);
        let job = scope.run(Runner::new(Arc::clone(&queue)).execute(3, crate::double).handle(|_| ()).run());
        let (done, ()) = tokio::join!(job, async {
            tokio::task::yield_now().await;
            token.cancel();
        });
        assert!(matches!(done.end, End::Cancelled), "{name}");
        assert_eq!(queue.push(1).await.unwrap_err().reason, Reason::Closed, "{name}");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_dropped_leaves_nothing_running_and_its_queue_closed() {
    let mut random = Numbers(11);
    for _ in 0..40 {
        with_each_queue!(4, |name, queue| {
            let (queue, count) = (Arc::new(queue), Count::default());
            let (counting, stop_at) = (count.clone(), random.below(60));
            let job = Runner::new(Arc::clone(&queue)).items(0..u64::MAX).execute(3, move |n| {
                let live = counting.begin();
                async move {
                    let _live = live;
                    crate::double(n).await
                }
            });
            let mut n_seen = 0;
            let (done, mut dropped) = tokio::sync::mpsc::unbounded_channel();
            let job = job.handle(move |_| {
                n_seen += 1;
                if n_seen == stop_at + 1 {
                    done.send(()).unwrap();
                }
            });
            tokio::select! {
                _ = job.run() => panic!("{name}: nobody stopped it"),
                _ = dropped.recv() => {}
            }
            count.settle(name).await;
            assert_eq!(queue.push(1).await.unwrap_err().reason, Reason::Closed, "{name}");
            let left = Arc::clone(&queue);
            wait_until(name, move || Arc::strong_count(&left) == 2);
        });
    }
}
