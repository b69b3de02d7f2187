//! How facts lie in columns, the same on every database: words, integers and JSON text.

use std::borrow::Cow;
use std::sync::Arc;

use anio_core::run::FactKind;
use anio_core::{Output, RunId, TaskName, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::StoreError;
use crate::record::{FactRecord, Request, RunOptions};

/// The word in `anio_runs.status` for a run of which a part is deleted: to every verb it is unknown.
pub(crate) const PRUNING: &str = "pruning";

/// The columns of `anio_attempts` that depend on the kind of a fact.
#[derive(Debug, Default)]
pub(crate) struct FactColumns<'a> {
    pub(crate) kind: &'static str,
    pub(crate) started_at: Option<i64>,
    pub(crate) retry_at: Option<i64>,
    pub(crate) width: Option<i64>,
    pub(crate) failure: Option<String>,
    pub(crate) writes: Option<String>,
    /// Of a start: the `traceparent` of its span. Of a task that has enough: which of its task runs were under way.
    pub(crate) output: Option<Cow<'a, str>>,
}

impl<'a> FactColumns<'a> {
    /// The columns of a fact.
    pub(crate) fn of(fact: &'a FactRecord) -> Self {
        let columns = Self { kind: fact.kind.word(), ..Self::default() };
        match &fact.kind {
            FactKind::Started => {
                Self { output: fact.traceparent.as_deref().map(to_json).map(Cow::Owned), ..columns }
            }
            FactKind::Cancelled | FactKind::Cleared | FactKind::Called => columns,
            FactKind::Succeeded { started_at, output, writes } => Self {
                started_at: Some(started_at.as_micros()),
                writes: writes.as_deref().map(to_json),
                output: Some(Cow::Borrowed(output.json().get())),
                ..columns
            },
            FactKind::Failed { started_at, failure, retry_at } => Self {
                started_at: Some(started_at.as_micros()),
                retry_at: retry_at.map(Timestamp::as_micros),
                failure: Some(to_json(&**failure)),
                ..columns
            },
            FactKind::Interrupted { started_at } => {
                Self { started_at: Some(started_at.as_micros()), ..columns }
            }
            FactKind::Skipped { reason } => Self { failure: Some(to_json(reason)), ..columns },
            FactKind::Expanded { n } => Self { width: Some(i64::from(*n)), ..columns },
            FactKind::Stopped { running } => Self { output: Some(Cow::Owned(to_json(running))), ..columns },
        }
    }
}

/// A row of `anio_attempts` as it is read back.
#[derive(Debug)]
pub(crate) struct FactRow {
    pub(crate) run: RunId,
    pub(crate) task: String,
    pub(crate) map_index: Option<i64>,
    pub(crate) attempt: i64,
    pub(crate) kind: String,
    pub(crate) at: i64,
    pub(crate) started_at: Option<i64>,
    pub(crate) retry_at: Option<i64>,
    pub(crate) width: Option<i64>,
    pub(crate) failure: Option<String>,
    pub(crate) writes: Option<String>,
    pub(crate) output: Option<String>,
}

