//! The limits of what a run may be given beside its input, and when two submissions are the same.

use anio_core::{Output, WorkflowName};
use serde_json::Value;

use crate::error::StoreError;
use crate::record::{NewRun, RunOptions, Submission};

/// The longest key, tag and traceparent.
const BYTES_MAX: usize = 255;

/// The most tags of one run.
const TAGS_MAX: usize = 64;

impl RunOptions {
    /// Whether all of it is within the limits: an idempotency key, a tag and a traceparent have 1 to 255 bytes
    /// and no NUL (Postgres stores none), a run has at most 64 tags, and none of them twice.
    ///
    /// ```
    /// use anio_core::WorkflowName;
    /// use anio_store::record::RunOptions;
    ///
    /// let workflow = WorkflowName::new("nightly").unwrap();
    /// let options = RunOptions { tags: vec!["eu".into(), "eu".into()], ..RunOptions::default() };
    /// let error = options.check(&workflow).unwrap_err();
    /// assert_eq!(error.to_string(), r#"workflow "nightly": tags has "eu" twice"#);
    /// ```
    ///
    /// # Errors
    /// [`StoreError::InvalidOption`] names what is over which limit.
    pub fn check(&self, workflow: &WorkflowName) -> Result<(), StoreError> {
        let invalid = |option, problem| {
            Err(StoreError::InvalidOption { workflow: workflow.to_string(), option, problem })
        };
        let texts = [("idempotency_key", &self.idempotency_key), ("traceparent", &self.traceparent)];
        for (option, text) in texts {
            if let Some(problem) = text.as_deref().and_then(problem) {
                return invalid(option, problem);
            }
        }
        if self.tags.len() > TAGS_MAX {
            return invalid("tags", format!("are {}, over the limit of {TAGS_MAX}", self.tags.len()));
        }
        for (n, tag) in self.tags.iter().enumerate() {
            if let Some(problem) = problem(tag) {
                return invalid("tags", format!("has {tag:?}, which {problem}"));
            }
            if self.tags[..n].contains(tag) {
                return invalid("tags", format!("has {tag:?} twice"));
            }
        }
        Ok(())
    }
}

/// What is wrong with a key or a tag.
fn problem(text: &str) -> Option<String> {
    match text.len() {
        0 => Some("is empty".to_owned()),
        n if n > BYTES_MAX => Some(format!("has {n} bytes, over the limit of {BYTES_MAX}")),
        _ if text.contains('\0') => Some("has a NUL character".to_owned()),
        _ => None,
    }
}

impl Submission {
    /// The same, unless the run that was found has another input.
    ///
    /// # Errors
    /// [`StoreError::IdempotencyConflict`].
    pub(crate) fn checked(self, run: &NewRun) -> Result<Self, StoreError> {
        match self {
            Self::Known(known) if !is_same(&known.input, &run.input) => {
                Err(StoreError::IdempotencyConflict {
                    workflow: run.workflow.to_string(),
                    key: run.options.idempotency_key.clone().unwrap_or_default(),
                    run: known.id,
                })
            }
            submission => Ok(submission),
        }
    }
}

/// Whether two inputs are the same JSON value, however they are written.
fn is_same(a: &Output, b: &Output) -> bool {
    let [a, b] = [a, b].map(|input| input.json().get());
    let value = |text: &str| serde_json::from_str::<Value>(text).ok();
    a == b || value(a).is_some_and(|a| Some(a) == value(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(options: &RunOptions) -> String {
        let workflow = WorkflowName::new("größe").unwrap();
        options.check(&workflow).map_or_else(|error| error.to_string(), |()| "ok".to_owned())
    }

    #[test]
    fn what_is_over_a_limit_is_named() {
        let key = |key: &str| RunOptions { idempotency_key: Some(key.to_owned()), ..RunOptions::default() };
        let trace = |trace: &str| RunOptions { traceparent: Some(trace.to_owned()), ..RunOptions::default() };
        let tags = |tags: Vec<String>| RunOptions { tags, ..RunOptions::default() };
        let long = |n_bytes: usize| "ß".repeat(n_bytes / 2) + &"x".repeat(n_bytes % 2);
        let many = |n: usize| (0..n).map(|n| n.to_string()).collect();
        let table = [
            (RunOptions::default(), "ok"),
            (key("k"), "ok"),
            (key(&long(255)), "ok"),
            (key(""), "idempotency_key is empty"),
            (key(&long(256)), "idempotency_key has 256 bytes, over the limit of 255"),
            (key("a\0b"), "idempotency_key has a NUL character"),
            (trace(""), "traceparent is empty"),
            (tags(many(64)), "ok"),
            (tags(many(65)), "tags are 65, over the limit of 64"),
            (tags(vec![long(255), String::new()]), "tags has \"\", which is empty"),
            (tags(vec!["a".into(), "b".into(), "a".into()]), "tags has \"a\" twice"),
        ];
        for (options, expected) in table {
            let found = checked(&options);
            assert_eq!(found.strip_prefix("workflow \"größe\": ").unwrap_or(&found), expected);
        }
    }

    #[test]
    fn inputs_are_the_same_that_are_one_json_value() {
        let is_same =
            |a: &str, b: &str| is_same(&Output::from_json(a).unwrap(), &Output::from_json(b).unwrap());
        assert!(is_same(r#"{"a": 1, "b":[null,"\u00fc"]}"#, r#"{"b":[null,"ü"],"a":1}"#));
        assert!(!is_same("[1,2]", "[2,1]"));
        assert!(!is_same("1", "\"1\""));
        assert!(!is_same("null", "{}"));
    }
}
