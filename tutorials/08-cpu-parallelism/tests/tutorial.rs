//! The program prints what `expected.txt` says, its figures are those of the data, and the README shows that
//! and the source.

use std::fs;
use std::path::Path;

const DIRECTORY: &str = env!("CARGO_MANIFEST_DIR");
const PROGRAM: &str = env!("CARGO_BIN_EXE_tutorial-08-cpu-parallelism");

#[test]
fn the_program_prints_what_is_expected_and_the_readme_shows_it() {
    tutorial_check::prints_what_is_expected(PROGRAM, &Path::new(DIRECTORY).join("expected.txt"));
    tutorial_check::shows_the_source(&Path::new(DIRECTORY).join("README.md"));
}

#[test]
fn the_figures_are_those_that_a_plain_reader_finds() {
    let read = |file| fs::read_to_string(Path::new(DIRECTORY).join(file)).unwrap();
    let (printed, facts) = (read("expected.txt"), read("../data/nycflights13/README.md"));
    let facts: Vec<&str> = facts.lines().filter_map(|line| line.strip_prefix("* ")).collect();
    assert_eq!(facts.len(), 6);
    assert_eq!(numbers(printed.lines().next().unwrap())[1..], numbers(facts[0]));
    for fact in &facts[1..] {
        let (key, figures) = fact.split_once(": ").unwrap();
        let row = printed.lines().find(|line| line.split(' ').next() == Some(key)).unwrap();
        assert_eq!(numbers(row)[..2], numbers(figures), "{key}");
    }
}

/// The words that are numbers, in their order.
fn numbers(text: &str) -> Vec<&str> {
    let words = text.split([' ', ',']);
    words.filter(|word| word.parse::<f64>().is_ok()).collect()
}
