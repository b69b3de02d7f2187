//! Planted bugs: every method is tried on programs that have one. A harness that cannot fail proves nothing; a bug
//! that no method finds is a hole in it.
//!
//! The bugs are those of [`anio_core::plant`]; they are in programs that were built with the feature `plant`, and
//! the environment variable `ANIO_PLANT` chooses one. Each try is a process of its own, or many. Before any bug each
//! method is tried on the same programs without one, and must find nothing: otherwise what it finds later says
//! nothing of the bug.

pub mod method;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anio_core::plant::Plant;
use anio_testkit::postgres;

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
    /// How many bugs are tried side by side
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Put the table into this page
    #[arg(long, value_name = "PAGE", num_args = 0..=1, default_missing_value = "docs/reliability.md")]
    write: Option<PathBuf>,
}

/// A program, and what each method that was tried made of it.
#[derive(Debug)]
struct Row {
    /// `None`: it has no bug.
    plant: Option<Plant>,
    tries: Vec<(Method, Found)>,
}

impl Row {
    fn n_methods(&self) -> usize {
        self.tries.iter().filter(|(_, found)| matches!(found, Found::After(_))).count()
    }

    fn is_caught(&self) -> bool {
        self.n_methods() > 0
    }
}

impl Command {
    /// Tries them.
    ///
    /// # Errors
    /// Those of the system; a method that finds something where there is no bug; when this program was built
    /// without the feature `plant`.
    pub fn run(&self) -> Result<ExitCode> {
        if !cfg!(feature = "plant") {
            return Err("this program has no bugs to plant: it is built without the feature `plant`".into());
        }
        let begun = Instant::now();
        let methods = self.methods();
        let programs = Programs::find(&methods)?;
        let plants = self.plants()?;
        let mut rows = vec![self.control(&methods, &programs)?];
        rows.extend(self.try_all(&plants, &methods, &programs)?);
        let table = table(&methods, &rows);
        tell(&table);
        if let Some(page) = &self.write {
            write(page, &table)?;
        }
        let entry = self.figures(&rows[1..], &methods, begun.elapsed());
        self.budget.record(&entry)?;
        command::conclude(&[entry])
    }

    fn plants(&self) -> Result<Vec<Plant>> {
        let named =
            |name: &String| Plant::of_name(name).ok_or_else(|| format!("there is no bug {name:?}").into());
        if self.only.is_empty() { Ok(Plant::ALL.to_vec()) } else { self.only.iter().map(named).collect() }
    }

    fn methods(&self) -> Vec<Method> {
        let mut methods = if self.method.is_empty() { Method::ALL.to_vec() } else { self.method.clone() };
        if postgres::is_off() {
            tell("Postgres is switched off; its methods are left out");
            methods.retain(|method| !method.is_on_postgres());
        }
        methods
    }

    /// Every method on programs without a bug.
    fn control(&self, methods: &[Method], programs: &Programs) -> Result<Row> {
        let mut tries = Vec::new();
        for &method in methods {
            let found = programs.try_on(method, None, self.budget.seed, self.patience())?;
            tell(&format!("no bug: {}: {}", method.name(), in_words(method, found)));
            if !matches!(found, Found::Nothing(1..)) {
                return Err(format!("{} is not clean where there is no bug", method.name()).into());
            }
            tries.push((method, found));
        }
        Ok(Row { plant: None, tries })
    }

    /// As many bugs side by side as there are jobs; in their order.
    fn try_all(&self, plants: &[Plant], methods: &[Method], programs: &Programs) -> Result<Vec<Row>> {
        let deadline = self.budget.deadline();
        let left = Mutex::new(plants.iter().copied());
        let rows = Mutex::new(Vec::new());
        let work = || -> Result<()> {
            while deadline.is_none_or(|deadline| Instant::now() < deadline) {
                let Some(plant) = left.lock().map_err(|_| "a job panicked")?.next() else { break };
                let row = self.try_on(plant, methods, programs)?;
                rows.lock().map_err(|_| "a job panicked")?.push(row);
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let jobs: Vec<_> = (0..self.jobs.max(1)).map(|_| scope.spawn(work)).collect();
            jobs.into_iter().try_for_each(|job| job.join().map_err(|_| "a job panicked")?)
        })?;
        let mut rows = rows.into_inner().map_err(|_| "a job panicked")?;
        rows.sort_by_key(|row| plants.iter().position(|plant| Some(*plant) == row.plant));
        Ok(rows)
    }

