//! Large outputs: each is to be written once.

use std::sync::Arc;
use std::time::Instant;

use anio::{TaskCall, TaskError, TaskOptions, Workflow};
use uuid::Uuid;

use super::with_engine;
use crate::database::{Backend, Database};
use crate::raw;
use crate::report::Sample;
use crate::{Result, process};

const N_TASKS: usize = 10;
const OUTPUT_BYTES: usize = 1 << 20;

pub(super) fn payload(backend: Backend) -> Result<Sample> {
    let outputs: Vec<Arc<str>> = (0..N_TASKS as u64).map(|seed| noise(seed, OUTPUT_BYTES)).collect();
    let tasks =
        outputs.iter().enumerate().map(|(ix, output)| (format!("step-{ix}"), format!("\"{output}\"")));
    let raw = raw::one_by_one_seconds(backend, &raw::rows_of_run(Uuid::now_v7(), tasks))?;

    let workflow = workflow_of(&outputs)?;
    let database = Database::create(backend)?;
    let (seconds, n_bytes, n_bytes_to_files) = with_engine(&database, async |engine| {
        let (before, to_files_before) = (database.n_bytes()?, process::written_bytes()?);
        let begun = Instant::now();
        engine.run(workflow, ()).await?.ok()?;
        let seconds = begun.elapsed().as_secs_f64();
        let n_bytes = database.n_bytes()? - before;
        Ok((seconds, n_bytes, process::written_bytes()? - to_files_before))
    })?;
    let mut details = vec![("seconds", seconds), ("raw_seconds", raw)];
    if backend == Backend::Sqlite {
        // Once into the WAL, and from there into the file.
        details.push(("bytes_to_files", n_bytes_to_files as f64));
    }
    let limit = Some((N_TASKS * OUTPUT_BYTES) as f64);
    Ok(Sample { figure: n_bytes as f64, limit, details })
}

fn workflow_of(outputs: &[Arc<str>]) -> Result<Workflow> {
    let mut builder = Workflow::builder("payload");
    for (ix, output) in outputs.iter().enumerate() {
        let (before, output) = (ix.checked_sub(1).map(|ix| format!("step-{ix}")), Arc::clone(output));
        let dependency = before.clone();
        builder = builder.task(format!("step-{ix}"), TaskOptions::new(), move |call: TaskCall| {
            let (before, output) = (before.clone(), Arc::clone(&output));
            async move {
                if let Some(before) = before {
                    assert_eq!(call.output::<String>(&before)?.len(), OUTPUT_BYTES);
                }
                Ok::<_, TaskError>(output)
            }
        });
        if let Some(dependency) = dependency {
            builder = builder.after(dependency);
        }
    }
    Ok(builder.build()?)
}

/// Text that no database can make smaller: xorshift, six bits a letter.
fn noise(seed: u64, n_bytes: usize) -> Arc<str> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut letter = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(LETTERS[(state >> 58) as usize])
    };
    (0..n_bytes).map(|_| letter()).collect::<String>().into()
}
