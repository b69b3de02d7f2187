//! What `docs/operations.md` shows, in Rust and in SQL, is there and does what the guide says.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anio::prelude::*;
use anio::run::TaskRunStatus;
use anio::{Output, RunEvent, RunOptions, TaskCall};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::Text;
use futures::StreamExt;

const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations.md");
const HOUR: Duration = Duration::from_secs(3600);

fn ok() -> Result<(), TaskError> {
    Ok(())
}

/// A workflow of one task that succeeds, fails, or never ends, as the run's input says.
fn mail(options: TaskOptions) -> Workflow {
    mail_named("mail", options)
}

fn mail_named(name: &str, options: TaskOptions) -> Workflow {
    let send = |call: TaskCall| async move {
        match call.input::<String>()?.as_str() {
            "lost" => Err(TaskError::message("no such address")),
            "slow" => std::future::pending().await,
            _ => ok(),
        }
    };
    Workflow::builder(name).task("send", options, send).build().unwrap()
}

// region: retry
async fn retry_all_failed(engine: &Engine, workflow: &str) -> anio::Result<usize> {
    let mut query = RunQuery {
        workflow: Some(workflow.to_owned()),
        statuses: vec![RunStatus::Failed],
        ..RunQuery::default()
    };
    let mut n_retried = 0;
    loop {
        let page = engine.runs(query.clone()).await?;
        let Some(last) = page.last() else { return Ok(n_retried) };
        query.before = Some(last.id);
        for run in page {
            engine.retry_failed(run.id).await?;
            n_retried += 1;
        }
    }
}
// endregion

#[tokio::test(flavor = "multi_thread")]
async fn failed_runs_are_retried_page_by_page() {
    let engine = Engine::open("sqlite::memory:").await.unwrap();
    let handles = engine.submit_many(mail(TaskOptions::new()), vec!["lost".to_owned(); 3]).await.unwrap();
    for run in &handles {
        assert_eq!(run.wait().await.unwrap().status(), RunStatus::Failed);
    }
    assert_eq!(retry_all_failed(&engine, "post").await.unwrap(), 0);
    assert_eq!(retry_all_failed(&engine, "mail").await.unwrap(), 3);
    for run in handles {
        assert_eq!(run.wait().await.unwrap().tasks()[0].attempts, 2);
    }
    engine.shutdown().await.unwrap();
}

// region: callbacks
async fn page_somebody(task: &str, error: &TaskError, _: &Context) -> Result<(), TaskError> {
    eprintln!("{task} failed for good: {error}");
    Ok(())
}

#[task(id = "load", retry_attempts = 3, on_failure = page_somebody)]
async fn load(context: &mut Context<serde_json::Value>) -> Result<(), TaskError> {
    context.insert("rows", 20)?;
    Ok(())
}

fn nightly() -> Workflow {
    anio::workflow! { name: "nightly", on_failure: page_somebody, tasks: [load] }
}
// endregion

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_has_the_callbacks_that_it_names() {
    assert!(nightly().plan().callbacks().on_failure.is_some());
    let engine = Engine::open("sqlite::memory:").await.unwrap();
    assert!(engine.run(nightly(), json!({})).await.unwrap().is_success());
    engine.shutdown().await.unwrap();
}

// region: follow
async fn follow(run: &RunHandle) -> anio::Result<RunStatus> {
    let mut events = std::pin::pin!(run.events());
    while let Some(event) = events.next().await {
        match event? {
            RunEvent::Fact(fact) => println!("{} {}: {:?}", fact.task, fact.attempt, fact.kind),
            RunEvent::Ended(status) => return Ok(status),
            _ => {}
        }
    }
    run.status().await
}
// endregion

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_followed_to_its_end() {
    let engine = Engine::open("sqlite::memory:").await.unwrap();
    let run = engine.submit(mail(TaskOptions::new()), "lost".to_owned()).await.unwrap();
    assert_eq!(follow(&run).await.unwrap(), RunStatus::Failed);
    engine.shutdown().await.unwrap();
}

// region: prune
async fn prune_daily(engine: Engine) -> anio::Result<()> {
    let week = Duration::from_secs(7 * 24 * 3600);
    loop {
        engine.prune(week, &[RunStatus::Succeeded, RunStatus::Cancelled]).await?;
        engine.prune(4 * week, &[RunStatus::Failed]).await?;
        tokio::time::sleep(Duration::from_secs(24 * 3600)).await;
    }
}
// endregion

