//! Workers that share a rate, in a time that only passes when everybody waits.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anio_core::run::{Fact, FactKind, TaskRunKey};
use anio_core::{Output, RunId, TaskCall, TaskError, TaskOptions, Timestamp, Workflow};
use anio_scheduler::{Clock, Config, Lanes, Scheduler, record_of};
use anio_store::memory::Memory;
use anio_store::record::{Request, RunOptions, RunStatus};
use anio_store::{Schedule, Store, StoreOptions, Wait};
use tokio::time::Instant;

const HOUR: Duration = Duration::from_secs(3600);

/// Serves the store by tasks; each way to the database takes so long.
struct Tasks(Duration);

impl Schedule for Tasks {
    fn spawn(&self, connection: Wait) {
        tokio::spawn(connection);
    }

    fn travel(&self) -> Wait {
        self.pause(self.0)
    }

    fn pause(&self, time: Duration) -> Wait {
        Box::pin(tokio::time::sleep(time))
    }

    fn now(&self) -> std::time::Instant {
        Instant::now().into_std()
    }
}

#[derive(Clone, Copy, Debug)]
struct Since(Instant);

impl Clock for Since {
    fn now(&self) -> Timestamp {
        Timestamp::default().after(self.0.elapsed())
    }
}

/// A database, and when the tasks of all its workers started.
struct Bench {
    start: Instant,
    memory: Memory,
    starts: Arc<Mutex<Vec<Duration>>>,
}

impl Bench {
    fn new() -> Self {
        let start = Instant::now();
        let memory = Memory::with_clock(move || Since(start).now());
        Self { start, memory, starts: Arc::default() }
    }

    /// A worker that shares these rates; each way to the database takes so many milliseconds.
    async fn worker(&self, rates: &[(&str, &str)], travel_ms: u64, config: Config) -> Scheduler {
        let schedule: Arc<dyn Schedule> = Arc::new(Tasks(Duration::from_millis(travel_ms)));
        let memory = Box::new(self.memory.clone());
        let store = Store::scheduled(memory, StoreOptions::default(), &schedule).unwrap();
        let rates = rates.iter().map(|(name, rate)| ((*name).to_owned(), rate.parse().unwrap()));
        let shared_resource_rates = rates.collect();
        let clock = Arc::new(Since(self.start));
        let config = Config { shared_resource_rates, clock, lanes: Lanes::Tasks, ..config };
        Scheduler::start(store, config, Vec::new(), Vec::new()).await.unwrap()
    }

    /// So many tasks that need these, and last for so long; who needs more goes first.
    fn tasks(&self, n: usize, needs: &[&str], lasts: Duration) -> Workflow {
        let name = format!("{n}_{}", needs.join("_"));
        let mut builder = Workflow::builder(name);
        for i in 0..n {
            let (start, starts) = (self.start, Arc::clone(&self.starts));
            let options = TaskOptions::new().priority(i32::try_from(needs.len()).unwrap());
            let options = needs.iter().fold(options, |options, name| options.needs(*name, 1));
            builder = builder.task(format!("t{i}"), options, move |_: TaskCall| {
                starts.lock().unwrap().push(start.elapsed());
                async move {
                    tokio::time::sleep(lasts).await;
                    Ok::<_, TaskError>(())
                }
            });
        }
        builder.build().unwrap()
    }

    fn starts(&self) -> Vec<Duration> {
        let mut starts = self.starts.lock().unwrap().clone();
        starts.sort_unstable();
        starts
    }

    /// Holds all starts to a rate: within any time no more than come together and what the rate allows of it.
    fn check(&self, interval: Duration, n_together: u128) {
        let starts = self.starts();
        for (from, first) in starts.iter().enumerate() {
            for (n, last) in (1..).zip(&starts[from..]) {
                // What comes together may come a little late, and the next in time.
                let within = last.saturating_sub(*first) + Duration::from_millis(50);
                let n_max = n_together + within.as_nanos() / interval.as_nanos();
                assert!(n <= n_max, "{n} starts within {within:?}, from {first:?} on, of {n_max}");
            }
        }
    }
}

async fn submit(scheduler: &Scheduler, workflow: Workflow) -> RunId {
    let input = vec![Output::new(()).unwrap()];
    scheduler.submit(workflow, input, RunOptions::default()).await.unwrap()[0]
}

