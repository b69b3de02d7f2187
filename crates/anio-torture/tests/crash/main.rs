//! Real processes, real databases, real signals: what the engine promises of crashes, held by killing it.

#![expect(clippy::unwrap_used, reason = "what fails stops a test")]

mod gate;
mod kill_9;
mod poison;
mod start_up;
mod takeover;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anio_testkit::postgres::{Database, test_database};
use anio_torture::history::{StoredRun, read_runs};
use anio_torture::settings::Settings;
use anio_torture::worker_process::WorkerProcess;
use tempfile::TempDir;

/// How long anything may take before a test gives up; nothing is told by how long something takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_anio-torture"))
}

fn spawn(settings: &Settings) -> WorkerProcess {
    WorkerProcess::spawn(&program(), settings).unwrap()
}

/// A database of one test, with a directory for diary, log and gate.
struct Place {
    directory: TempDir,
    database: Option<Database>,
}

impl Place {
    fn sqlite() -> Self {
        Self { directory: TempDir::new().unwrap(), database: None }
    }

    /// `None` where Postgres is switched off.
    #[track_caller]
    fn postgres() -> Option<Self> {
        Some(Self { database: Some(test_database()?), ..Self::sqlite() })
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn url(&self) -> String {
        let file = || format!("sqlite://{}", self.path().join("test.db").display());
        self.database.as_ref().map_or_else(file, Database::url)
    }

    fn settings(&self) -> Settings {
        Settings::new(self.url(), self.path())
    }

    /// Lets the bodies that wait at the gate go on.
    fn open_gate(&self) {
        std::fs::write(self.settings().gate(), "").unwrap();
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.settings().log()).unwrap()
    }

    fn runs(&self) -> Vec<StoredRun> {
        tokio::runtime::Runtime::new().unwrap().block_on(read_runs(&self.url())).unwrap()
    }
}

/// A line that is seen also where the test succeeds.
fn tell(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{line}");
}
