//! Rules about the text of the sources.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use super::Complaints;
use crate::Result;

/// Written in two halves, so that this file does not complain about itself.
const UNFINISHED: [&str; 4] = [
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("#[ign", "ore"),
    concat!("#[should", "_panic"),
];

/// A file of one noun rarely needs more, see docs/architecture.md.
const N_LINES_MAX: usize = 600;

/// Both databases have the same migrations by name, and each goes up and down.
pub(super) fn migrations(root: &Path) -> Complaints {
    let directory = root.join("migrations");
    let (sqlite, postgres) = (folders(&directory.join("sqlite"))?, folders(&directory.join("postgres"))?);
    let mut complaints: Vec<String> = sqlite
        .symmetric_difference(&postgres)
        .map(|name| format!("migration {name} is there for one database only"))
        .collect();
    for (database, names) in [("sqlite", &sqlite), ("postgres", &postgres)] {
        for (name, file) in names.iter().flat_map(|name| [(name, "up.sql"), (name, "down.sql")]) {
            if !directory.join(database).join(name).join(file).is_file() {
                complaints.push(format!("migrations/{database}/{name} lacks {file}"));
            }
        }
    }
    Ok(complaints)
}

/// No unfinished code, no test that is skipped or expects a panic, no example that is not compiled.
/// Programs that the macro tests only compile may have bodies that are never run.
pub(super) fn unfinished(root: &Path) -> Complaints {
    let mut complaints = Vec::new();
    for place in ["crates", "examples", "tutorials", "docs", "README.md"] {
        for file in files(&root.join(place))? {
            let is_rust = file.extension() == Some(OsStr::new("rs"));
            let is_fixture = file.components().any(|part| part.as_os_str() == "ui");
            if is_fixture || !is_rust && file.extension() != Some(OsStr::new("md")) {
                continue;
            }
            let text = fs::read_to_string(&file)?;
            let place = file.strip_prefix(root).unwrap_or(&file).display();
            let found = unfinished_lines(&text, is_rust);
            complaints.extend(found.map(|(n, what)| format!("{place}:{n}: {what}")));
        }
    }
    Ok(complaints)
}

/// The numbers of the lines that hold what nothing should hold.
fn unfinished_lines(text: &str, is_rust: bool) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().filter_map(move |(ix, line)| {
        let word = UNFINISHED.into_iter().find(|word| is_rust && line.contains(word));
        let bad = word.is_some() || is_uncompiled_example(line);
        bad.then_some((ix + 1, line.trim()))
    })
}

/// The opening of a code block in a doc comment, or in a guide, whose words say that it is not run as it is.
fn is_uncompiled_example(line: &str) -> bool {
    let line = line.trim_start().trim_start_matches(['/', '!', '*']).trim_start();
    let Some(words) = line.strip_prefix("```") else { return false };
    words.split([',', ' ']).any(|word| word.starts_with("ignore") || word == concat!("should", "_panic"))
}

/// Not a rule but a hint: a long file usually hides a second noun.
pub(super) fn long_files(root: &Path) -> Complaints {
    let mut warnings = Vec::new();
    for directory in fs::read_dir(root.join("crates"))? {
        for file in files(&directory?.path().join("src"))? {
            let n_lines = fs::read_to_string(&file).map_or(0, |text| text.lines().count());
            if n_lines > N_LINES_MAX && file.extension() == Some(OsStr::new("rs")) {
                let place = file.strip_prefix(root).unwrap_or(&file).display();
                warnings.push(format!("{place} has {n_lines} lines; is there a second noun in it?"));
            }
        }
    }
    Ok(warnings)
}

/// A file itself, or all files under a directory without build results; none where nothing is.
pub(super) fn files(place: &Path) -> io::Result<Vec<PathBuf>> {
    if !place.is_dir() {
        return Ok(if place.is_file() { vec![place.to_owned()] } else { Vec::new() });
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(place)? {
        let entry = entry?;
        if entry.file_name() != "target" && !entry.file_type()?.is_symlink() {
            found.extend(files(&entry.path())?);
        }
    }
    found.sort();
    Ok(found)
}

fn folders(directory: &Path) -> Result<BTreeSet<String>> {
    let missing = |error| format!("{}: {error}", directory.display());
    let entries = fs::read_dir(directory).map_err(missing)?.collect::<io::Result<Vec<_>>>()?;
    let folders = entries.into_iter().filter(|entry| entry.path().is_dir());
    Ok(folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}

#[cfg(test)]
mod tests {
    use std::{env, process};

    use super::*;

    #[test]
    fn what_is_unfinished_is_found_with_its_line() {
        let rust =
            ["fn a() {", UNFINISHED[0], "}", UNFINISHED[2], "/// ```ignore", "//! ```rust,ignore"].join("\n");
        let lines: Vec<usize> = unfinished_lines(&rust, true).map(|(n, _)| n).collect();
        assert_eq!(lines, [2, 4, 5, 6]);
    }

    #[test]
    fn plain_examples_and_prose_are_fine() {
        let rust = "/// ```\n/// ```no_run\n/// ```compile_fail\n// ignore this\nlet ignored = 1;";
        assert_eq!(unfinished_lines(rust, true).count(), 0);
        assert_eq!(unfinished_lines(UNFINISHED[0], false).count(), 0);
    }

    #[test]
    fn a_migration_for_one_database_alone_is_a_complaint() {
        let root = env::temp_dir().join(format!("anio-tidy-{}", process::id()));
        for place in ["sqlite/0001_runs", "postgres/0001_runs", "sqlite/0002_alone"] {
            let folder = root.join("migrations").join(place);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("up.sql"), "").unwrap();
            fs::write(folder.join("down.sql"), "").unwrap();
        }
        fs::remove_file(root.join("migrations/postgres/0001_runs/down.sql")).unwrap();
        let complaints = migrations(&root).unwrap();
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(
            complaints,
            [
                "migration 0002_alone is there for one database only",
                "migrations/postgres/0001_runs lacks down.sql"
            ]
        );
    }
}
