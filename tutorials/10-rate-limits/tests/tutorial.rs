//! The program prints what `expected.txt` says, and the README shows that and the source.

use std::path::Path;

const DIRECTORY: &str = env!("CARGO_MANIFEST_DIR");
const PROGRAM: &str = env!("CARGO_BIN_EXE_tutorial-10-rate-limits");

#[test]
fn the_program_prints_what_is_expected_and_the_readme_shows_it() {
    tutorial_check::prints_what_is_expected(PROGRAM, &Path::new(DIRECTORY).join("expected.txt"));
    tutorial_check::shows_the_source(&Path::new(DIRECTORY).join("README.md"));
}
