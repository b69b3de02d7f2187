//! Workflows made from a seed: plain data, from which the worker builds real workflows and the reference
//! interpreter computes what they must come to.

use std::time::Duration;

use anio_core::Lane;
use anio_core::condition::Condition;
use serde_json::Value;

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
    /// Whether it has callbacks, which write into the diary.
    pub tells: bool,
}

/// The resource that some tasks need.
pub const RESOURCE: &str = "tokens";

/// How many units of [`RESOURCE`] a worker has.
pub const RESOURCE_UNITS: u32 = 3;

/// The condition of a task, over tasks before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// This one has failed.
    Failed(usize),
    /// This one was not skipped.
    NotSkipped(usize),
    /// At least one of these succeeded.
    AnySucceeded(Vec<usize>),
    /// The value that this one wrote under its own key is there, and in the lower half of all numbers.
    IsLow(usize),
}

/// What has become of a task.
#[derive(Clone, Debug, PartialEq)]
pub enum Fortune {
    /// It succeeded, and returned this.
    Succeeded(Value),
    /// It failed.
    Failed,
    /// It was skipped.
    Skipped,
}

impl When {
    /// As the engine is told.
    pub fn condition(&self, tasks: &[TaskBlueprint]) -> Condition {
        let name = |position: &usize| tasks[*position].name.clone();
        match self {
            Self::Failed(task) => Condition::failed(name(task)),
            Self::NotSkipped(task) => Condition::none([Condition::all([
                Condition::done(name(task)),
                Condition::skipped(name(task)),
            ])]),
            Self::AnySucceeded(tasks) => Condition::any(tasks.iter().map(name).map(Condition::succeeded)),
            Self::IsLow(task) => Condition::value(own_key(&name(task), None)).less_than(u64::MAX / 2),
        }
    }

    /// Whether it holds: worked out here, without the engine.
    pub fn holds(&self, fortunes: &[Fortune], written: impl Fn(usize) -> Option<Value>) -> bool {
        let succeeded = |task: &usize| matches!(fortunes[*task], Fortune::Succeeded(_));
        match self {
            Self::Failed(task) => fortunes[*task] == Fortune::Failed,
            Self::NotSkipped(task) => fortunes[*task] != Fortune::Skipped,
            Self::AnySucceeded(tasks) => tasks.iter().any(succeeded),
            Self::IsLow(task) => {
                written(*task).and_then(|value| value.as_u64()).is_some_and(|value| value < u64::MAX / 2)
            }
        }
    }

    /// Whether it names this task.
    pub fn names(&self, task: usize) -> bool {
        match self {
            Self::Failed(named) | Self::NotSkipped(named) => *named == task,
            Self::AnySucceeded(named) => named.contains(&task),
            Self::IsLow(_) => false,
        }
    }
}

/// What a task returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Yields {
    /// A number.
    Number,
    /// A list of 0 to [`WIDTH_MAX`] numbers.
    List,
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
        let hash = mix(self.seed, inputs.hash());
        match self.yields {
            Yields::Number => Value::from(hash),
            Yields::List => (0..hash % (WIDTH_MAX + 1)).map(|n| mix(hash, n)).collect(),
        }
    }

    /// What a successful attempt writes into the context.
    pub fn write(&self, inputs: &Inputs) -> Option<(String, Value)> {
        let hash = mix(self.seed ^ 1, inputs.hash());
        match self.writes {
            WriteKind::Nothing => None,
            WriteKind::Own => Some((own_key(&self.name, inputs.map_index), Value::from(hash))),
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
        let tasks = match n % 4 {
            0 => chain(&mut dice),
            1 => diamonds(&mut dice),
            2 => random(&mut dice),
            _ => maps(&mut dice),
        };
        Self { name: format!("storm-{seed}-{n}"), tasks }
    }

    /// The keys that a task reads.
    pub fn keys_read(&self, task: &TaskBlueprint) -> Vec<String> {
        let sum = (task.writes == WriteKind::Sum).then(|| SUM.to_owned());
        let key = |&position: &usize| {
            let writer = &self.tasks[position];
            own_key(&writer.name, writer.mapped_over.map(|_| 0))
        };
        sum.into_iter().chain(task.reads.iter().map(key)).collect()
    }
}

/// The key that all tasks of a chain add to.
pub const SUM: &str = "sum";

fn own_key(task: &str, map_index: Option<u32>) -> String {
    map_index.map_or_else(|| task.to_owned(), |index| format!("{task}.{index}"))
}

/// All that a task run reads.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// Which element it is.
    pub map_index: Option<u32>,
    /// The number in the run's input.
    pub n: u64,
    /// The element that it is for, then the outputs of what it waits for.
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

