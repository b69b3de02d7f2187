//! Rules about what depends on what, read from `cargo tree`.
//!
//! ```text
//!             anio-macros
//!                  │
//!    anio ─────────┴──► anio-scheduler ──► anio-store ──► anio-core
//!                              └─────────► anio-parallel
//! ```

use std::{collections::BTreeSet, fs, path::Path};

use super::Complaints;
use crate::{Result, cargo};

/// The published crates, each with those of them that it may depend on.
const MAY_DEPEND_ON: [(&str, &[&str]); 6] = [
    ("anio-core", &[]),
    ("anio-macros", &[]),
    ("anio-parallel", &[]),
    ("anio-store", &["anio-core"]),
    ("anio-scheduler", &["anio-core", "anio-parallel", "anio-store"]),
    ("anio", &["anio-core", "anio-macros", "anio-parallel", "anio-store", "anio-scheduler"]),
];

const N_CRATES_MAX: usize = 99;

/// Crates that link against a library which a fresh machine lacks.
const NEED_SYSTEM_LIBRARIES: [&str; 5] =
    ["pq-sys", "openssl-sys", "native-tls", "mysqlclient-sys", "libz-sys"];

const PERMISSIVE: [&str; 14] = [
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "ISC",
    "Zlib",
    "0BSD",
    "CC0-1.0",
    "Unlicense",
    "Unicode-3.0",
    "CDLA-Permissive-2.0",
];

/// No published crate depends on a crate of this workspace outside its list.
pub(super) fn arrows() -> Complaints {
    let mut complaints = Vec::new();
    for (package, allowed) in MAY_DEPEND_ON {
        let direct = Tree::of(package).direct().all_features().read()?;
        let wrong =
            direct.names().filter(|name| is_ours(name) && *name != package && !allowed.contains(name));
        complaints.extend(wrong.map(|name| format!("{package} depends on {name}; it may on {allowed:?}")));
    }
    Ok(complaints)
}

/// Only anio-store knows SQL; only anio-scheduler, anio-parallel, the facade, and what Postgres needs in
/// anio-store know tokio.
pub(super) fn databases_and_runtimes() -> Complaints {
    let core = Tree::of("anio-core").all_features().read()?;
    let mut complaints: Vec<String> = core
        .names()
        .filter(|name| is_family(name, "tokio") || is_family(name, "diesel"))
        .map(|name| format!("anio-core reaches {name}; it is pure"))
        .collect();
    for (package, _) in MAY_DEPEND_ON {
        let direct = Tree::of(package).direct();
        let diesel = direct.all_features().read()?;
        if package != "anio-store" {
            let wrong = diesel.names().filter(|name| is_family(name, "diesel"));
            complaints
                .extend(wrong.map(|name| format!("{package} depends on {name}; only anio-store knows SQL")));
        }
        let tokio = match package {
            "anio" | "anio-parallel" | "anio-scheduler" => continue,
            "anio-store" => direct.sqlite_alone().read()?,
            _ => diesel,
        };
        let wrong = tokio.names().filter(|name| is_family(name, "tokio"));
        complaints.extend(wrong.map(|name| format!("{package} depends on {name} without Postgres")));
    }
    Ok(complaints)
}

/// `cargo build` is enough everywhere.
pub(super) fn system_libraries() -> Complaints {
    let tree = Tree::of("anio").all_features().read()?;
    let wrong = tree.names().filter(|name| NEED_SYSTEM_LIBRARIES.contains(name));
    Ok(wrong.map(|name| format!("anio reaches {name}, which needs a library of the system")).collect())
}

/// What a user of anio links is under licences that ask for attribution at most.
pub(super) fn licences() -> Complaints {
    let tree = Tree::of("anio").all_features().read()?;
    let wrong = tree.packages.iter().filter(|package| !is_permissive(&package.licence));
    Ok(wrong.map(|package| format!("{} is under {:?}", package.name, package.licence)).collect())
}

/// The default features, for the user who counts.
pub(super) fn count() -> Complaints {
    let n_crates = Tree::of("anio").linked().read()?.packages.len();
    let too_many = n_crates > N_CRATES_MAX;
    Ok(too_many
        .then(|| format!("anio needs {n_crates} crates; at most {N_CRATES_MAX}"))
        .into_iter()
        .collect())
}

