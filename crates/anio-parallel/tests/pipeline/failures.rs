//! The first error stops the rest, or errors are taken one by one.

use std::sync::{Arc, Mutex};

use anio_parallel::{Error, Pipeline, Source, check};
use futures::stream;

use crate::common::{Count, Numbers, scope};
use crate::{KINDS, add, n_tasks, wait_for_tasks};

fn fails_at(bad: u64) -> impl Fn(u64) -> Result<u64, Error> + Clone + Send + Sync + 'static {
    move |n| if n == bad { Err(Error::from_cause(format!("no {n}"))) } else { Ok(n) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_says_its_stage_and_item_and_no_stage_is_left_alive() {
    for kind in KINDS {
        let (baseline, count) = (n_tasks(), Count::default());
        let counted = |f: fn(u64) -> Result<u64, Error>| {
            let count = count.clone();
            move |n| {
                let _live = count.begin();
                f(n)
            }
        };
        let pipeline = add(Pipeline::source(0..1000), kind, "a", 2, counted(Ok));
        let pipeline = add(pipeline, kind, "b", 3, counted(|n| fails_at(50)(n)));
        let pipeline = add(pipeline, kind, "c", 1, counted(Ok));
        let error = pipeline.sink(|_| async {}).run().await.unwrap_err();
        assert_eq!((error.stage(), error.index()), (Some("b"), Some(50)), "{kind:?}");
        assert_eq!(error.to_string(), "stage \"b\", item 50: no 50");
        assert_eq!(count.live(), 0, "{kind:?}: nothing runs when it returns");
        wait_for_tasks(baseline, "after the error").await;
    }
}

#[tokio::test]
async fn a_panic_in_item_7_of_100_is_an_error_with_message_and_place() {
    let (scope, _) = scope(2);
    for kind in KINDS {
        let panics = |n| if n == 7 { panic!("seven") } else { Ok(n) };
        let pipeline = add(Pipeline::source(0..100), kind, "count", 2, panics);
        let error = scope.clone().run(pipeline.sink(|_| async {}).run()).await.unwrap_err();
        let Error::Panicked { stage, index, message, location } = error else { panic!("{error}") };
        assert_eq!((stage.as_deref(), index, &*message), (Some("count"), Some(7), "seven"), "{kind:?}");
        assert!(location.unwrap().contains("failures.rs"), "{kind:?}");
    }
    // The pool lives, with all its threads.
    let pipeline = Pipeline::source(0..100).cpu_stage("count", 2, |n: u64| n);
    assert_eq!(scope.run(pipeline.fold(0, |sum, n| *sum += n).run()).await.unwrap().value, 4950);
}

#[tokio::test]
async fn both_ends_say_who_they_are() {
    let numbers = [Ok(1), Ok(2), Err("the end of the file")];
    let error = Pipeline::source(Source::try_iter(numbers)).sink(|_| async {}).run().await.unwrap_err();
    assert_eq!((error.stage(), error.index()), (Some("source"), Some(2)));

    let source = stream::iter(0..9).chain_panic();
    let error = Pipeline::source(Source::stream(source)).sink(|_| async {}).run().await.unwrap_err();
    assert!(matches!(error, Error::Panicked { .. }), "{error}");
    assert_eq!((error.stage(), error.index()), (Some("source"), Some(9)));

    let sink = |n: u64| async move { if n == 3 { Err("no room") } else { Ok(()) } };
    let error = Pipeline::source(0..9).sink(sink).run().await.unwrap_err();
    assert_eq!((error.stage(), error.index()), (Some("sink"), Some(3)));

    let fold = |(): &mut (), n: u64| assert!(n != 4, "not four");
    let error = Pipeline::source(0..9).fold((), fold).run().await.unwrap_err();
    assert!(matches!(error, Error::Panicked { .. }), "{error}");
    assert_eq!((error.stage(), error.index()), (Some("sink"), Some(4)));
}

trait ChainPanic: futures::Stream<Item = u64> + Sized {
    /// The same stream, which panics where it would end.
    fn chain_panic(self) -> impl futures::Stream<Item = u64> {
        futures::StreamExt::chain(self, stream::poll_fn(|_| panic!("the source broke")))
    }
}

impl<S: futures::Stream<Item = u64>> ChainPanic for S {}

struct Brittle;

impl Iterator for Brittle {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        panic!("cracked")
    }
}

struct Sticky;

impl Drop for Sticky {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "stuck");
    }
}

#[tokio::test]
async fn what_panics_on_its_way_is_an_error() {
    let pipeline = Pipeline::source(0..3_u64).stage("a", 1, |n| async move { (n == 1).then_some(Brittle) });
    let error = pipeline.flatten().flatten().sink(|_| async {}).run().await.unwrap_err();
    assert_eq!((error.stage(), error.index()), (Some("a"), Some(1)), "{error}");

    let sticky = stream::unfold((Sticky, 0), |(sticky, n)| async move { Some((n, (sticky, n + 1))) });
    let pipeline = Pipeline::source(Source::stream(sticky)).take(3);
    let error = pipeline.collect::<Vec<i32>>().run().await.unwrap_err();
    assert_eq!((error.stage(), error.index()), (Some("source"), None), "{error}");
    assert!(matches!(error, Error::Panicked { message, .. } if message == "stuck"));
}

