//! One task, run durably.

use std::error::Error;

// region: workflow
use anio::prelude::*;

#[workflow]
mod welcome {
    use anio::prelude::*;

    /// Writes the line on the welcome card of a guest.
    #[task]
    pub async fn card(guest: Input<String>) -> Result<String> {
        Ok(format!("Welcome, {}!", *guest))
    }
}
// endregion

// region: main
#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let database = directory.path().join("welcome.db");

    let engine = Engine::open(format!("sqlite://{}", database.display())).await?;
    let run = engine.submit(welcome::workflow(), "Ada".to_owned()).await?;
    let outcome = run.wait().await?;

    println!("{}", outcome.output::<welcome::card>()?);
    println!("the run {}", outcome.status());
    for task in outcome.tasks() {
        println!("task {} {}, attempt {}", task.name, task.status, task.attempts);
    }
    engine.shutdown().await?;
    Ok(())
}
// endregion
