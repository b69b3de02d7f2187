//! The program prints what `expected.txt` says, its figures are those of the data, and the README shows that and
//! the source.

use std::fs;
use std::path::Path;

const DIRECTORY: &str = env!("CARGO_MANIFEST_DIR");
const PROGRAM: &str = env!("CARGO_BIN_EXE_tutorial-07-operating-runs");

#[test]
fn the_program_prints_what_is_expected_and_the_readme_shows_it() {
    tutorial_check::prints_what_is_expected(PROGRAM, &Path::new(DIRECTORY).join("expected.txt"));
    tutorial_check::shows_the_source(&Path::new(DIRECTORY).join("README.md"));
}

#[test]
fn the_figures_are_those_that_a_plain_reader_finds() {
    let printed = fs::read_to_string(Path::new(DIRECTORY).join("expected.txt")).unwrap();
    let facts = fs::read_to_string(Path::new(DIRECTORY).join("../data/nycflights13/README.md")).unwrap();
    for figure in ["27004 flights", "31 days"] {
        assert!(printed.contains(figure) && facts.contains(figure), "{figure}");
    }
}
