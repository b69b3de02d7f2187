//! `anio-torture --kills N --seed S [--backend sqlite|postgres|both] [--workers N]`: kills workers so many times, checks
//! what they left behind, and prints one line of JSON per backend; exits with 1 when something is wrong.
//!
//! The same program, called as `anio-torture worker <settings>`, is the worker that is killed.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use anio_testkit::postgres::{self, Server};
use anio_torture::Result;
use anio_torture::report::Report;
use anio_torture::settings::Settings;
use anio_torture::storm::Storm;
use anio_torture::worker;

/// How many kills one database sees, before another seed begins on a fresh one.
const KILLS_PER_DATABASE: usize = 250;

const USAGE: &str =
    "usage: anio-torture [--kills N] [--seed S] [--backend sqlite|postgres|both] [--workers N]";

fn main() -> Result<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Runtime::new()?;
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["worker", settings] => {
            tracing_subscriber::fmt()
                .with_max_level(tracing::Level::INFO)
                .with_writer(std::io::stderr)
                .with_ansi(false)
                .init();
            runtime.block_on(worker::run(serde_json::from_str(settings)?))?;
            Ok(ExitCode::SUCCESS)
        }
        _ => runtime.block_on(torture(&Args::parse(&args)?)),
    }
}

struct Args {
    n_kills: usize,
    seed: u64,
    backends: Vec<Backend>,
    /// How many are alive at a time; by default one on SQLite and two on Postgres.
    n_workers: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Backend {
    Sqlite,
    Postgres,
}

impl Args {
    fn parse(args: &[String]) -> Result<Self> {
        let backends = vec![Backend::Sqlite, Backend::Postgres];
        let mut parsed = Self { n_kills: 1000, seed: 1, backends, n_workers: None };
        let split =
            |arg: &String| arg.split_once('=').map(|(name, value)| [name.to_owned(), value.to_owned()]);
        let words: Vec<String> =
            args.iter().flat_map(|arg| split(arg).map_or_else(|| vec![arg.clone()], Vec::from)).collect();
        for pair in words.chunks(2) {
            match pair.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                ["--kills", n] => parsed.n_kills = n.parse()?,
                ["--seed", seed] => parsed.seed = seed.parse()?,
                ["--backend", "sqlite"] => parsed.backends = vec![Backend::Sqlite],
                ["--backend", "postgres"] => parsed.backends = vec![Backend::Postgres],
                ["--backend", "both"] => {}
                ["--workers", n] => parsed.n_workers = Some(n.parse::<usize>()?.clamp(1, 16)),
                _ => return Err(USAGE.into()),
            }
        }
        Ok(parsed)
    }
}

async fn torture(args: &Args) -> Result<ExitCode> {
    let mut good = true;
    for &backend in &args.backends {
        if backend == Backend::Postgres && postgres::is_off() {
            tell("Postgres is switched off; it is left out");
            continue;
        }
        let report = torture_backend(args, backend).await?;
        good &= report.violations == 0;
        std::io::stdout().write_all(format!("{}\n", serde_json::to_string(&report)?).as_bytes())?;
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn torture_backend(args: &Args, backend: Backend) -> Result<Report> {
    let name = if backend == Backend::Sqlite { "sqlite" } else { "postgres" };
    let mut report = Report { backend: name.to_owned(), seed: args.seed, ..Report::default() };
    let mut seed = args.seed;
    while report.kills < args.n_kills {
        let n_kills = (args.n_kills - report.kills).min(KILLS_PER_DATABASE);
        let n_workers = args.n_workers.unwrap_or(if backend == Backend::Sqlite { 1 } else { 2 });
        report.add(torture_database(backend, seed, n_kills, n_workers).await?);
        tell(&format!(
            "{name}: {} kills, {} runs, {} violations",
            report.kills, report.runs, report.violations
        ));
        seed += 1;
    }
    Ok(report)
}

async fn torture_database(backend: Backend, seed: u64, n_kills: usize, n_workers: usize) -> Result<Report> {
    let directory = tempfile::Builder::new().prefix("anio-torture-").tempdir()?;
    let database = match backend {
        Backend::Sqlite => None,
        Backend::Postgres => Some(Server::shared()?.database()?),
    };
    let url = match &database {
        None => format!("sqlite://{}", directory.path().join("storm.db").display()),
        Some(database) => database.url(),
    };
    let settings = Settings { seed, ..Storm::settings(url, directory.path()) };
    let begun = Instant::now();
    let aftermath = Storm { program: std::env::current_exe()?, settings, n_workers, n_kills }.rage().await?;
    let wrongs = aftermath.wrongs(seed);
    for wrong in &wrongs {
        tell(&format!("seed {seed}: {wrong}"));
    }
    if !wrongs.is_empty() {
        tell(&format!("seed {seed}: diary and log are kept in {}", directory.keep().display()));
    }
    Ok(Report::of(&aftermath, wrongs.len(), begun.elapsed()))
}

fn tell(line: &str) {
    // Standard output is for the figures alone.
    drop(writeln!(std::io::stderr(), "{line}"));
}
