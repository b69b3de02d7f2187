//! Ends before the end: enough items, nobody there any more.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use anio_parallel::{Error, Pipeline, Source};
use tokio::time::sleep;

use crate::common::{Count, Numbers, scope};
use crate::{KINDS, MS, add, n_tasks, wait_for_tasks};

/// An endless source, and how many items were asked of it.
fn endless() -> (impl Iterator<Item = u64> + Send, Arc<AtomicU64>) {
    let produced = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&produced);
    let items = (0..).inspect(move |_| {
        count.fetch_add(1, SeqCst);
    });
    (items, produced)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_of_an_endless_source_stop_all_that_is_before_them() {
    for (seed, kind) in (0..20).flat_map(|seed| KINDS.map(|kind| (seed, kind))) {
        let mut numbers = Numbers(seed);
        let (baseline, count, (items, produced)) = (n_tasks(), Count::default(), endless());
        let (cap, a, b) = (1 + numbers.below(3), 1 + numbers.below(3), 1 + numbers.below(3));
        let counted = count.clone();
        let work = move |n| {
            let _live = counted.begin();
            Ok(n)
        };
        let pipeline = add(Pipeline::source(items), kind, "a", a as usize, work.clone()).ordered();
        let pipeline = add(pipeline, kind, "b", b as usize, work).ordered().cap(cap as usize).settle();
        let way = numbers.below(3);
        let value = match way {
            0 => pipeline.take(10).collect::<Vec<_>>().run().await.unwrap().value,
            1 => {
                let enough = |all: &mut Vec<u64>, n| {
                    all.push(n);
                    if all.len() < 10 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                };
                pipeline.fold(Vec::new(), enough).run().await.unwrap().value
            }
            _ => {
                let twice = pipeline.stage("twice", 1, |n| async move { [n; 2] }).flatten();
                twice.take(19).collect::<Vec<_>>().run().await.unwrap().value
            }
        };
        let expected: Vec<u64> = if way == 2 { (0..19).map(|n| n / 2).collect() } else { (0..10).collect() };
        let what = format!("seed {seed}, {kind:?}, way {way}");
        assert_eq!(value, expected, "{what}");
        // The source is a worker too; with a third stage comes its worker and its queue.
        let most = 10 + 3 * cap + a + b + 1 + if way == 2 { cap + 1 } else { 0 };
        assert!(produced.load(SeqCst) <= most, "{what}: {produced:?} > {most}");
        assert_eq!(count.live(), 0, "{what}");
        wait_for_tasks(baseline, &what).await;
    }
}

#[tokio::test(start_paused = true)]
async fn all_that_was_let_through_arrives_however_slow_the_rest_is() {
    for n_items in [0, 1, 2, 9, 30] {
        let (items, produced) = endless();
        let slow = |n: u64| async move {
            sleep(10 * MS).await;
            n
        };
        let pipeline = Pipeline::source(items).stage("a", 4, |n| async move { n }).take(n_items).cap(1);
        let report = pipeline.stage("b", 2, slow).collect::<Vec<_>>().run().await.unwrap();
        assert_eq!(report.value.len() as u64, n_items);
        assert_eq!(report.stage("b").unwrap().n_in, n_items);
        assert!(produced.load(SeqCst) <= n_items + 1 + 4 + 1);
    }
    let (items, produced) = endless();
    let report = Pipeline::source(items).take(3).collect::<Vec<_>>().run().await.unwrap();
    assert_eq!((report.value, produced.load(SeqCst)), (vec![0, 1, 2], 3), "right behind the source");
}

#[tokio::test(start_paused = true)]
async fn an_end_wakes_what_is_before_it() {
    // The source would be silent for ever, and an item at work would never be done.
    let source = futures::StreamExt::chain(futures::stream::iter([0, 1, 2]), futures::stream::pending());
    let stuck = |n: u64| async move {
        if n == 1 {
            std::future::pending::<()>().await;
        }
        n
    };
    let pipeline = Pipeline::source(Source::stream(source)).stage("a", 2, stuck).take(2);
    assert_eq!(pipeline.collect::<Vec<_>>().run().await.unwrap().value, [0, 2]);
}

#[tokio::test]
async fn what_fails_after_the_end_does_no_harm() {
    let producer = Source::producer(|out| async move {
        let mut n = 0_u64;
        loop {
            out.send(n).await?;
            n += 1;
        }
        #[expect(unreachable_code, reason = "names the type of the error")]
        Ok::<_, Error>(())
    });
    let fail_late = |n| async move { if n < 5 { Ok(n) } else { Err("too late to matter") } };
    let report = Pipeline::source(producer).try_stage("a", 1, fail_late).take(5).collect::<Vec<_>>();
    let report = report.run().await.unwrap();
    assert_eq!((report.n_errors(), report.value), (0, vec![0, 1, 2, 3, 4]));
}

#[tokio::test]
async fn a_drop_at_any_point_leaves_nothing_running() {
    for (seed, kind) in (0..60).flat_map(|seed| KINDS.map(|kind| (seed, kind))) {
        let (baseline, count) = (n_tasks(), Count::default());
        let mut numbers = Numbers(seed);
        let (scope, _) = scope(2);
        let counted = count.clone();
        let work = move |n| {
            let _live = counted.begin();
            Ok(n)
        };
        let pipeline = add(Pipeline::source(0..), kind, "a", 1 + numbers.below(3) as usize, work.clone());
        let pipeline = add(pipeline, kind, "b", 1 + numbers.below(3) as usize, work).cap(2);
        let until = numbers.below(100);
        let mut taken = 0;
        let (enough, reached) = tokio::sync::oneshot::channel::<()>();
        let mut enough = Some(enough);
        let run = pipeline.sink(move |_: u64| {
            taken += 1;
            if taken > until {
                drop(enough.take());
            }
            std::future::ready(())
        });
        let mut run = Box::pin(scope.run(run.run()));
        tokio::select! {
            ended = &mut run => panic!("seed {seed}: {ended:?}"),
            _ = reached => drop(run),
        }
        wait_for_tasks(baseline, "after the drop").await;
        count.settle(&format!("seed {seed}, {kind:?}")).await;
    }
}

#[tokio::test]
async fn a_function_that_computes_sees_that_the_pipeline_was_dropped() {
    let (scope, _) = scope(1);
    let count = Count::default();
    let counted = count.clone();
    let (begun, has_begun) = tokio::sync::oneshot::channel::<()>();
    let begun = std::sync::Mutex::new(Some(begun));
    let spin = move |(): ()| {
        let _live = counted.begin();
        drop(begun.lock().unwrap().take());
        while !anio_parallel::is_cancelled() {
            std::thread::yield_now();
        }
    };
    let run = Pipeline::source([()]).cpu_stage("spin", 1, spin).sink(|()| async {});
    let mut run = Box::pin(scope.run(run.run()));
    tokio::select! {
        ended = &mut run => panic!("{ended:?}"),
        _ = has_begun => drop(run),
    }
    count.settle("after the drop").await;
}
