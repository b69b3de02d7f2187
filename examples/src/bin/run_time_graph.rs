//! A graph that is known at run time only: built from a configuration, drawn, executed.

use std::error::Error;

use anio::prelude::*;
use anio::{TaskCall, WorkflowErrors};
use serde::Deserialize;

const RECIPE: &str = r#"[
    { "name": "knead", "minutes": 15 },
    { "name": "rest", "minutes": 60, "after": ["knead"] },
    { "name": "heat oven", "minutes": 20 },
    { "name": "bake", "minutes": 40, "after": ["rest", "heat oven"] }
]"#;

#[derive(Deserialize)]
struct Step {
    name: String,
    minutes: u32,
    #[serde(default)]
    after: Vec<String>,
}

/// Each task returns the minute at which it is done.
fn workflow_of(steps: Vec<Step>) -> Result<Workflow, WorkflowErrors> {
    let mut builder = Workflow::builder("bread");
    for Step { name, minutes, after } in steps {
        let before = after.clone();
        builder = builder.task(name, TaskOptions::new(), move |call: TaskCall| {
            let before = before.clone();
            async move {
                let mut start = 0;
                for step in &before {
                    start = start.max(*call.output::<u32>(step)?);
                }
                Ok::<u32, TaskError>(start + minutes)
            }
        });
        builder = after.into_iter().fold(builder, |builder, step| builder.after(step));
    }
    builder.build()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let bread = workflow_of(serde_json::from_str(RECIPE)?)?;
    print!("{}", bread.to_mermaid());
    let misspelt = workflow_of(serde_json::from_str(&RECIPE.replace("[\"knead\"]", "[\"kneed\"]"))?);
    println!("{}", misspelt.err().ok_or("the misspelt recipe was taken")?);

    let directory = tempfile::tempdir()?;
    let database = format!("sqlite://{}", directory.path().join("bread.db").display());
    // Registered here, so that the engine can take up runs of it that an earlier process left behind.
    let engine = Engine::builder().store(database).workflow(bread.clone()).start().await?;
    let outcome = engine.run(bread, ()).await?.ok()?;
    println!("ready after {} minutes", outcome.output_of::<u32>("bake")?);
    engine.shutdown().await?;
    Ok(())
}

// Output:
// flowchart TD
//     knead
//     rest
//     t2["heat oven"]
//     bake
//     knead --> rest
//     rest --> bake
//     t2 --> bake
// task "rest": dependency "kneed" is unknown; did you mean "knead"?
// ready after 115 minutes
