//! The keyed data of a run: its input and what tasks wrote.
//!
//! A task sees a **scope** (the input and the keys of its ancestors, values shared, never copied) and
//! collects **writes** of its own. Only the writes are stored, as a delta. A scope knows for each key
//! which tasks wrote it last: where two writers are not ordered by the graph and disagree, reading the
//! key is an error that names both; keys that nobody reads never conflict.

use std::any::type_name;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use crate::error::ContextError;
use crate::name::{check_name, did_you_mean};

/// A value of the context: its JSON text, parsed when somebody asks.
#[derive(Clone)]
pub struct Entry(Arc<(Box<RawValue>, OnceLock<Value>)>);

impl Entry {
    /// Takes JSON text.
    pub fn new(raw: Box<RawValue>) -> Self {
        Self(Arc::new((raw, OnceLock::new())))
    }

    /// The JSON text.
    pub fn raw(&self) -> &RawValue {
        &self.0.0
    }

    fn value(&self) -> &Value {
        self.0.1.get_or_init(|| serde_json::from_str(self.raw().get()).unwrap_or(Value::Null))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
            || self.raw().get() == other.raw().get()
            || self.value() == other.value()
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.raw().get())
    }
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.raw().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(Self::new)
    }
}

/// What one task run wrote: keys set and keys removed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Writes {
    /// The keys that were set, with their values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<Arc<str>, Entry>,
    /// The keys that were removed.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub removed: BTreeSet<Arc<str>>,
}

impl Writes {
    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.removed.is_empty()
    }
}

/// Who wrote a key: the run's input, or a task (an element of a mapped task).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Writer {
    /// The run's input.
    Input,
    /// A task of the plan, by position, with its map index.
    Task(u32, Option<u32>),
}

#[derive(Clone, Debug)]
struct Written {
    writer: Writer,
    writer_name: Arc<str>,
    /// `None`: the writer removed the key.
    entry: Option<Entry>,
}

/// The keys that a task sees, each with its last writers (more than one where they are unordered).
#[derive(Clone, Debug, Default)]
pub struct Scope {
    keys: BTreeMap<Arc<str>, Vec<Written>>,
}

impl Scope {
    /// The scope of a task without dependencies: the keys of the run's input, where that is an object.
    pub fn of_input(input: &RawValue) -> Self {
        let mut scope = Self::default();
        // To find out by reading costs an error where it is none.
        let is_object = input.get().trim_start().starts_with('{');
        if is_object && let Ok(set) = serde_json::from_str::<BTreeMap<Arc<str>, Entry>>(input.get()) {
            let writes = Writes { set, removed: BTreeSet::new() };
            scope.write(Writer::Input, &Arc::from("the run's input"), &writes);
        }
        scope
    }

    /// Whether no key is there.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Lays a task's writes over this scope; what they set or removed before is forgotten.
    pub fn write(&mut self, by: Writer, writer_name: &Arc<str>, writes: &Writes) {
        let set = writes.set.iter().map(|(key, entry)| (key, Some(entry.clone())));
        for (key, entry) in set.chain(writes.removed.iter().map(|key| (key, None))) {
            let written = Written { writer: by, writer_name: Arc::clone(writer_name), entry };
            self.keys.insert(Arc::clone(key), vec![written]);
        }
    }

    /// Joins what another dependency sees. `is_ancestor(a, b)` tells whether task `a` comes before task
    /// `b`: of two writers that are ordered, only the later one counts.
    pub fn join(&mut self, other: &Self, is_ancestor: &dyn Fn(u32, u32) -> bool) {
        let before = |a: Writer, b: Writer| match (a, b) {
            (Writer::Input, Writer::Task(..)) => true,
            (Writer::Task(a, _), Writer::Task(b, _)) => a != b && is_ancestor(a, b),
            _ => false,
        };
        for (key, theirs) in &other.keys {
            let Some(ours) = self.keys.get_mut(key) else {
                self.keys.insert(Arc::clone(key), theirs.clone());
                continue;
            };
            for written in theirs {
                let known =
                    ours.iter().any(|o| o.writer == written.writer || before(written.writer, o.writer));
                if !known {
                    ours.retain(|o| !before(o.writer, written.writer));
                    ours.push(written.clone());
                }
            }
        }
    }

