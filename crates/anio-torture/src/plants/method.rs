//! The methods, as programs that are run with a bug in them: test programs of the crates, and subcommands of
//! this one.

use std::fs::{File, Permissions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anio_core::plant::{Plant, VARIABLE};
use serde_json::Value;

use crate::Result;
use crate::check::Rule;
use crate::command::tell;
use crate::worker_process::end_or_kill;

/// A way to find bugs; the quickest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Method {
    /// The suite that every backend must pass, on SQLite and in memory, and the tests of the store's handle
    Conformance,
    /// The same suite on Postgres
    ConformancePostgres,
    /// Every interleaving of small graphs
    Explorer,
    /// Whole workers in virtual time, in memory
    Simulate,
    /// A process harmed at every call of a SQLite file
    Points,
    /// The same on Postgres
    PointsPostgres,
    /// Kills at random instants, on SQLite
    Storm,
    /// The same on Postgres
    StormPostgres,
    /// Storms over a proxy that cuts, on a Postgres that fails
    Net,
    /// Lives on a disk that fails
    Disk,
}

/// What a method made of a program, in the unit that it counts by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It found something wrong, after so many.
    After(u64),
    /// It found nothing, in so many.
    Nothing(u64),
    /// Its time was over, so nothing is known.
    Late,
    /// It broke down without its figures, so nothing is known.
    Broke,
}

/// How a method is tried.
enum Means {
    /// By all tests of these programs; what `cargo test` builds them by.
    Tests { build: &'static [&'static str], programs: &'static [&'static str] },
    /// By a subcommand that stops at the first violation; what is added up of its figures.
    Subcommand { args: &'static [&'static str], counts: &'static [&'static str] },
}

/// What the store's tests are built by.
const STORE: &[&str] = &["--package", "anio-store", "--features", "plant,sqlite,postgres"];

impl Method {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Conformance,
        Self::ConformancePostgres,
        Self::Explorer,
        Self::Simulate,
        Self::Points,
        Self::PointsPostgres,
        Self::Storm,
        Self::StormPostgres,
        Self::Net,
        Self::Disk,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Conformance => "conformance",
            Self::ConformancePostgres => "conformance (Postgres)",
            Self::Explorer => "explorer",
            Self::Simulate => "simulate",
            Self::Points => "points",
            Self::PointsPostgres => "points (Postgres)",
            Self::Storm => "storm",
            Self::StormPostgres => "storm (Postgres)",
            Self::Net => "net",
            Self::Disk => "disk",
        }
    }

    /// What it counts by.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Conformance | Self::ConformancePostgres | Self::Explorer => "tests",
            Self::Simulate => "schedules",
            Self::Points | Self::PointsPostgres => "plays",
            Self::Storm | Self::StormPostgres => "kills",
            Self::Net => "faults",
            Self::Disk => "lives",
        }
    }

    /// Whether it asks for a Postgres.
    pub const fn is_on_postgres(self) -> bool {
        matches!(self, Self::ConformancePostgres | Self::PointsPostgres | Self::StormPostgres | Self::Net)
    }

    /// Whether the method can reach a bug at all.
    pub fn can_find(self, plant: Plant) -> bool {
        let at = Plant::ALL.into_iter().position(|of| of == plant).expect("`ALL` has all");
        let is_of_store = at <= Plant::ClaimWithoutLease as usize;
        let is_of_core = !is_of_store && at <= Plant::GivenUpForgotten as usize;
        match self {
            Self::Conformance => is_of_store,
            // How the handle takes a lost answer is the same on every backend, and tried in memory.
            Self::ConformancePostgres => {
                is_of_store && !matches!(plant, Plant::UnknownIsFailure | Plant::UnknownIsSuccess)
            }
            Self::Explorer => is_of_core,
            // In memory every verb is one step, so there is no lock that could be left out; and an engine tells
            // a second end of a run only where another promise is broken too.
            Self::Simulate => !matches!(plant, Plant::FenceWithoutLock | Plant::EndOverwritten),
            _ => true,
        }
    }

    const fn means(self) -> Means {
        const POINTS: &[&str] = &["plays"];
        const STORMS: &[&str] = &["kills"];
        match self {
            Self::Conformance => Means::Tests { build: STORE, programs: &["conformance", "store"] },
            Self::ConformancePostgres => Means::Tests { build: STORE, programs: &["conformance_postgres"] },
            Self::Explorer => Means::Tests {
                build: &["--package", "anio-core", "--features", "plant"],
                programs: &["anio_core"],
            },
            Self::Simulate => {
                Means::Subcommand { args: &["simulate", "--jobs=1", "--count=8000"], counts: &["schedules"] }
            }
            Self::Points => Means::Subcommand {
                args: &["points", "--backend=sqlite", "--jobs=4", "--every=8"],
                counts: POINTS,
            },
            Self::PointsPostgres => Means::Subcommand {
                args: &["points", "--backend=postgres", "--jobs=4", "--every=8"],
                counts: POINTS,
            },
            Self::Storm => Means::Subcommand {
                args: &["storm", "--backend=sqlite", "--kills=80", "--per-database=20"],
                counts: STORMS,
            },
            Self::StormPostgres => Means::Subcommand {
                args: &["storm", "--backend=postgres", "--kills=60", "--per-database=20"],
                counts: STORMS,
            },
            Self::Net => Means::Subcommand {
                args: &["net", "--storms=2", "--kills=12"],
                counts: &[
                    "kills",
                    "connections_cut",
                    "connections_swallowed",
                    "server_restarts",
                    "server_out_of_reach",
                    "database_faults",
                ],
            },
            Self::Disk => Means::Subcommand {
                args: &["disk", "--kills=0", "--every=80", "--jobs=2"],
                counts: &[
                    "lives_killed",
                    "lives_that_ended_with_an_error",
                    "lives_that_went_on",
                    "lives_without_a_fault",
                ],
            },
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
            let Means::Tests { build: args, programs } = method.means() else { continue };
            let built = build(args)?;
            for program in programs {
                let (_, path) = built
                    .iter()
                    .find(|(name, _)| name == program)
                    .ok_or_else(|| format!("there is no test program {program}"))?;
                tests.push((method, path.clone()));
            }
        }
        Ok(Self { own: std::env::current_exe()?, tests })
    }

    /// Tries one method on programs with a bug in them, or with none.
    ///
    /// # Errors
    /// Those of the system.
    pub fn try_on(
        &self,
        method: Method,
        plant: Option<Plant>,
        seed: u64,
        patience: Duration,
    ) -> Result<Found> {
        match method.means() {
            Means::Tests { .. } => self.test(method, plant, patience),
            Means::Subcommand { args, counts } => {
                let mut args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
                args.extend(["--first".to_owned(), format!("--seed={seed}")]);
                self.ask(plant, &args, counts, patience)
            }
        }
    }

    /// Runs the tests one by one, so that it is known how many had run when the first failed.
    fn test(&self, method: Method, plant: Option<Plant>, patience: Duration) -> Result<Found> {
        let mut n_before = 0;
        for (_, program) in self.tests.iter().filter(|(of, _)| *of == method) {
            let Printed { status, text, .. } =
                run(program, &["--test-threads=1".to_owned()], plant, patience)?;
            let (n, first) = read_tests(&text);
            match (status, first) {
                (Some(status), None) if status.success() => n_before += n,
                // A test broke the whole program, or has not come to its end.
                (_, None) => return Ok(Found::After(n_before + n + 1)),
                (_, Some((at, name))) => {
                    tell(&format!("{}: {name}", method.name()));
                    return Ok(Found::After(n_before + at));
                }
            }
        }
        Ok(Found::Nothing(n_before))
    }

    /// A subcommand tells in its figures how often it tried.
    fn ask(
        &self,
        plant: Option<Plant>,
        args: &[String],
        counts: &[&str],
        patience: Duration,
    ) -> Result<Found> {
        let Printed { status, text, told } = run(&self.own, args, plant, patience)?;
        let Some(status) = status else { return Ok(Found::Late) };
        let figures = text.lines().rev().find_map(|line| serde_json::from_str::<Value>(line).ok());
        let Some(figures) = figures else {
            tell(&format!("{} has no figures, and ended with {status}: {told}", args.join(" ")));
            return Ok(Found::Broke);
        };
        let n = counts.iter().filter_map(|count| figures["counts"][count].as_u64()).sum();
        let is_caught = figures["violations"].as_u64().is_some_and(|n| n > 0);
        if is_caught {
            let is_wrong = |line: &&str| Rule::ALL.iter().any(|rule| line.contains(&format!("{rule:?}")));
            tell(told.lines().find(is_wrong).or(told.lines().last()).unwrap_or_default());
        }
        Ok(if is_caught { Found::After(n) } else { Found::Nothing(n) })
    }
}