impl FactRow {
    /// The fact in this row.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] for a row that this program would not have written.
    pub(crate) fn into_record(self) -> Result<FactRecord, StoreError> {
        let (run, corrupt) = (self.run, corrupt_row("anio_attempts", self.run.to_string()));
        let started_at = || match self.started_at {
            Some(at) => Ok(Timestamp::from_micros(at)),
            None => Err(corrupt("started_at is null")),
        };
        let mut traceparent = None;
        let kind = match self.kind.as_str() {
            "started" => {
                traceparent = from_json(self.output.as_deref())
                    .map_err(|_| corrupt("output of a start is no traceparent"))?;
                FactKind::Started
            }
            "succeeded" => FactKind::Succeeded {
                started_at: started_at()?,
                output: Output::from_json(self.output.ok_or_else(|| corrupt("output is null"))?)
                    .map_err(|_| corrupt("output is not JSON"))?,
                writes: from_json(self.writes.as_deref())
                    .map_err(|_| corrupt("writes cannot be read"))?
                    .map(Arc::new),
            },
            "failed" => FactKind::Failed {
                started_at: started_at()?,
                failure: from_json(self.failure.as_deref())
                    .ok()
                    .flatten()
                    .map(Arc::new)
                    .ok_or_else(|| corrupt("failure cannot be read"))?,
                retry_at: self.retry_at.map(Timestamp::from_micros),
            },
            "interrupted" => FactKind::Interrupted { started_at: started_at()? },
            "skipped" => FactKind::Skipped {
                reason: from_json(self.failure.as_deref())
                    .ok()
                    .flatten()
                    .ok_or_else(|| corrupt("failure is no reason"))?,
            },
            "expanded" => FactKind::Expanded {
                n: self
                    .width
                    .and_then(|n| u32::try_from(n).ok())
                    .ok_or_else(|| corrupt("width is no count"))?,
            },
            "stopped" => FactKind::Stopped {
                running: from_json(self.output.as_deref())
                    .ok()
                    .flatten()
                    .ok_or_else(|| corrupt("output of a stop is no list"))?,
            },
            "cancelled" => FactKind::Cancelled,
            "cleared" => FactKind::Cleared,
            "called" => FactKind::Called,
            _ => return Err(corrupt("kind is unknown")),
        };
        Ok(FactRecord {
            run,
            task: TaskName::trusted(self.task),
            map_index: self
                .map_index
                .map(u32::try_from)
                .transpose()
                .map_err(|_| corrupt("map_index is no position"))?,
            attempt: u32::try_from(self.attempt).map_err(|_| corrupt("attempt is no count"))?,
            at: Timestamp::from_micros(self.at),
            kind,
            traceparent,
        })
    }
}

/// What tells a stored fact from others: its task, element, attempt, kind and time.
pub(crate) type FactMark = (String, Option<i64>, i64, String, i64);

/// Whether all of these facts are among those that are stored of their run; `false` where there are none.
pub(crate) fn are_among(facts: &[FactRecord], stored: &[FactMark]) -> bool {
    let is_stored = |fact: &FactRecord| {
        let kind = fact.kind.word();
        let map_index = fact.map_index.map(i64::from);
        stored.iter().any(|(task, index, attempt, word, at)| {
            task == fact.task.as_str()
                && *index == map_index
                && *attempt == i64::from(fact.attempt)
                && word == kind
                && *at == fact.at.as_micros()
        })
    };
    !facts.is_empty() && facts.iter().all(is_stored)
}

/// Makes the error for a row of a table that cannot be read.
pub(crate) fn corrupt_row(table: &'static str, id: String) -> impl Fn(&str) -> StoreError {
    move |problem| StoreError::Corrupt { problem: format!("{table}, run {id}: {problem}") }
}

/// The columns of `anio_runs` for what people gave a run, and asked of it, as they are read back.
#[derive(Debug)]
pub(crate) struct OptionColumns {
    pub(crate) priority: i32,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) due_at: Option<i64>,
    pub(crate) deadline: Option<i64>,
    pub(crate) tags: Option<String>,
    pub(crate) traceparent: Option<String>,
    pub(crate) requested: Option<String>,
}

impl OptionColumns {
    /// What is in these columns.
    ///
    /// # Errors
    /// What is wrong with one.
    pub(crate) fn read(self) -> Result<(RunOptions, Option<Request>), &'static str> {
        let requested = match self.requested.as_deref() {
            Some(word) => Some(Request::from_word(word).ok_or("requested is unknown")?),
            None => None,
        };
        let options = RunOptions {
            priority: self.priority,
            idempotency_key: self.idempotency_key,
            due_at: self.due_at.map(Timestamp::from_micros),
            deadline: self.deadline.map(Timestamp::from_micros),
            tags: from_json(self.tags.as_deref()).map_err(|_| "tags cannot be read")?.unwrap_or_default(),
            traceparent: self.traceparent,
        };
        Ok((options, requested))
    }
}

/// The column for tags: a JSON list, or null for none.
pub(crate) fn tags_to_json(tags: &[String]) -> Option<String> {
    (!tags.is_empty()).then(|| to_json(tags))
}

/// Plain data as JSON text.
pub(crate) fn to_json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("records are plain data with text for keys")
}

/// Reads JSON text where there is any.
pub(crate) fn from_json<T: DeserializeOwned>(text: Option<&str>) -> Result<Option<T>, serde_json::Error> {
    text.map(serde_json::from_str).transpose()
}