    /// Joins the writes of the elements of one mapped task, which are not ordered among each other.
    pub fn write_beside(&mut self, by: Writer, writer_name: &Arc<str>, writes: &Writes, mapped: u32) {
        let set = writes.set.iter().map(|(key, entry)| (key, Some(entry.clone())));
        for (key, entry) in set.chain(writes.removed.iter().map(|key| (key, None))) {
            let written = Written { writer: by, writer_name: Arc::clone(writer_name), entry };
            let all = self.keys.entry(Arc::clone(key)).or_default();
            all.retain(|w| matches!(w.writer, Writer::Task(task, _) if task == mapped));
            all.push(written);
        }
    }

    /// The value of a key: the one all its last writers agree on.
    fn get(&self, key: &str) -> Result<Option<&Entry>, ContextError> {
        let Some(written) = self.keys.get(key) else { return Ok(None) };
        let Some((first, others)) = written.split_first() else { return Ok(None) };
        match others.iter().find(|other| other.entry != first.entry) {
            None => Ok(first.entry.as_ref()),
            Some(other) => Err(ContextError::Conflict {
                key: key.to_owned(),
                first: first.writer_name.to_string(),
                second: other.writer_name.to_string(),
            }),
        }
    }
}

/// The keyed data that a task reads and writes.
///
/// A task reads the run's input (where that is a JSON object) and the keys written by the tasks before
/// it, and writes its own. What a failed attempt wrote is discarded. A key has 1 to 255 bytes; a value
/// has at most 16 MiB of JSON by default, checked when the task returns.
///
/// ```
/// use anio_core::Context;
/// use serde_json::json;
///
/// let mut context = Context::new();
/// context.insert("count", json!(3))?;
/// assert_eq!(context.get::<u32>("count")?, 3);
/// assert!(context.insert("count", 4).is_err());      // an existing key: `update` replaces
/// context.update("count", 4)?;
/// assert_eq!(context.value("count"), Some(&json!(4)));
/// assert_eq!(context.to_json()?, r#"{"count":4}"#);
/// # Ok::<(), anio_core::ContextError>(())
/// ```
pub struct Context<V = Value> {
    scope: Arc<Scope>,
    writes: Writes,
    // Written as `Context<serde_json::Value>` in keyed tasks; there is no other kind.
    values: PhantomData<fn() -> V>,
}

impl Context<Value> {
    /// An empty context.
    pub fn new() -> Self {
        Self::over(Arc::new(Scope::default()))
    }

    /// A context that reads from a scope and has written nothing yet.
    pub fn over(scope: Arc<Scope>) -> Self {
        Self { scope, writes: Writes::default(), values: PhantomData }
    }

    /// A context with the keys of a JSON object.
    ///
    /// # Errors
    /// [`ContextError::NotAnObject`] for any other JSON, or none; [`ContextError::InvalidKey`].
    pub fn from_json(json: impl AsRef<str>) -> Result<Self, ContextError> {
        let set: BTreeMap<Arc<str>, Entry> =
            serde_json::from_str(json.as_ref()).map_err(|source| ContextError::NotAnObject { source })?;
        set.keys().try_for_each(|key| valid_key(key))?;
        let writes = Writes { set, removed: BTreeSet::new() };
        Ok(Self { writes, ..Self::new() })
    }

    /// All keys and values as a JSON object, keys in alphabetical order.
    ///
    /// # Errors
    /// [`ContextError::Conflict`] for a key that two unordered tasks wrote differently.
    pub fn to_json(&self) -> Result<String, ContextError> {
        let mut entries = BTreeMap::new();
        for key in self.keys() {
            if let Some(entry) = self.entry(key)? {
                entries.insert(key, entry);
            }
        }
        Ok(serde_json::to_string(&entries).expect("a map from text to JSON is JSON"))
    }

