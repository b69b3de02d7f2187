//! Real workflows made from blueprints: bodies that keep the diary, compute, wait, spin and fail.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anio_core::task::{Callback, Ending, Rate, Settled};
use anio_core::{Backoff, Jitter, RetryPolicy, RunId, TaskCall, TaskError, TaskOptions, Timestamp, Workflow};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Result;
use crate::blueprint::{Blueprint, Fortune, How, Inputs, RESOURCE, TaskBlueprint};
use crate::diary::{Diary, Line, What};
use crate::reference::told_of;
use crate::settings::Settings;
use crate::surroundings::Surroundings;

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
pub fn workflow(blueprint: &Blueprint, around: &Arc<dyn Surroundings>) -> Result<Workflow> {
    let mut builder = Workflow::builder(&blueprint.name);
    for task in &blueprint.tasks {
        let name = |position: usize| blueprint.tasks[position].name.clone();
        let body = Arc::new(Body {
            after: task.after.iter().map(|&dependency| blueprint.tasks[dependency].clone()).collect(),
            settled: task.settled.iter().map(|&dependency| blueprint.tasks[dependency].clone()).collect(),
            reads: blueprint.keys_read(task),
            task: task.clone(),
            around: Arc::clone(around),
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
        if let Some(list) = task.pairs_over {
            builder = builder.reduce_over::<Value>(name(list));
        }
        if task.steps_max.is_some() {
            builder = builder.steps();
        }
        if let Some(enough) = task.enough {
            builder = builder.until(move |n: &mut usize, _: &Value| {
                *n += 1;
                if *n >= enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
        }
        if let Some(when) = &task.when {
            builder = builder.when(when.condition(&blueprint.tasks));
        }
        if task.tells {
            builder = builder.on_success(callback(around)).on_failure(callback(around));
        }
    }
    Ok(builder.build()?)
}

/// Writes into the diary of what end it was called.
fn callback(around: &Arc<dyn Surroundings>) -> Callback {
    let around = Arc::clone(around);
    Callback::new(move |ending: Ending| {
        around.write(&Line {
            at: around.now(),
            pid: around.pid(),
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
    after: Vec<TaskBlueprint>,
    settled: Vec<TaskBlueprint>,
    reads: Vec<String>,
    around: Arc<dyn Surroundings>,
}

/// Writes when it is dropped, however its body ends.
struct Gone<'a>(&'a Body, Line);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        self.0.around.write(&Line { at: self.0.around.now(), what: What::Gone, ..self.1.clone() });
    }
}

impl Body {
    async fn execute(self: Arc<Self>, call: TaskCall) -> Result<Value, TaskError> {
        let inputs = self.inputs(&call)?;
        let pid = self.around.enter(self.task.hangs()).await;
        let line = |what| Line { at: self.around.now(), ..line(what, &call, inputs.hash(), pid) };
        self.around.write(&line(What::Begin));
        let is_limited = self.task.needs > 0 || self.task.concurrency.is_some();
        let _gone = is_limited.then(|| Gone(&self, line(What::Gone)));
        if !self.task.pace.is_zero() {
            self.around.pass_time(self.task.lane, self.task.pace).await;
        }
        let is_mended = self.task.wants_mending() && self.around.is_mended(call.handle().run_id());
        let trouble = self.task.trouble_of(call.handle().map_index(), call.handle().attempt());
        if let Some(how) = trouble.filter(|_| !is_mended) {
            self.around.write(&line(What::Fail));
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
        self.around.write(&line(What::End));
        Ok(self.task.output(&inputs))
    }

    fn inputs(&self, call: &TaskCall) -> Result<Inputs, TaskError> {
        let mut values = Vec::new();
        if self.task.mapped_over.is_some() {
            values.push(Value::clone(&*call.element::<Value>()?));
        }
        if self.task.pairs_over.is_some() {
            values.extend(call.pair::<Value>()?.iter().map(|one| Value::clone(one)));
        }
        if self.task.steps_max.is_some() {
            values.push(call.previous::<Value>()?.map_or(Value::Null, |before| Value::clone(&before)));
        }
        for dependency in &self.after {
            values.push(dependency.shown(Value::clone(&*call.output::<Value>(&dependency.name)?)));
        }
        for dependency in &self.settled {
            values.push(told_of(&match call.settled(&dependency.name)? {
                Settled::Succeeded(output) => {
                    Fortune::Succeeded(dependency.shown(Value::clone(&*output.get::<Value>()?)))
                }
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
}

/// Appends a line about a call.
pub(crate) fn note(diary: &Diary, what: What, call: &TaskCall, inputs: u64) {
    diary.write(&Line { at: now(), ..line(what, call, inputs, std::process::id()) });
}

/// A line about a call that is given nothing.
pub(crate) fn line_at(at: Timestamp, what: What, call: &TaskCall, pid: u32) -> Line {
    Line { at, ..line(what, call, 0, pid) }
}

/// A line that has no time yet.
fn line(what: What, call: &TaskCall, inputs: u64, pid: u32) -> Line {
    let handle = call.handle();
    Line {
        at: Timestamp::default(),
        pid,
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
