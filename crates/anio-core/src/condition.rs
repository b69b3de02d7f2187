//! When a task runs: a condition over what became of the tasks before it and what they wrote.

use std::fmt;

use serde_json::Value;

use crate::context::Context;
use crate::error::ContextError;

/// Whether a task runs, decided when all its dependencies have settled.
///
/// A task without a condition runs when every dependency has succeeded. With one, it waits until every
/// dependency has settled, whatever became of it, and is skipped when the condition does not hold. A
/// dependency that is skipped has settled when all those before it have, so what a condition finds of any
/// task before, or of what it wrote, is final.
///
/// ```
/// use anio_core::condition::{Condition, Settlement};
/// use anio_core::Context;
/// use serde_json::json;
///
/// let condition = Condition::any([
///     Condition::succeeded("primary"),
///     Condition::all([Condition::failed("primary"), Condition::value("retries").less_than(3)]),
/// ]);
/// assert_eq!(condition.to_string(), r#"any(succeeded(primary), all(failed(primary), value("retries", less_than, 3)))"#);
///
/// let mut context = Context::new();
/// let failed = |_: &str| Settlement::Failed;
/// assert!(!condition.holds(&failed, &context)?, "a missing key compares as false");
/// context.insert("retries", 2)?;
/// assert!(condition.holds(&failed, &context)?);
/// # Ok::<(), anio_core::ContextError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Condition {
    /// Always.
    Always,
    /// Every one of these holds.
    All(Vec<Condition>),
    /// At least one of these holds.
    Any(Vec<Condition>),
    /// Not one of these holds.
    None(Vec<Condition>),
    /// The task has settled thus.
    Task {
        /// The task; one that comes before.
        task: String,
        /// How.
        became: Became,
    },
    /// A key of the context compares thus. A key that is missing compares as false, and as true for the
    /// comparisons that say `not`.
    Value {
        /// The key.
        key: String,
        /// The comparison.
        test: Test,
    },
}

/// What a condition asks of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// It succeeded.
    Succeeded,
    /// It failed for good.
    Failed,
    /// It was skipped.
    Skipped,
    /// It settled, whichever way.
    Done,
}

/// What became of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It succeeded.
    Succeeded,
    /// It failed for good.
    Failed,
    /// It was skipped.
    Skipped,
}

/// What a condition asks of a context value.
///
/// Numbers compare as numbers and texts as texts; values of different kinds are not equal, and neither is
/// greater. A text contains its parts, a list its elements, an object its keys.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Test {
    /// It equals this.
    Equals(Value),
    /// It does not equal this, or is missing.
    NotEquals(Value),
    /// It is greater than this.
    GreaterThan(Value),
    /// It is less than this.
    LessThan(Value),
    /// It contains this.
    Contains(Value),
    /// It does not contain this, or is missing.
    NotContains(Value),
    /// It is there.
    Exists,
    /// It is missing.
    NotExists,
}

impl Condition {
    /// Every one of these holds.
    pub fn all(conditions: impl IntoIterator<Item = Self>) -> Self {
        Self::All(conditions.into_iter().collect())
    }

    /// At least one of these holds.
    pub fn any(conditions: impl IntoIterator<Item = Self>) -> Self {
        Self::Any(conditions.into_iter().collect())
    }

    /// Not one of these holds.
    pub fn none(conditions: impl IntoIterator<Item = Self>) -> Self {
        Self::None(conditions.into_iter().collect())
    }

    /// The task succeeded.
    pub fn succeeded(task: impl Into<String>) -> Self {
        Self::Task { task: task.into(), became: Became::Succeeded }
    }

    /// The task failed for good.
    pub fn failed(task: impl Into<String>) -> Self {
        Self::Task { task: task.into(), became: Became::Failed }
    }

    /// The task was skipped.
    pub fn skipped(task: impl Into<String>) -> Self {
        Self::Task { task: task.into(), became: Became::Skipped }
    }

    /// The task settled, whichever way.
    pub fn done(task: impl Into<String>) -> Self {
        Self::Task { task: task.into(), became: Became::Done }
    }

    /// Begins a comparison of a context key.
    pub fn value(key: impl Into<String>) -> ValueCondition {
        ValueCondition { key: key.into() }
    }