    /// Reads a key as a `T`.
    ///
    /// # Errors
    /// [`ContextError::KeyNotFound`], [`ContextError::Parse`] when the value is no `T`, and
    /// [`ContextError::Conflict`] when two unordered tasks wrote the key differently.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<T, ContextError> {
        self.get_as(key)?.ok_or_else(|| self.not_found(key))
    }

    /// Reads a key as a `T`; `None` when it is not there.
    ///
    /// # Errors
    /// [`ContextError::Parse`] and [`ContextError::Conflict`], as for [`Context::get`].
    pub fn get_as<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, ContextError> {
        let Some(entry) = self.entry(key)? else { return Ok(None) };
        serde_json::from_str(entry.raw().get()).map(Some).map_err(|source| ContextError::Parse {
            key: key.to_owned(),
            wanted: type_name::<T>(),
            source,
        })
    }

    /// The same as [`Context::get`], under the name that says that the key must be there.
    ///
    /// # Errors
    /// As for [`Context::get`].
    pub fn get_required<T: DeserializeOwned>(&self, key: &str) -> Result<T, ContextError> {
        self.get(key)
    }

    /// The value of a key; `None` when it is not there, or in conflict ([`Context::get`] tells which).
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.entry(key).ok().flatten().map(Entry::value)
    }

    /// Sets a new key.
    ///
    /// # Errors
    /// [`ContextError::KeyExists`] when the key is there already ([`Context::update`] replaces),
    /// [`ContextError::InvalidKey`], [`ContextError::Serialize`].
    pub fn insert(&mut self, key: impl AsRef<str>, value: impl Serialize) -> Result<(), ContextError> {
        let key = key.as_ref();
        if self.contains_key(key) {
            return Err(ContextError::KeyExists { key: key.to_owned() });
        }
        self.put(key, &value)
    }

    /// The same as [`Context::insert`].
    ///
    /// # Errors
    /// As for [`Context::insert`].
    pub fn insert_as<T: Serialize>(&mut self, key: impl AsRef<str>, value: T) -> Result<(), ContextError> {
        self.insert(key, value)
    }

    /// Replaces the value of a key that is there.
    ///
    /// # Errors
    /// [`ContextError::KeyNotFound`] when the key is not there ([`Context::insert`] sets a new one),
    /// [`ContextError::Serialize`].
    pub fn update(&mut self, key: impl AsRef<str>, value: impl Serialize) -> Result<(), ContextError> {
        let key = key.as_ref();
        if !self.contains_key(key) {
            return Err(self.not_found(key));
        }
        self.put(key, &value)
    }

    /// Removes a key and returns its value; `None` when it was not there.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        if !self.contains_key(key) {
            return None;
        }
        let value = self.value(key).cloned();
        self.writes.set.remove(key);
        if self.scope.keys.contains_key(key) {
            self.writes.removed.insert(Arc::from(key));
        }
        value
    }

    /// Whether the key is there (also when it is in conflict).
    pub fn contains_key(&self, key: &str) -> bool {
        !matches!(self.entry(key), Ok(None))
    }

    /// The keys, in alphabetical order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let all: BTreeSet<&str> =
            self.scope.keys.keys().chain(self.writes.set.keys()).map(|key| &**key).collect();
        all.into_iter().filter(|key| self.contains_key(key))
    }

    /// What has been written through this context.
    pub fn writes(&self) -> &Writes {
        &self.writes
    }

    /// Ends the context and gives what has been written through it.
    pub fn into_writes(self) -> Writes {
        self.writes
    }

    fn entry(&self, key: &str) -> Result<Option<&Entry>, ContextError> {
        if let Some(entry) = self.writes.set.get(key) {
            return Ok(Some(entry));
        }
        if self.writes.removed.contains(key) {
            return Ok(None);
        }
        self.scope.get(key)
    }

    fn put<T: Serialize>(&mut self, key: &str, value: &T) -> Result<(), ContextError> {
        valid_key(key)?;
        let raw = to_raw_value(value).map_err(|source| ContextError::Serialize {
            key: key.to_owned(),
            wanted: type_name::<T>(),
            source,
        })?;
        self.writes.removed.remove(key);
        self.writes.set.insert(Arc::from(key), Entry::new(raw));
        Ok(())
    }

    fn not_found(&self, key: &str) -> ContextError {
        let suggestion = did_you_mean(key, self.keys()).map(str::to_owned);
        ContextError::KeyNotFound { key: key.to_owned(), suggestion }
    }
}

