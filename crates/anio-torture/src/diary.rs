//! The diary: one line per beginning and end of a body, appended to a file by all workers.
//!
//! A line is one `write` to a file opened for appending. The system keeps what was written when the process
//! is killed, and orders the lines of all processes. A kill in the middle of a write may cut a line short;
//! such a line is left out when the diary is read, and cannot spoil the next, which begins with a line break.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use anio_core::{RunId, Timestamp};

use crate::reference::TaskRunName;

/// One line of the diary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When it was written, by the clock that all processes share.
    pub at: Timestamp,
    /// Which process wrote it.
    pub pid: u32,
    /// What happened.
    pub what: What,
    /// To which run.
    pub run: RunId,
    /// To which task run of it.
    pub task_run: TaskRunName,
    /// In which attempt.
    pub attempt: u32,
    /// What the body was given, as one number.
    pub inputs: u64,
}

/// What a line tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The body begins.
    Begin,
    /// The body is about to return a value.
    End,
    /// The body is about to fail.
    Fail,
    /// The body is no more: it has ended, or was dropped. Written where a limit is to be counted.
    Gone,
    /// A callback was called for the end of this attempt; in place of inputs: 1 for a success, 0 for a failure.
    Called,
    /// Somebody was told that the run has succeeded; of no task run.
    Told,
}

impl What {
    const ALL: [Self; 6] = [Self::Begin, Self::End, Self::Fail, Self::Gone, Self::Called, Self::Told];

    const fn word(self) -> &'static str {
        match self {
            Self::Begin => "begin",
            Self::End => "end",
            Self::Fail => "fail",
            Self::Gone => "gone",
            Self::Called => "called",
            Self::Told => "told",
        }
    }
}

/// An open diary to write to.
#[derive(Debug)]
pub struct Diary(File);

impl Diary {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        OpenOptions::new().append(true).create(true).open(path).map(Self)
    }

    /// Appends a line.
    ///
    /// # Panics
    /// When the file system does not take it: the history would have a hole.
    pub fn write(&self, line: &Line) {
        let text = line.to_text();
        let written = (&self.0).write(text.as_bytes()).expect("the diary takes a line");
        assert!(written == text.len(), "the diary takes a whole line");
    }
}

/// Reads a diary; a file that is not there has no lines.
///
/// # Errors
/// Those of the file system.
pub fn read(path: &Path) -> std::io::Result<Vec<Line>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text.lines().filter_map(Line::from_text).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

impl Line {
    fn to_text(&self) -> String {
        let Self { at, pid, what, run, task_run: (task, index), attempt, inputs } = self;
        let index = index.map_or_else(|| "-".to_owned(), |index| index.to_string());
        format!("\n{} {pid} {} {run} {task} {index} {attempt} {inputs:x} .\n", at.as_micros(), what.word())
    }

    fn from_text(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split(' ').collect();
        let [at, pid, what, run, task, index, attempt, inputs, "."] = words[..] else { return None };
        Some(Self {
            at: Timestamp::from_micros(at.parse().ok()?),
            pid: pid.parse().ok()?,
            what: What::ALL.into_iter().find(|known| known.word() == what)?,
            run: run.parse().ok()?,
            task_run: (task.to_owned(), if index == "-" { None } else { Some(index.parse().ok()?) }),
            attempt: attempt.parse().ok()?,
            inputs: u64::from_str_radix(inputs, 16).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_read_back_and_one_that_was_cut_short_is_left_out() {
        let line = Line {
            at: Timestamp::from_micros(17),
            pid: 4,
            what: What::End,
            run: RunId::from_uuid(uuid::Uuid::from_u128(3)),
            task_run: ("t01".to_owned(), Some(2)),
            attempt: 1,
            inputs: u64::MAX,
        };
        let other = Line { task_run: ("t02".to_owned(), None), what: What::Begin, ..line.clone() };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("diary");
        assert_eq!(read(&path).unwrap(), []);
        let diary = Diary::open(&path).unwrap();
        diary.write(&line);
        (&diary.0).write_all(&line.to_text().as_bytes()[..30]).unwrap();
        diary.write(&other);
        assert_eq!(read(&path).unwrap(), [line, other]);
    }
}
