//! `cargo xtask ci`: what must hold before a change goes in. Every step runs, even after one that failed, so
//! that one round shows everything; the suite comes last and has the last line.

use std::{
    ffi::OsString,
    fs,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use crate::{Result, cargo, exit, postgres::Postgres, root, take_flag, test, tidy};

/// The crates whose features are checked one by one.
const WITH_FEATURES: [&str; 5] = ["anio-core", "anio-store", "anio-scheduler", "anio", "anio-torture"];

/// A name, and what is true if it went well.
type Step = (&'static str, fn() -> Result<bool>);

pub(crate) fn command(mut args: Vec<OsString>) -> Result<ExitCode> {
    let postgres = Postgres::unless(take_flag(&mut args, "--no-postgres"));
    if let Some(unknown) = args.first() {
        return Err(format!("unknown argument {}", unknown.display()).into());
    }
    let steps: [Step; 5] =
        [("fmt", fmt), ("tidy", tidy::run), ("clippy", clippy), ("features", features), ("docs", docs)];

    let mut report = Vec::new();
    let mut failed = Vec::new();
    for (name, step) in steps {
        let (done, time) = timed(name, step);
        let good = done.unwrap_or_else(|error| {
            println!("{name}: {error}");
            false
        });
        if !good {
            failed.push(name);
        }
        report.push(line(name, time, good));
    }
    let (suite, time) = timed("test", || test::run(postgres, &[]));
    let suite = suite?;
    report.push(line("test", time, suite.is_good()));

    println!("\n{}", report.join("\n"));
    println!("{suite}");
    Ok(exit(failed.is_empty() && suite.is_good()))
}

fn timed<T>(name: &str, step: impl FnOnce() -> T) -> (T, Duration) {
    println!("\n── {name}");
    let start = Instant::now();
    (step(), start.elapsed())
}

fn line(name: &str, time: Duration, good: bool) -> String {
    format!("ci: {name:<9} {:>7.1} s  {}", time.as_secs_f64(), if good { "ok" } else { "FAILED" })
}

fn fmt() -> Result<bool> {
    succeeds(cargo().args(["fmt", "--all", "--", "--check"]))
}

fn clippy() -> Result<bool> {
    succeeds(cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--all-features",
        "--",
        "-D",
        "warnings",
    ]))
}

fn docs() -> Result<bool> {
    let args = ["doc", "--no-deps", "--workspace", "--all-features"];
    succeeds(cargo().args(args).env("RUSTDOCFLAGS", "-Dwarnings"))
}

/// Features only add: each crate must build with none of them, with each one alone, and with its defaults.
fn features() -> Result<bool> {
    let mut all_good = true;
    for package in WITH_FEATURES {
        let manifest = fs::read_to_string(root().join("crates").join(package).join("Cargo.toml"))?;
        let features = names_of_features(&manifest);
        let alone = features.iter().filter(|name| **name != "default").map(|name| vec!["--features", name]);
        let none = [Vec::new()];
        for choice in none.into_iter().chain(alone) {
            println!("features: {package} {}", choice.last().unwrap_or(&"(none)"));
            let check = ["check", "--quiet", "--package", package, "--no-default-features"];
            all_good &= succeeds(cargo().args(check).args(choice))?;
        }
        println!("features: {package} (default)");
        all_good &= succeeds(cargo().args(["check", "--quiet", "--package", package]))?;
    }
    Ok(all_good)
}

/// The keys of the table `[features]` of a manifest.
fn names_of_features(manifest: &str) -> Vec<&str> {
    let lines = manifest.lines().map(str::trim).skip_while(|line| *line != "[features]").skip(1);
    lines
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('=').map(|(name, _)| name.trim()))
        .collect()
}

fn succeeds(command: &mut Command) -> Result<bool> {
    Ok(command.status()?.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_read_from_the_manifest() {
        let manifest = "[package]\nname = \"x\"\n\n[features]\ndefault = [\"a\"]\n# a = c\na = []\n\n[dependencies]\nb = \"1\"\n";
        assert_eq!(names_of_features(manifest), ["default", "a"]);
        assert!(names_of_features("[package]\nname = \"x\"\n").is_empty());
    }

    #[test]
    fn a_step_is_reported_with_its_seconds() {
        assert_eq!(line("fmt", Duration::from_millis(1250), true), "ci: fmt           1.2 s  ok");
    }
}
