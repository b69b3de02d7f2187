//! The program prints what `expected.txt` says, its figures are those of the data, and the README shows that and
//! the source.

use std::fs;
use std::path::Path;

const DIRECTORY: &str = env!("CARGO_MANIFEST_DIR");
const PROGRAM: &str = env!("CARGO_BIN_EXE_tutorial-09-pipelines");

#[test]
fn the_program_prints_what_is_expected_and_the_readme_shows_it() {
    tutorial_check::prints_what_is_expected(PROGRAM, &Path::new(DIRECTORY).join("expected.txt"));
    tutorial_check::shows_the_source(&Path::new(DIRECTORY).join("README.md"));
}

#[test]
fn the_figures_are_those_that_a_plain_reader_finds() {
    let printed = fs::read_to_string(Path::new(DIRECTORY).join("expected.txt")).unwrap();
    let data = Path::new(DIRECTORY).join("../data/nycflights13");
    let facts = fs::read_to_string(data.join("README.md")).unwrap();
    for fact in ["27004 flights", "521 cancelled", "UA 4637", "31 days"] {
        assert!(facts.contains(fact), "{fact}");
    }
    for figure in ["27004 flights", "26483 departed", "521 cancelled", "4637 flights", "31 days"] {
        assert!(printed.contains(figure), "{figure}");
    }

    // The rest by a loop over the lines, without any of the program.
    let flights = fs::read_to_string(data.join("flights-2013-01.csv")).unwrap();
    let flights: Vec<Vec<&str>> = flights.lines().skip(1).map(|line| line.split(',').collect()).collect();
    let first = flights.iter().position(|flight| flight[5] == "NA").unwrap();
    assert!(printed.contains(&format!("item {first}: flight {} {}", flights[first][9], flights[first][10])));
    let of_day = |day: usize| {
        let delays = flights.iter().filter(|flight| flight[2] == day.to_string());
        let delays: Vec<f64> = delays.filter_map(|flight| flight[5].parse().ok()).collect();
        delays.iter().sum::<f64>() / delays.len() as f64
    };
    let mut days: Vec<usize> = (1..=31).collect();
    days.sort_by(|one, other| of_day(*other).total_cmp(&of_day(*one)));
    let worst: Vec<String> =
        days[..3].iter().map(|day| format!(" {day:2} January  {:.4} minutes late", of_day(*day))).collect();
    assert!(printed.contains(&worst.join("\n")), "{worst:?}");
}
