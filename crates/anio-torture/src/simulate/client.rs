//! What a program does with its engine: submits runs, asks things of them, waits for their ends, tries again.
//!
//! A client belongs to a process. Before it tells of anything it passes the process's gate, which lets nobody
//! through who is dead.

use std::sync::Arc;
use std::time::Duration;

use anio::{Engine, Error, RunHandle};
use anio_core::{RunId, Workflow};
use anio_store::record::{RunQuery, RunStatus};

use super::process::{Client, Process};
use super::script::Order;
use crate::body::RunInput;
use crate::diary::{Line, What};
use crate::dice::{Dice, mix};
use crate::history::{Ack, Ended, digest};
use crate::intent::{ASK_WITHIN, Intent};
use crate::operator::{self, Ask, Asked};
use crate::surroundings::Surroundings;

/// How often a run is looked at that is about to be paused.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Carries out an order.
pub(super) async fn serve(client: Client, engine: Engine, mut order: Order) {
    let process = Arc::clone(&client.0);
    let intent = match Intent::draw(&mut order.dice, process.now()) {
        // In memory there are no transactions of a user's own.
        Intent::Joint(_) => Intent::Plain,
        // Nobody saves anybody.
        _ if process.world.script.is_deadly => Intent::Plain,
        intent => intent,
    };
    process.world.note((process.host, "order", intent.tag()));
    if let Err(error) = submit(&process, &engine, intent, order).await {
        process.gate().await;
        process.world.note((process.host, "client", error.to_string()));
    }
    process.gate().await;
}

async fn submit(process: &Arc<Process>, engine: &Engine, intent: Intent, order: Order) -> anio::Result<()> {
    let mut dice = order.dice.clone();
    let workflow = process.workflow(order.blueprint);
    if order.inputs.len() > 1 {
        return submit_many(process, engine, workflow, order.inputs).await;
    }
    let mut n = order.inputs[0];
    let submit = |n: u64| engine.submit(workflow.clone(), RunInput { n }).tag(intent.tag());
    let mut key = None;
    let submit = match intent {
        Intent::Late(at) | Intent::Generous(at) => submit(n).deadline(at),
        Intent::Due(at) => submit(n).at(at),
        Intent::Keyed => {
            // Whoever uses a key uses it for the same.
            n = mix(order.key, order.blueprint as u64) >> 12;
            let key = key.insert(format!("key-{}", order.key));
            submit(n).idempotency_key(key.as_str())
        }
        // Nobody's at first: another process may get it, and what is asked of it here is to be done there.
        _ if dice.percent(process.world.script.nobodys) => submit(n).at(process.now()),
        _ => submit(n),
    };
    let run = submit.await?;
    acknowledge(process, &run, &workflow, n, key).await;
    let (asks, ends) = tokio::join!(
        ask(process, &run, &intent, &workflow, dice.clone()),
        end(process, engine, &run, &intent, &workflow, dice.clone())
    );
    match asks {
        // The run was faster.
        Err(Error::InvalidState { .. }) => {}
        asks => asks?,
    }
    ends
}

async fn submit_many(
    process: &Arc<Process>,
    engine: &Engine,
    workflow: Workflow,
    inputs: Vec<u64>,
) -> anio::Result<()> {
    let given = inputs.iter().map(|&n| RunInput { n });
    let runs = engine.submit_many(workflow.clone(), given).await?;
    for (run, n) in runs.iter().zip(inputs) {
        acknowledge(process, run, &workflow, n, None).await;
    }
    for run in &runs {
        wait(process, run).await?;
    }
    Ok(())
}

async fn acknowledge(process: &Process, run: &RunHandle, workflow: &Workflow, n: u64, key: Option<String>) {
    process.gate().await;
    process.world.note((process.host, "acknowledged", short(run.id()), n, &key));
    process.world.count("runs_acknowledged");
    let ack = Ack { run: run.id(), workflow: workflow.name().to_string(), n, key };
    process.world.state().history.acks.push(ack);
    process.tempt().await;
}

/// Waits for the end of a run, and tells of it.
async fn wait(process: &Process, run: &RunHandle) -> anio::Result<RunStatus> {
    let outcome = run.wait().await?;
    let tasks = outcome.workflow().plan().tasks().iter();
    let outputs = tasks.filter_map(|task| {
        let name = task.name.as_str();
        Some((name, outcome.output_of(name).ok()?))
    });
    let (status, outputs) = (outcome.status(), digest(outputs));
    process.gate().await;
    process.world.note((process.host, "ended", short(run.id()), status.as_str()));
    let ended = Ended { run: run.id(), status: status.to_string(), outputs };
    process.world.state().history.ends.push(ended);
    if status == RunStatus::Succeeded {
        process.write(&Line {
            at: process.now(),
            pid: process.pid(),
            what: What::Told,
            run: run.id(),
            task_run: ("-".to_owned(), None),
            attempt: 0,
            inputs: 0,
        });
    }
    process.tempt().await;
    Ok(status)
}