async fn ended(scheduler: &Scheduler, run: RunId) -> RunStatus {
    drop(scheduler.watch(run).await.unwrap());
    scheduler.store().run(run).await.unwrap().unwrap().status
}

#[tokio::test(start_paused = true)]
async fn one_worker_makes_use_of_all_that_a_high_rate_allows() {
    let bench = Bench::new();
    let worker = bench.worker(&[("api", "1000/s")], 2, Config::default()).await;
    let run = submit(&worker, bench.tasks(10_200, &["api"], Duration::ZERO)).await;
    let n_before = worker.store().n_statements();
    tokio::time::sleep_until(bench.start + Duration::from_secs(10)).await;
    let n = bench.starts().len();
    assert!((9_800..=10_200).contains(&n), "{n} in ten seconds");
    let n_statements = worker.store().n_statements() - n_before;
    assert!(n_statements < 700, "a reservation and a few commits for each fifty: {n_statements}");
    assert_eq!(ended(&worker, run).await, RunStatus::Succeeded);
    bench.check(Duration::from_millis(1), 50);
}

#[tokio::test(start_paused = true)]
async fn workers_share_a_rate_and_make_use_of_all_of_it() {
    let bench = Bench::new();
    let rate = [("api", "100/s")];
    let near = bench.worker(&rate, 1, Config::default()).await;
    let far = bench.worker(&rate, 15, Config::default()).await;
    let runs = [
        (&near, submit(&near, bench.tasks(600, &["api"], Duration::ZERO)).await),
        (&far, submit(&far, bench.tasks(601, &["api"], Duration::ZERO)).await),
    ];
    tokio::time::sleep_until(bench.start + Duration::from_secs(10)).await;
    let n = bench.starts().len();
    assert!((950..=1050).contains(&n), "{n} in ten seconds");
    for (worker, run) in runs {
        let n = worker.metrics().tasks.succeeded;
        assert!(n > 400, "neither is starved: {n}");
        assert_eq!(ended(worker, run).await, RunStatus::Succeeded);
    }
    bench.check(Duration::from_millis(10), 5);
}

