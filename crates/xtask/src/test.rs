//! `cargo xtask test`: the whole suite against one server, and its sum in the last line.

use std::{
    ffi::OsString,
    fmt,
    io::{self, BufRead, BufReader, Write},
    ops::AddAssign,
    process::{ExitCode, Stdio},
};

use anio_testkit::postgres::VARIABLE;

use crate::{
    Result, cargo, exit,
    postgres::{Postgres, with_postgres},
    take_flag,
};

pub(crate) fn command(mut args: Vec<OsString>) -> Result<ExitCode> {
    let (extra, mut own) = match args.iter().position(|arg| arg == "--") {
        Some(at) => (args.split_off(at).split_off(1), args),
        None => (Vec::new(), args),
    };
    let postgres = Postgres::unless(take_flag(&mut own, "--no-postgres"));
    if let Some(unknown) = own.first() {
        return Err(
            format!("unknown argument {}; those of `cargo test` come after `--`", unknown.display()).into()
        );
    }
    let suite = run(postgres, &extra)?;
    println!("{suite}");
    Ok(exit(suite.is_good()))
}

/// Runs the suite, everything it prints included, except the line that sums it up.
pub(crate) fn run(postgres: Postgres, extra: &[OsString]) -> Result<Suite> {
    with_postgres(postgres, |variable| {
        let chosen = extra.iter().any(|arg| arg == "-p" || arg == "--package");
        let packages = if chosen { None } else { Some("--workspace") };
        println!("test: cargo test, all features: libraries, programs, examples, documentation");
        let mut child = cargo()
            .args(["test", "--all-features", "--no-fail-fast"])
            .args(packages)
            .args(extra)
            .env(VARIABLE, variable)
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut tally = forward(stdout, &mut io::stdout())?;
        if !child.wait()?.success() && tally.n_failed == 0 {
            println!("test: something failed without a result: it did not compile, or was killed; see above");
            tally.n_failed = 1;
        }
        Ok(Suite { tally, postgres })
    })
}

/// A finished suite; displayed as its last line.
#[derive(Debug)]
pub(crate) struct Suite {
    tally: Tally,
    postgres: Postgres,
}

impl Suite {
    pub(crate) fn is_good(&self) -> bool {
        self.tally.n_failed == 0
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.postgres == Postgres::Off {
            f.write_str("no-postgres: ")?;
        }
        write!(f, "{} passed, {} failed", self.tally.n_passed, self.tally.n_failed)
    }
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Tally {
    n_passed: u64,
    n_failed: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.n_passed += other.n_passed;
        self.n_failed += other.n_failed;
    }
}

impl Tally {
    /// Reads `test result: ok. 12 passed; 0 failed; …`, the last line of each test program.
    fn of_line(line: &str) -> Option<Self> {
        let (_verdict, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
        let count = |unit| counts.split("; ").find_map(|part| part.strip_suffix(unit)?.parse().ok());
        Some(Self { n_passed: count(" passed")?, n_failed: count(" failed")? })
    }
}

/// Copies line by line, as soon as a line is there, and adds up the results among them.
fn forward(mut from: impl BufRead, to: &mut impl Write) -> io::Result<Tally> {
    let mut sum = Tally::default();
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line)? > 0 {
        to.write_all(&line)?;
        to.flush()?;
        if let Some(tally) = Tally::of_line(&String::from_utf8_lossy(&line)) {
            sum += tally;
        }
        line.clear();
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_over_all_programs_and_all_lines_pass_through() {
        let printed = b"running 2 tests\n\xff not text\n\
            test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\n\
            test result: FAILED. 10 passed; 3 failed; 0 ignored; 0 measured; 1 filtered out; finished in 1.00s\n\
            test result: none of ours\n";
        let mut copy = Vec::new();
        let tally = forward(&printed[..], &mut copy).unwrap();
        assert_eq!(tally, Tally { n_passed: 12, n_failed: 3 });
        assert_eq!(copy, printed);
    }

    #[test]
    fn the_last_line_says_when_postgres_was_left_out() {
        let tally = Tally { n_passed: 7, n_failed: 0 };
        assert_eq!(Suite { tally, postgres: Postgres::On }.to_string(), "7 passed, 0 failed");
        assert_eq!(Suite { tally, postgres: Postgres::Off }.to_string(), "no-postgres: 7 passed, 0 failed");
    }
}
