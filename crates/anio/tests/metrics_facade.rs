//! The same numbers through the `metrics` facade, with their help texts.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use anio::TaskCall;
use anio::prelude::*;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

/// Keeps what it is told: the names with their numbers, and the names with their help texts.
#[derive(Clone, Default)]
struct Kept {
    counters: Arc<Mutex<BTreeMap<String, Arc<AtomicU64>>>>,
    gauges: Arc<Mutex<BTreeMap<String, Arc<AtomicU64>>>>,
    helps: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Kept {
    fn counter(&self, name: &str) -> u64 {
        self.counters.lock().unwrap()[name].load(Ordering::SeqCst)
    }

    fn gauge(&self, name: &str) -> f64 {
        f64::from_bits(self.gauges.lock().unwrap()[name].load(Ordering::SeqCst))
    }

    fn describe(&self, name: &KeyName, help: &SharedString) {
        self.helps.lock().unwrap().insert(name.as_str().to_owned(), help.to_string());
    }
}

impl Recorder for Kept {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, &help);
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, &help);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, &help);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let mut counters = self.counters.lock().unwrap();
        Counter::from_arc(Arc::clone(counters.entry(key.name().to_owned()).or_default()))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        let mut gauges = self.gauges.lock().unwrap();
        Gauge::from_arc(Arc::clone(gauges.entry(key.name().to_owned()).or_default()))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

/// `flaky` fails once, `bad` for good, and `after` is skipped for it.
fn workflow() -> Workflow {
    Workflow::builder("odds_and_ends")
        .task("flaky", TaskOptions::new().retry(RetryPolicy::attempts(2)), |call: TaskCall| async move {
            if call.handle().attempt() == 1 { Err(TaskError::message("once more")) } else { Ok(()) }
        })
        .task("bad", TaskOptions::new(), |_| async { Err::<(), _>(TaskError::fatal("bad")) })
        .after("flaky")
        .task("after", TaskOptions::new(), |_| async { Ok::<_, TaskError>(()) })
        .after("bad")
        .build()
        .unwrap()
}

#[tokio::test]
async fn the_facade_is_told_the_same_numbers_with_their_help_texts() {
    let kept = Kept::default();
    metrics::set_global_recorder(kept.clone()).unwrap();
    let engine = Engine::builder().store("memory:").start().await.unwrap();
    let stuck = Workflow::builder("stuck")
        .task("stuck", TaskOptions::new(), |call: TaskCall| async move {
            call.handle().progress(0, 1);
            std::future::pending::<()>().await;
            Ok::<_, TaskError>(())
        })
        .build()
        .unwrap();
    let stuck = engine.submit(stuck, ()).await.unwrap();
    for _ in 0..3 {
        assert_eq!(engine.run(workflow(), ()).await.unwrap().status(), RunStatus::Failed);
    }
    while stuck.progress().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!((kept.gauge("anio_runs_held"), kept.gauge("anio_attempts_executing")), (1.0, 1.0));
    stuck.cancel().await.unwrap();
    assert_eq!(stuck.wait().await.unwrap().status(), RunStatus::Cancelled);

    let anio::Metrics { runs, tasks, attempts, .. } = engine.metrics();
    assert_eq!((runs.submitted, runs.failed, runs.cancelled), (4, 3, 1));
    assert_eq!((attempts.begun, attempts.retried), (10, 3));
    let expected = [
        ("anio_runs_submitted_total", runs.submitted),
        ("anio_runs_taken_up_total", runs.taken_up),
        ("anio_runs_succeeded_total", runs.succeeded),
        ("anio_runs_failed_total", runs.failed),
        ("anio_runs_cancelled_total", runs.cancelled),
        ("anio_runs_paused_total", runs.paused),
        ("anio_runs_parked_total", runs.parked),
        ("anio_runs_given_back_total", runs.given_back),
        ("anio_tasks_succeeded_total", tasks.succeeded),
        ("anio_tasks_failed_total", tasks.failed),
        ("anio_tasks_skipped_total", tasks.skipped),
        ("anio_tasks_cancelled_total", tasks.cancelled),
        ("anio_attempts_begun_total", attempts.begun),
        ("anio_attempts_succeeded_total", attempts.succeeded),
        ("anio_attempts_failed_total", attempts.failed),
        ("anio_attempts_retried_total", attempts.retried),
        ("anio_attempts_declined_total", attempts.declined),
        ("anio_attempts_interrupted_total", attempts.interrupted),
    ];
    for (name, n) in expected {
        assert_eq!(kept.counter(name), n, "{name}");
    }
    let gauges = ["anio_runs_held", "anio_attempts_executing", "anio_tasks_ready"];
    for name in gauges {
        assert!(kept.gauge(name).abs() < 0.5, "{name}");
    }
    let names: BTreeSet<String> =
        expected.iter().map(|(name, _)| *name).chain(gauges).map(str::to_owned).collect();
    let told =
        |told: &Mutex<BTreeMap<String, Arc<AtomicU64>>>| told.lock().unwrap().keys().cloned().collect();
    let counted: BTreeSet<String> = told(&kept.counters);
    let stood: BTreeSet<String> = told(&kept.gauges);
    assert_eq!(&counted | &stood, names, "the facade is told of these and of no others");
    engine.shutdown().await.unwrap();
    let helps = kept.helps.lock().unwrap();
    assert_eq!(helps.keys().cloned().collect::<BTreeSet<_>>(), names);
    assert!(helps.values().all(|help| help.ends_with('.')));
    assert_eq!(helps["anio_tasks_skipped_total"], "Task runs that were skipped.");
}