    fn try_on(&self, plant: Plant, methods: &[Method], programs: &Programs) -> Result<Row> {
        let mut row = Row { plant: Some(plant), tries: Vec::new() };
        for &method in methods.iter().filter(|method| method.can_find(plant)) {
            if row.is_caught() && !self.all {
                break;
            }
            let found = programs.try_on(method, Some(plant), self.budget.seed, self.patience())?;
            tell(&format!("{}: {}: {}", plant.name(), method.name(), in_words(method, found)));
            row.tries.push((method, found));
        }
        Ok(row)
    }

    fn patience(&self) -> Duration {
        Duration::from_secs_f64(self.patience.max(0.0) * 60.0)
    }

    fn figures(&self, rows: &[Row], methods: &[Method], took: Duration) -> Entry {
        let mut entry = Entry::new(METHOD, "all", command::session());
        entry.seeds.include(self.budget.seed);
        let n_such = |is_it: &dyn Fn(&Row) -> bool| rows.iter().filter(|row| is_it(row)).count() as u64;
        entry.count("planted", rows.len() as u64);
        entry.count("caught", n_such(&Row::is_caught));
        entry.count("caught_by_two_methods_or_more", n_such(&|row| row.n_methods() > 1));
        for &method in methods {
            let is_it = |(of, found): &(Method, Found)| *of == method && matches!(found, Found::After(_));
            entry.count(&format!("caught_by_{}", method.name()), n_such(&|row| row.tries.iter().any(is_it)));
        }
        entry.violations = n_such(&|row| !row.is_caught());
        entry.seconds = took.as_secs_f64();
        entry
    }
}

fn in_words(method: Method, found: Found) -> String {
    let unit = method.unit();
    match found {
        Found::After(n) => format!("found after {n} {unit}"),
        Found::Nothing(n) => format!("nothing in {n} {unit}"),
        Found::Late => "its time was over".to_owned(),
        Found::Broke => "it broke down".to_owned(),
    }
}

/// A column for each method: how much it took to find the bug, or how much did not find it.
fn table(methods: &[Method], rows: &[Row]) -> String {
    let mut text = String::from("| bug |");
    // A string takes everything.
    for method in methods {
        let _ = write!(text, " {}, {} |", method.name(), method.unit());
    }
    let _ = writeln!(text, "\n|---|{}", "---:|".repeat(methods.len()));
    for Row { plant, tries } in rows {
        let name = plant.map_or_else(|| "none".to_owned(), |plant| format!("`{}`", plant.name()));
        let _ = write!(text, "| {name} |");
        for method in methods {
            let found = tries.iter().find(|(of, _)| of == method).map(|(_, found)| *found);
            let is_blind = plant.is_some_and(|plant| !method.can_find(plant));
            let cell = match found {
                Some(Found::After(n)) => format!("**{n}**"),
                Some(Found::Nothing(n)) => format!("none in {n}"),
                Some(Found::Late | Found::Broke) => "?".to_owned(),
                None if is_blind => "·".to_owned(),
                None => String::new(),
            };
            let _ = write!(text, " {cell} |");
        }
        text.push('\n');
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_tells_what_found_a_bug_what_did_not_and_what_could_not() {
        let methods = [Method::Conformance, Method::Explorer, Method::Simulate, Method::Points];
        let control = vec![(Method::Conformance, Found::Nothing(90)), (Method::Simulate, Found::Nothing(50))];
        let tries = vec![(Method::Conformance, Found::After(4)), (Method::Simulate, Found::Nothing(60))];
        let rows = [Row { plant: None, tries: control }, Row { plant: Some(Plant::EpochNotRaised), tries }];
        let expected = "\
| bug | conformance, tests | explorer, tests | simulate, schedules | points, plays |
|---|---:|---:|---:|---:|
| none | none in 90 |  | none in 50 |  |
| `epoch-not-raised` | **4** | · | none in 60 |  |
";
        assert_eq!(table(&methods, &rows), expected);
    }
}
