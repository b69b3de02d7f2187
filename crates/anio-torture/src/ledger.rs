//! What the methods came to, session by session: a file with one line of JSON per session, that adds up.
//!
//! A session is one method on one backend, from one start of the program. It is recorded as it goes on: its line
//! grows, so a session that is cut short has recorded what it finished. Figures add up over lines: counts are
//! sums, and [`Times`] keep their distribution and not its percentiles.

mod entry;
mod times;

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

pub use self::entry::{Entry, Seeds};
pub use self::times::{Percentiles, Times};
use crate::Result;

/// The file of a ledger; it need not be there yet.
#[derive(Clone, Debug)]
pub struct Ledger(PathBuf);

impl Ledger {
    /// The ledger in this file.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// All lines.
    ///
    /// # Errors
    /// Those of the file system, and a line that is none of a ledger.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        let text = match fs::read_to_string(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            text => text?,
        };
        let of_line = |(at, line)| {
            serde_json::from_str(line)
                .map_err(|error| format!("{}:{}: {error}", self.0.display(), at + 1).into())
        };
        text.lines().enumerate().map(of_line).collect()
    }

    /// Adds figures to the line of their session, or begins it. Durable when it returns; programs that record
    /// into one file wait for one another.
    ///
    /// # Errors
    /// Those of the file system, and a line that is none of a ledger.
    pub fn record(&self, figures: &Entry) -> Result<()> {
        let directory = self.0.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
        // The file itself is replaced, so it cannot carry the lock.
        let lock = File::open(directory)?;
        lock.lock()?;
        let mut entries = self.entries()?;
        match entries.iter_mut().find(|entry| entry.is_of_session(figures)) {
            Some(entry) => entry.add(figures),
            None => entries.push(figures.clone()),
        }
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        for entry in &entries {
            writeln!(file, "{}", serde_json::to_string(entry)?)?;
        }
        file.as_file().sync_all()?;
        file.persist(&self.0)?;
        Ok(())
    }

    /// The sum over all sessions of a method on a backend.
    ///
    /// # Errors
    /// As [`Ledger::entries`].
    pub fn sum(&self, method: &str, backend: &str) -> Result<Entry> {
        let mut sum = Entry::new(method, backend, "");
        for entry in self.entries()?.iter().filter(|of| of.method == method && of.backend == backend) {
            sum.add(entry);
        }
        Ok(sum)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn figures(session: &str, seed: u64, kills: u64) -> Entry {
        let mut figures = Entry::new("storm", "sqlite", session);
        figures.seeds.include(seed);
        figures.count("kills", kills);
        figures.time("resume", (1..=kills).map(Duration::from_millis));
        figures
    }

    #[test]
    fn a_session_has_one_line_that_grows_and_sessions_add_up() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::at(directory.path().join("ledger.jsonl"));
        assert!(ledger.entries().unwrap().is_empty());
        for (session, seed, kills) in [("monday", 4, 50), ("monday", 5, 30), ("tuesday", 6, 20)] {
            ledger.record(&figures(session, seed, kills)).unwrap();
        }
        ledger.record(&Entry::new("storm", "postgres", "tuesday")).unwrap();
        let entries = ledger.entries().unwrap();
        assert_eq!(entries.iter().map(|entry| entry.of("kills")).collect::<Vec<_>>(), [80, 20, 0]);
        let sum = ledger.sum("storm", "sqlite").unwrap();
        assert_eq!((sum.of("kills"), sum.seeds), (100, Seeds { first: 4, last: 6 }));
        // Half of all times are at most 17 ms: 17 of the first fifty, 17 of the next thirty, 17 of the last.
        let resume = sum.times["resume"].percentiles();
        assert_eq!((resume.n, resume.p50_ms.map(|ms| format!("{ms:.0}"))), (100, Some("17".to_owned())));
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger.jsonl");
        fs::write(&path, "{}\n").unwrap();
        let error = Ledger::at(&path).entries().unwrap_err().to_string();
        assert!(error.contains("ledger.jsonl:1: missing field"), "{error}");
    }
}
