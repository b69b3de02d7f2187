//! Load tests, by tokio's clock, which stands still until everybody waits.
#![cfg(feature = "load")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use anio_parallel::{Error, LoadTest, QuantityError, check, cpu};
use common::{Count, scope};
use futures::poll;
use tokio::time::{Instant, sleep, sleep_until};

const MS: Duration = Duration::from_millis(1);

async fn answer_in(time: Duration) -> Result<(), Error> {
    sleep(time).await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn below_saturation_the_rate_is_kept_and_nothing_lags() {
    for (rate, expected) in [("50/s", 50.0), ("500/s", 500.0), ("30000/min", 500.0), ("5000/s", 5_000.0)] {
        let test = LoadTest::new(|| answer_in(10 * MS)).rate(rate).concurrency(64).duration("10s");
        let report = test.warm_up("1s").run().await.unwrap();
        assert!((report.sent_per_second / expected - 1.0).abs() < 0.02, "{rate}: {report}");
        assert!((report.throughput / expected - 1.0).abs() < 0.02, "{rate}: {report}");
        assert_eq!(report.lagged, None, "{rate}");
        assert!(report.service.min() >= 9 * MS, "{rate}: {report}");
        assert!(report.latency.percentile(99.9) <= 12 * MS, "{rate}: {report}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stall_is_seen_by_all_who_would_have_asked_meanwhile() {
    let started = Instant::now();
    let target = move || async move {
        // For the whole of the sixth second nobody is answered.
        let (from, to) = (started + 5_000 * MS, started + 6_000 * MS);
        if (from..to).contains(&Instant::now()) {
            sleep_until(to).await;
        }
        answer_in(MS).await
    };
    let test = LoadTest::new(target).rate("500/s").concurrency(8).duration("30s");
    let report = test.run().await.unwrap();
    assert_eq!((report.n_requests, report.lagged), (15_000, None), "it has caught up by the end");
    assert!(report.latency.percentile(99.9) >= 900 * MS, "{report}");
    assert!(
        report.latency.percentile(98.5) >= 400 * MS,
        "half of a second's requests, of 30 seconds': {report}"
    );
    assert!(report.latency.percentile(90.0) <= 5 * MS, "{report}");
    // Those eight that were under way are too few to be seen: this is what is left out by measuring
    // from when a request was sent.
    assert!(report.service.percentile(99.9) <= 5 * MS, "{report}");
    assert!(report.service.max() >= 990 * MS, "{report}");
}

#[tokio::test(start_paused = true)]
async fn above_saturation_the_report_says_how_far_it_lags() {
    // 4 at a time, 10 ms each: 400 per second at most.
    let test = LoadTest::new(|| answer_in(10 * MS)).rate("500/s").concurrency(4).duration("10s");
    let report = test.run().await.unwrap();
    let lag = report.lagged.unwrap();
    assert!(report.sent_per_second < 410.0, "{report}");
    // A fifth of 5000 requests, due in the last 2 seconds.
    assert_eq!(report.n_requests + lag.n_unsent, 5_000, "{report}");
    assert!((950..=1_400).contains(&lag.n_unsent), "{report}");
    assert!((1_900 * MS..=2_800 * MS).contains(&lag.behind), "{report}");
    assert!(report.latency.max() >= lag.behind, "what was sent last had waited as long");
    assert!(report.service.max() <= 12 * MS, "{report}");
    assert!(report.to_string().contains("behind at the end"), "{report}");
}

#[tokio::test(start_paused = true)]
async fn without_a_rate_each_user_sends_when_it_has_its_answer() {
    let count = Count::default();
    let counting = count.clone();
    let target = move || {
        let live = counting.begin();
        async move {
            let _live = live;
            answer_in(20 * MS).await
        }
    };
    let report = LoadTest::new(target).concurrency(10).duration("2s").warm_up("1s").run().await.unwrap();
    assert_eq!((count.peak(), count.live()), (10, 0));
    assert!((report.throughput / 500.0 - 1.0).abs() < 0.06, "{report}");
    assert_eq!((report.rate_asked, report.lagged), (None, None));
    assert_eq!(report.latency.percentile(50.0), report.service.percentile(50.0));
    assert!(count.begun() as u64 > report.n_requests + 400, "the warm-up is not measured");
}

#[tokio::test(start_paused = true)]
async fn no_more_are_under_way_than_allowed_however_slow_the_target_is() {
    let count = Count::default();
    let counting = count.clone();
    let target = move || {
        let live = counting.begin();
        async move {
            let _live = live;
            answer_in(700 * MS).await
        }
    };
    let report = LoadTest::new(target).rate("1000/s").concurrency(16).duration("3s").run().await.unwrap();
    assert_eq!((count.peak(), count.live()), (16, 0));
    assert!(report.lagged.unwrap().behind > 2_000 * MS, "{report}");
}

#[tokio::test(start_paused = true)]
async fn errors_are_counted_by_kind_and_panics_among_them() {
    let n_sent = Arc::new(AtomicU64::new(0));
    let target = move || {
        let n = n_sent.fetch_add(1, SeqCst);
        async move {
            sleep(MS).await;
            assert!(n % 10 != 9, "out of order");
            match n % 10 {
                0 | 1 => Err(format!("503 of request {n}")),
                2 => Err("refused".to_owned()),
                _ => Ok(()),
            }
        }
    };
    let kind = |error: &String| error.split(' ').next().unwrap_or_default().to_owned();
    let test = LoadTest::new(target.clone()).error_kind(kind).rate("100/s").duration("10s");
    let report = test.run().await.unwrap();
    assert_eq!((report.n_requests, report.n_errors), (1_000, 400));
    assert_eq!((report.errors["503"], report.errors["refused"], report.errors.len()), (200, 100, 3));
    let panicked = report.errors.iter().find(|(kind, _)| kind.contains("out of order")).unwrap();
    assert_eq!(*panicked.1, 100);

    let report = LoadTest::new(target).rate("100/s").duration("10s").run().await.unwrap();
    assert_eq!((report.n_errors, report.errors.len()), (400, 101), "texts that all differ are not all kept");
    assert!(report.errors["other errors"] >= 100, "{:?}", report.errors);
}

#[tokio::test(start_paused = true)]
async fn a_report_is_a_table_a_drawing_and_json() {
    let test = LoadTest::new(|| answer_in(3 * MS)).rate("100/s").concurrency(4).duration("2s");
    let report = test.run().await.unwrap();
    let table = report.to_string();
    for part in ["open loop at 100/s, at most 4 at a time, 2 s", "200 requests, 0 errors", "p99.9", "service"]
    {
        assert!(table.contains(part), "{part}:\n{table}");
    }
    let drawing = report.histogram().to_string();
    let n_drawn: u64 = drawing
        .lines()
        .map(|line| line.split_whitespace().nth(2).and_then(|n| n.parse::<u64>().ok()).unwrap())
        .sum();
    assert_eq!(n_drawn, 200, "{drawing}");
    assert!(drawing.contains("≤     5ms") && drawing.contains("█"), "{drawing}");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!((&json["rate_asked"], &json["n_requests"]), (&"100/s".into(), &200.into()));
    assert_eq!((&json["latency"]["count"], &json["lagged"]), (&200.into(), &serde_json::Value::Null));
    assert!((3_000.0..6_000.0).contains(&json["latency"]["p99_us"].as_f64().unwrap()), "{json}");
}

#[tokio::test]
async fn what_makes_no_test_is_named() {
    let test = || LoadTest::new(|| answer_in(MS));
    let error = test().rate("500").run().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "\"500\" is not a rate; a rate is a whole number per unit of time: \"500/s\", \"30/min\", \"100/10s\""
    );
    for (test, part) in [
        (test().duration("soon"), "\"soon\" is not a duration"),
        (test().warm_up("400d"), "\"400d\" is longer than 365 days"),
        (test().duration("0s"), "the duration of a load test is zero"),
        (test().duration(Duration::ZERO), "the duration of a load test is zero"),
    ] {
        let error = test.run().await.unwrap_err();
        assert!(matches!(error, Error::Quantity(_)) && error.to_string().contains(part), "{error}");
    }
    assert_eq!(
        "0/s".parse::<anio_parallel::Rate>(),
        Err(QuantityError::RateOutOfRange { text: "0/s".into() })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_that_is_called_off_or_dropped_leaves_nothing_running() {
    for rate in [None, Some("10000/s")] {
        for is_dropped in [true, false] {
            let (scope, token) = scope(1);
            let count = Count::default();
            let counting = count.clone();
            let stop = token.clone();
            let target = move || {
                let live = counting.begin();
                let n = counting.begun();
                let stop = stop.clone();
                async move {
                    let _live = live;
                    if n == 50 {
                        stop.cancel();
                    }
                    match n % 3 {
                        0 if n > 50 => cpu(|| while check().is_ok() {}).await,
                        1 if n > 50 => std::future::pending().await,
                        _ => Ok(()),
                    }
                }
            };
            let mut test = LoadTest::new(target).duration("1h").concurrency(7);
            if let Some(rate) = rate {
                test = test.rate(rate);
            }
            if is_dropped {
                let mut run = Box::pin(test.run());
                assert!(poll!(&mut run).is_pending());
                token.cancelled().await;
                drop(run);
                count.settle("dropped").await;
            } else {
                assert!(scope.run(test.run()).await.unwrap_err().is_cancelled());
                assert_eq!(count.live(), 0);
            }
        }
    }
}
