//! The pages of promises name the tests that hold each, and they are there: one in lists, one in tables.
//!
//! A test is named by crate, file and function: `anio-core::run::model::maps_hold_every_rule` is in
//! `src/run/model.rs` of that crate, or in its `tests/run/model.rs`. The cases of the suite of all backends are
//! made by a macro, and are tests where its list names them.

use std::{collections::BTreeSet, ffi::OsStr, fs, path::Path};

use super::Complaints;
use super::sources::files;
use crate::Result;

const PAGE: &str = "docs/guarantees.md";

/// How many promises there are.
const N_PROMISES: usize = 25;

/// The page of tables, in whose last column are the tests of a row.
const TABLES: &str = "docs/parallelism.md";

/// Where the suite lists its cases.
const SUITE: &str = "conformance";

/// Every promise has a test, and every test is there.
pub(super) fn held(root: &Path) -> Complaints {
    let tests = tests(&root.join("crates"))?;
    let mut complaints = complaints(&fs::read_to_string(root.join(PAGE))?, &tests);
    complaints.extend(complaints_of_rows(&fs::read_to_string(root.join(TABLES))?, &tests));
    Ok(complaints)
}

fn complaints_of_rows(page: &str, tests: &BTreeSet<String>) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut n_rows = 0;
    for (what, named) in page.lines().filter_map(row) {
        n_rows += 1;
        if named.is_empty() {
            complaints.push(format!("{TABLES}: {what:?} has no test"));
        }
        let missing = named.into_iter().filter(|name| !tests.contains(*name));
        complaints.extend(missing.map(|name| format!("{TABLES}: {what:?}: there is no test {name}")));
    }
    if n_rows == 0 {
        complaints.push(format!("{TABLES}: there is no row"));
    }
    complaints
}

/// The first cell of a row, and the tests that its last one names; `None` for what is no row, or the head of a
/// table.
fn row(line: &str) -> Option<(&str, Vec<&str>)> {
    let cells: Vec<&str> = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").collect();
    let (what, last) = (*cells.first()?, *cells.last()?);
    (last != "tests").then(|| (what, last.split('`').skip(1).step_by(2).collect()))
}

fn complaints(page: &str, tests: &BTreeSet<String>) -> Vec<String> {
    let mut complaints = Vec::new();
    let promises: Vec<&str> = page.split("\n### ").skip(1).collect();
    if promises.len() != N_PROMISES {
        complaints.push(format!("{PAGE}: {} promises in place of {N_PROMISES}", promises.len()));
    }
    for (ix, promise) in promises.into_iter().enumerate() {
        let n = ix + 1;
        if !promise.starts_with(&format!("{n}. ")) {
            complaints.push(format!("{PAGE}: the promise in place {n} has another number"));
        }
        let named: Vec<&str> = promise.lines().filter_map(named).collect();
        if named.is_empty() {
            complaints.push(format!("{PAGE}: promise {n} has no test"));
        }
        let missing = named.into_iter().filter(|name| !tests.contains(*name));
        complaints.extend(missing.map(|name| format!("{PAGE}: promise {n}: there is no test {name}")));
    }
    complaints
}

/// The test that a line of a list names.
fn named(line: &str) -> Option<&str> {
    line.strip_prefix("- `")?.split('`').next()
}

/// All tests of all crates.
fn tests(crates: &Path) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for folder in fs::read_dir(crates)? {
        let folder = folder?;
        let krate = folder.file_name().to_string_lossy().into_owned();
        for place in ["src", "tests"] {
            let place = folder.path().join(place);
            for file in files(&place)?.iter().filter(|file| file.extension() == Some(OsStr::new("rs"))) {
                let text = fs::read_to_string(file)?;
                let module = module(file.strip_prefix(&place).unwrap_or(file));
                let is_suite = module == SUITE;
                let in_file = if is_suite { cases(&text) } else { tests_in(&text) };
                found.extend(in_file.into_iter().map(|name| format!("{krate}::{module}::{name}")));
            }
        }
    }
    Ok(found)
}

/// `run/model.rs` is `run::model`, and `crash/main.rs` is `crash`.
fn module(file: &Path) -> String {
    let file = file.with_extension("");
    let parts = file.iter().map(|part| part.to_string_lossy().into_owned());
    let mut parts: Vec<String> = parts.collect();
    if parts.len() > 1 && parts.last().is_some_and(|last| last == "mod" || last == "main") {
        parts.pop();
    }
    parts.join("::")
}

/// The functions that are marked as tests.
fn tests_in(text: &str) -> Vec<String> {
    let mut is_marked = false;
    let mut found = Vec::new();
    for line in text.lines().map(str::trim) {
        if line == "#[test]" || line.starts_with("#[tokio::test") {
            is_marked = true;
        } else if let Some(name) = function(line).filter(|_| is_marked) {
            found.push(name.to_owned());
            is_marked = false;
        }
    }
    found
}

fn function(line: &str) -> Option<&str> {
    let line = line.strip_prefix("async ").unwrap_or(line);
    line.strip_prefix("fn ")?.split('(').next()
}

/// The cases that the macro makes tests of: the lists behind `@cases`.
fn cases(text: &str) -> Vec<String> {
    let lists = text.split("(@cases $fixture:").skip(1);
    let names = lists.flat_map(|list| list.split(')').next().unwrap_or_default().split(','));
    let is_name =
        |name: &&str| !name.is_empty() && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric());
    names.map(str::trim).filter(is_name).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_without_a_test_and_a_test_that_is_not_there_are_complaints() {
        let mut page = "# Page\n".to_owned();
        for n in 1..=N_PROMISES {
            page += &format!("\n### {n}. It holds.\n\n");
            page += if n == 7 { "- nothing\n" } else { "- `a::b::holds`, and so on\n" };
        }
        let tests = BTreeSet::from(["a::b::holds".to_owned()]);
        assert_eq!(complaints(&page, &tests), ["docs/guarantees.md: promise 7 has no test"]);
        assert_eq!(complaints(&page, &BTreeSet::new()).len(), N_PROMISES);
        let another = page.replace("### 25. ", "### 26. ");
        assert_eq!(complaints(&another, &tests).len(), 2);
    }

    #[test]
    fn a_row_without_a_test_and_a_test_that_is_not_there_are_complaints() {
        let page = "| of | tests |\n|---|---|\n| a `b` | `a::b::holds` `a::b::is_gone` |\n| c | none |\ntext | x |\n";
        let tests = BTreeSet::from(["a::b::holds".to_owned()]);
        let expected = ["\"a `b`\": there is no test a::b::is_gone", "\"c\" has no test"];
        assert_eq!(complaints_of_rows(page, &tests), expected.map(|text| format!("{TABLES}: {text}")));
        assert_eq!(complaints_of_rows("", &tests).len(), 1);
    }

    #[test]
    fn tests_are_found_by_their_marks_and_cases_by_their_list() {
        let text = "#[test]\n#[cfg(unix)]\nfn one() {}\nfn helper() {}\n    #[tokio::test(flavor = \"x\")]\n    async fn two() {}";
        assert_eq!(tests_in(text), ["one", "two"]);
        let text = "$crate::conformance!(@cases $fixture:\n one,\n two_2,\n );\n (@cases $fixture:ident: $($case:ident,)*) => {";
        assert_eq!(cases(text), ["one", "two_2"]);
        assert_eq!(module(Path::new("run/model.rs")), "run::model");
        assert_eq!(module(Path::new("crash/main.rs")), "crash");
    }
}
