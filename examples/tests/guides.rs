//! The examples print what their last comment says; the README shows a program that runs; links lead somewhere.

use std::fs;
use std::path::Path;

const DIRECTORY: &str = env!("CARGO_MANIFEST_DIR");

/// Compares what a program prints, apart from times, with the comment behind `// Output:` at the end of its
/// source.
fn check(name: &str, program: &str, n_lines_max: usize) {
    let source =
        fs::read_to_string(Path::new(DIRECTORY).join("src/bin").join(name).with_extension("rs")).unwrap();
    let (_, comment) = source.rsplit_once("\n// Output:\n").unwrap();
    let expected: Vec<&str> = comment.lines().map(|line| line.strip_prefix("// ").unwrap()).collect();
    let (printed, expected) = (tutorial_check::output_of(program), expected.join("\n"));
    assert_eq!(tutorial_check::masked(&printed), tutorial_check::masked(&expected), "{name}");
    assert!(source.lines().count() <= n_lines_max, "{name} is more than one idea long");
}

macro_rules! examples_print_their_last_comment {
    (in $n_lines_max:literal lines: $($name:ident)*) => {$(
        #[test]
        fn $name() {
            check(stringify!($name), env!(concat!("CARGO_BIN_EXE_", stringify!($name))), $n_lines_max);
        }
    )*};
}

// These compare several ways to do one job, and measure them; or kill themselves and go on.
examples_print_their_last_comment! {
    in 180 lines:
    child_runs
    durable_parallelism
    lanes
    lists
}

examples_print_their_last_comment! {
    in 80 lines:
    keyed_catalog
    mixed_styles
    otlp
    readme
    run_time_graph
    shared_state
    submit_in_transaction
}

#[test]
fn every_example_is_checked() {
    let this_file = fs::read_to_string(Path::new(DIRECTORY).join("tests/guides.rs")).unwrap();
    for entry in fs::read_dir(Path::new(DIRECTORY).join("src/bin")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(this_file.contains(&format!("\n    {name}\n")), "{name} is not in the list");
    }
}

#[test]
fn the_readme_shows_a_program_that_runs() {
    tutorial_check::shows_the_source(&Path::new(DIRECTORY).join("../README.md"));
}

#[test]
fn the_guides_show_the_source_of_examples() {
    for guide in ["durable-parallelism.md", "lanes.md", "operations.md"] {
        tutorial_check::shows_the_source(&Path::new(DIRECTORY).join("../docs").join(guide));
    }
}

#[test]
fn links_between_guides_lead_somewhere() {
    tutorial_check::links_lead_somewhere(&Path::new(DIRECTORY).join(".."));
}
