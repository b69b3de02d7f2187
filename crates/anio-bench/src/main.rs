//! Measures Anio against the raw speed of the database beneath it.
//!
//! ```text
//! anio-bench ──► for each workload and backend: a process of its own ──► one JSON line
//!                  three times: a fresh database, the raw limit, the workload
//! ```
//!
//! Each measurement has a process of its own, because what one leaves behind (memory that the allocator
//! keeps, threads that wind down) would count for the next. The limit is measured right before the workload,
//! on the same file system and with the same settings: machines differ and are noisy, ratios much less so.
//! What counts is the repetition with the median ratio.
//!
//! `cargo xtask bench` calls this program with a Postgres beside it.

#![expect(
    clippy::print_stdout,
    reason = "a program that talks to the person, or the script, at the terminal"
)]
#![expect(clippy::cast_precision_loss, reason = "what is counted and measured here is far below 2^52")]

mod args;
mod database;
mod process;
mod raw;
mod report;
mod workload;

use std::env;
use std::error::Error;
use std::process::{Command, ExitCode, Stdio};

use anio_testkit::postgres::{self, Server, VARIABLE};
use serde_json::Value;

use crate::args::{Args, HELP};
use crate::database::Backend;
use crate::workload::Workload;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    let done = match Args::parse(env::args().skip(1)) {
        Ok(Args::Help) => {
            println!("{HELP}");
            Ok(())
        }
        Ok(Args::Worker { url }) => workload::work(&url),
        Ok(Args::Measure { workload, backend, repetitions }) => {
            workload::measure(workload, backend, repetitions).map(|line| println!("{line}"))
        }
        Ok(Args::All { workloads, backends, repetitions, json_only }) => {
            measure_all(&workloads, &backends, repetitions, json_only)
        }
        Err(problem) => Err(format!("{problem}\n\n{HELP}").into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("anio-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure_all(
    workloads: &[Workload],
    backends: &[Backend],
    repetitions: usize,
    json_only: bool,
) -> Result<()> {
    let mut lines = Vec::new();
    for (ix, &backend) in backends.iter().enumerate() {
        // What has no backend is measured with the first.
        let is_due = |workload: &&Workload| workload.has_backend() || ix == 0;
        let workloads: Vec<Workload> = workloads.iter().filter(is_due).copied().collect();
        if workloads.is_empty() {
            continue;
        }
        if backend == Backend::Postgres && postgres::is_off() {
            if backends.len() == 1 {
                return Err(format!("{VARIABLE}=off, and no other backend is asked for").into());
            }
            eprintln!("Postgres is left out: {VARIABLE}=off");
            continue;
        }
        for workload in workloads {
            let line = in_its_own_process(workload, backend, repetitions)?;
            println!("{line}");
            lines.push(line);
        }
    }
    if !json_only {
        eprint!("\n{}", report::table(&lines));
    }
    Ok(())
}

fn in_its_own_process(workload: Workload, backend: Backend, repetitions: usize) -> Result<Value> {
    let mut command = Command::new(env::current_exe()?);
    command.args(["--measure", workload.name(), "--backend", backend.name()]);
    command.args(["--repetitions", &repetitions.to_string()]);
    if backend == Backend::Postgres && workload.has_backend() {
        command.env(VARIABLE, Server::shared()?.url());
    }
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("{} on {} could not be measured", workload.name(), backend.name()).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
