//! The names of things: workflows and tasks (chosen by people) and runs (made by the engine).

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::WorkflowError;

/// The longest name of a workflow, task or context key, in bytes.
pub const NAME_BYTES_MAX: usize = 255;

/// Checks a name: 1 to [`NAME_BYTES_MAX`] bytes, no control characters, no white space at either end.
///
/// # Errors
/// [`WorkflowError::InvalidName`], which says what is wrong with it.
pub fn check_name(what: &'static str, name: &str) -> Result<(), WorkflowError> {
    let problem = if name.is_empty() {
        "is empty"
    } else if name.len() > NAME_BYTES_MAX {
        "is longer than 255 bytes"
    } else if name.chars().any(char::is_control) {
        "has a control character"
    } else if name.trim() != name {
        "begins or ends with white space"
    } else {
        return Ok(());
    };
    let shown = name.chars().take(40).collect();
    Err(WorkflowError::InvalidName { what, name: shown, problem })
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks and takes a name of 1 to 255 bytes.
            ///
            /// # Errors
            /// [`WorkflowError::InvalidName`] for a name that is empty, too long, has a control
            /// character, or begins or ends with white space.
            pub fn new(name: impl AsRef<str>) -> Result<Self, WorkflowError> {
                check_name($what, name.as_ref())?;
                Ok(Self(Arc::from(name.as_ref())))
            }

            /// A name that has been checked before: one that is read back from the store.
            pub fn trusted(name: impl Into<Arc<str>>) -> Self {
                Self(name.into())
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                &*self.0 == other
            }
        }
    };
}

name_type!(
    /// The name of a task within its workflow; unique there, and what is stored.
    TaskName, "task"
);
name_type!(
    /// The name of a workflow; unique within a program, and what is stored.
    WorkflowName, "workflow"
);

/// The identity of a run: a `UUIDv7`, so that identities sort by the time of submission.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(Uuid);

impl RunId {
    /// The run with this UUID.
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// The UUID.
    pub const fn as_uuid(&self) -> &Uuid {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for RunId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        Uuid::parse_str(text).map(Self)
    }
}

/// The nearest of `known` to `name`, when it is near enough to be a slip of the finger.
///
/// Damerau–Levenshtein distance (optimal string alignment), at most a third of the longer name.
pub fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (edit_distance(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= name.len().max(candidate.len()).div_ceil(3))
        .min()
        .map(|(_, candidate)| candidate)
}

fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replace.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(rows[i - 2][j - 2] + 1);
            }
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for (name, good) in [
            ("load", true),
            ("größe 2/x.y", true),
            ("", false),
            (" a", false),
            ("a\n", false),
            ("a\u{0}b", false),
        ] {
            assert_eq!(TaskName::new(name).is_ok(), good, "{name:?}");
        }
        assert!(TaskName::new("x".repeat(255)).is_ok());
        assert!(TaskName::new("x".repeat(256)).is_err());
    }

    #[test]
    fn near_names_are_suggested_and_far_ones_are_not() {
        let known = ["extract", "transform", "load"];
        assert_eq!(did_you_mean("extrct", known), Some("extract"));
        assert_eq!(did_you_mean("laod", known), Some("load"));
        assert_eq!(did_you_mean("report", known), None);
    }
}