/// How many tests have ended, and which was the first that failed, at which place in their order.
fn read_tests(text: &str) -> (u64, Option<(u64, String)>) {
    let mut n = 0;
    let mut first = None;
    for line in text.lines() {
        let Some((name, end)) = line.strip_prefix("test ").and_then(|line| line.rsplit_once(" ... ")) else {
            continue;
        };
        n += u64::from(matches!(end, "ok" | "FAILED" | "ignored"));
        if end == "FAILED" && first.is_none() {
            first = Some((n, name.to_owned()));
        }
    }
    (n, first)
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

/// What a program printed.
struct Printed {
    /// `None`: its time was over.
    status: Option<ExitStatus>,
    /// On standard output.
    text: String,
    /// On standard error.
    told: String,
}

/// Runs a program to its end.
fn run(program: &Path, args: &[String], plant: Option<Plant>, patience: Duration) -> Result<Printed> {
    let directory = tempfile::Builder::new().prefix("anio-plants-").tempdir()?;
    // A Postgres of the program's own may belong to another user, who makes its directory there.
    std::fs::set_permissions(directory.path(), Permissions::from_mode(0o1777))?;
    let (output, errors) = (directory.path().join("output"), directory.path().join("errors"));
    let mut child = Command::new(program)
        .args(args)
        .env(VARIABLE, plant.map_or("", Plant::name))
        // What the plays of a bug leave behind is of no use.
        .env("TMPDIR", directory.path())
        .stdin(Stdio::null())
        .stdout(File::create(&output)?)
        .stderr(File::create(&errors)?)
        .spawn()?;
    let status = end_or_kill(&mut child, patience)?;
    let read = |path| std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok(Printed { status, text: read(output)?, told: read(errors)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_test_that_failed_is_told_with_its_place() {
        let text = "\nrunning 3 tests\ntest a::one ... ok\ntest two ... FAILED\ntest three ... FAILED\n\nfailures:\n";
        assert_eq!(read_tests(text), (3, Some((2, "two".to_owned()))));
        assert_eq!(read_tests("test one ... ok\ntest two ... "), (1, None));
        assert_eq!(read_tests(""), (0, None));
    }

    #[test]
    fn every_bug_is_within_the_reach_of_two_methods_at_least() {
        for plant in Plant::ALL {
            let methods = Method::ALL.into_iter().filter(|method| method.can_find(plant));
            assert!(methods.count() >= 2, "{plant:?}");
        }
    }
}