#[tokio::test(start_paused = true)]
async fn workers_that_die_again_and_again_start_no_more_than_the_rate_allows() {
    let bench = Bench::new();
    let mut run = None;
    for i in 0..40_u64 {
        let config = Config { lease: Duration::from_secs(1), ..Config::default() };
        let worker = bench.worker(&[("api", "50/s")], 1, config).await;
        if i == 0 {
            run = Some(submit(&worker, bench.tasks(300, &["api"], Duration::from_millis(3))).await);
        } else {
            worker.register(bench.tasks(300, &["api"], Duration::from_millis(3))).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(1000 + i * 37)).await;
        // Dropped as in a crash: what it had reserved never starts.
    }
    let worker = bench.worker(&[("api", "50/s")], 1, Config::default()).await;
    worker.register(bench.tasks(300, &["api"], Duration::from_millis(3))).await.unwrap();
    let run = run.unwrap();
    while worker.store().run(run).await.unwrap().unwrap().status != RunStatus::Succeeded {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(bench.starts().len() >= 300);
    bench.check(Duration::from_millis(20), 2);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_its_turn_is_cancelled_and_paused_at_once_and_counts_for_nothing() {
    let bench = Bench::new();
    let worker = bench.worker(&[("api", "1/h")], 1, Config::default()).await;
    let first = submit(&worker, bench.tasks(1, &["api"], Duration::ZERO)).await;
    assert_eq!(ended(&worker, first).await, RunStatus::Succeeded);
    let cancelled = submit(&worker, bench.tasks(20, &["api"], Duration::ZERO)).await;
    let paused = submit(&worker, bench.tasks(21, &["api"], Duration::ZERO)).await;
    let last = submit(&worker, bench.tasks(2, &["api"], Duration::ZERO)).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let asks =
        [(cancelled, Request::Cancel, RunStatus::Cancelled), (paused, Request::Pause, RunStatus::Paused)];
    for (run, request, status) in asks {
        worker.store().request(run, request).await.unwrap();
        worker.heed(run).await.unwrap();
        assert_eq!(ended(&worker, run).await, status);
    }
    assert!(bench.start.elapsed() < Duration::from_secs(70), "nobody has waited for the rate");
    assert_eq!(ended(&worker, last).await, RunStatus::Succeeded);
    let starts = bench.starts();
    assert_eq!(starts.len(), 3);
    // The turns that were reserved for those who are gone are for those who are still there.
    assert!(starts[2] < 2 * HOUR + Duration::from_secs(1), "{starts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_was_given_up_while_it_waited_counts_for_no_rate() {
    for is_shared in [true, false] {
        let bench = Bench::new();
        let shared = if is_shared { [("api", "1/h")] } else { [("other", "1/h")] };
        let mut config = Config::default();
        config.resource_rates.extend((!is_shared).then(|| ("api".to_owned(), "1/h".parse().unwrap())));
        let worker = bench.worker(&shared, 1, config).await;
        let workflow = bench.tasks(5, &["api"], Duration::ZERO);
        let run = submit(&worker, workflow.clone()).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let given_up = (1..4).map(|task| {
            let key = TaskRunKey { task, map_index: None };
            let at = Timestamp::default();
            record_of(run, &workflow, Fact { key, attempt: 0, at, kind: FactKind::Cancelled })
        });
        worker.store().append(run, given_up.collect()).await.unwrap();
        worker.heed(run).await.unwrap();
        assert_eq!(ended(&worker, run).await, RunStatus::Failed);
        let starts = bench.starts();
        assert_eq!(starts.len(), 2);
        assert!(starts[1] < HOUR + Duration::from_secs(1), "{starts:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_stops_while_a_reservation_is_under_way_and_while_its_turn_is_to_come() {
    for stops_after in [0, 3, 1000] {
        let bench = Bench::new();
        let worker = bench.worker(&[("api", "1/h")], 5, Config::default()).await;
        let run = submit(&worker, bench.tasks(3, &["api"], Duration::ZERO)).await;
        tokio::time::sleep(Duration::from_millis(stops_after)).await;
        let began = Instant::now();
        worker.shutdown(Duration::from_secs(10)).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        let record = worker.store().run(run).await.unwrap().unwrap();
        assert_eq!(record.status, RunStatus::Queued);
        worker.store().close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_needs_two_rates_is_held_to_both_and_holds_up_nobody_who_needs_one() {
    let bench = Bench::new();
    let worker = bench.worker(&[("api", "100/s"), ("tenant", "1/s")], 1, Config::default()).await;
    let both = submit(&worker, bench.tasks(10, &["api", "tenant"], Duration::ZERO)).await;
    let one = submit(&worker, bench.tasks(300, &["api"], Duration::ZERO)).await;
    assert_eq!(ended(&worker, one).await, RunStatus::Succeeded);
    assert!(bench.start.elapsed() < Duration::from_millis(3_500), "{:?}", bench.start.elapsed());
    bench.check(Duration::from_millis(10), 5);
    assert_eq!(ended(&worker, both).await, RunStatus::Succeeded);
    assert!(bench.start.elapsed() >= Duration::from_secs(9));
    assert!(bench.start.elapsed() < Duration::from_secs(11), "{:?}", bench.start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_lacks_a_slot_when_its_turn_comes_does_not_lose_it_again_and_again() {
    let bench = Bench::new();
    let config = Config { concurrency: 1, ..Config::default() };
    let worker = bench.worker(&[("api", "1/s")], 1, config).await;
    let long = submit(&worker, bench.tasks(40, &[], Duration::from_millis(700))).await;
    let paced = submit(&worker, bench.tasks(5, &["api"], Duration::ZERO)).await;
    assert_eq!(ended(&worker, paced).await, RunStatus::Succeeded);
    let record = worker.store().run(long).await.unwrap().unwrap();
    assert_eq!(record.status, RunStatus::Running, "it need not wait until nobody else is there");
    assert_eq!(ended(&worker, long).await, RunStatus::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_reserved_where_nobody_waits() {
    let bench = Bench::new();
    let worker = bench.worker(&[("api", "100/s")], 1, Config::default()).await;
    let run = submit(&worker, bench.tasks(3, &["api"], Duration::ZERO)).await;
    assert_eq!(ended(&worker, run).await, RunStatus::Succeeded);
    let n_before = worker.store().n_statements();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let n_renewals = 30;
    assert!(worker.store().n_statements() - n_before <= n_renewals + 1);
}
