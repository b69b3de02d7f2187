//! Items on their way: all arrive, in time, in order where asked for, and never too many at once.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Barrier};

use anio_parallel::Pipeline;
use tokio::time::{Instant, sleep};

use crate::common::{Count, Numbers, scope};
use crate::{KINDS, MS, add};

#[tokio::test(start_paused = true)]
async fn three_stages_work_side_by_side() {
    let step = |n: u64| async move {
        sleep(10 * MS).await;
        n
    };
    let started = Instant::now();
    let pipeline = Pipeline::source(0..100).stage("a", 1, step).stage("b", 1, step).stage("c", 1, step);
    let report = pipeline.cap(2).collect::<Vec<_>>().run().await.unwrap();
    assert_eq!(report.value, (0..100).collect::<Vec<_>>(), "one worker per stage keeps the order");
    // By the paused clock: 102 steps of the time of one, not 300.
    assert_eq!(started.elapsed(), 1020 * MS);
    assert_eq!(report.elapsed, 1020 * MS);
}

#[tokio::test(start_paused = true)]
async fn a_stage_has_as_many_items_at_work_as_it_has_workers() {
    let count = Count::default();
    let counted = count.clone();
    let started = Instant::now();
    let pipeline = Pipeline::source(0..100_u64).stage("fetch", 8, move |_| {
        let live = counted.begin();
        async move {
            sleep(10 * MS).await;
            drop(live);
        }
    });
    pipeline.sink(|()| async {}).run().await.unwrap();
    assert_eq!((count.begun(), count.peak(), count.live()), (100, 8, 0));
    assert_eq!(started.elapsed(), 130 * MS, "13 rounds of 8");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_are_on_several_threads() {
    // Two items meet at a barrier that blocks their threads: one polled future would hang here.
    for kind in KINDS {
        let (scope, _) = scope(2);
        let both = Arc::new(Barrier::new(2));
        let meet = move |n| {
            both.wait();
            Ok(n)
        };
        let pipeline = add(Pipeline::source(0..20), kind, "meet", 2, meet);
        let report = scope.run(pipeline.fold(0, |sum, n| *sum += n).run()).await.unwrap();
        assert_eq!(report.value, 190, "{kind:?}");
    }
}

#[tokio::test]
async fn stages_that_compute_do_not_wait_for_each_other_on_the_only_thread() {
    let (scope, _) = scope(1);
    let pipeline = Pipeline::source(0..1000_u64)
        .cpu_stage("a", 3, |n| n + 1)
        .cpu_stage("b", 2, |n| n * 2)
        .ordered()
        .cpu_stage("c", 4, |n| n)
        .cap(1);
    let report = scope.run(pipeline.fold(0, |sum, n| *sum += n).run()).await.unwrap();
    assert_eq!(report.value, 1000 * 1001);
}

#[tokio::test(start_paused = true)]
async fn an_ordered_stage_keeps_the_order_under_random_delays() {
    for seed in 0..20 {
        let mut numbers = Numbers(seed);
        let n_workers = 1 + numbers.below(8) as usize;
        let delays: Arc<Vec<u64>> = Arc::new((0..200).map(|_| numbers.below(11)).collect());
        let delay = move |n: u64| {
            let delays = Arc::clone(&delays);
            async move {
                sleep(MS * u32::try_from(delays[n as usize]).unwrap()).await;
                // Some have no successor, some have two.
                vec![n; (n % 3) as usize]
            }
        };
        let pipeline = Pipeline::source(0..200).stage("delay", n_workers, delay).ordered().flatten();
        let report = pipeline.collect::<Vec<_>>().run().await.unwrap();
        let expected: Vec<u64> = (0..200).flat_map(|n| vec![n; (n % 3) as usize]).collect();
        assert_eq!(report.value, expected, "seed {seed}, {n_workers} workers");
    }
}

#[tokio::test]
async fn an_ordered_stage_that_computes_keeps_the_order() {
    let (scope, _) = scope(4);
    let spin = |n: u64| (0..(n * 7919) % 5000).fold(n, |n, i| std::hint::black_box(n ^ i ^ i));
    let pipeline = Pipeline::source(0..500).cpu_stage("spin", 4, spin).ordered().cap(3);
    let report = scope.run(pipeline.collect::<Vec<_>>().run()).await.unwrap();
    assert_eq!(report.value, (0..500).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_slow_item_holds_back_the_others_only_where_order_is_kept() {
    let delay = |n: u64| async move {
        sleep(if n == 0 { 1000 * MS } else { MS }).await;
        n
    };
    for is_ordered in [false, true] {
        let started = Instant::now();
        let pipeline = Pipeline::source(0..100).stage("delay", 8, delay);
        let pipeline = if is_ordered { pipeline.ordered() } else { pipeline };
        let report = pipeline.fold(Vec::new(), move |all, n| all.push((n, started.elapsed())));
        let arrived = report.run().await.unwrap().value;
        let early = arrived.iter().filter(|(_, at)| *at < 300 * MS).count();
        assert_eq!((arrived.len(), early), (100, if is_ordered { 0 } else { 99 }));
        assert_eq!(arrived.is_sorted(), is_ordered);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_sink_holds_the_source_back() {
    for cap in [1, 2, 16] {
        let produced = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&produced);
        let source = (0..300_u64).inspect(move |_| {
            count.fetch_add(1, SeqCst);
        });
        let ahead_max = Arc::new(AtomicU64::new(0));
        let (ahead, mut n_taken) = (Arc::clone(&ahead_max), 0);
        let slow = move |_| {
            n_taken += 1;
            let (ahead, produced) = (Arc::clone(&ahead), Arc::clone(&produced));
            async move {
                sleep(10 * MS).await;
                ahead.fetch_max(produced.load(SeqCst) - n_taken, SeqCst);
            }
        };
        let pipeline = Pipeline::source(source).stage("a", 3, |n| async move { n }).cap(cap);
        let report = pipeline.sink(slow).run().await.unwrap();
        let (n_queues, n_workers) = (2, 3 + 1);
        assert_eq!(ahead_max.load(SeqCst), n_queues * cap as u64 + n_workers, "cap {cap}");
        for stage in &report.stages[1..] {
            assert_eq!((stage.queued, stage.queued_max), (0, cap as u64), "cap {cap}, {}", stage.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_items_pass_through_and_none_is_lost() {
    let pipeline = Pipeline::source(0..1_000_000_u64)
        .stage("a", 2, |n| async move { n })
        .stage("b", 1, |n| async move { n })
        .cap(64);
    let report = pipeline.fold(0, |sum, n| *sum += n).run().await.unwrap();
    assert_eq!(report.value, 999_999 * 1_000_000 / 2);
    for stage in &report.stages {
        assert_eq!(stage.n_out, 1_000_000, "{}", stage.name);
        assert!(stage.queued_max <= 64, "{}", stage.name);
    }
}

#[tokio::test]
async fn no_item_and_no_stage_and_no_worker_are_fine() {
    let report = Pipeline::source(0..0).collect::<Vec<u64>>().run().await.unwrap();
    assert_eq!((report.value.len(), report.stages.len()), (0, 2));
    for kind in KINDS {
        let pipeline = add(Pipeline::source([7]), kind, "a", 0, Ok).cap(0);
        let report = pipeline.collect::<Vec<_>>().run().await.unwrap();
        assert_eq!((report.value, report.stages[1].n_workers), (vec![7], 1), "{kind:?}");
    }
}

#[tokio::test]
async fn an_empty_item_is_an_item() {
    let report = Pipeline::source([None, Some(1), None]).collect::<Vec<_>>().run().await.unwrap();
    assert_eq!(report.value, [None, Some(1), None]);
}

#[tokio::test]
async fn a_pipeline_without_a_pause_lets_other_tasks_run() {
    // On the only thread, items are always there and there is always room: an endless sink would never
    // let go of the thread by itself.
    let endless = Pipeline::source(0_u64..).cap(1000).sink(|_| async {});
    let run = tokio::spawn(endless.run());
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    run.abort();
    assert!(run.await.unwrap_err().is_cancelled());
}