/// A crate that is not in the picture above is a tool of this repository.
pub(super) fn unpublished(root: &Path) -> Complaints {
    let mut complaints = Vec::new();
    for entry in fs::read_dir(root.join("crates"))? {
        let directory = entry?.path();
        let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Ok(manifest) = fs::read_to_string(directory.join("Cargo.toml")) else { continue };
        let is_published = MAY_DEPEND_ON.iter().any(|(package, _)| *package == name);
        if !is_published && !manifest.lines().any(|line| line.trim() == "publish = false") {
            complaints.push(format!("crates/{name}/Cargo.toml lacks `publish = false`"));
        }
    }
    Ok(complaints)
}

/// The name itself or with a suffix: `tokio`, `tokio-util`, `diesel_migrations`.
fn is_family(name: &str, family: &str) -> bool {
    name.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_']))
}

fn is_ours(name: &str) -> bool {
    is_family(name, "anio") || name == "xtask"
}

/// Whether one choice of an SPDX expression is on the list: every part of an `AND` has a permissive choice.
/// The only nesting that occurs is an `OR` inside an `AND`.
fn is_permissive(expression: &str) -> bool {
    let choices = |part: &str| {
        let part = part.replace(['(', ')'], "").replace('/', " OR ");
        part.split(" OR ").any(|licence| PERMISSIVE.contains(&licence.trim()))
    };
    expression.split(" AND ").all(choices)
}

/// A question to `cargo tree`; dependencies of tests are left out.
#[derive(Debug, Clone, Copy)]
struct Tree<'a> {
    package: &'a str,
    edges: &'a str,
    depth: &'a str,
    features: &'a [&'a str],
}

impl<'a> Tree<'a> {
    fn of(package: &'a str) -> Self {
        Self { package, edges: "normal,build", depth: "1000", features: &[] }
    }

    fn direct(self) -> Self {
        Self { depth: "1", ..self }
    }

    fn all_features(self) -> Self {
        Self { features: &["--all-features"], ..self }
    }

    /// The crate as someone builds it who stores in SQLite alone.
    fn sqlite_alone(self) -> Self {
        Self { features: &["--no-default-features", "--features", "sqlite"], ..self }
    }

    /// Without what only runs while building.
    fn linked(self) -> Self {
        Self { edges: "normal", ..self }
    }

    fn read(self) -> Result<Packages> {
        let output = cargo()
            .args(["tree", "--edges", self.edges, "--prefix", "none", "--format", "{p}|{l}"])
            .args(["--package", self.package, "--depth", self.depth])
            .args(self.features)
            .output()?;
        if !output.status.success() {
            return Err(format!("cargo tree: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        Ok(Packages::of_lines(&String::from_utf8(output.stdout)?))
    }
}

#[derive(Debug)]
struct Packages {
    packages: BTreeSet<Package>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    name: String,
    version: String,
    licence: String,
}

impl Packages {
    /// Lines such as `serde v1.0.2 (proc-macro)|MIT OR Apache-2.0 (*)`, repeated as often as there are edges.
    fn of_lines(lines: &str) -> Self {
        let package = |line: &str| {
            let (package, licence) = line.split_once('|')?;
            let mut words = package.split(' ').map(str::to_owned);
            let licence = licence.trim_end_matches(" (*)").to_owned();
            Some(Package { name: words.next()?, version: words.next()?, licence })
        };
        Self { packages: lines.lines().filter_map(package).collect() }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.packages.iter().map(|package| &*package.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_package_of_a_tree_counts_once() {
        let lines =
            "anio v0.1.0 (/x/anio)|MIT\nserde v1.0.2 (*)|MIT\nserde v1.0.2|MIT (*)\nserde v2.0.0|MIT\n";
        let packages = Packages::of_lines(lines);
        assert_eq!(packages.names().collect::<Vec<_>>(), ["anio", "serde", "serde"]);
    }

    #[test]
    fn a_family_is_the_name_and_its_suffixes() {
        assert!(is_family("tokio", "tokio") && is_family("tokio-util", "tokio"));
        assert!(is_family("diesel_migrations", "diesel") && !is_family("dieselish", "diesel"));
    }

    #[test]
    fn one_permissive_choice_of_every_part_is_enough() {
        for good in ["MIT", "MIT/Apache-2.0", "(MIT OR GPL-3.0) AND Unicode-3.0", "Apache-2.0 AND ISC"] {
            assert!(is_permissive(good), "{good}");
        }
        for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "SSPL-1.0 OR GPL-3.0"] {
            assert!(!is_permissive(bad), "{bad}");
        }
    }
}
