//! Promises of docs/guarantees.md that no other test would miss.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(unreachable_pub, reason = "tasks are written here as a user writes them")]

mod stores;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anio::prelude::*;
use anio::{TaskCall, WorkflowBuilder};
use stores::on_every_store;

static N_WRITTEN: AtomicU32 = AtomicU32::new(0);
static N_READ: AtomicU32 = AtomicU32::new(0);

/// An output that counts how often it becomes JSON, and is made from it.
#[derive(Clone, Debug)]
pub struct Parcel(u32);

impl serde::Serialize for Parcel {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        N_WRITTEN.fetch_add(1, Ordering::SeqCst);
        serializer.serialize_u32(self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Parcel {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        N_READ.fetch_add(1, Ordering::SeqCst);
        u32::deserialize(deserializer).map(Self)
    }
}

#[workflow]
mod delivery {
    use super::*;

    #[task]
    pub async fn packs() -> Result<Parcel> {
        Ok(Parcel(7))
    }

    #[task]
    pub async fn weighs(packs: &Parcel) -> Result<u32> {
        Ok(packs.0)
    }

    #[task]
    pub async fn labels(packs: Parcel) -> Result<u32> {
        Ok(packs.0 + 1)
    }

    #[task]
    pub async fn sends(weighs: u32, labels: u32) -> Result<u32> {
        Ok(weighs + labels)
    }
}

#[test]
fn an_output_goes_to_its_dependants_in_memory_and_becomes_json_once() {
    on_every_store(async |url| {
        N_WRITTEN.store(0, Ordering::SeqCst);
        let engine = Engine::open(url).await.unwrap();
        let outcome = engine.run(delivery::workflow(), ()).await.unwrap();
        assert_eq!(outcome.output::<delivery::sends>().unwrap(), 15);
        assert_eq!(N_WRITTEN.load(Ordering::SeqCst), 1, "for the store");
        assert_eq!(N_READ.load(Ordering::SeqCst), 0, "nobody needs it read back");
        engine.shutdown().await.unwrap();
    });
}

#[test]
fn a_task_that_waits_for_its_next_attempt_holds_no_slot() {
    on_every_store(async |url| {
        let order = Arc::new(Mutex::new(Vec::new()));
        let retried = TaskOptions::new()
            .priority(9)
            .retry(RetryPolicy::attempts(2).with_backoff(Backoff::fixed(Duration::from_millis(300))));
        let task = |builder: WorkflowBuilder, name: &'static str, options, fails: bool| {
            let order = Arc::clone(&order);
            builder.task(name, options, move |call: TaskCall| {
                let attempt = call.handle().attempt();
                order.lock().unwrap().push((name, attempt));
                let fails = fails && attempt == 1;
                async move { if fails { Err(TaskError::message("not yet")) } else { Ok(()) } }
            })
        };
        let builder = task(Workflow::builder("waits"), "again", retried, true);
        let workflow = task(builder, "other", TaskOptions::new(), false).build().unwrap();
        let engine = Engine::builder().store(url).concurrency(1).start().await.unwrap();
        assert!(engine.run(workflow, ()).await.unwrap().is_success());
        assert_eq!(*order.lock().unwrap(), [("again", 1), ("other", 1), ("again", 2)]);
        engine.shutdown().await.unwrap();
    });
}
