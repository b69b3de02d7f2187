//! Workflows made from a seed: plain data, from which the worker builds real workflows and the reference
//! interpreter computes what they must come to.

mod form;
mod make;
mod when;

use std::time::Duration;

use anio_core::Lane;
use serde_json::Value;

pub use self::when::{Fortune, When};
use crate::dice::{Dice, hash, mix};

/// How many blueprints a seed has.
pub const N_BLUEPRINTS: usize = 16;

/// The widest list that a task yields.
pub const WIDTH_MAX: u64 = 20;

/// A workflow as plain data. Tasks stand in topological order.
#[derive(Clone, Debug)]
pub struct Blueprint {
    /// The workflow's name.
    pub name: String,
    /// The tasks; dependencies are positions in this list, always lower than the task's own.
    pub tasks: Vec<TaskBlueprint>,
}

/// A task as plain data.
#[derive(Clone, Debug)]
pub struct TaskBlueprint {
    /// The name.
    pub name: String,
    /// Everything that the body does follows from this and its inputs.
    pub seed: u64,
    /// What it waits for and reads whole.
    pub after: Vec<usize>,
    /// What it waits for whatever becomes of it, and is told of.
    pub settled: Vec<usize>,
    /// What it is mapped over.
    pub mapped_over: Option<usize>,
    /// Of whose list it makes one value, two by two.
    pub pairs_over: Option<usize>,
    /// It goes step by step, and makes so many elements at the most.
    pub steps_max: Option<u64>,
    /// It is mapped, and has enough with so many outputs: which ones depends on time.
    pub enough: Option<usize>,
    /// When it runs at all.
    pub when: Option<When>,
    /// Whose context keys it reads: tasks before it.
    pub reads: Vec<usize>,
    /// What it writes into the context.
    pub writes: WriteKind,
    /// What it returns.
    pub yields: Yields,
    /// Where it runs.
    pub lane: Lane,
    /// How long it takes.
    pub pace: Duration,
    /// How its attempts fail.
    pub trouble: Trouble,
    /// All attempts that its policy gives it.
    pub attempts: u32,
    /// The backoff between them.
    pub backoff: Duration,
    /// Its priority.
    pub priority: i32,
    /// How many of its task runs may execute at one time.
    pub concurrency: Option<u32>,
    /// How many units of [`RESOURCE`] it holds while it executes.
    pub needs: u32,
    /// How many of its task runs may start per second on a worker.
    pub rate: Option<u32>,
    /// Whether it has callbacks, which write into the diary.
    pub tells: bool,
}

/// The resource that some tasks need.
pub const RESOURCE: &str = "tokens";

/// How many units of [`RESOURCE`] a worker has.
pub const RESOURCE_UNITS: u32 = 3;

/// The longest backoff of a task in a simulation: enough for its worker to die and another to take over.
const BACKOFF_MAX: Duration = Duration::from_secs(4);

/// What a task returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Yields {
    /// A number.
    Number,
    /// A list of 0 to [`WIDTH_MAX`] numbers.
    List,
    /// A list of 0 to 3 numbers.
    Few,
}

impl Yields {
    /// How long such a list is at the most.
    const fn width_max(self) -> u64 {
        match self {
            Self::Number => 0,
            Self::Few => 3,
            Self::List => WIDTH_MAX,
        }
    }
}

/// What a task writes into the context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteKind {
    /// Nothing.
    Nothing,
    /// A key of its own.
    Own,
    /// The key `sum`, which every task of a chain adds to.
    Sum,
}

/// How the attempts of a task fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// None does.
    None,
    /// The first so many do, by attempt number; the next succeeds. The policy allows one attempt more, so a
    /// crash that uses an attempt number up changes nothing of the end.
    AtFirst(u32, How),
    /// Every one does.
    Always(How),
    /// In a mapped task: every attempt of every fourth element does.
    EveryFourth(How),
}

/// In which way an attempt fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It returns an error that may be tried again.
    Error,
    /// It returns an error that may not.
    Fatal,
    /// It panics.
    Panic,
    /// It never returns and is timed out.
    Hang,
}

/// What becomes of a task run in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It succeeds, after at most so many failures.
    Succeeds(u32),
    /// It fails for good, after exactly so many failures.
    Fails(u32),
    /// Somebody gave it up before its end, after at most so many failures.
    GivenUp(u32),
    /// Its task had enough without it, after at most so many failures of its own.
    LeftOut(u32),
}

impl TaskBlueprint {
    /// How this attempt fails, if it does.
    pub fn trouble_of(&self, map_index: Option<u32>, attempt: u32) -> Option<How> {
        match self.trouble {
            Trouble::AtFirst(n, how) => (attempt <= n).then_some(how),
            Trouble::Always(how) => Some(how),
            Trouble::EveryFourth(how) => self.is_fourth(map_index).then_some(how),
            Trouble::None => None,
        }
    }

    /// What becomes of this task run, whatever crashes there are.
    pub fn fate(&self, map_index: Option<u32>) -> Fate {
        let always = |how| Fate::Fails(if how == How::Fatal { 1 } else { self.attempts });
        match self.trouble {
            Trouble::AtFirst(n, _) => Fate::Succeeds(n),
            Trouble::Always(how) => always(how),
            Trouble::EveryFourth(how) if self.is_fourth(map_index) => always(how),
            Trouble::None | Trouble::EveryFourth(_) => Fate::Succeeds(0),
        }
    }