#[tokio::test(flavor = "multi_thread")]
async fn pruning_keeps_what_is_young() {
    let engine = Engine::open("sqlite::memory:").await.unwrap();
    engine.run(mail(TaskOptions::new()), "x".to_owned()).await.unwrap();
    let pruning = tokio::spawn(prune_daily(engine.clone()));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!pruning.is_finished());
    pruning.abort();
    assert_eq!(engine.runs(RunQuery::default()).await.unwrap().len(), 1);
    assert_eq!(engine.prune(Duration::ZERO, &[RunStatus::Succeeded]).await.unwrap(), 1);
    engine.shutdown().await.unwrap();
}

/// The blocks of SQL in the guide, by their first line.
fn queries() -> BTreeMap<String, String> {
    let guide = fs::read_to_string(GUIDE).unwrap();
    let blocks = guide.split("\n```sql\n").skip(1).map(|rest| rest.split_once("\n```").unwrap().0);
    blocks
        .map(|block| {
            let (title, query) = block.split_once('\n').unwrap();
            (title.trim_start_matches("-- ").to_owned(), query.trim_end().trim_end_matches(';').to_owned())
        })
        .collect()
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

/// The rows of a query, each as a JSON list.
fn rows(connection: &mut SqliteConnection, query: &str) -> Vec<serde_json::Value> {
    connection.batch_execute(&format!("create temp view shown as {query}")).unwrap();
    let mut lines = |query: &str| {
        let lines: Vec<Line> = diesel::sql_query(query).load(connection).unwrap();
        lines.into_iter().map(|line| line.line).collect::<Vec<_>>()
    };
    let columns = lines("select name as line from pragma_table_info('shown') order by cid").join(", ");
    let rows = lines(&format!("select json_array({columns}) as line from shown"));
    connection.batch_execute("drop view shown").unwrap();
    rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect()
}

async fn until(run: &RunHandle, status: TaskRunStatus) {
    while !run.tasks().await.unwrap().iter().any(|task| task.status == status) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The first program knows `fetch` and `check`, the next one only `check`.
fn import(names: &[&'static str]) -> Workflow {
    let builder = names.iter().fold(Workflow::builder("import"), |builder, &name| {
        let body = move |_: TaskCall| async move {
            if name == "check" { std::future::pending().await } else { ok() }
        };
        let builder = builder.task(name, TaskOptions::new(), body);
        if name == "check" && names.len() > 1 { builder.after("fetch") } else { builder }
    });
    builder.build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queries_of_the_guide_find_what_they_say() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("watched.db").display().to_string();
    let open = |import: Workflow| {
        let mail = mail(TaskOptions::new());
        let builder = Engine::builder().store(&file).workflow(mail).workflow(import);
        builder.shutdown_grace(Duration::ZERO).start()
    };

    // A run that the next program cannot go on with.
    let engine = open(import(&["fetch", "check"])).await.unwrap();
    let parked = engine.submit(import(&["fetch", "check"]), ()).await.unwrap();
    until(&parked, TaskRunStatus::Running).await;
    engine.shutdown().await.unwrap();
    let engine = open(import(&["check"])).await.unwrap();
    while parked.status().await.unwrap_or(RunStatus::Queued) != RunStatus::Parked {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    let run = async |how: &str| engine.submit(mail(TaskOptions::new()), how.to_owned()).await.unwrap();
    run("fine").await.wait().await.unwrap();
    let failed = run("lost").await;
    failed.wait().await.unwrap();
    let running = run("slow").await;
    until(&running, TaskRunStatus::Running).await;
    let later = engine.submit(mail(TaskOptions::new()), "fine".to_owned()).after(HOUR).await.unwrap();
    let paused = engine.submit(mail(TaskOptions::new()), "fine".to_owned()).after(HOUR).await.unwrap();
    paused.pause().await.unwrap();
    let mut connection = SqliteConnection::establish(&file).unwrap();
    connection.batch_execute("pragma busy_timeout = 10000").unwrap();
    // What is asked in the store alone reaches the worker later, and this body never ends.
    engine.store().request(running.id(), anio::Request::Pause).await.unwrap();
    // A run of a workflow that this program does not know.
    let elsewhere = mail_named("elsewhere", TaskOptions::new());
    let input = Output::new("fine".to_owned()).unwrap();
    let queued = connection
        .immediate_transaction::<_, Box<dyn std::error::Error>, _>(|connection| {
            Ok(engine.store().submit_in(connection, &elsewhere, input, RunOptions::default())?)
        })
        .unwrap();
    let policy = RetryPolicy::attempts(2).with_backoff(Backoff::fixed(HOUR));
    let post = mail_named("post", TaskOptions::new().retry(policy));
    let retrying = engine.submit(post, "lost".to_owned()).await.unwrap();
    until(&retrying, TaskRunStatus::Backoff).await;
    // What the run shows may be on its way to the disk still.
    let queries = queries();
    for (_, query) in queries
        .iter()
        .filter(|(title, _)| title.starts_with("what runs now") || title.contains("next attempt"))
    {
        while rows(&mut connection, query).is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    let id = |run: &RunHandle| run.id().to_string();
    for (title, query) in &queries {
        let Some((title, columns)) = COLUMNS.iter().find(|(known, _)| title.starts_with(known)) else {
            panic!("nobody checks the query {title:?}");
        };
        if *title == "a backup" {
            continue;
        }
        let found: Vec<_> = rows(&mut connection, query)
            .into_iter()
            // Whether a short attempt has a row for its start depends on how busy the machine is.
            .filter(|row| *title != "the history" || row[4] != "started")
            .map(|row| columns.iter().map(|column| row[*column].clone()).collect::<serde_json::Value>())
            .collect();
        let expected = match *title {
            "how many runs" => json!([
                ["elsewhere", "queued", 1],
                ["import", "parked", 1],
                ["mail", "failed", 1],
                ["mail", "paused", 1],
                ["mail", "queued", 1],
                ["mail", "running", 1],
                ["mail", "succeeded", 1],
                ["post", "running", 1]
            ]),
            "what waits for a worker" => json!([["elsewhere", 1]]),
            "what waits for its time" => json!([[id(&later), "mail", 0]]),
            "what is parked" => json!([[id(&parked), "import"]]),
            "why runs failed" => json!([[id(&failed), "mail", "send", 1, "error", "no such address"]]),
            "what runs now" => json!([[id(&running), "send", null, 1]]),
            "what waits for its next" => json!([[id(&retrying), "send", null, 1, "no such address"]]),
            "how often" => json!([["mail", "send", 2, 1], ["post", "send", 1, 1], ["import", "fetch", 1, 0]]),
            "who works" => json!([[engine.worker().await.unwrap().to_string(), 2]]),
            "what was asked" => json!([[id(&running), "mail", "pause"]]),
            "the history" => json!([["send", null, 1, "failed"]]),
            "how many attempts" => {
                let n: i64 = found.iter().map(|row| row[0].as_i64().unwrap()).sum();
                assert_eq!(n, 4);
                continue;
            }
            other => panic!("{other}"),
        };
        assert_eq!(json!(found), expected, "{title}");
    }
    assert_eq!(queries.len(), COLUMNS.len());
    assert_eq!(engine.store().run(queued).await.unwrap().unwrap().status, RunStatus::Queued);
    engine.shutdown().await.unwrap();
}

/// The queries of the guide by how their titles begin, and which of their columns are compared: those that are
/// not times.
const COLUMNS: [(&str, &[usize]); 13] = [
    ("a backup", &[]),
    ("how many attempts", &[1]),
    ("how many runs", &[0, 1, 2]),
    ("how often", &[0, 1, 2, 3]),
    ("the history", &[1, 2, 3, 4]),
    ("what is parked", &[0, 1]),
    ("what runs now", &[0, 1, 2, 3]),
    ("what waits for a worker", &[0, 1]),
    ("what waits for its next", &[0, 1, 2, 3, 5]),
    ("what waits for its time", &[0, 1, 3]),
    ("what was asked", &[0, 1, 2]),
    ("who works", &[0, 3]),
    ("why runs failed", &[0, 1, 2, 3, 4, 5]),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_made_while_the_engine_runs_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("mail.db").display().to_string();
    let copy = directory.path().join("backup.db").display().to_string();
    let engine = Engine::builder().store(&file).lease(Duration::from_secs(1)).start().await.unwrap();
    let running = engine.submit(mail(TaskOptions::new()), "slow".to_owned()).await.unwrap();
    until(&running, TaskRunStatus::Running).await;
    let later = engine.submit(mail(TaskOptions::new()), "fine".to_owned()).after(HOUR).await.unwrap();

    let mut connection = SqliteConnection::establish(&file).unwrap();
    connection.batch_execute(&queries()["a backup"].replace("backup.db", &copy)).unwrap();

    let other = Engine::builder().store(&copy).workflow(mail(TaskOptions::new())).start().await.unwrap();
    let runs = other.runs(RunQuery::default()).await.unwrap();
    assert_eq!(runs.iter().map(|run| run.id).collect::<Vec<_>>(), [later.id(), running.id()]);
    let there = other.run_handle(running.id()).await.unwrap();
    // Its worker holds no lease in the copy once that has run out.
    while other.store().run(running.id()).await.unwrap().unwrap().epoch == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    there.cancel().await.unwrap();
    assert_eq!(there.wait().await.unwrap().status(), RunStatus::Cancelled);
    assert_eq!(running.status().await.unwrap(), RunStatus::Running, "it goes on where it was");
}
