//! A workflow whose only task kills its process each time that it begins.

use std::sync::Arc;

use anio_core::{TaskCall, TaskError, TaskOptions, Workflow};

use super::process::Process;
use crate::Result;
use crate::body;
use crate::diary::What;
use crate::special::DEADLY;
use crate::surroundings::Surroundings;

/// The workflow, as this process executes it.
pub(super) fn workflow(process: &Arc<Process>) -> Result<Workflow> {
    let process = Arc::clone(process);
    let kill = move |call: TaskCall| {
        let process = Arc::clone(&process);
        async move {
            let pid = process.enter(false).await;
            process.write(&body::line_at(process.now(), What::Begin, &call, pid));
            process.world.note((process.host, "dies of a body"));
            process.world.count("deadly_bodies");
            process.kill();
            std::future::pending::<Result<(), TaskError>>().await
        }
    };
    Ok(Workflow::builder(DEADLY).task("abort", TaskOptions::new(), kill).build()?)
}