    /// Whether it holds. `became` tells what became of a task, `context` is what the task would see.
    ///
    /// # Errors
    /// [`ContextError::Conflict`] when a key is asked for that two unordered tasks wrote differently.
    pub fn holds(
        &self,
        became: &dyn Fn(&str) -> Settlement,
        context: &Context,
    ) -> Result<bool, ContextError> {
        let holds = |condition: &Self| condition.holds(became, context);
        match self {
            Self::Always => Ok(true),
            Self::All(conditions) => try_any(conditions, |condition| Ok(!holds(condition)?)).map(|any| !any),
            Self::Any(conditions) => try_any(conditions, holds),
            Self::None(conditions) => try_any(conditions, holds).map(|any| !any),
            Self::Task { task, became: asked } => Ok(match asked {
                Became::Done => true,
                Became::Succeeded => became(task) == Settlement::Succeeded,
                Became::Failed => became(task) == Settlement::Failed,
                Became::Skipped => became(task) == Settlement::Skipped,
            }),
            Self::Value { key, test } => {
                let value = context.get_as::<Value>(key)?;
                Ok(test.holds(value.as_ref()))
            }
        }
    }

    /// The tasks that it names.
    pub fn tasks(&self) -> Vec<&str> {
        let mut open = vec![self];
        let mut tasks = Vec::new();
        while let Some(condition) = open.pop() {
            match condition {
                Self::All(more) | Self::Any(more) | Self::None(more) => open.extend(more.iter().rev()),
                Self::Task { task, .. } => tasks.push(task.as_str()),
                Self::Always | Self::Value { .. } => {}
            }
        }
        tasks
    }
}

/// Whether the test holds of one; those after it are not looked at.
fn try_any<T, E>(items: &[T], test: impl Fn(&T) -> Result<bool, E>) -> Result<bool, E> {
    for item in items {
        if test(item)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A comparison of a context key in the making.
#[derive(Clone, Debug)]
#[must_use = "it becomes a condition by a comparison"]
pub struct ValueCondition {
    key: String,
}

impl ValueCondition {
    /// The value equals this.
    pub fn equals(self, value: impl Into<Value>) -> Condition {
        self.test(Test::Equals(value.into()))
    }

    /// The value does not equal this, or is missing.
    pub fn not_equals(self, value: impl Into<Value>) -> Condition {
        self.test(Test::NotEquals(value.into()))
    }

    /// The value is greater than this.
    pub fn greater_than(self, value: impl Into<Value>) -> Condition {
        self.test(Test::GreaterThan(value.into()))
    }

    /// The value is less than this.
    pub fn less_than(self, value: impl Into<Value>) -> Condition {
        self.test(Test::LessThan(value.into()))
    }

    /// The value contains this.
    pub fn contains(self, value: impl Into<Value>) -> Condition {
        self.test(Test::Contains(value.into()))
    }

    /// The value does not contain this, or is missing.
    pub fn not_contains(self, value: impl Into<Value>) -> Condition {
        self.test(Test::NotContains(value.into()))
    }

    /// The key is there.
    pub fn exists(self) -> Condition {
        self.test(Test::Exists)
    }

    /// The key is missing.
    pub fn not_exists(self) -> Condition {
        self.test(Test::NotExists)
    }

    fn test(self, test: Test) -> Condition {
        Condition::Value { key: self.key, test }
    }
}

impl Test {
    fn holds(&self, value: Option<&Value>) -> bool {
        let is = |test: &dyn Fn(&Value) -> bool| value.is_some_and(test);
        match self {
            Self::Equals(other) => is(&|value| equal(value, other)),
            Self::NotEquals(other) => !is(&|value| equal(value, other)),
            Self::GreaterThan(other) => is(&|value| greater(value, other)),
            Self::LessThan(other) => is(&|value| greater(other, value)),
            Self::Contains(other) => is(&|value| contains(value, other)),
            Self::NotContains(other) => !is(&|value| contains(value, other)),
            Self::Exists => value.is_some(),
            Self::NotExists => value.is_none(),
        }
    }

    fn parts(&self) -> (&'static str, Option<&Value>) {
        match self {
            Self::Equals(value) => ("equals", Some(value)),
            Self::NotEquals(value) => ("not_equals", Some(value)),
            Self::GreaterThan(value) => ("greater_than", Some(value)),
            Self::LessThan(value) => ("less_than", Some(value)),
            Self::Contains(value) => ("contains", Some(value)),
            Self::NotContains(value) => ("not_contains", Some(value)),
            Self::Exists => ("exists", None),
            Self::NotExists => ("not_exists", None),
        }
    }
}

fn equal(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        // 3 and 3.0 are one number; integers too large for a float compare as integers.
        (Some(x), Some(y)) if a.is_f64() || b.is_f64() => x.total_cmp(&y).is_eq(),
        _ => a == b,
    }
}

fn greater(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::String(a), Value::String(b)) => a > b,
        (Value::Number(x), Value::Number(y)) => match (x.as_i128(), y.as_i128()) {
            (Some(x), Some(y)) => x > y,
            _ => x.as_f64() > y.as_f64(),
        },
        _ => false,
    }
}