    /// Whether it fails for good until somebody mends it.
    pub const fn wants_mending(&self) -> bool {
        matches!(self.trouble, Trouble::Always(_) | Trouble::EveryFourth(_))
    }

    /// The same task without the failures that are for good.
    #[must_use]
    pub fn mended(&self) -> Self {
        let trouble = if self.wants_mending() { Trouble::None } else { self.trouble };
        Self { trouble, ..self.clone() }
    }

    /// Whether some attempts never return: then the task has a time-out.
    pub const fn hangs(&self) -> bool {
        matches!(
            self.trouble,
            Trouble::AtFirst(_, How::Hang) | Trouble::Always(How::Hang) | Trouble::EveryFourth(How::Hang)
        )
    }

    fn is_fourth(&self, map_index: Option<u32>) -> bool {
        mix(self.seed, u64::from(map_index.unwrap_or(0))).is_multiple_of(4)
    }

    /// What a successful attempt returns.
    pub fn output(&self, inputs: &Inputs) -> Value {
        if self.is_at_end(inputs) {
            return Value::Null;
        }
        let hash = mix(self.seed, inputs.hash());
        match self.yields {
            Yields::Number => Value::from(hash),
            list => (0..hash % (list.width_max() + 1)).map(|n| mix(hash, n)).collect(),
        }
    }

    /// The key of its own that a task run writes. All steps write the same: the last one's value counts.
    pub fn own_key(&self, map_index: Option<u32>) -> String {
        let is_of_each = self.mapped_over.is_some() || self.pairs_over.is_some();
        match map_index.filter(|_| is_of_each) {
            Some(index) => format!("{}.{index}", self.name),
            None => self.name.clone(),
        }
    }

    /// What a successful attempt writes into the context.
    pub fn write(&self, inputs: &Inputs) -> Option<(String, Value)> {
        let hash = mix(self.seed ^ 1, inputs.hash());
        match self.writes {
            WriteKind::Nothing => None,
            WriteKind::Own => Some((self.own_key(inputs.map_index), Value::from(hash))),
            WriteKind::Sum => {
                let before =
                    inputs.read.iter().find(|(key, _)| key == SUM).and_then(|(_, value)| value.as_u64());
                Some((SUM.to_owned(), Value::from(before.unwrap_or(0).wrapping_add(hash))))
            }
        }
    }
}

impl Blueprint {
    /// The blueprints of a seed.
    pub fn all(seed: u64) -> Vec<Self> {
        (0..N_BLUEPRINTS).map(|n| Self::new(seed, n)).collect()
    }

    /// One of the blueprints of a seed.
    pub fn new(seed: u64, n: usize) -> Self {
        let mut dice = Dice::new(mix(seed, n as u64));
        let tasks = match n % 5 {
            0 => make::chain(&mut dice, 5, 30),
            1 => make::diamonds(&mut dice, 6, 20),
            2 => make::random(&mut dice, 5, 30, Yields::List),
            3 => make::flows(&mut dice, 2, Yields::List),
            _ => make::maps(&mut dice, 2, Yields::List),
        };
        Self { name: format!("storm-{seed}-{n}"), tasks }
    }

    /// A workflow of a few tasks, of whichever kind.
    pub fn small(seed: u64, name: &str) -> Self {
        let mut dice = Dice::new(seed);
        let mut tasks = match dice.below(8) {
            0 => make::chain(&mut dice, 1, 5),
            1 => make::diamonds(&mut dice, 1, 7),
            2 => make::maps(&mut dice, 1, Yields::Few),
            3 | 4 => make::flows(&mut dice, 1, Yields::Few),
            5 => make::hunt(&mut dice),
            _ => make::random(&mut dice, 1, 8, Yields::Few),
        };
        let (is_tight, is_slow) = (dice.percent(25), dice.percent(30));
        for task in &mut tasks {
            // Bodies that stand still begin together afterwards: their times do not tell of rates.
            task.rate = None;
            if is_tight && dice.percent(60) {
                task.needs = 1 + dice.below(u64::from(RESOURCE_UNITS)) as u32;
            }
            if is_slow {
                task.backoff = dice.duration(BACKOFF_MAX);
            }
        }
        Self { name: name.to_owned(), tasks }
    }

    /// The keys that a task reads.
    pub fn keys_read(&self, task: &TaskBlueprint) -> Vec<String> {
        let sum = (task.writes == WriteKind::Sum).then(|| SUM.to_owned());
        sum.into_iter()
            .chain(task.reads.iter().map(|&position| self.tasks[position].own_key(Some(0))))
            .collect()
    }
}

/// The key that all tasks of a chain add to.
pub const SUM: &str = "sum";

/// All that a task run reads.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// Which element it is.
    pub map_index: Option<u32>,
    /// The number in the run's input.
    pub n: u64,
    /// The element that it is for, or the two that it makes one of, or what the step before returned; then the
    /// outputs of what it waits for.
    pub values: Vec<Value>,
    /// The context keys that it reads.
    pub read: Vec<(String, Value)>,
}

impl Inputs {
    /// One number for all of them.
    pub fn hash(&self) -> u64 {
        let mut sum = mix(self.n, u64::from(self.map_index.map_or(0, |index| index + 1)));
        for value in self.values.iter().chain(self.read.iter().map(|(_, value)| value)) {
            sum = hash(sum, &value.to_string());
        }
        sum
    }
}

#[cfg(test)]
mod tests;
