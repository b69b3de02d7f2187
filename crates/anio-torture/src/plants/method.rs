//! The methods, as programs that are run with a bug in them: test programs of the crates, and subcommands of
//! this one.

use std::fmt;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anio_core::plant::{Plant, VARIABLE};
use serde_json::Value;

use crate::Result;
use crate::worker_process::end_or_kill;

/// A way to find bugs; the quickest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Method {
    /// The suite that every backend must pass, and the tests of the store
    Conformance,
    /// Every interleaving of small graphs
    Explorer,
    /// A process harmed at every call of the database
    Points,
    /// The same on Postgres
    PointsPostgres,
    /// Kills at random instants
    Storm,
}

/// What a method made of a bug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It found it, after so much.
    After(String),
    /// It did not, after so much.
    Not(String),
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::After(tries) | Self::Not(tries) => f.write_str(tries),
        }
    }
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Conformance, Self::Explorer, Self::Points, Self::PointsPostgres, Self::Storm];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Conformance => "conformance",
            Self::Explorer => "explorer",
            Self::Points => "points",
            Self::PointsPostgres => "points (Postgres)",
            Self::Storm => "storm",
        }
    }

    /// Whether the code that the bug is in is part of what the method tries.
    pub fn can_find(self, plant: Plant) -> bool {
        let at = Plant::ALL.into_iter().position(|of| of == plant).expect("`ALL` has all");
        let is_of_store = at <= Plant::ClaimWithoutLease as usize;
        let is_of_core = !is_of_store && at <= Plant::GivenUpForgotten as usize;
        match self {
            Self::Conformance => is_of_store,
            Self::Explorer => is_of_core,
            Self::Points | Self::PointsPostgres | Self::Storm => true,
        }
    }

    /// What is built for it: packages with features, and the names of their test programs.
    const fn tests(self) -> Option<(&'static [&'static str], &'static [&'static str])> {
        match self {
            Self::Conformance => Some((
                &["--package", "anio-store", "--features", "plant,sqlite,postgres"],
                &["conformance", "store", "conformance_postgres"],
            )),
            Self::Explorer => Some((&["--package", "anio-core", "--features", "plant"], &["anio_core"])),
            _ => None,
        }
    }
}

/// The programs of the methods, built.
#[derive(Debug)]
pub struct Programs {
    own: PathBuf,
    tests: Vec<(Method, PathBuf)>,
}

impl Programs {
    /// Builds the test programs by `cargo`, in the workspace that this program comes from.
    ///
    /// # Errors
    /// When they do not build.
    pub fn find(methods: &[Method]) -> Result<Self> {
        let mut tests = Vec::new();
        for &method in methods {
            let Some((args, names)) = method.tests() else { continue };
            let built = build(args)?;
            let wanted = built.into_iter().filter(|(name, _)| names.contains(&name.as_str()));
            tests.extend(wanted.map(|(_, path)| (method, path)));
        }
        Ok(Self { own: std::env::current_exe()?, tests })
    }

    /// Tries one method on one bug.
    ///
    /// # Errors
    /// Those of the system.
    pub fn try_on(&self, method: Method, plant: Plant, seed: u64, patience: Duration) -> Result<Found> {
        let seed = format!("--seed={seed}");
        let points =
            |backend| ["points", "--first", "--jobs=4", "--every=3", &seed, backend].map(str::to_owned);
        match method {
            Method::Points => self.sub(plant, &points("--backend=sqlite"), "plays", patience),
            Method::PointsPostgres => self.sub(plant, &points("--backend=postgres"), "plays", patience),
            Method::Storm => {
                let args = ["storm", "--kills=60", "--backend=sqlite", &seed].map(str::to_owned);
                self.sub(plant, &args, "kills", patience)
            }
            Method::Conformance | Method::Explorer => self.test(method, plant, patience),
        }
    }

    fn test(&self, method: Method, plant: Plant, patience: Duration) -> Result<Found> {
        let mut n_passed = 0;
        for (_, program) in self.tests.iter().filter(|(of, _)| *of == method) {
            let (status, text) = run(program, &[], plant, patience)?;
            let sum = text.lines().rev().find(|line| line.starts_with("test result: "));
            let count = |unit: &str| -> u64 {
                sum.and_then(|line| {
                    line.split("; ").chain(line.split(". ")).find_map(|part| {
                        part.split("; ").next()?.strip_suffix(unit)?.rsplit(' ').next()?.parse().ok()
                    })
                })
                .unwrap_or(0)
            };
            match status {
                None => return Ok(Found::After("a test never ended".to_owned())),
                Some(status) if !status.success() => {
                    let (failed, passed) = (count(" failed"), count(" passed"));
                    return Ok(Found::After(format!("{failed} of {} tests", failed + passed)));
                }
                Some(_) => n_passed += count(" passed"),
            }
        }
        Ok(Found::Not(format!("{n_passed} tests")))
    }

    /// A subcommand tells in its figures how often it tried.
    fn sub(&self, plant: Plant, args: &[String], unit: &str, patience: Duration) -> Result<Found> {
        let (status, text) = run(&self.own, args, plant, patience)?;
        let figures = text.lines().rev().find_map(|line| serde_json::from_str::<Value>(line).ok());
        let (Some(figures), Some(_)) = (figures, status) else {
            // Its time may have been too short: nothing is known.
            let how =
                status.map_or("its time was over".to_owned(), |status| format!("it broke down: {status}"));
            return Ok(if status.is_none() { Found::Not(how) } else { Found::After(how) });
        };
        let tries = format!("{} {unit}", figures["counts"][unit].as_u64().unwrap_or(0));
        let is_caught = figures["violations"].as_u64().is_some_and(|n| n > 0);
        Ok(if is_caught { Found::After(tries) } else { Found::Not(tries) })
    }
}

/// Test programs by name.
fn build(args: &[&str]) -> Result<Vec<(String, PathBuf)>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut child = Command::new(cargo)
        .current_dir(workspace)
        .args(["test", "--no-run", "--quiet", "--message-format=json", "--lib", "--tests"])
        .args(args)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut built = Vec::new();
    for line in BufReader::new(child.stdout.take().ok_or("a child with standard output")?).lines() {
        let Ok(message) = serde_json::from_str::<Value>(&line?) else { continue };
        let (name, path) = (&message["target"]["name"], &message["executable"]);
        if let (Some(name), Some(path)) = (name.as_str(), path.as_str()) {
            built.push((name.to_owned(), PathBuf::from(path)));
        }
    }
    if child.wait()?.success() { Ok(built) } else { Err("the tests do not build".into()) }
}

/// Runs a program with a bug; its status, none where its time was over, and what it printed.
fn run(
    program: &Path,
    args: &[String],
    plant: Plant,
    patience: Duration,
) -> Result<(Option<ExitStatus>, String)> {
    let directory = tempfile::Builder::new().prefix("anio-plants-").tempdir()?;
    let output = directory.path().join("output");
    let mut child = Command::new(program)
        .args(args)
        .env(VARIABLE, plant.name())
        // What the plays of a bug leave behind is of no use.
        .env("TMPDIR", directory.path())
        .stdin(Stdio::null())
        .stdout(File::create(&output)?)
        .stderr(Stdio::null())
        .spawn()?;
    let status = end_or_kill(&mut child, patience)?;
    Ok((status, std::fs::read_to_string(output)?))
}