#[tokio::test]
async fn settled_errors_and_panics_are_kept_and_the_rest_goes_on() {
    for kind in KINDS {
        let (scope, _) = scope(2);
        let f = |n| match n {
            10 | 999 => Err(Error::from_cause("bad")),
            500 => panic!("worse"),
            n => Ok(n),
        };
        let pipeline = add(Pipeline::source(0..1000), kind, "a", 3, f).ordered().settle();
        let pipeline = pipeline.stage("b", 1, |n| async move { n }).collect::<Vec<_>>();
        let report = scope.run(pipeline.run()).await.unwrap();
        assert_eq!(report.value.len(), 997, "{kind:?}");
        assert!(report.value.is_sorted(), "{kind:?}: what failed leaves the order of the others alone");
        let errors: Vec<_> = report.errors.iter().map(|error| (error.stage(), error.index())).collect();
        assert_eq!(errors, [10, 500, 999].map(|n| (Some("a"), Some(n))), "{kind:?}");
        let stage = report.stage("a").unwrap();
        assert_eq!((stage.n_in, stage.n_out, stage.n_errors), (1000, 997, 3), "{kind:?}");
        assert_eq!(report.n_errors(), 3);
    }
}

#[tokio::test]
async fn errors_that_are_kept_are_bounded_and_all_are_counted() {
    let fail = |_| async { Err::<u64, _>("none of them") };
    let pipeline = Pipeline::source(0..5000_u64).try_stage("a", 2, fail).settle();
    let report = pipeline.collect::<Vec<_>>().run().await.unwrap();
    assert_eq!((report.errors.len(), report.n_errors(), report.value.len()), (1000, 5000, 0));
}

#[tokio::test]
async fn a_source_goes_on_after_an_error_that_was_settled() {
    let numbers = [Ok(1), Err("two"), Ok(3), Err("four")];
    let pipeline = Pipeline::source(Source::try_iter(numbers)).settle().collect::<Vec<_>>();
    let report = pipeline.run().await.unwrap();
    assert_eq!((report.value, report.stages[0].n_out, report.stages[0].n_errors), (vec![1, 3], 2, 2));
}

#[tokio::test]
async fn a_handler_has_errors_one_by_one_and_may_stop() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let handler = move |error: Error| {
        let mut seen = log.try_lock().unwrap();
        seen.push(error.index().unwrap());
        if seen.len() < 3 { Ok(()) } else { Err(error) }
    };
    let fail = |n: u64| async move { if n.is_multiple_of(2) { Ok(n) } else { Err(format!("{n} is odd")) } };
    let pipeline = Pipeline::source(0_u64..).try_stage("halve", 4, fail).ordered().errors_to(handler);
    let error = pipeline.sink(|_| async {}).run().await.unwrap_err();
    assert_eq!((error.stage(), error.index()), (Some("halve"), Some(5)));
    assert_eq!(*seen.lock().unwrap(), [1, 3, 5]);

    let broken = |_| panic!("the handler itself");
    let pipeline = Pipeline::source(0..9).try_stage("a", 1, |n| async move { fails_at(2)(n) });
    let error = pipeline.errors_to(broken).sink(|_| async {}).run().await.unwrap_err();
    assert!(matches!(error, Error::Panicked { message, .. } if message == "the handler itself"));
}

#[tokio::test]
async fn cancellation_at_any_point_leaves_nothing_running() {
    for (seed, kind) in (0..60).flat_map(|seed| KINDS.map(|kind| (seed, kind))) {
        let (count, baseline) = (Count::default(), n_tasks());
        let mut numbers = Numbers(seed);
        let (scope, token) = scope(2);
        let (at, own) = (numbers.below(60), numbers.below(2) == 0);
        let given = token.child_token();
        let cancelled = if own { given.clone() } else { token };
        let counted = count.clone();
        let work = move |n| {
            let _live = counted.begin();
            if n == at {
                cancelled.cancel();
            }
            check()?;
            Ok(n)
        };
        let pipeline = add(Pipeline::source(0..), kind, "a", 1 + numbers.below(3) as usize, work.clone());
        let pipeline = add(pipeline, kind, "b", 1 + numbers.below(3) as usize, work);
        let pipeline = if numbers.below(2) == 0 { pipeline.ordered() } else { pipeline };
        let pipeline = if numbers.below(2) == 0 { pipeline.settle() } else { pipeline };
        let run = pipeline.cap(numbers.below(4) as usize).sink(|_| async {});
        let error = scope.run(async { run.run_until(&given).await }).await.unwrap_err();
        assert!(error.is_cancelled(), "seed {seed}, {kind:?}: {error}");
        assert_eq!(count.live(), 0, "seed {seed}, {kind:?}");
        wait_for_tasks(baseline, "after the cancellation").await;
    }
}

#[tokio::test(start_paused = true)]
async fn cancellation_wakes_what_waits_for_ever() {
    let (scope, token) = scope(1);
    let never = || Source::stream(stream::pending::<u64>());
    let waits = Pipeline::source([1]).stage("wait", 2, |_| std::future::pending::<u64>());
    let stuck = Pipeline::source(0_u64..).cap(1).sink(|_| std::future::pending::<()>());
    let runs = [Pipeline::source(never()).sink(|_| async {}), waits.sink(|_| async {}), stuck];
    let runs: Vec<_> = runs.into_iter().map(|run| tokio::spawn(scope.clone().run(run.run()))).collect();
    tokio::time::sleep(crate::MS).await;
    token.cancel();
    for run in runs {
        assert!(run.await.unwrap().unwrap_err().is_cancelled());
    }
    let late = Pipeline::source(0..3).collect::<Vec<_>>();
    assert!(scope.run(late.run()).await.unwrap_err().is_cancelled(), "nothing starts after it");
}
