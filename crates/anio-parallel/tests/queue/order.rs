//! What comes first, and how much there is room for.

use std::pin::pin;
use std::sync::Arc;

use anio_parallel::Error;
use anio_parallel::queue::{Fifo, Priority, Runner, WorkQueue};
use futures::poll;

#[tokio::test]
async fn a_full_queue_has_no_room_until_an_item_is_taken() {
    for n_items_max in [1, 2, 5] {
        let queue = Fifo::new(n_items_max);
        for n in 0..n_items_max {
            queue.push(n).await.unwrap();
        }
        let mut waiting = pin!(queue.push(99));
        assert!(poll!(&mut waiting).is_pending());
        assert_eq!(queue.len(), n_items_max);
        assert_eq!(queue.pop().await, Some(0));
        assert!(poll!(&mut waiting).is_ready());
        assert_eq!(queue.len(), n_items_max);
    }
    let queue = Fifo::new(0);
    queue.push(1).await.unwrap();
    assert!(poll!(pin!(queue.push(2))).is_pending(), "no room at all would be no queue");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bound_holds_whoever_pushes_and_pops() {
    let queue = Arc::new(Fifo::new(5));
    let pushers = (0..4_u64).map(|_| {
        let queue = Arc::clone(&queue);
        tokio::spawn(async move {
            for n in 0..2_000_u64 {
                queue.push(n).await.unwrap();
            }
        })
    });
    let pushers: Vec<_> = pushers.collect();
    let mut peak = 0;
    for _ in 0..8_000 {
        peak = peak.max(queue.len());
        queue.pop().await.unwrap();
    }
    assert!((1..=5).contains(&peak), "{peak}");
    for pusher in pushers {
        pusher.await.unwrap();
    }
}

#[tokio::test]
async fn of_equal_priority_the_first_goes_first() {
    let queue = Priority::by_key(100, |(urgency, _): &(u8, u32)| *urgency);
    for n in 0..30 {
        queue.push((u8::from(n % 3 == 0), n)).await.unwrap();
    }
    queue.close();
    let mut order = Vec::new();
    while let Some((_, n)) = queue.pop().await {
        order.push(n);
    }
    let (urgent, rest): (Vec<u32>, Vec<u32>) = (0..30).partition(|n| n % 3 == 0);
    assert_eq!(order, [urgent, rest].concat());
}

#[tokio::test]
async fn an_urgent_item_is_among_the_next_to_begin() {
    const N_EXECUTORS: usize = 4;
    let queue = Arc::new(Priority::by_key(2_000, |(urgency, _): &(u8, u32)| *urgency));
    for n in 0..1_000 {
        queue.push((1, n)).await.unwrap();
    }
    let (mut begun, pushing) = (Vec::new(), Arc::clone(&queue));
    let runner = Runner::new(Arc::clone(&queue)).produce(|_| async move {
        // The job is under way by now.
        while pushing.len() > 500 {
            tokio::task::yield_now().await;
        }
        let n_left = pushing.len();
        pushing.push((9, u32::try_from(n_left).unwrap())).await
    });
    let runner = runner.execute(N_EXECUTORS, |item| async move { Ok::<_, Error>(item) });
    runner.handle(|item| begun.push(item.unwrap())).run().await.ok().unwrap();
    let place = begun.iter().position(|(urgency, _)| *urgency == 9).unwrap();
    let n_before = 1_000 - begun[place].1 as usize;
    assert_eq!(begun.len(), 1_001);
    assert!(place <= n_before + N_EXECUTORS, "it was begun as number {place}, {n_before} were taken before");
}
