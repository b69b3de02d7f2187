//! Workflows for tests of one thing each: one that waits for a gate, one that kills its worker.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anio_core::{TaskCall, TaskError, TaskOptions, Workflow};

use crate::Result;
use crate::body::note;
use crate::diary::{Diary, What};

/// The name of the workflow whose second task waits for the gate.
pub const GATED: &str = "gated";

/// The name of the workflow whose only task ends its process.
pub const DEADLY: &str = "deadly";

/// How many deaths of its worker in a row a task run survives in a simulation with [`DEADLY`] in it.
pub const POISON_DEATHS: u32 = 3;

/// How often a body looks at the gate.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// How long the deadly task runs before it ends its process: longer than it takes for its start to become
/// durable.
const DEADLY_AFTER: Duration = Duration::from_millis(100);

/// `before`, then `gate`, which returns its process id when the file is there, then `after`.
///
/// # Errors
/// None.
pub fn gated(gate: &Path, diary: &Arc<Diary>) -> Result<Workflow> {
    let short = |diary: &Arc<Diary>| {
        let diary = Arc::clone(diary);
        move |call: TaskCall| {
            note(&diary, What::Begin, &call, 0);
            note(&diary, What::End, &call, 0);
            async { Ok::<_, TaskError>(std::process::id()) }
        }
    };
    let (gate, at_gate) = (gate.to_owned(), Arc::clone(diary));
    let workflow = Workflow::builder(GATED)
        .task("before", TaskOptions::new(), short(diary))
        .task("gate", TaskOptions::new(), move |call| wait(gate.clone(), Arc::clone(&at_gate), call))
        .after("before")
        .task("after", TaskOptions::new(), short(diary))
        .after("gate")
        .build()?;
    Ok(workflow)
}

async fn wait(gate: std::path::PathBuf, diary: Arc<Diary>, call: TaskCall) -> Result<u32, TaskError> {
    note(&diary, What::Begin, &call, 0);
    while !gate.exists() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    note(&diary, What::End, &call, 0);
    Ok(std::process::id())
}

/// `abort`, which ends its process by `abort` every time.
///
/// # Errors
/// None.
pub fn deadly(diary: &Arc<Diary>) -> Result<Workflow> {
    let diary = Arc::clone(diary);
    let body = move |call: TaskCall| {
        let diary = Arc::clone(&diary);
        async move {
            note(&diary, What::Begin, &call, 0);
            tokio::time::sleep(DEADLY_AFTER).await;
            std::process::abort();
            #[expect(unreachable_code, reason = "tells the type of what is never returned")]
            Ok::<(), TaskError>(())
        }
    };
    Ok(Workflow::builder(DEADLY).task("abort", TaskOptions::new(), body).build()?)
}
