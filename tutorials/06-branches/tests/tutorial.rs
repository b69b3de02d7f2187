//! The program prints what `expected.txt` says, its figures are those of the data, and the README shows that and
//! the source.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

const DIRECTORY: &str = env!("CARGO_MANIFEST_DIR");
const PROGRAM: &str = env!("CARGO_BIN_EXE_tutorial-06-branches");

#[test]
fn the_program_prints_what_is_expected_and_the_readme_shows_it() {
    tutorial_check::prints_what_is_expected(PROGRAM, &Path::new(DIRECTORY).join("expected.txt"));
    tutorial_check::shows_the_source(&Path::new(DIRECTORY).join("README.md"));
}

#[test]
fn the_figures_are_those_that_a_plain_reader_finds() {
    let printed = fs::read_to_string(Path::new(DIRECTORY).join("expected.txt")).unwrap();
    let read = |name: &str| {
        let file = Path::new(DIRECTORY).join("../data/nycflights13").join(name);
        let text = fs::read_to_string(file).unwrap();
        let row = |line: &str| line.split(',').map(str::to_owned).collect::<Vec<_>>();
        text.lines().skip(1).map(row).collect::<Vec<_>>()
    };
    // Columns: origin and time_hour are 0 and 14 of the weather (precip is 11), 12 and 18 of the flights
    // (dep_delay is 5).
    let weather = read("weather-2013-01.csv");
    let is_wet = |row: &&Vec<String>| row[11].parse::<f64>().is_ok_and(|inches| inches > 0.0);
    let wet: HashSet<_> = weather.iter().filter(is_wet).map(|row| (&row[0], &row[14])).collect();
    let flights = read("flights-2013-01.csv");
    for (origin, is_repaired) in [("JFK", false), ("LGA", true)] {
        let loaded = || flights.iter().filter(|row| row[12] == origin && !(is_repaired && row[5] == "NA"));
        let n_wet = loaded().filter(|row| wet.contains(&(&row[12], &row[18]))).count();
        let line = format!("  {} flights, {n_wet} of them in rain or snow", loaded().count());
        assert!(printed.lines().any(|printed| printed == line), "{origin}: {line}");
    }
}
