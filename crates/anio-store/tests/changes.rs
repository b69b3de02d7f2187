//! Who waits for changes is told of them: across processes' connections, once for many, and not in vain.
#![expect(clippy::unwrap_used, reason = "what fails stops a test")]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use anio_core::{Output, RunId, TaskError, TaskOptions, Timestamp, Workflow};
use anio_store::memory::Memory;
use anio_store::record::{Change, NewRun, Request, RunOptions};
use anio_store::{Changes, Store, StoreOptions};
use futures::executor::block_on;
use uuid::Uuid;

async fn open(memory: &Memory) -> Store {
    Store::with_backend(Box::new(memory.clone()), StoreOptions::default()).await.unwrap()
}

async fn submit(store: &Store) -> RunId {
    let workflow = Workflow::builder("a")
        .task("t", TaskOptions::new(), |_| async { Ok::<_, TaskError>(()) })
        .build()
        .unwrap();
    let (plan, id) = (workflow.plan(), RunId::from_uuid(Uuid::now_v7()));
    let run = NewRun {
        id,
        workflow: workflow.name().clone(),
        plan: plan.fingerprint(),
        input: Output::new(()).unwrap(),
        options: RunOptions::default(),
        submitted_at: Timestamp::from_micros(1),
        claim: false,
    };
    store.submit(run, (plan.fingerprint(), plan.record().clone())).await.unwrap();
    id
}

/// Whether something is told at once.
fn is_told(changes: &mut Changes) -> bool {
    let mut wait = pin!(changes.changed());
    matches!(wait.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Some(_)))
}

#[cfg(feature = "sqlite")]
#[test]
fn a_change_of_another_process_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.db").display().to_string();
    block_on(async {
        let ours = Store::open(&file, StoreOptions::default()).await.unwrap();
        let theirs = Store::open(&file, StoreOptions::default()).await.unwrap();
        let mut changes = ours.changes().await.unwrap();
        let run = submit(&theirs).await;
        assert_eq!(changes.changed().await, Some(Change::Any));
        assert!(ours.run(run).await.unwrap().is_some());
        theirs.request(run, Request::Pause).await.unwrap();
        assert_eq!(changes.changed().await, Some(Change::Any));
        ours.close().await;
        theirs.close().await;
    });
}

#[test]
fn every_one_who_waits_is_told() {
    block_on(async {
        let memory = Memory::new();
        let store = open(&memory).await;
        let mut all = vec![store.changes().await.unwrap(), store.changes().await.unwrap()];
        all.push(all[0].clone());
        submit(&store).await;
        for changes in &mut all {
            assert_eq!(changes.changed().await, Some(Change::Any));
        }
    });
}

#[test]
fn many_changes_are_told_at_once_and_none_twice() {
    block_on(async {
        let memory = Memory::new();
        let (store, other) = (open(&memory).await, open(&memory).await);
        let mut changes = store.changes().await.unwrap();
        let mut second = changes.clone();
        for _ in 0..100 {
            submit(&other).await;
        }
        // All of them were made before the first look, or some are told by a second one.
        let mut n_told = 0;
        assert!(second.changed().await.is_some());
        while is_told(&mut changes) {
            n_told += 1;
        }
        assert!((1..100).contains(&n_told), "{n_told}");
    });
}

#[test]
fn a_wait_that_is_dropped_loses_nothing() {
    block_on(async {
        let memory = Memory::new();
        let store = open(&memory).await;
        let mut changes = store.changes().await.unwrap();
        assert!(!is_told(&mut changes));
        submit(&store).await;
        assert_eq!(changes.changed().await, Some(Change::Any));
    });
}

#[test]
fn nothing_is_told_after_the_store_is_closed() {
    struct Flag(AtomicBool);
    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    block_on(async {
        let memory = Memory::new();
        let store = open(&memory).await;
        let mut changes = store.changes().await.unwrap();
        let mut late = changes.clone();
        let flag = Arc::new(Flag(AtomicBool::new(false)));
        let waker = Waker::from(Arc::clone(&flag));
        let mut waiting = pin!(changes.changed());
        assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        store.close().await;
        assert!(flag.0.load(Ordering::SeqCst), "who waits is woken");
        assert_eq!(waiting.await, None);
        assert_eq!(late.changed().await, None);
        assert!(store.changes().await.is_err());
    });
}