/// What is true of all tasks: they are now short, now long, here and there, and some fail.
fn task(dice: &mut Dice, position: usize) -> TaskBlueprint {
    let lane = match dice.below(10) {
        0 | 1 => Lane::Cpu,
        2 => Lane::Blocking,
        _ => Lane::Async,
    };
    // Long ones wait up to 50 ms; those that keep a core busy do so for less.
    let longest = match (dice.below(10), lane) {
        (0..5, _) => 0,
        (5..8, _) | (_, Lane::Cpu) => 5,
        (8, _) => 15,
        _ => 50,
    };
    TaskBlueprint {
        name: format!("t{position:02}"),
        seed: dice.roll(),
        after: Vec::new(),
        settled: Vec::new(),
        mapped_over: None,
        when: None,
        reads: Vec::new(),
        writes: if dice.percent(30) { WriteKind::Own } else { WriteKind::Nothing },
        yields: Yields::Number,
        lane,
        pace: dice.duration(Duration::from_millis(longest)),
        trouble: Trouble::None,
        attempts: 1,
        backoff: dice.duration(Duration::from_millis(12)),
        priority: dice.below(3) as i32 - 1,
        concurrency: dice.percent(8).then_some(2),
        needs: if dice.percent(8) { 1 + dice.below(2) as u32 } else { 0 },
        tells: dice.percent(20),
    }
}

/// Gives one task in six an attempt that fails, and one in thirty a bad end.
fn trouble(dice: &mut Dice, task: &mut TaskBlueprint) {
    let how = match dice.below(8) {
        0 => How::Panic,
        1 if task.lane == Lane::Async => How::Hang,
        _ => How::Error,
    };
    match dice.below(120) {
        0..20 => {
            let n = 1 + dice.below(3) as u32;
            task.trouble = Trouble::AtFirst(n, how);
            task.attempts = n + 1;
        }
        20..24 => {
            let how = if dice.percent(50) { How::Fatal } else { how };
            task.attempts = 1 + dice.below(3) as u32;
            task.trouble =
                if task.mapped_over.is_some() { Trouble::EveryFourth(how) } else { Trouble::Always(how) };
        }
        _ => {}
    }
    // What has a time-out must not come near it by being long.
    if task.hangs() {
        task.pace = Duration::ZERO;
    }
}

fn finish(dice: &mut Dice, mut tasks: Vec<TaskBlueprint>) -> Vec<TaskBlueprint> {
    let before = ancestors(&tasks);
    for position in 0..tasks.len() {
        let wrote: Vec<usize> =
            before[position].iter().copied().filter(|&a| tasks[a].writes == WriteKind::Own).collect();
        if !wrote.is_empty() && dice.percent(40) {
            tasks[position].reads = vec![wrote[dice.position(wrote.len())]];
        }
        branch(dice, &mut tasks, position, &before[position]);
        if tasks[position].mapped_over.is_some() {
            // There are many of them.
            tasks[position].pace /= 8;
        }
        trouble(dice, &mut tasks[position]);
    }
    tasks
}

/// Lets some tasks take whatever becomes of those before them, and some run on a condition only.
fn branch(dice: &mut Dice, tasks: &mut [TaskBlueprint], position: usize, before: &[usize]) {
    if before.is_empty() {
        return;
    }
    if !tasks[position].after.is_empty() && dice.percent(15) {
        let task = &mut tasks[position];
        let at = dice.position(task.after.len());
        task.settled.push(task.after.swap_remove(at));
    }
    let any = |dice: &mut Dice| before[dice.position(before.len())];
    if dice.percent(12) {
        let writers: Vec<usize> = before
            .iter()
            .copied()
            .filter(|&a| tasks[a].writes == WriteKind::Own && tasks[a].mapped_over.is_none())
            .collect();
        tasks[position].when = Some(match dice.below(8) {
            0 => When::Failed(any(dice)),
            1 | 2 => When::NotSkipped(any(dice)),
            3 | 4 if !writers.is_empty() => When::IsLow(writers[dice.position(writers.len())]),
            _ => When::AnySucceeded(vec![any(dice), any(dice)]),
        });
    }
}

fn ancestors(tasks: &[TaskBlueprint]) -> Vec<Vec<usize>> {
    let mut all: Vec<Vec<usize>> = Vec::new();
    for task in tasks {
        let mut before: Vec<usize> = Vec::new();
        for &dependency in task.after.iter().chain(&task.mapped_over) {
            before.push(dependency);
            before.extend(&all[dependency]);
        }
        before.sort_unstable();
        before.dedup();
        all.push(before);
    }
    all
}

