//! A case: a small DAG, what its bodies do, and what an undisturbed execution makes of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::context::Writes;
use crate::error::{FailureKind, TaskError, TaskFailure};
use crate::output::Output;
use crate::plan::Plan;
use crate::retry::{Backoff, RetryPolicy};
use crate::run::{AttemptError, Retry, RunState, TaskRunKey};
use crate::task::{Edge, TaskOptions, TaskReturn};
use crate::workflow::Workflow;

/// What the body of a task does, as a pure function of its attempt and its element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Succeeds,
    /// Its first attempt fails, the second of two succeeds.
    FailsOnce,
    /// Both of its two attempts fail.
    Fails,
    /// It has one attempt, which fails in this element, or in the task where that is not mapped.
    FailsAt(Option<u32>),
    /// It returns a list of so many.
    Lists(u32),
    /// It never returns: its worker dies of it.
    Kills,
}

impl Fate {
    fn attempts(self) -> u32 {
        match self {
            Self::FailsOnce | Self::Fails => 2,
            _ => 1,
        }
    }

    fn fails(self, attempt: u32, map_index: Option<u32>) -> bool {
        match self {
            Self::FailsOnce => attempt == 1,
            Self::Fails => true,
            Self::FailsAt(index) => map_index == index,
            Self::Succeeds | Self::Lists(_) | Self::Kills => false,
        }
    }
}

/// An edge of a case, from a task that stands before in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum On {
    Whole(usize),
    Each(usize),
}

/// How much may go wrong, and how much may happen at one time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Task runs that execute at one time on a worker.
    pub(super) slots: usize,
    /// Whether notes are written, or not, or each as it comes.
    pub(super) notes: &'static [bool],
    /// How often the run changes hands.
    pub(super) n_hands: u8,
    /// In which ways it may.
    pub(super) hands: &'static [Hand],
    /// Deaths in a row after which a task run in flight is poison.
    pub(super) poison_deaths: u32,
}

/// How a run gets from one owner to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hand {
    /// The owner dies with all that it has in memory.
    Crash,
    /// The owner loses its lease and goes on without knowing.
    TakeOver,
    /// The owner shuts down gracefully.
    Shutdown,
}

impl Limits {
    /// Two at a time; the run changes hands once, in any way; nobody is poison.
    pub(super) const ONCE: Self = Self {
        slots: 2,
        notes: &[true, false],
        n_hands: 1,
        hands: &[Hand::Crash, Hand::TakeOver, Hand::Shutdown],
        poison_deaths: u32::MAX,
    };

    /// Whether a task run can become poison.
    pub(super) fn can_poison(self) -> bool {
        self.poison_deaths < u32::MAX
    }
}

/// What becomes of a task run.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum End {
    Succeeded(Output),
    Failed,
    /// Of a task, under its key without an element.
    Skipped,
}

pub(super) type Outcome = BTreeMap<TaskRunKey, End>;

#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) plan: Arc<Plan>,
    pub(super) limits: Limits,
    /// By position in the plan.
    fates: Vec<Fate>,
    /// Of an undisturbed execution in which nobody is poison.
    outcome: Outcome,
    /// How many elements each mapped task has in it, where its list can be read.
    widths: Vec<Option<u32>>,
}

impl Case {
    /// A case of these tasks, each with its edges from those before it.
    pub(super) fn new(limits: Limits, tasks: &[(Fate, Vec<On>)]) -> Self {
        Self::in_order(limits, tasks, 0..tasks.len())
    }

    /// The same tasks, defined in the opposite order: positions in the plan run against the edges.
    pub(super) fn reversed(limits: Limits, tasks: &[(Fate, Vec<On>)]) -> Self {
        Self::in_order(limits, tasks, (0..tasks.len()).rev())
    }

    fn in_order(limits: Limits, tasks: &[(Fate, Vec<On>)], order: impl Iterator<Item = usize>) -> Self {
        let mut builder = Workflow::builder("model");
        let mut fates = Vec::new();
        for position in order {
            let (fate, edges) = &tasks[position];
            let retry = RetryPolicy::attempts(fate.attempts()).with_backoff(Backoff::fixed(SECOND));
            let body = |_| async { Ok::<_, TaskError>(()) };
            builder = builder.task(format!("t{position}"), TaskOptions::new().retry(retry), body);
            for edge in edges {
                builder = match edge {
                    On::Whole(task) => builder.after(format!("t{task}")),
                    On::Each(task) => builder.map_over::<u64>(format!("t{task}")),
                };
            }
            fates.push(*fate);
        }
        let plan = Arc::clone(builder.build().expect("the case is a workflow").plan());
        let name = format!("{tasks:?}, first {}, {limits:?}", plan.task(0).name);
        let mut case = Self { name, plan, limits, fates, outcome: Outcome::new(), widths: Vec::new() };
        case.outcome = case.outcome(&[]);
        case.widths = (0..tasks.len() as u32)
            .map(|task| {
                let whole = TaskRunKey { task, map_index: None };
                let n = case.outcome.keys().filter(|key| key.task == task).count() as u32;
                (!case.outcome.contains_key(&whole)).then_some(n)
            })
            .collect();
        case
    }

