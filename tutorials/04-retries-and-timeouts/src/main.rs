//! A mirror that is down, a request that hangs, a file that is broken: three ways to fail.

use std::error::Error;

use anio::prelude::*;

// region: error
/// Why a mirror gave no file.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    #[error("the mirror answers {0}")]
    Status(u16),
    #[error("the mirror wants us to come back in {0} ms")]
    Busy(u64),
}
// endregion

// region: tasks
#[workflow]
mod release {
    use std::time::Duration;

    use anio::prelude::*;

    use super::{MirrorError, tell};

    /// The mirror is down for the first two attempts. They are 20 and 40 ms apart.
    #[task(retry(attempts = 5, backoff = exponential("20ms", max = "1s")))]
    pub async fn download(task: TaskHandle) -> Result<String> {
        if task.attempt() < 3 {
            return tell(&task, Err(MirrorError::Status(503).into()));
        }
        tell(&task, Ok("anio-0.1.0.tar".to_owned()))
    }

    /// The first request never comes back. The time-out ends it, and counts as a failure like any other.
    #[task(timeout = "100ms", retry(attempts = 2))]
    pub async fn signature(task: TaskHandle, download: &String) -> Result<String> {
        if task.attempt() == 1 {
            tell(&task, Ok("…".to_owned()))?;
            tokio::time::sleep(Duration::from_secs(3600)).await;
        }
        tell(&task, Ok(format!("{download}.sig")))
    }

    /// The service says itself when to come back; that counts in place of the policy's delay.
    #[task(retry(attempts = 3, backoff = fixed("1h")))]
    pub async fn licence(task: TaskHandle, signature: &String) -> Result<String> {
        if task.attempt() == 1 {
            let busy = MirrorError::Busy(30);
            return tell(&task, Err(TaskError::retry_after(Duration::from_millis(30), busy)));
        }
        tell(&task, Ok(format!("licence of {signature}")))
    }

    /// A broken file stays broken: no further attempt could mend it, whatever the policy says.
    #[task(retry(attempts = 5, backoff = fixed("1h")))]
    pub async fn verify(task: TaskHandle, licence: &String) -> Result<bool> {
        tell(&task, Err(TaskError::fatal(format!("{licence}: the checksum is wrong"))))
    }

    #[task]
    pub async fn publish(verify: bool) -> Result<()> {
        println!("published: {verify}");
        Ok(())
    }
}
// endregion

/// Prints what an attempt comes to, and passes it on.
fn tell<T: std::fmt::Debug>(task: &TaskHandle, result: Result<T>) -> Result<T> {
    match &result {
        Ok(value) => println!("{} {}: {value:?}", task.task(), task.attempt()),
        Err(error) => println!("{} {}: {error}", task.task(), task.attempt()),
    }
    result
}

// region: main
#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let database = directory.path().join("release.db");
    let engine = Engine::open(format!("sqlite://{}", database.display())).await?;

    println!("task and attempt");
    let outcome = engine.run(release::workflow(), ()).await?;

    println!("\nthe run {}", outcome.status());
    for task in outcome.tasks() {
        let mut line = format!("{:9}  {:9}  {} attempts", task.name, task.status, task.attempts);
        if let Some(error) = &task.error {
            line += &format!(", the last one: {error}");
        }
        if let Some(failed) = &task.skipped_because {
            line += &format!(", because of {failed}");
        }
        println!("{line}");
    }
    engine.shutdown().await?;
    Ok(())
}
// endregion