fn chain(dice: &mut Dice) -> Vec<TaskBlueprint> {
    let n_tasks = 5 + dice.position(26);
    let sums = dice.percent(50);
    let tasks = (0..n_tasks).map(|position| {
        let mut task = task(dice, position);
        task.after = position.checked_sub(1).into_iter().collect();
        if sums {
            task.writes = WriteKind::Sum;
        }
        task
    });
    let tasks = tasks.collect();
    finish(dice, tasks)
}

fn diamonds(dice: &mut Dice) -> Vec<TaskBlueprint> {
    let mut tasks = vec![task(dice, 0)];
    while tasks.len() < 6 || tasks.len() < 20 && dice.percent(60) {
        let top = tasks.len() - 1;
        let n_middle = 2 + dice.position(4);
        for _ in 0..n_middle {
            tasks.push(TaskBlueprint { after: vec![top], ..task(dice, tasks.len()) });
        }
        let bottom = tasks.len();
        tasks.push(TaskBlueprint { after: (top + 1..bottom).collect(), ..task(dice, bottom) });
    }
    finish(dice, tasks)
}

fn random(dice: &mut Dice) -> Vec<TaskBlueprint> {
    let n_tasks = 5 + dice.position(26);
    let mut tasks: Vec<TaskBlueprint> = Vec::new();
    for position in 0..n_tasks {
        let mut task = task(dice, position);
        let nearest = position.saturating_sub(8);
        for _ in 0..dice.below(4) {
            let dependency = nearest + dice.position(position - nearest);
            if dependency < position && !task.after.contains(&dependency) {
                task.after.push(dependency);
            }
        }
        if dice.percent(15) {
            task.yields = Yields::List;
        }
        if dice.percent(20) && position > 0 {
            let over = nearest + dice.position(position - nearest);
            if (tasks[over].yields == Yields::List || tasks[over].mapped_over.is_some())
                && !task.after.contains(&over)
            {
                task.mapped_over = Some(over);
            }
        }
        tasks.push(task);
    }
    finish(dice, tasks)
}

/// A list, a map over it, a map over that map (nested where its elements are lists), and a join; twice.
fn maps(dice: &mut Dice) -> Vec<TaskBlueprint> {
    let mut tasks: Vec<TaskBlueprint> = Vec::new();
    for _ in 0..=dice.below(2) {
        let list = tasks.len();
        let before = list.checked_sub(1).into_iter().collect();
        tasks.push(TaskBlueprint { after: before, yields: Yields::List, ..task(dice, list) });
        let yields = if dice.percent(30) { Yields::List } else { Yields::Number };
        tasks.push(TaskBlueprint { mapped_over: Some(list), yields, ..task(dice, list + 1) });
        tasks.push(TaskBlueprint { mapped_over: Some(list + 1), after: vec![list], ..task(dice, list + 2) });
        tasks.push(TaskBlueprint { after: vec![list + 2, list], ..task(dice, list + 3) });
    }
    tasks.push(TaskBlueprint { after: vec![0], ..task(dice, tasks.len()) });
    finish(dice, tasks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_blueprints_every_time() {
        let text = |seed| format!("{:?}", Blueprint::all(seed));
        assert_eq!(text(7), text(7));
        assert_ne!(text(7), text(8));
    }

    #[test]
    fn many_seeds_have_every_kind_of_task() {
        let tasks: Vec<TaskBlueprint> =
            (0..20).flat_map(Blueprint::all).flat_map(|blueprint| blueprint.tasks).collect();
        let has = |what: &dyn Fn(&TaskBlueprint) -> bool| assert!(tasks.iter().any(what));
        for lane in [Lane::Async, Lane::Cpu, Lane::Blocking] {
            has(&|task| task.lane == lane);
        }
        for how in [How::Error, How::Panic, How::Hang] {
            has(&|task| matches!(task.trouble, Trouble::AtFirst(_, of) if of == how));
        }
        has(&|task| matches!(task.trouble, Trouble::Always(How::Fatal)));
        has(&|task| matches!(task.trouble, Trouble::EveryFourth(_)));
        has(&|task| !task.reads.is_empty());
        has(&|task| task.mapped_over.is_some() && task.yields == Yields::List);
        has(&|task| task.pace > Duration::from_millis(40));
        has(&|task| !task.settled.is_empty());
        has(&|task| matches!(task.when, Some(When::Failed(_))));
        has(&|task| matches!(task.when, Some(When::NotSkipped(_))));
        has(&|task| matches!(task.when, Some(When::AnySucceeded(_))));
        has(&|task| matches!(task.when, Some(When::IsLow(_))));
        has(&|task| task.concurrency.is_some() && task.mapped_over.is_some());
        has(&|task| task.needs == 2);
        has(&|task| task.tells);
        assert!(tasks.iter().all(|task| task.pace <= Duration::from_millis(50)));
    }
}
