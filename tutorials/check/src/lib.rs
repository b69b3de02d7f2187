//! Checks that tutorials, examples and guides show what is there: their output, their source, their links.
//!
//! With `UPDATE=1` in the environment a check writes what it found instead of complaining:
//! `UPDATE=1 cargo test -p tutorial-03-parallel-flights`.

mod links;
mod mask;
mod source;

use std::path::Path;
use std::process::Command;
use std::{env, fs};

pub use links::links_lead_somewhere;
pub use mask::masked;
pub use source::shows_the_source;

/// Runs a program without arguments in a new empty directory and returns what it printed.
///
/// # Panics
/// When it cannot be started or does not succeed.
pub fn output_of(program: &str) -> String {
    let scratch = tempfile::tempdir().expect("a temporary directory can be made");
    let ran = Command::new(program).current_dir(scratch.path()).output();
    let ran = ran.unwrap_or_else(|error| panic!("cannot start {program}: {error}"));
    let (printed, told) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{program}: {}\n{printed}\n{told}", ran.status);
    printed.into_owned()
}

/// Runs a program and compares what it prints with a file, apart from times; returns what it printed.
///
/// # Panics
/// When they differ, with both.
pub fn prints_what_is_expected(program: &str, expected: &Path) -> String {
    let printed = output_of(program);
    let wanted = fs::read_to_string(expected).unwrap_or_default();
    if masked(&printed) != masked(&wanted) {
        update(expected, &printed, &format!("expected:\n{wanted}\nprinted:\n{printed}"));
    }
    printed
}

/// Writes the file anew where that was asked for, and complains where it was not.
fn update(file: &Path, text: &str, complaint: &str) {
    assert!(
        env::var_os("UPDATE").is_some(),
        "{} is out of date; UPDATE=1 writes it anew\n{complaint}",
        file.display()
    );
    fs::write(file, text).unwrap_or_else(|error| panic!("cannot write {}: {error}", file.display()));
}
