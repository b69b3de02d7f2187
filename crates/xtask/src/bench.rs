//! `cargo xtask bench` and `torture`: release programs of this workspace, with a Postgres beside them.

use std::{ffi::OsString, process::ExitCode};

use anio_testkit::postgres::VARIABLE;

use crate::{
    Result, cargo, exit,
    postgres::{Postgres, with_postgres},
    root, take_flag,
};

/// Measures; one JSON line per workload and backend.
pub(crate) fn bench(args: Vec<OsString>) -> Result<ExitCode> {
    run_release("anio-bench", args)
}

/// Kills and resumes, any number of times.
pub(crate) fn torture(args: Vec<OsString>) -> Result<ExitCode> {
    run_release("anio-torture", args)
}

/// The program finds its server, or `off`, in `ANIO_TEST_POSTGRES`.
fn run_release(package: &str, mut args: Vec<OsString>) -> Result<ExitCode> {
    let no_postgres =
        take_flag(&mut args, "--no-postgres") || is_for_sqlite_alone(&args) || is_without_engine(&args);
    with_postgres(Postgres::unless(no_postgres), |variable| {
        let status = cargo()
            .args(["run", "--quiet", "--release", "--package", package])
            .args(features(&args))
            .arg("--")
            .args(args)
            .env(VARIABLE, variable)
            .env("ANIO_TORTURE_REVISION", revision())
            .status()?;
        Ok(exit(status.success()))
    })
}

fn is_for_sqlite_alone(args: &[OsString]) -> bool {
    args.iter().any(|arg| arg == "--backend=sqlite")
        || args.windows(2).any(|pair| pair[0] == "--backend" && pair[1] == "sqlite")
}

/// `bench parallel` is about threads and tasks alone, `torture figures` and `help` about nothing
/// that executes, `torture disk` about SQLite, `torture simulate` about memory.
fn is_without_engine(args: &[OsString]) -> bool {
    let is_option = |arg: &OsString| arg.to_string_lossy().starts_with("--");
    let first = args.first().map(|first| first.to_string_lossy());
    match first.as_deref() {
        Some("figures" | "help" | "--help" | "disk" | "simulate") => true,
        Some("parallel") => args.iter().skip(1).all(is_option),
        _ => false,
    }
}

/// Bugs are in the program where they are to be planted, and nowhere else.
fn features(args: &[OsString]) -> &'static [&'static str] {
    if args.first().is_some_and(|first| first == "plants") { &["--features", "plant"] } else { &[] }
}

/// The revision of this repository, for what records figures of it.
fn revision() -> String {
    let git = std::process::Command::new("git")
        .args(["describe", "--always", "--dirty", "--exclude", "*"])
        .current_dir(root())
        .output();
    let text = git.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_server_is_started_where_only_sqlite_is_asked_for() {
        let asked =
            |line: &str| is_for_sqlite_alone(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert!(asked("--kills 5 --backend sqlite") && asked("--backend=sqlite"));
        assert!(!asked("--backend both") && !asked("--kills 5"));
    }

    #[test]
    fn no_server_is_started_where_no_engine_is() {
        let asked = |line: &str| is_without_engine(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert!(asked("parallel") && asked("parallel --json-only"));
        assert!(asked("figures --write") && asked("help storm"));
        assert!(!asked("storm") && !asked("parallel fan") && !asked("fan") && !asked("fan parallel"));
    }
}
