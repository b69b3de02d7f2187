//! What the subcommands of the program share: how far they go, and how they tell of it.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::Result;
use crate::ledger::{Entry, Ledger};

/// The environment variable that names the revision of the program, as `cargo xtask torture` sets it.
pub const REVISION: &str = "ANIO_TORTURE_REVISION";

/// How far a command goes, and where it records what it came to.
#[derive(Clone, Debug, clap::Args)]
pub struct Budget {
    /// The first seed
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Begin nothing new after so many minutes
    #[arg(long)]
    pub minutes: Option<f64>,
    /// Add the figures to this file
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
}

impl Budget {
    /// When to begin nothing new any more.
    pub fn deadline(&self) -> Option<Instant> {
        self.minutes.map(|minutes| Instant::now() + Duration::from_secs_f64(minutes.max(0.0) * 60.0))
    }

    /// The ledger, where there is one.
    pub fn ledger(&self) -> Option<Ledger> {
        self.record.clone().map(Ledger::at)
    }

    /// Adds figures to the ledger, where there is one.
    ///
    /// # Errors
    /// As [`Ledger::record`].
    pub fn record(&self, figures: &Entry) -> Result<()> {
        self.ledger().map_or(Ok(()), |ledger| ledger.record(figures))
    }
}

/// The name of a session that begins now.
pub fn session() -> String {
    let begun = chrono::Utc::now().format("%Y-%m-%dT%H:%M:%SZ");
    std::env::var(REVISION).map_or_else(|_| begun.to_string(), |revision| format!("{begun} {revision}"))
}

/// Prints the figures in one line of JSON, and says what they mean for the program's end.
///
/// # Errors
/// Those of standard output.
pub fn conclude(figures: &[Entry]) -> Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    for entry in figures {
        writeln!(out, "{}", entry.summary())?;
    }
    let is_good = figures.iter().all(|entry| entry.violations == 0);
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Tells something to the person at the terminal: standard output is for the figures alone.
pub fn tell(line: &str) {
    drop(writeln!(std::io::stderr(), "{line}"));
}
