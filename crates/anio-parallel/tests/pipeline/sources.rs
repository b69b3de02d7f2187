//! Where items come from: clocks, producers, several sources at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use anio_parallel::{Error, Pipeline, Reason, Source, try_cpu};
use futures::{StreamExt, stream};
use tokio::time::{Duration, Instant, sleep};

use crate::MS;
use crate::common::Count;

#[tokio::test(start_paused = true)]
async fn a_hundred_ticks_do_not_drift() {
    let started = Instant::now();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    // Work of another length each time, always within the period.
    let work = move |n: u64| {
        log.lock().unwrap().push((n, started.elapsed()));
        sleep(MS * u32::try_from(n * 37 % 95).unwrap())
    };
    let pipeline = Pipeline::source(Source::tick(100 * MS)).take(100);
    pipeline.sink(work).run().await.unwrap();
    let expected: Vec<_> = (1..=100_u32).map(|n| (u64::from(n), n * 100 * MS)).collect();
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_tick_without_room_is_missed_and_the_next_is_in_time_again() {
    let started = Instant::now();
    let slow = |n: u64| async move {
        sleep(350 * MS).await;
        n
    };
    let log = move |all: &mut Vec<_>, n| all.push((n, started.elapsed()));
    let pipeline = Pipeline::source(Source::tick(100 * MS)).stage("slow", 1, slow).cap(1).take(6);
    let ticks = pipeline.fold(Vec::new(), log).run().await.unwrap().value;
    // One is at work, one waits, one is at the door: they were in time. At 450 ms there is room for the
    // fourth, which was due at 400; at 800 ms for the fifth; at 1150 ms for the ninth, due at 900.
    assert_eq!(ticks.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 9]);
    // They are worked on without a pause.
    assert_eq!(ticks.last().unwrap().1, 100 * MS + 6 * 350 * MS);
}

#[tokio::test(start_paused = true)]
async fn an_item_after_a_time_comes_once_and_in_time() {
    let started = Instant::now();
    let report = Pipeline::source(Source::after(Duration::from_secs(3600))).collect::<Vec<_>>().run().await;
    assert_eq!((report.unwrap().value, started.elapsed()), (vec![()], Duration::from_secs(3600)));
}

#[tokio::test(start_paused = true)]
async fn no_clock_runs_before_the_pipeline_does() {
    let source = Source::after(10 * MS).map(|()| 0).merge(Source::tick(10 * MS)).until(sleep(65 * MS));
    let pipeline = Pipeline::source(source).collect::<Vec<_>>();
    sleep(30 * MS).await;
    // Three ticks and the one that comes once, until the end, whose time was running.
    assert_eq!(pipeline.run().await.unwrap().value.len(), 4);
}

#[tokio::test]
async fn sources_that_are_always_ready_take_turns_and_end_when_all_have() {
    let of = |source: u64, n_items: usize| Source::stream(stream::iter(vec![source; n_items]));
    let merged = Source::select([of(0, 300), of(1, 300), of(2, 30)]);
    let arrived = Pipeline::source(merged).collect::<Vec<_>>().run().await.unwrap().value;
    let count = |items: &[u64]| {
        let mut counts = BTreeMap::new();
        for source in items {
            *counts.entry(*source).or_insert(0) += 1;
        }
        counts
    };
    assert_eq!(count(&arrived), BTreeMap::from([(0, 300), (1, 300), (2, 30)]));
    for part in arrived[..90].chunks(30) {
        assert!(count(part).into_values().all(|n| (5..=15).contains(&n)), "{part:?}");
    }
}

#[tokio::test]
async fn no_source_at_all_ends_at_once() {
    let none: [Source<u64>; 0] = [];
    assert!(Pipeline::source(Source::select(none)).collect::<Vec<_>>().run().await.unwrap().value.is_empty());
}

#[tokio::test]
async fn a_producer_waits_until_its_item_is_wanted() {
    let count = Count::default();
    let counted = count.clone();
    let source = Source::producer(|out| async move {
        for n in 0_u64.. {
            let _live = counted.begin();
            if let Err(unsent) = out.send(n).await {
                assert_eq!(unsent.reason, Reason::Closed);
                return;
            }
        }
    });
    let pipeline = Pipeline::source(source).stage("a", 2, |n| async move { n }).cap(3).take(10);
    assert_eq!(pipeline.sink(|_| async {}).run().await.unwrap().stages[2].n_in, 10);
    // Two queues, the workers of the stage, the source, and the item that the producer offers.
    assert!(count.begun() <= 10 + 2 * 3 + 2 + 1 + 1, "{}", count.begun());
    assert_eq!(count.live(), 0);
}

#[tokio::test]
async fn a_producer_lives_on_in_the_clones_of_its_sender() {
    let (late, out_late) = tokio::sync::oneshot::channel();
    let source = Source::producer(|out| async move {
        for n in 0..3_u64 {
            out.send(n).await?;
        }
        late.send(out).map_err(|_| "nobody there")?;
        Ok::<_, anio_parallel::Cause>(())
    });
    let later = tokio::spawn(async move {
        let out = out_late.await.unwrap();
        tokio::task::yield_now().await;
        out.send(3).await.unwrap();
        tokio::task::yield_now().await;
        out.send(4).await.unwrap();
    });
    let report = Pipeline::source(source).collect::<Vec<_>>().run().await.unwrap();
    later.await.unwrap();
    assert_eq!(report.value, [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn a_push_after_the_end_says_so_also_on_a_thread() {
    let (told, result) = tokio::sync::oneshot::channel();
    let source = Source::producer(|out| async move {
        let thread = try_cpu(move || {
            let refused = (0_u64..).find_map(|n| out.send_blocking(n).err());
            told.send(refused.map(|unsent| unsent.reason)).map_err(|_| "nobody there")
        });
        thread.await
    });
    Pipeline::source(source).take(5).sink(|_| async {}).run().await.unwrap();
    let refused = result.await.unwrap();
    // The pipeline is gone, and the scope of the thread with it: whichever it sees first.
    assert!(matches!(refused, Some(Reason::Closed | Reason::Cancelled)), "{refused:?}");
}

#[tokio::test]
async fn a_producer_that_fails_or_panics_is_an_error_of_the_source() {
    let fails = Source::producer(|out| async move {
        out.send(1_u64).await?;
        Err::<(), _>(Error::from_cause("the line is dead"))
    });
    let error = Pipeline::source(fails).sink(|_| async {}).run().await.unwrap_err();
    assert_eq!(error.to_string(), "stage \"source\", item 1: the line is dead");

    let fails = Source::producer(|out| async move {
        out.send(1_u64).await.unwrap();
        assert!(out.is_closed(), "the line burns");
    });
    let fails = fails.merge(Source::stream(stream::iter(5..7).chain(stream::pending())));
    let error = Pipeline::source(fails).sink(|_| async {}).run().await.unwrap_err();
    assert!(matches!(error, Error::Panicked { ref message, .. } if message == "the line burns"), "{error}");
}
