//! The figures as `docs/reliability.md` shows them: tables made of the ledger, between two marks.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::Result;
use crate::command::tell;
use crate::ledger::{Entry, Ledger};

/// Before the tables.
const BEGIN: &str = "<!-- figures: made by `cargo xtask torture figures --write` -->\n";

/// After them.
const END: &str = "<!-- end of the figures -->";

/// `figures`: shows what the ledger adds up to.
#[derive(Clone, Debug, clap::Args)]
pub struct Figures {
    /// The ledger
    #[arg(long, value_name = "FILE", default_value = "docs/reliability.jsonl")]
    pub record: PathBuf,
    /// Put the tables into the page in place of printing them
    #[arg(long)]
    pub write: bool,
    /// The page
    #[arg(long, value_name = "FILE", default_value = "docs/reliability.md")]
    pub page: PathBuf,
}

impl Figures {
    /// Prints or writes the tables.
    ///
    /// # Errors
    /// Those of the files, and a page without marks.
    pub fn run(&self) -> Result<ExitCode> {
        let tables = tables(&Ledger::at(&self.record).entries()?);
        if self.write {
            let page = std::fs::read_to_string(&self.page)?;
            std::fs::write(&self.page, with_tables(&page, &tables)?)?;
            tell(&format!("the figures of {} are written", self.page.display()));
        } else {
            std::io::Write::write_all(&mut std::io::stdout(), tables.as_bytes())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The page with these tables in place of those that it has.
///
/// # Errors
/// When the marks are not there.
pub fn with_tables(page: &str, tables: &str) -> Result<String> {
    let (before, rest) = page.split_once(BEGIN).ok_or("the page has no mark before the figures")?;
    let (_, after) = rest.split_once(END).ok_or("the page has no mark after the figures")?;
    Ok(format!("{before}{BEGIN}\n{tables}\n{END}{after}"))
}

/// A table for each method, in the order in which they are recorded first.
pub fn tables(entries: &[Entry]) -> String {
    let mut methods: Vec<&str> = Vec::new();
    for entry in entries {
        if !methods.contains(&entry.method.as_str()) {
            methods.push(&entry.method);
        }
    }
    let tables: Vec<String> = methods.into_iter().map(|method| table(method, entries)).collect();
    tables.join("\n")
}

/// A method's sums, a column for each backend.
fn table(method: &str, entries: &[Entry]) -> String {
    let mut sums: Vec<Entry> = Vec::new();
    let mut sessions = BTreeSet::new();
    for entry in entries.iter().filter(|entry| entry.method == method) {
        sessions.insert(entry.session.as_str());
        match sums.iter_mut().find(|sum| sum.backend == entry.backend) {
            Some(sum) => sum.add(entry),
            None => sums.push(entry.clone()),
        }
    }
    sums.sort_by(|one, other| other.backend.cmp(&one.backend));
    let mut text = format!("### `{method}`\n\n");
    row(&mut text, "", sums.iter().map(|sum| sum.backend.clone()));
    row(&mut text, "---", sums.iter().map(|_| "---:".to_owned()));
    row(&mut text, "**violations**", sums.iter().map(|sum| format!("**{}**", grouped(sum.violations))));
    let counts: BTreeSet<&String> = sums.iter().flat_map(|sum| sum.counts.keys()).collect();
    for what in counts {
        row(&mut text, &what.replace('_', " "), sums.iter().map(|sum| grouped(sum.of(what))));
    }
    let times: BTreeSet<&String> = sums.iter().flat_map(|sum| sum.times.keys()).collect();
    for what in times {
        let name = format!("{}, ms: p50 / p99 / longest", what.replace('_', " "));
        row(&mut text, &name, sums.iter().map(|sum| told(sum, what)));
    }
    row(&mut text, "hours", sums.iter().map(|sum| format!("{:.1}", sum.seconds / 3600.0)));
    let n = sessions.len();
    let last = sessions.last().copied().unwrap_or_default();
    // Writing into a string does not fail.
    let _ = writeln!(text, "\n{n} session{}; the last began {last}.", if n == 1 { "" } else { "s" });
    text
}

fn row(text: &mut String, name: &str, cells: impl Iterator<Item = String>) {
    let cells: Vec<String> = cells.collect();
    let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
}

fn told(sum: &Entry, what: &str) -> String {
    let Some(times) = sum.times.get(what).map(super::ledger::Times::percentiles) else {
        return String::new();
    };
    let ms = |ms: Option<f64>| ms.map_or_else(|| "–".to_owned(), |ms| format!("{ms:.0}"));
    format!("{} / {} / {}", ms(times.p50_ms), ms(times.p99_ms), ms(times.max_ms))
}

/// `1234567` as `1,234,567`.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_page_shows_what_the_record_adds_up_to() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
        let page = std::fs::read_to_string(docs.join("reliability.md")).unwrap();
        let entries = Ledger::at(docs.join("reliability.jsonl")).entries().unwrap();
        let told = with_tables(&page, &tables(&entries)).unwrap();
        assert!(page == told, "`cargo xtask torture figures --write` brings page and record together");
    }

    #[test]
    fn a_table_adds_sessions_up_and_shows_backends_side_by_side() {
        let entry = |backend: &str, session: &str, kills| {
            let mut entry = Entry::new("storm", backend, session);
            entry.count("kills_in_start_up", kills);
            entry.time("resume", [Duration::from_millis(12)]);
            (entry.violations, entry.seconds) = (1, 1800.0);
            entry
        };
        let entries =
            [entry("postgres", "a", 20), entry("sqlite", "a", 1000), entry("sqlite", "b", 1_000_000)];
        let expected = "\
### `storm`

|  | sqlite | postgres |
| --- | ---: | ---: |
| **violations** | **2** | **1** |
| kills in start up | 1,001,000 | 20 |
| resume, ms: p50 / p99 / longest | 12 / 12 / 12 | 12 / 12 / 12 |
| hours | 1.0 | 0.5 |

2 sessions; the last began b.
";
        assert_eq!(tables(&entries), expected);
        let page = format!("before\n{BEGIN}old{END}\nafter\n");
        assert_eq!(with_tables(&page, "new\n").unwrap(), format!("before\n{BEGIN}\nnew\n\n{END}\nafter\n"));
        assert!(with_tables("none", "new").is_err());
    }
}
