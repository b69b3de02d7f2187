//! Real workflows made from blueprints: bodies that keep the diary, compute, wait, spin and fail.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anio_core::{Backoff, Jitter, Lane, RetryPolicy, TaskCall, TaskError, TaskOptions, Timestamp, Workflow};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Result;
use crate::blueprint::{Blueprint, How, Inputs, TaskBlueprint};
use crate::diary::{Diary, Line, What};

/// The time-out of tasks that hang.
const TIMEOUT: Duration = Duration::from_millis(30);

/// The input of every run.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct RunInput {
    /// What tells runs of one blueprint apart.
    pub n: u64,
}

/// Builds the workflow of a blueprint.
///
/// # Errors
/// None, unless the blueprint is wrong.
pub fn workflow(blueprint: &Blueprint, diary: &Arc<Diary>) -> Result<Workflow> {
    let mut builder = Workflow::builder(&blueprint.name);
    for task in &blueprint.tasks {
        let name = |position: usize| blueprint.tasks[position].name.clone();
        let body = Arc::new(Body {
            mapped: task.mapped_over.is_some(),
            after: task.after.iter().map(|&dependency| name(dependency)).collect(),
            reads: blueprint.keys_read(task),
            task: task.clone(),
            diary: Arc::clone(diary),
        });
        builder = builder.task(&task.name, options(task), move |call| Arc::clone(&body).execute(call));
        for &dependency in &task.after {
            builder = builder.after(name(dependency));
        }
        if let Some(list) = task.mapped_over {
            builder = builder.map_over::<Value>(name(list));
        }
    }
    Ok(builder.build()?)
}

fn options(task: &TaskBlueprint) -> TaskOptions {
    let retry = RetryPolicy::attempts(task.attempts)
        .with_backoff(Backoff::fixed(task.backoff))
        .with_jitter(if task.seed.is_multiple_of(2) { Jitter::Full } else { Jitter::None });
    let mut options = TaskOptions::new().retry(retry).priority(task.priority).lane(task.lane);
    options.timeout = task.hangs().then_some(TIMEOUT);
    options.concurrency = task.concurrency;
    options
}

struct Body {
    task: TaskBlueprint,
    mapped: bool,
    after: Vec<String>,
    reads: Vec<String>,
    diary: Arc<Diary>,
}

impl Body {
    async fn execute(self: Arc<Self>, call: TaskCall) -> Result<Value, TaskError> {
        let inputs = self.inputs(&call)?;
        self.note(What::Begin, &call, &inputs);
        self.pass_time().await;
        if let Some(how) = self.task.trouble_of(call.handle().map_index(), call.handle().attempt()) {
            self.note(What::Fail, &call, &inputs);
            match how {
                How::Error => return Err(TaskError::message("fated to fail")),
                How::Fatal => return Err(TaskError::fatal("fated to fail for good")),
                How::Panic => panic!("fated to panic"),
                How::Hang => std::future::pending().await,
            }
        }
        if let Some((key, value)) = self.task.write(&inputs) {
            let mut context = call.context();
            if context.contains_key(&key) {
                context.update(key, value)?;
            } else {
                context.insert(key, value)?;
            }
        }
        self.note(What::End, &call, &inputs);
        Ok(self.task.output(&inputs))
    }

    fn inputs(&self, call: &TaskCall) -> Result<Inputs, TaskError> {
        let mut values = Vec::new();
        if self.mapped {
            values.push(Value::clone(&*call.element::<Value>()?));
        }
        for dependency in &self.after {
            values.push(Value::clone(&*call.output::<Value>(dependency)?));
        }
        let mut read = Vec::new();
        for key in &self.reads {
            read.push((key.clone(), call.context().get_as::<Value>(key)?.unwrap_or(Value::Null)));
        }
        Ok(Inputs { map_index: call.handle().map_index(), n: call.input::<RunInput>()?.n, values, read })
    }

    async fn pass_time(&self) {
        let pace = self.task.pace;
        match self.task.lane {
            _ if pace.is_zero() => {}
            Lane::Async => tokio::time::sleep(pace).await,
            Lane::Cpu => {
                let begun = Instant::now();
                while begun.elapsed() < pace {
                    std::hint::spin_loop();
                }
            }
            Lane::Blocking => std::thread::sleep(pace),
        }
    }

    fn note(&self, what: What, call: &TaskCall, inputs: &Inputs) {
        note(&self.diary, what, call, inputs.hash());
    }
}

/// Appends a line about a call.
pub(crate) fn note(diary: &Diary, what: What, call: &TaskCall, inputs: u64) {
    let handle = call.handle();
    diary.write(&Line {
        at: now(),
        pid: std::process::id(),
        what,
        run: handle.run_id(),
        task_run: (handle.task().to_string(), handle.map_index()),
        attempt: handle.attempt(),
        inputs,
    });
}

/// The time by the clock that all processes of this machine share.
pub fn now() -> Timestamp {
    chrono::Utc::now().into()
}
