//! Planted bugs: every method is tried on programs that have one, until one finds it. A harness that cannot
//! fail proves nothing; a bug that no method finds is a hole in it.
//!
//! The bugs are those of [`anio_core::plant`]; they are in programs that were built with the feature `plant`, and
//! the environment variable `ANIO_PLANT` chooses one. Each try is a process of its own, or many.

pub mod method;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anio_core::plant::Plant;

pub use self::method::{Found, Method, Programs};
use crate::Result;
use crate::command::{self, Budget, tell};
use crate::ledger::Entry;

/// What the ledger calls it.
const METHOD: &str = "plants";

/// Between these lines of the page stands the table.
const MARKS: (&str, &str) =
    ("<!-- plants: made by `cargo xtask torture plants --write` -->\n", "<!-- end of the plants -->\n");

/// Tries every method on programs with a bug in them, until one finds it
#[derive(Clone, Debug, clap::Args)]
pub struct Command {
    #[command(flatten)]
    budget: Budget,
    /// Only these bugs
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Only these methods
    #[arg(long, value_enum)]
    method: Vec<Method>,
    /// Try every method, not only until one finds it
    #[arg(long)]
    all: bool,
    /// How many minutes one method may take on one bug
    #[arg(long, default_value_t = 5.0)]
    patience: f64,
    /// Put the table into this page
    #[arg(long, value_name = "PAGE", num_args = 0..=1, default_missing_value = "docs/reliability.md")]
    write: Option<PathBuf>,
}

/// A bug, and what each method that was tried made of it.
#[derive(Debug)]
struct Row {
    plant: Plant,
    tries: Vec<(Method, Found)>,
}

impl Row {
    fn is_caught(&self) -> bool {
        self.tries.iter().any(|(_, found)| matches!(found, Found::After(_)))
    }
}

impl Command {
    /// Tries them.
    ///
    /// # Errors
    /// Those of the system; when this program was built without the feature `plant`.
    pub fn run(&self) -> Result<ExitCode> {
        if !cfg!(feature = "plant") {
            return Err("this program has no bugs to plant: it is built without the feature `plant`".into());
        }
        let (begun, deadline) = (Instant::now(), self.budget.deadline());
        let programs = Programs::find(&self.methods())?;
        let mut rows = Vec::new();
        for plant in self.plants()? {
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                break;
            }
            rows.push(self.try_on(plant, &programs)?);
        }
        let table = table(&rows);
        tell(&table);
        if let Some(page) = &self.write {
            write(page, &table)?;
        }
        let mut entry = Entry::new(METHOD, "both", command::session());
        entry.seeds.include(self.budget.seed);
        entry.count("planted", rows.len() as u64);
        entry.count("caught", rows.iter().filter(|row| row.is_caught()).count() as u64);
        entry.violations = rows.iter().filter(|row| !row.is_caught()).count() as u64;
        entry.seconds = begun.elapsed().as_secs_f64();
        self.budget.record(&entry)?;
        command::conclude(&[entry])
    }

    fn plants(&self) -> Result<Vec<Plant>> {
        let named =
            |name: &String| Plant::of_name(name).ok_or_else(|| format!("there is no bug {name:?}").into());
        if self.only.is_empty() { Ok(Plant::ALL.to_vec()) } else { self.only.iter().map(named).collect() }
    }

    fn methods(&self) -> Vec<Method> {
        if self.method.is_empty() { Method::ALL.to_vec() } else { self.method.clone() }
    }

    fn try_on(&self, plant: Plant, programs: &Programs) -> Result<Row> {
        let patience = Duration::from_secs_f64(self.patience.max(0.0) * 60.0);
        let mut row = Row { plant, tries: Vec::new() };
        for method in self.methods() {
            if row.is_caught() && !self.all || !method.can_find(plant) {
                continue;
            }
            let found = programs.try_on(method, plant, self.budget.seed, patience)?;
            tell(&format!("{}: {}: {found}", plant.name(), method.name()));
            row.tries.push((method, found));
        }
        Ok(row)
    }
}

fn table(rows: &[Row]) -> String {
    let mut text = String::from("| bug | found by | missed by |\n|---|---|---|\n");
    for Row { plant, tries } in rows {
        let of = |is_caught: bool| {
            let such = tries.iter().filter(|(_, found)| matches!(found, Found::After(_)) == is_caught);
            such.map(|(method, found)| format!("{}, {found}", method.name())).collect::<Vec<_>>().join("; ")
        };
        writeln!(text, "| `{}` | {} | {} |", plant.name(), of(true), of(false)).expect("a string takes it");
    }
    text
}

fn write(page: &Path, table: &str) -> Result<()> {
    let text = std::fs::read_to_string(page)?;
    let (before, rest) = text.split_once(MARKS.0).ok_or("the page has no place for the table")?;
    let (_, after) = rest.split_once(MARKS.1).ok_or("the place for the table has no end")?;
    std::fs::write(page, format!("{before}{}\n{table}\n{}{after}", MARKS.0, MARKS.1))?;
    Ok(())
}
