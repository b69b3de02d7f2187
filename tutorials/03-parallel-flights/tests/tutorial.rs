//! The program prints what `expected.txt` says, its figures are those of the data, its tasks run side by side,
//! and the README shows that and the source.

use std::path::Path;
use std::{fs, thread};

const DIRECTORY: &str = env!("CARGO_MANIFEST_DIR");
const PROGRAM: &str = env!("CARGO_BIN_EXE_tutorial-03-parallel-flights");

#[test]
fn the_program_prints_what_is_expected_and_the_readme_shows_it() {
    let printed =
        tutorial_check::prints_what_is_expected(PROGRAM, &Path::new(DIRECTORY).join("expected.txt"));
    let ratio = |line: &str| line.strip_suffix('×')?.rsplit_once(' ')?.1.parse().ok();
    let ratios: Vec<f64> = printed.lines().filter_map(ratio).collect();
    assert_eq!(ratios.len(), 3, "{printed}");
    assert!(ratios[0] < 1.1, "one thread does one at a time\n{printed}");
    // Of three tasks of about one length, two cores take the third after the first two: 3 / 2.
    let least = if thread::available_parallelism().is_ok_and(|n| n.get() > 1) { 1.2 } else { 0.9 };
    assert!(ratios[1..].iter().all(|ratio| *ratio > least), "{printed}");
}

#[test]
fn the_figures_are_those_that_a_plain_reader_finds() {
    let read = |file| fs::read_to_string(Path::new(DIRECTORY).join(file)).unwrap();
    let (printed, facts) = (read("expected.txt"), read("../data/nycflights13/README.md"));
    let facts: Vec<&str> = facts.lines().filter_map(|line| line.strip_prefix("- ")).collect();
    assert_eq!(facts.len(), 7);
    for origin in ["EWR", "JFK", "LGA"] {
        // `by origin: EWR 9893, …` twice, then `EWR: 9655 flights with a departure delay, sum 143915 …, mean …`
        let number_of = |fact: &str| numbers(fact.split_once(origin).unwrap().1)[0].clone();
        let delays = facts.iter().find_map(|fact| fact.strip_prefix(&format!("{origin}: "))).unwrap();
        let wanted = [vec![number_of(facts[0]), number_of(facts[1])], numbers(delays)].concat();
        let row = printed.lines().find(|line| line.starts_with(origin)).unwrap();
        assert_eq!(numbers(row)[..5], wanted, "{origin}");
    }
    let line = |word: &str| numbers(printed.lines().find(|line| line.contains(word)).unwrap());
    let sums = [numbers(facts[0])[0].clone(), numbers(facts[1])[0].clone()];
    assert_eq!(line("destinations"), [sums.to_vec(), numbers(facts[6])].concat());
    assert_eq!(line("busiest"), numbers(facts[5]));
}

/// The words that are numbers, in their order.
fn numbers(text: &str) -> Vec<String> {
    let words = text.split([' ', ',', ':', ';']);
    words.filter(|word| word.parse::<f64>().is_ok()).map(str::to_owned).collect()
}
