//! The chores of this repository: `cargo xtask help` lists them.
//!
//! Plain programs over `cargo`, with std and nothing else, so that the first `cargo xtask test` on a fresh
//! machine compiles in a second. Each chore is a file; what a chore prints is its documentation.

#![expect(clippy::print_stdout, reason = "these programs talk to the person at the terminal")]

mod bench;
mod ci;
mod postgres;
mod test;
mod tidy;

use std::{
    env,
    error::Error,
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

/// Why a chore ended early; a chore that ran and found failures returns an [`ExitCode`] instead.
type Result<T> = std::result::Result<T, Box<dyn Error>>;

const HELP: &str = "\
cargo xtask <chore>

  test [--no-postgres] [-- ARGS]  the whole suite; ARGS go to `cargo test`; ends with `N passed, N failed`
  ci [--no-postgres]              what CI runs: formatting, tidy, clippy, each feature alone, docs, test
  tidy                            the rules about this repository that no compiler checks
  bench [--no-postgres] [ARGS]    one JSON line per workload and backend
  torture [--no-postgres] [ARGS]  kill -9 at random instants: --kills N --seed S --backend sqlite|postgres|both;
                                  `torture help` lists what else is done to it, docs/reliability.md tells of it
  help                            this text

Postgres: a throw-away server is started and stopped. Its programs are looked for on PATH and in the usual
directories (or ANIO_POSTGRES_BIN); where they are missing they are installed by apt-get as root, else
downloaded into target/postgres. ANIO_TEST_POSTGRES names a server to use instead, or says off.";

fn main() -> ExitCode {
    let mut args = env::args_os().skip(1);
    let chore = args.next().unwrap_or_default();
    let args: Vec<OsString> = args.collect();
    let done = match chore.to_str() {
        Some("test") => test::command(args),
        Some("ci") => ci::command(args),
        Some("tidy") => tidy::command(),
        Some("bench") => bench::bench(args),
        Some("torture") => bench::torture(args),
        Some("help" | "--help" | "-h" | "") => {
            println!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        _ => Err(format!("no chore {}; `cargo xtask help` lists them", chore.display()).into()),
    };
    done.unwrap_or_else(|error| {
        eprintln!("xtask: {error}");
        ExitCode::FAILURE
    })
}

/// The root of the repository.
fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().unwrap_or(root)
}

/// `cargo` at the root of the repository, the one that runs this program.
fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Takes a flag out of the arguments.
fn take_flag(args: &mut Vec<OsString>, flag: &str) -> bool {
    let n_before = args.len();
    args.retain(|arg| arg != flag);
    args.len() < n_before
}

/// Success as an exit code.
fn exit(good: bool) -> ExitCode {
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
