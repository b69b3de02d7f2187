//! Bodies that are called off before they begin.

use std::sync::atomic::{AtomicUsize, Ordering};

use anio_core::task::TaskHandle;
use anio_core::{Output, TaskOptions, Workflow};
use tokio::sync::mpsc::unbounded_channel;
use uuid::Uuid;

use super::*;
use crate::clock::SystemClock;

/// Executes an attempt whose token is cancelled already; returns its answer and how often the body began.
async fn executed_when_called_off(lane: Lane) -> (BodyOutcome, usize) {
    let n_begun = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&n_begun);
    let body = move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        async { Ok::<_, TaskError>(()) }
    };
    let workflow = Workflow::builder("w").task("t", TaskOptions::new().lane(lane), body).build().unwrap();
    let task = workflow.plan().task(0);
    let (returns, mut answers) = unbounded_channel();
    let (lanes, pool) = (Lanes::Threads, Pool::new(1).unwrap());
    let around = Around { lanes, pool, pools: Arc::default(), board: Board::default() };
    let executor = Executor { around, returns, clock: Arc::new(SystemClock) };
    let run = RunId::from_uuid(Uuid::nil());
    let token = CancellationToken::new();
    token.cancel();
    let input = Output::new(()).unwrap();
    executor.spawn(Attempt {
        ticket: Ticket {
            run,
            key: TaskRunKey { task: 0, map_index: None },
            attempt: 1,
            worker: WorkerId(Uuid::nil()),
            lane,
            held: None,
        },
        timeout: None,
        condition: RetryCondition::All,
        pool: None,
        task: Arc::clone(&task.definition.task),
        call: TaskCall::new(TaskHandle::for_test("t"), input, Vec::new(), Arc::default(), Arc::default()),
        token,
        value_bytes_max: 1024,
        span: Span::none(),
        reporter: executor.reporter(run, &task.name, None, 1),
    });
    let answer = answers.recv().await.unwrap();
    (answer.outcome, n_begun.load(Ordering::SeqCst))
}

/// A worker that has lost its lease, or whose run was cancelled, may have handed bodies to tokio that have not
/// begun.
#[tokio::test]
async fn a_body_that_was_called_off_before_it_began_never_begins() {
    for lane in [Lane::Async, Lane::Cpu, Lane::Blocking] {
        let (outcome, n_begun) = executed_when_called_off(lane).await;
        assert!(matches!(outcome, BodyOutcome::Interrupted), "{lane:?}: {outcome:?}");
        assert_eq!(n_begun, 0, "{lane:?}");
    }
}
