//! Real workflows made from blueprints: bodies that keep the diary, compute, wait, spin and fail.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anio_core::task::{Callback, Ending, Rate, Settled};
use anio_core::{
    Backoff, Jitter, Lane, RetryPolicy, RunId, TaskCall, TaskError, TaskOptions, Timestamp, Workflow,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Result;
use crate::blueprint::{Blueprint, Fortune, How, Inputs, RESOURCE, TaskBlueprint};
use crate::diary::{Diary, Line, What};
use crate::reference::told_of;
use crate::settings::Settings;

/// The time-out of tasks that hang.
const TIMEOUT: Duration = Duration::from_millis(30);

/// The input of every run.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct RunInput {
    /// What tells runs of one blueprint apart.
    pub n: u64,
}

/// The file that tells that what failed in this run is mended: failures that are for good happen no more.
pub fn mended(settings: &Settings, run: RunId) -> PathBuf {
    settings.directory.join(format!("mended-{run}"))
}

/// Builds the workflow of a blueprint.
///
/// # Errors
/// None, unless the blueprint is wrong.
pub fn workflow(blueprint: &Blueprint, settings: &Settings, diary: &Arc<Diary>) -> Result<Workflow> {
    let mut builder = Workflow::builder(&blueprint.name);
    for task in &blueprint.tasks {
        let name = |position: usize| blueprint.tasks[position].name.clone();
        let body = Arc::new(Body {
            mapped: task.mapped_over.is_some(),
            after: task.after.iter().map(|&dependency| name(dependency)).collect(),
            settled: task.settled.iter().map(|&dependency| name(dependency)).collect(),
            reads: blueprint.keys_read(task),
            task: task.clone(),
            settings: settings.clone(),
            diary: Arc::clone(diary),
        });
        builder = builder.task(&task.name, options(task), move |call| Arc::clone(&body).execute(call));
        for &dependency in &task.after {
            builder = builder.after(name(dependency));
        }
        for &dependency in &task.settled {
            builder = builder.after_settled(name(dependency));
        }
        if let Some(list) = task.mapped_over {
            builder = builder.map_over::<Value>(name(list));
        }
        if let Some(when) = &task.when {
            builder = builder.when(when.condition(&blueprint.tasks));
        }
        if task.tells {
            builder = builder.on_success(callback(diary)).on_failure(callback(diary));
        }
    }
    Ok(builder.build()?)
}

/// Writes into the diary of what end it was called.
fn callback(diary: &Arc<Diary>) -> Callback {
    let diary = Arc::clone(diary);
    Callback::new(move |ending: Ending| {
        diary.write(&Line {
            at: now(),
            pid: std::process::id(),
            what: What::Called,
            run: ending.run_id,
            task_run: (ending.name, ending.map_index),
            attempt: ending.attempts,
            inputs: u64::from(ending.failure.is_none()),
        });
        async { Ok(()) }
    })
}

fn options(task: &TaskBlueprint) -> TaskOptions {
    let retry = RetryPolicy::attempts(task.attempts)
        .with_backoff(Backoff::fixed(task.backoff))
        .with_jitter(if task.seed.is_multiple_of(2) { Jitter::Full } else { Jitter::None });
    let mut options = TaskOptions::new().retry(retry).priority(task.priority).lane(task.lane);
    options.timeout = task.hangs().then_some(TIMEOUT);
    options.concurrency = task.concurrency;
    options.rate = task.rate.and_then(|n| Rate::per_second(n).ok());
    if task.needs > 0 { options.needs(RESOURCE, task.needs) } else { options }
}

struct Body {
    task: TaskBlueprint,
    mapped: bool,
    after: Vec<String>,
    settled: Vec<String>,
    reads: Vec<String>,
    settings: Settings,
    diary: Arc<Diary>,
}

/// Writes when it is dropped, however its body ends.
struct Gone<'a>(&'a Body, Line);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        self.0.diary.write(&Line { at: now(), what: What::Gone, ..self.1.clone() });
    }
}

impl Body {
    async fn execute(self: Arc<Self>, call: TaskCall) -> Result<Value, TaskError> {
        let inputs = self.inputs(&call)?;
        self.note(What::Begin, &call, &inputs);
        let is_limited = self.task.needs > 0 || self.task.concurrency.is_some();
        let _gone = is_limited.then(|| Gone(&self, line(What::Gone, &call, inputs.hash())));
        self.pass_time().await;
        let is_mended = self.task.wants_mending() && mended(&self.settings, call.handle().run_id()).exists();
        let trouble = self.task.trouble_of(call.handle().map_index(), call.handle().attempt());
        if let Some(how) = trouble.filter(|_| !is_mended) {
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
        for dependency in &self.settled {
            values.push(told_of(&match call.settled(dependency)? {
                Settled::Succeeded(output) => Fortune::Succeeded(Value::clone(&*output.get::<Value>()?)),
                Settled::Failed(..) => Fortune::Failed,
                Settled::Skipped(_) => Fortune::Skipped,
            }));
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
    diary.write(&line(what, call, inputs));
}

fn line(what: What, call: &TaskCall, inputs: u64) -> Line {
    let handle = call.handle();
    Line {
        at: now(),
        pid: std::process::id(),
        what,
        run: handle.run_id(),
        task_run: (handle.task().to_string(), handle.map_index()),
        attempt: handle.attempt(),
        inputs,
    }
}

/// The time by the clock that all processes of this machine share.
pub fn now() -> Timestamp {
    chrono::Utc::now().into()
}