fn valid_key(key: &str) -> Result<(), ContextError> {
    check_name("key", key).map_err(|_| ContextError::InvalidKey { key: key.chars().take(40).collect() })
}

impl Default for Context<Value> {
    fn default() -> Self {
        Self::new()
    }
}

impl Clone for Context<Value> {
    fn clone(&self) -> Self {
        Self { scope: Arc::clone(&self.scope), writes: self.writes.clone(), values: PhantomData }
    }
}

impl fmt::Debug for Context<Value> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.keys().map(|key| (key, self.entry(key).ok().flatten()));
        f.debug_map().entries(entries).finish()
    }
}

impl Serialize for Context<Value> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let keys: Vec<&str> = self.keys().collect();
        let entries = keys.into_iter().filter_map(|key| Some((key, self.entry(key).ok().flatten()?)));
        serializer.collect_map(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn writes(key: &str, value: &Value) -> Writes {
        let mut context = Context::new();
        context.insert(key, value).unwrap();
        context.into_writes()
    }

    fn scope(writer: u32, key: &str, value: &Value) -> Scope {
        let mut scope = Scope::default();
        scope.write(Writer::Task(writer, None), &Arc::from(format!("task {writer}")), &writes(key, value));
        scope
    }

    #[test]
    fn the_later_of_two_ordered_writers_counts() {
        for (first, second) in [(1, 2), (2, 1)] {
            let mut joined = scope(first, "k", &json!(first));
            joined.join(&scope(second, "k", &json!(second)), &|a, b| a < b);
            assert_eq!(Context::over(Arc::new(joined)).get::<u32>("k").unwrap(), 2);
        }
    }

    #[test]
    fn unordered_writers_conflict_only_where_they_differ_and_are_read() {
        let mut joined = scope(1, "k", &json!(1));
        joined.join(&scope(2, "k", &json!(2)), &|_, _| false);
        joined.join(&scope(3, "same", &json!(5)), &|_, _| false);
        joined.join(&scope(4, "same", &json!(5)), &|_, _| false);
        let mut context = Context::over(Arc::new(joined));
        assert_eq!(context.get::<u32>("same").unwrap(), 5);
        let error = context.get::<u32>("k").unwrap_err().to_string();
        assert!(error.contains("task 1") && error.contains("task 2"), "{error}");
        assert_eq!(context.value("k"), None);
        context.update("k", 3).unwrap();
        assert_eq!(context.get::<u32>("k").unwrap(), 3);
    }

    #[test]
    fn a_removed_key_is_gone_for_those_who_come_after() {
        let mut context = Context::over(Arc::new(scope(1, "k", &json!(1))));
        assert_eq!(context.remove("k"), Some(json!(1)));
        assert!(context.get::<u32>("k").is_err());
        assert_eq!(context.keys().count(), 0);
        let mut after = scope(1, "k", &json!(1));
        after.write(Writer::Task(2, None), &Arc::from("task 2"), context.writes());
        assert_eq!(Context::over(Arc::new(after)).value("k"), None);
    }

    #[test]
    fn a_missing_key_is_named_with_the_nearest_one() {
        let mut context = Context::new();
        context.insert("products", json!([])).unwrap();
        let error = context.get::<Value>("product").unwrap_err().to_string();
        assert_eq!(error, r#"context key "product" is not there; did you mean "products"?"#);
        assert!(context.insert("", 1).is_err());
    }

    #[test]
    fn json_goes_in_and_comes_out() {
        let context = Context::from_json(r#"{"b":[1,2],"a":{"x":null}}"#).unwrap();
        assert_eq!(context.to_json().unwrap(), r#"{"a":{"x":null},"b":[1,2]}"#);
        assert!(Context::from_json("[1]").is_err());
        assert_eq!(serde_json::to_string(&context).unwrap(), context.to_json().unwrap());
    }
}
