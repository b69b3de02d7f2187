//! A worker whose clock is not the database's, in a time that only passes when everybody waits.

use std::sync::Arc;
use std::time::Duration;

use anio_core::{Output, TaskCall, TaskError, TaskOptions, Timestamp, Workflow};
use anio_scheduler::{Clock, Config, Lanes, Scheduler};
use anio_store::memory::Memory;
use anio_store::record::RunOptions;
use anio_store::{Schedule, Store, StoreOptions, Wait};
use tokio::time::Instant;

/// Serves the store by tasks; each way to the database takes a millisecond.
struct Tasks;

impl Schedule for Tasks {
    fn spawn(&self, connection: Wait) {
        tokio::spawn(connection);
    }

    fn travel(&self) -> Wait {
        self.pause(Duration::from_millis(1))
    }

    fn pause(&self, time: Duration) -> Wait {
        Box::pin(tokio::time::sleep(time))
    }

    fn now(&self) -> std::time::Instant {
        Instant::now().into_std()
    }
}

#[derive(Clone, Copy, Debug)]
struct Ahead {
    start: Instant,
    by: Duration,
}

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        Timestamp::default().after(self.start.elapsed() + self.by)
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_whose_clock_is_ahead_asks_now_and_then_for_a_run_that_the_database_says_is_not_due() {
    let start = Instant::now();
    let database = Ahead { start, by: Duration::ZERO };
    let memory = Memory::with_clock(move || database.now());
    let schedule: Arc<dyn Schedule> = Arc::new(Tasks);
    let store = Store::scheduled(Box::new(memory), StoreOptions::default(), &schedule).unwrap();
    let clock = Arc::new(Ahead { start, by: Duration::from_secs(10) });
    let config = Config { clock, lanes: Lanes::Tasks, ..Config::default() };
    let task = |_: TaskCall| async { Ok::<_, TaskError>(()) };
    let workflow = Workflow::builder("late").task("t", TaskOptions::new(), task).build().unwrap();
    let scheduler = Scheduler::start(store, config, vec![workflow.clone()], Vec::new()).await.unwrap();

    let due_at = Some(Timestamp::default().after(Duration::from_secs(5)));
    let options = RunOptions { due_at, ..RunOptions::default() };
    let input = Output::new(()).unwrap();
    let run = scheduler.submit(workflow, vec![input], options).await.unwrap()[0];
    tokio::time::sleep_until(start + Duration::from_secs(4)).await;
    let n_asked = scheduler.store().n_statements();
    assert!(n_asked < 400, "{n_asked} statements in four seconds");

    tokio::time::sleep_until(start + Duration::from_secs(6)).await;
    let record = scheduler.store().run(run).await.unwrap().unwrap();
    assert_eq!(record.status.as_str(), "succeeded", "it is due by both clocks");
}