fn contains(value: &Value, part: &Value) -> bool {
    match (value, part) {
        (Value::String(text), Value::String(part)) => text.contains(part),
        (Value::Array(list), part) => list.iter().any(|element| equal(element, part)),
        (Value::Object(object), Value::String(key)) => object.contains_key(key),
        _ => false,
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, conditions) = match self {
            Self::Always => return f.write_str("always"),
            Self::Task { task, became } => {
                let word = match became {
                    Became::Succeeded => "succeeded",
                    Became::Failed => "failed",
                    Became::Skipped => "skipped",
                    Became::Done => "done",
                };
                return write!(f, "{word}({task})");
            }
            Self::Value { key, test } => {
                return match test.parts() {
                    (word, Some(value)) => write!(f, "value({key:?}, {word}, {value})"),
                    (word, None) => write!(f, "value({key:?}, {word})"),
                };
            }
            Self::All(conditions) => ("all", conditions),
            Self::Any(conditions) => ("any", conditions),
            Self::None(conditions) => ("none", conditions),
        };
        write!(f, "{word}(")?;
        for (i, condition) in conditions.iter().enumerate() {
            write!(f, "{}{condition}", if i > 0 { ", " } else { "" })?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_compare_by_their_kind() {
        let context =
            Context::from_json(r#"{"n":3,"f":3.5,"t":"march","l":[1,"a"],"o":{"k":1},"z":null}"#).unwrap();
        let check = |condition: Condition, expected: bool| {
            let holds = condition.holds(&|_| Settlement::Succeeded, &context).unwrap();
            assert_eq!(holds, expected, "{condition}");
        };
        let value = Condition::value;
        check(value("n").equals(3), true);
        check(value("n").equals(3.0), true);
        check(value("n").equals("3"), false);
        check(value("n").not_equals(4), true);
        check(value("f").greater_than(3), true);
        check(value("n").greater_than(3), false);
        check(value("n").less_than(3.2), true);
        check(value("t").greater_than("april"), true);
        check(value("t").less_than(5), false);
        check(value("t").contains("arc"), true);
        check(value("l").contains("a"), true);
        check(value("l").contains(2), false);
        check(value("l").not_contains(2), true);
        check(value("o").contains("k"), true);
        check(value("z").exists(), true);
        check(value("n").equals(i64::MAX), false);
    }

    #[test]
    fn a_missing_key_is_false_and_true_for_the_forms_with_not() {
        let check = |condition: Condition, expected: bool| {
            let holds = condition.holds(&|_| Settlement::Succeeded, &Context::new()).unwrap();
            assert_eq!(holds, expected, "{condition}");
        };
        let value = || Condition::value("missing");
        check(value().equals(json!(null)), false);
        check(value().greater_than(0), false);
        check(value().less_than(0), false);
        check(value().contains(""), false);
        check(value().exists(), false);
        check(value().not_equals(1), true);
        check(value().not_contains(1), true);
        check(value().not_exists(), true);
    }

    #[test]
    fn conditions_nest_at_will() {
        let became = |task: &str| match task {
            "good" => Settlement::Succeeded,
            "bad" => Settlement::Failed,
            _ => Settlement::Skipped,
        };
        let check = |condition: &Condition, expected: bool| {
            assert_eq!(condition.holds(&became, &Context::new()).unwrap(), expected, "{condition}");
        };
        let (good, bad, left) =
            (Condition::succeeded("good"), Condition::failed("bad"), Condition::skipped("left"));
        check(&Condition::all([good.clone(), bad.clone(), left.clone()]), true);
        check(&Condition::any([Condition::failed("good"), Condition::succeeded("left")]), false);
        check(&Condition::none([Condition::failed("good"), Condition::succeeded("left")]), true);
        check(
            &Condition::all([Condition::any([Condition::failed("good"), good]), Condition::none([bad])]),
            false,
        );
        check(&Condition::all([]), true);
        check(&Condition::any([]), false);
        check(&Condition::done("anything"), true);
        let nested = Condition::any([Condition::all([left, Condition::done("x")]), Condition::done("y")]);
        assert_eq!(nested.tasks(), ["left", "x", "y"]);
    }
}
