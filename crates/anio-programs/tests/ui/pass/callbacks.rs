use std::sync::Mutex;

use anio::error::{FailureKind, TaskFailure};
use anio::prelude::*;
use anio::task::{Callback, Ending};

static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn see(text: String) {
    SEEN.lock().unwrap().push(text);
}

mod alerts {
    use anio::prelude::*;

    pub async fn page(name: &str, error: &TaskError, context: &Context) -> Result<(), String> {
        super::see(format!("{name} failed: {error}; {:?}", context.value("month")));
        Err("nobody answers".to_owned())
    }
}

async fn notify(name: &str, context: &Context<serde_json::Value>) -> Result<(), TaskError> {
    let month: u32 = context.get("month")?;
    tokio::task::yield_now().await;
    see(format!("{name} succeeded in {month}"));
    Ok(())
}

#[workflow(on_success = notify, on_failure = alerts::page)]
mod typed {
    use super::*;

    #[task(on_success = notify, on_failure = alerts::page)]
    pub fn load() -> Result<u32> {
        Ok(1)
    }

    #[task(on_failure = super::alerts::page)]
    pub async fn report(load: u32) -> Result<u32> {
        Ok(load)
    }
}

#[task(id = "generate", on_success = notify)]
async fn generate(context: &mut Context<serde_json::Value>) -> Result<(), TaskError> {
    context.insert("n", 1)?;
    Ok(())
}

fn call(callback: &Option<Callback>, failure: Option<TaskFailure>) -> Result<(), TaskError> {
    let context = Context::from_json(r#"{"month": 7}"#).unwrap();
    let ending = Ending::new(RunId::from_uuid(Default::default()), "it", None, 1, failure, context);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(callback.as_ref().unwrap().call(ending))
}

fn main() {
    let keyed = anio::workflow! {
        name: "keyed",
        on_success: notify,
        on_failure: alerts::page,
        tasks: [generate],
    };
    let typed = typed::workflow();
    let tasks = [typed.plan().task(0), typed.plan().task(1), keyed.plan().task(0)];
    let [load, report, generate] = tasks.map(|task| &task.definition.callbacks);
    assert!(report.on_success.is_none() && generate.on_failure.is_none());

    for callbacks in [load, typed.plan().callbacks(), keyed.plan().callbacks(), generate] {
        call(&callbacks.on_success, None).unwrap();
        assert_eq!(SEEN.lock().unwrap().drain(..).collect::<Vec<_>>(), ["it succeeded in 7"]);
    }
    for callbacks in [load, report, typed.plan().callbacks(), keyed.plan().callbacks()] {
        let failure = TaskFailure::new(FailureKind::Timeout, "timed out");
        let error = call(&callbacks.on_failure, Some(failure)).unwrap_err();
        assert_eq!(error.to_string(), "nobody answers");
        let seen = SEEN.lock().unwrap().drain(..).collect::<Vec<_>>();
        assert_eq!(seen, [r#"it failed: timed out; Some(Number(7))"#]);
    }
}