    pub(super) fn kills(&self, key: TaskRunKey) -> bool {
        self.fates[key.task as usize] == Fate::Kills
    }

    /// Whether the body cares which attempt it is.
    pub(super) fn counts_attempts(&self, key: TaskRunKey) -> bool {
        self.fates[key.task as usize] == Fate::FailsOnce
    }

    /// How many attempts of a task may fail.
    pub(super) fn attempts(&self, key: TaskRunKey) -> u32 {
        self.fates[key.task as usize].attempts()
    }

    /// How many elements a mapped task has.
    pub(super) fn width(&self, task: u32) -> Option<u32> {
        self.widths[task as usize]
    }

    /// Executes a body on the arguments that the state machine hands out.
    pub(super) fn body(
        &self,
        state: &RunState,
        key: TaskRunKey,
        attempt: u32,
    ) -> Result<TaskReturn, AttemptError> {
        let fate = self.fates[key.task as usize];
        if fate.fails(attempt, key.map_index) {
            let failure = TaskFailure::new(FailureKind::Error, "no");
            return Err(AttemptError { failure, retry: Retry::Policy });
        }
        let arguments = state.arguments(key);
        let arguments =
            arguments.iter().flatten().filter_map(|argument| Some((argument.value()?, argument.element)));
        Ok(TaskReturn { output: output(fate, key, arguments), writes: Writes::default() })
    }

    /// The output that a task run has in an undisturbed execution.
    pub(super) fn expected_output(&self, key: TaskRunKey) -> Option<&Output> {
        match self.outcome.get(&key)? {
            End::Succeeded(output) => Some(output),
            End::Failed | End::Skipped => None,
        }
    }

    /// What an undisturbed execution makes of the case where these task runs fail as poison: the DAG read
    /// in topological order, by none of the code that is under test.
    pub(super) fn outcome(&self, poison: &[TaskRunKey]) -> Outcome {
        let mut outcome = Outcome::new();
        let mut whole: Vec<Option<Output>> = vec![None; self.plan.n_tasks()];
        for &task in self.plan.topological() {
            let key = TaskRunKey { task, map_index: None };
            let dependencies = &self.plan.task(task).dependencies;
            let inputs: Option<Vec<_>> =
                dependencies.iter().map(|(dependency, _)| whole[*dependency as usize].clone()).collect();
            let Some(inputs) = inputs else {
                outcome.insert(key, End::Skipped);
                continue;
            };
            let mut elements = vec![None];
            let list = dependencies.iter().position(|(_, edge)| matches!(edge, Edge::Each(_)));
            if let Some(list) = list {
                let Ok(list) = inputs[list].parse::<Vec<u64>>() else {
                    outcome.insert(key, End::Failed);
                    continue;
                };
                elements = (0..list.len() as u32).map(Some).collect();
            }
            let ends: Vec<End> = elements
                .iter()
                .map(|&map_index| self.end(TaskRunKey { task, map_index }, &inputs, poison))
                .collect();
            let outputs: Option<Vec<Output>> = ends
                .iter()
                .map(|end| if let End::Succeeded(output) = end { Some(output.clone()) } else { None })
                .collect();
            whole[task as usize] = outputs.map(|outputs| match list {
                Some(_) => Output::gathered(outputs, None),
                None => outputs[0].clone(),
            });
            outcome.extend(elements.into_iter().map(|map_index| TaskRunKey { task, map_index }).zip(ends));
        }
        outcome
    }

    fn end(&self, key: TaskRunKey, inputs: &[Output], poison: &[TaskRunKey]) -> End {
        let fate = self.fates[key.task as usize];
        if poison.contains(&key) || fate.fails(fate.attempts(), key.map_index) {
            return End::Failed;
        }
        let dependencies = self.plan.task(key.task).dependencies.iter();
        let arguments = dependencies.zip(inputs).map(|((_, edge), value)| {
            (value, if matches!(edge, Edge::Each(_)) { key.map_index } else { None })
        });
        End::Succeeded(output(fate, key, arguments))
    }
}

/// The delay between attempts.
pub(super) const SECOND: Duration = Duration::from_secs(1);

/// A number, or a list of numbers, that depends on the task run and on everything that it was given.
fn output<'a>(
    fate: Fate,
    key: TaskRunKey,
    arguments: impl Iterator<Item = (&'a Output, Option<u32>)>,
) -> Output {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut mix = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    mix(key.task as u8);
    mix(key.map_index.map_or(255, |index| index as u8));
    for (value, element) in arguments {
        value.json().get().bytes().for_each(&mut mix);
        mix(element.map_or(255, |index| index as u8));
    }
    let json = match fate {
        Fate::Lists(n) => {
            let list: Vec<_> = (0..n).map(|i| (hash >> 32).wrapping_add(u64::from(i)).to_string()).collect();
            format!("[{}]", list.join(","))
        }
        _ => (hash >> 32).to_string(),
    };
    Output::from_json(json).expect("a number is JSON")
}