/// Waits for the end; half of those runs that fail are mended and tried again.
async fn end(
    process: &Arc<Process>,
    engine: &Engine,
    run: &RunHandle,
    intent: &Intent,
    workflow: &Workflow,
    mut dice: Dice,
) -> anio::Result<()> {
    let status = wait(process, run).await?;
    // By the time of another host it is not said which facts came before.
    if process.world.script.is_skewed() || process.world.script.is_deadly {
        return Ok(());
    }
    if matches!(status, RunStatus::Succeeded | RunStatus::Failed)
        && let Some(again) = operator::run_again(engine, run.id(), intent, workflow).await?
    {
        return wait(process, &again).await.map(drop);
    }
    let is_tried_again = status == RunStatus::Failed && intent.may_be_retried() && dice.percent(60);
    if !is_tried_again {
        return Ok(());
    }
    process.world.state().mended.insert(run.id());
    let again = engine.retry_failed(run.id()).await?;
    tell(process, run.id(), Asked::Retry).await;
    wait(process, &again).await.map(drop)
}

/// Does with a run what is meant to be done.
async fn ask(
    process: &Arc<Process>,
    run: &RunHandle,
    intent: &Intent,
    workflow: &Workflow,
    mut dice: Dice,
) -> anio::Result<()> {
    tokio::time::sleep(dice.duration(ASK_WITHIN)).await;
    match intent {
        Intent::Cancel => {
            run.cancel().await?;
            tell(process, run.id(), Asked::Cancel).await;
        }
        Intent::GiveUp(position) => {
            let tasks = workflow.plan().tasks();
            let task = tasks[*position as usize % tasks.len()].name.to_string();
            run.cancel_task(&task).await?;
            tell(process, run.id(), Asked::GiveUp(task, None)).await;
        }
        Intent::GiveUpElement(position, index) => {
            let tasks = workflow.plan().tasks().iter().filter(|task| task.is_dynamic());
            let tasks: Vec<String> = tasks.map(|task| task.name.to_string()).collect();
            let Some(task) = tasks.get(*position as usize % tasks.len().max(1)) else { return Ok(()) };
            run.cancel_element(task, *index).await?;
            tell(process, run.id(), Asked::GiveUp(task.clone(), Some(*index))).await;
        }
        Intent::Pause => {
            run.pause().await?;
            tell(process, run.id(), Asked::Pause).await;
            loop {
                match run.status().await? {
                    RunStatus::Paused => break,
                    status if status.is_terminal() => return Ok(()),
                    _ => tokio::time::sleep(LOOK_EVERY).await,
                }
                if process.world.is_calm_for_long() {
                    return Ok(());
                }
            }
            if !is_resumed(process, run.id()) {
                tell(process, run.id(), Asked::SeenPaused).await;
            }
            tokio::time::sleep(dice.duration(2 * ASK_WITHIN)).await;
            tell(process, run.id(), Asked::Resume).await;
            run.resume().await?;
        }
        _ => {}
    }
    Ok(())
}

/// Whether somebody is about to resume the run, or has.
fn is_resumed(process: &Process, run: RunId) -> bool {
    process.world.state().history.asks.iter().any(|ask| ask.run == run && ask.what == Asked::Resume)
}

async fn tell(process: &Arc<Process>, run: RunId, what: Asked) {
    process.gate().await;
    process.world.note((process.host, "asked", short(run), format!("{what:?}")));
    process.world.count(match what {
        Asked::Cancel => "cancels",
        Asked::GiveUp(..) => "task_cancels",
        Asked::Pause => "pauses",
        Asked::SeenPaused => "pauses_seen",
        Asked::Resume => "resumes",
        Asked::Retry => "retries",
    });
    let ask = Ask { run, what, at: process.now(), pid: process.pid() };
    process.world.state().history.asks.push(ask);
    process.tempt().await;
}

/// Resumes all that is paused.
pub(super) async fn resume_all(process: &Arc<Process>, engine: &Engine) -> anio::Result<()> {
    let query = RunQuery { statuses: vec![RunStatus::Paused], ..RunQuery::default() };
    for record in engine.runs(query).await? {
        tell(process, record.id, Asked::Resume).await;
        match engine.run_handle(record.id).await?.resume().await {
            // Somebody else was faster.
            Ok(()) | Err(Error::InvalidState { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Enough of an identity to tell runs apart.
fn short(run: RunId) -> u32 {
    run.as_uuid().as_u128() as u32
}
