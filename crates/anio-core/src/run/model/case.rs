//! A case: a small DAG, what its bodies do, and what an undisturbed execution makes of it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use super::expected::{Enough, Outcome};
use crate::condition::Condition;
use crate::context::Writes;
use crate::error::{FailureKind, TaskError, TaskFailure};
use crate::output::Output;
use crate::plan::Plan;
use crate::retry::{Backoff, RetryPolicy};
use crate::run::{AttemptError, Retry, RunState, TaskRunKey};
use crate::task::{
    Callback, Callbacks, ClosureTask, Dependency, Edge, Ending, Settled, TaskCall, TaskDefinition,
    TaskOptions, TaskReturn, Until,
};
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
    /// It goes step by step, and makes a list of so many.
    Steps(u32),
    /// Likewise, and fails in the step after them; done again, that one finds the end.
    StepsFail(u32),
    /// It never returns: its worker dies of it.
    Kills,
    /// It has one attempt, which fails; done again, it succeeds.
    Mends,
    /// It decides in its body not to run.
    Refuses,
}

impl Fate {
    pub(super) fn attempts(self) -> u32 {
        match self {
            Self::FailsOnce | Self::Fails => 2,
            _ => 1,
        }
    }

    /// Of a task that goes step by step: how many elements it makes.
    pub(super) fn steps(self) -> Option<u32> {
        match self {
            Self::Steps(n) | Self::StepsFail(n) => Some(n),
            _ => None,
        }
    }

    pub(super) fn mends(self) -> bool {
        matches!(self, Self::Mends | Self::StepsFail(_))
    }

    pub(super) fn fails(self, attempt: u32, map_index: Option<u32>) -> bool {
        match self {
            Self::FailsOnce => attempt == 1,
            Self::Fails | Self::Mends => true,
            Self::FailsAt(index) => map_index == index,
            Self::StepsFail(n) => map_index == Some(n),
            Self::Succeeds | Self::Lists(_) | Self::Steps(_) | Self::Kills | Self::Refuses => false,
        }
    }
}

/// An edge of a case, from a task that stands before in the list; or the condition of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum On {
    Whole(usize),
    Each(usize),
    /// It makes one value of the list.
    Pairs(usize),
    Settled(usize),
    /// It only waits.
    Order(usize),
    When(If),
    /// It is mapped, and so many outputs are enough.
    Until(u32),
}

/// What a condition asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum If {
    Always,
    Succeeded(usize),
    Failed(usize),
    Skipped(usize),
    /// One of two tasks, or both, succeeded.
    Either(usize, usize),
    /// Whether the run's input says yes.
    Input(bool),
}

impl If {
    fn condition(self) -> Condition {
        let name = |task: usize| format!("t{task}");
        match self {
            Self::Always => Condition::Always,
            Self::Succeeded(task) => Condition::succeeded(name(task)),
            Self::Failed(task) => Condition::failed(name(task)),
            Self::Skipped(task) => Condition::skipped(name(task)),
            Self::Either(a, b) => {
                Condition::any([Condition::succeeded(name(a)), Condition::succeeded(name(b))])
            }
            Self::Input(yes) => Condition::value("says").equals(if yes { "yes" } else { "no" }),
        }
    }

    fn names(self, task: usize) -> bool {
        match self {
            Self::Always | Self::Input(_) => false,
            Self::Succeeded(named) | Self::Failed(named) | Self::Skipped(named) => named == task,
            Self::Either(a, b) => a == task || b == task,
        }
    }

    pub(super) fn holds(self, became: impl Fn(usize) -> Became) -> bool {
        let succeeded = |task| matches!(became(task), Became::Succeeded(_));
        match self {
            Self::Always => true,
            Self::Succeeded(task) => succeeded(task),
            Self::Failed(task) => matches!(became(task), Became::Failed),
            Self::Skipped(task) => matches!(became(task), Became::Skipped),
            Self::Either(a, b) => succeeded(a) || succeeded(b),
            Self::Input(yes) => yes,
        }
    }
}

/// The input of every run.
pub(super) const INPUT: &str = r#"{"says":"yes"}"#;

/// What became of a task.
#[derive(Clone, Debug)]
pub(super) enum Became {
    Succeeded(Output),
    Failed,
    Skipped,
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
    /// How often somebody asks something of the run.
    pub(super) n_asks: u8,
    /// What may be asked.
    pub(super) asks: &'static [Ask],
    /// Whether every task, and the run, has callbacks.
    pub(super) calls: bool,
}

/// What somebody may ask of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// To start nothing for a while. (To go on is asked sooner or later.)
    Pause,
    Cancel,
    /// The run's deadline passes.
    Deadline,
    /// To give this task up, or one element of it.
    GiveUp(u32, Option<u32>),
    /// When it has failed: to do again what failed.
    Again,
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
        n_asks: 0,
        asks: &[],
        calls: false,
    };

    /// Whether a task run can become poison.
    pub(super) fn can_poison(self) -> bool {
        self.poison_deaths < u32::MAX
    }
}

#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) plan: Arc<Plan>,
    pub(super) limits: Limits,
    /// By position in the plan.
    pub(super) tasks: Vec<Spec>,
    /// Of an undisturbed execution in which nobody is poison.
    pub(super) undisturbed: Arc<Outcome>,
}

/// A task of a case.
#[derive(Debug)]
pub(super) struct Spec {
    pub(super) fate: Fate,
    /// By position in the plan.
    pub(super) edges: Vec<On>,
    pub(super) when: Option<If>,
    until: Option<u32>,
}

impl Spec {
    pub(super) fn decides(&self) -> bool {
        self.when.is_some() || self.edges.iter().any(|on| matches!(on, On::Settled(_)))
    }

    /// Whether this edge asks for the success of the task that it is from.
    pub(super) fn needs(&self, on: On) -> bool {
        match on {
            On::Whole(_) | On::Each(_) | On::Pairs(_) => true,
            On::Order(_) => self.when.is_none(),
            On::Settled(_) | On::When(_) | On::Until(_) => false,
        }
    }

    /// Whether it is told of a failure of this task.
    fn handles(&self, task: usize) -> bool {
        self.edges.contains(&On::Settled(task)) || self.when.is_some_and(|when| when.names(task))
    }
}

impl On {
    /// The task that the edge is from.
    pub(super) fn from(self) -> Option<usize> {
        match self {
            Self::Whole(task)
            | Self::Each(task)
            | Self::Pairs(task)
            | Self::Settled(task)
            | Self::Order(task) => Some(task),
            Self::When(_) | Self::Until(_) => None,
        }
    }

    /// The same, with tasks by other numbers.
    fn by(self, number: impl Fn(usize) -> usize) -> Self {
        match self {
            Self::Whole(task) => Self::Whole(number(task)),
            Self::Each(task) => Self::Each(number(task)),
            Self::Pairs(task) => Self::Pairs(number(task)),
            Self::Until(n) => Self::Until(n),
            Self::Settled(task) => Self::Settled(number(task)),
            Self::Order(task) => Self::Order(number(task)),
            Self::When(when) => Self::When(match when {
                If::Succeeded(task) => If::Succeeded(number(task)),
                If::Failed(task) => If::Failed(number(task)),
                If::Skipped(task) => If::Skipped(number(task)),
                If::Either(a, b) => If::Either(number(a), number(b)),
                If::Always | If::Input(_) => when,
            }),
        }
    }

    fn dependency(self) -> Option<Dependency> {
        let edge = match self {
            Self::Whole(_) => Edge::Value,
            Self::Each(_) => Edge::Each(|list: &Output| Ok(list.get::<Vec<u64>>()?.len())),
            Self::Pairs(_) => Edge::Pairs(|list: &Output| Ok(list.get::<Vec<u64>>()?.len())),
            Self::Settled(_) => Edge::Settled,
            Self::Order(_) => Edge::Order,
            Self::When(_) | Self::Until(_) => return None,
        };
        Some(Dependency { task: format!("t{}", self.from()?), edge })
    }
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
        let order: Vec<_> = order.collect();
        let position = |task: usize| order.iter().position(|&other| other == task).expect("it is listed");
        let mut builder = Workflow::builder("model");
        let mut specs = Vec::new();
        for &task in &order {
            let (fate, edges) = &tasks[task];
            let retry = RetryPolicy::attempts(fate.attempts()).with_backoff(Backoff::fixed(SECOND));
            let body = ClosureTask(|_: TaskCall| async { Ok::<_, TaskError>(()) });
            let when = edges.iter().find_map(|on| if let On::When(when) = on { Some(*when) } else { None });
            let until =
                edges.iter().find_map(|on| if let On::Until(enough) = on { Some(*enough) } else { None });
            builder = builder.define(TaskDefinition {
                until: until.map(after),
                steps: fate.steps().is_some(),
                callbacks: if limits.calls { callbacks() } else { Callbacks::default() },
                dependencies: edges.iter().filter_map(|on| on.dependency()).collect(),
                options: TaskOptions::new().retry(retry),
                condition: when.map(If::condition),
                ..TaskDefinition::new(format!("t{task}"), Arc::new(body))
            });
            let edges: Vec<_> = edges.iter().map(|on| on.by(position)).collect();
            let when = edges.iter().find_map(|on| if let On::When(when) = on { Some(*when) } else { None });
            let edges = edges.into_iter().filter(|on| on.from().is_some()).collect();
            specs.push(Spec { fate: *fate, edges, when, until });
        }
        if limits.calls {
            let Callbacks { on_success, on_failure } = callbacks();
            let given = "callbacks() has both";
            builder = builder.on_run_success(on_success.expect(given));
            builder = builder.on_run_failure(on_failure.expect(given));
        }
        let plan = Arc::clone(builder.build().expect("the case is a workflow").plan());
        let name = format!("{tasks:?}, first {}, {limits:?}", plan.task(0).name);
        let undisturbed = Arc::new(Outcome { ends: BTreeMap::new(), widths: Vec::new() });
        let mut case = Self { name, plan, limits, tasks: specs, undisturbed };
        case.undisturbed = Arc::new(case.outcome(&[], false, &Enough::default()));
        case
    }

    pub(super) fn fate(&self, key: TaskRunKey) -> Fate {
        self.tasks[key.task as usize].fate
    }

    pub(super) fn kills(&self, key: TaskRunKey) -> bool {
        self.fate(key) == Fate::Kills
    }

    /// Whether the body cares which attempt it is.
    pub(super) fn counts_attempts(&self, key: TaskRunKey) -> bool {
        self.fate(key) == Fate::FailsOnce
    }

    /// How many attempts of a task may fail.
    pub(super) fn attempts(&self, key: TaskRunKey) -> u32 {
        self.fate(key).attempts()
    }

    /// How many outputs are enough for a task.
    pub(super) fn until(&self, task: u32) -> Option<u32> {
        self.tasks[task as usize].until
    }

    /// How many elements a task makes that goes step by step.
    pub(super) fn steps(&self, task: u32) -> Option<u32> {
        self.tasks[task as usize].fate.steps()
    }

    /// Whether the task waits for its dependencies to settle, whatever becomes of them.
    pub(super) fn decides(&self, task: u32) -> bool {
        self.tasks[task as usize].decides()
    }

    /// The tasks that a task waits for, each with whether it needs their success.
    pub(super) fn before(&self, task: u32) -> impl Iterator<Item = (u32, bool)> {
        let spec = &self.tasks[task as usize];
        spec.edges.iter().filter_map(|on| Some((on.from()? as u32, spec.needs(*on))))
    }

    /// The tasks that are told of a failure of this one.
    pub(super) fn handlers(&self, task: u32) -> impl Iterator<Item = u32> {
        let handlers = (0..).zip(&self.tasks).filter(move |(_, spec)| spec.handles(task as usize));
        handlers.map(|(handler, _)| handler)
    }

    /// Executes a body on the arguments that the state machine hands out.
    pub(super) fn body(
        &self,
        state: &RunState,
        key: TaskRunKey,
        attempt: u32,
        again: bool,
    ) -> Result<TaskReturn, AttemptError> {
        let fate = self.fate(key);
        let refuses = fate == Fate::Refuses;
        let mended = again && fate.mends();
        if refuses || (fate.fails(attempt, key.map_index) && !mended) {
            let failure = TaskFailure::new(FailureKind::Error, "no");
            let retry = if refuses { Retry::Skip } else { Retry::Policy };
            return Err(AttemptError { failure, retry });
        }
        let arguments = state.arguments(key);
        let arguments = arguments.iter().flatten().map(|argument| {
            let became = match &argument.settled {
                Settled::Succeeded(output) => Became::Succeeded(output.clone()),
                Settled::Failed(..) => Became::Failed,
                Settled::Skipped(_) => Became::Skipped,
            };
            (became, argument.element)
        });
        let previous = state.previous(key).map(|output| (Became::Succeeded(output), Some(77)));
        let arguments = arguments.chain(previous);
        Ok(TaskReturn { output: output(fate, key, arguments), writes: Writes::default() })
    }
}

/// So many outputs are enough.
fn after(enough: u32) -> Until {
    Until::new(move |n: &mut u32, _: &serde_json::Value| {
        *n += 1;
        if *n >= enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
}

fn callbacks() -> Callbacks {
    let callback = || Some(Callback::new(|_: Ending| async { Ok(()) }));
    Callbacks { on_success: callback(), on_failure: callback() }
}

/// The delay between attempts.
pub(super) const SECOND: Duration = Duration::from_secs(1);

/// A number, or a list of numbers, that depends on the task run and on everything that it was given.
pub(super) fn output(
    fate: Fate,
    key: TaskRunKey,
    arguments: impl Iterator<Item = (Became, Option<u32>)>,
) -> Output {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut mix = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    mix(key.task as u8);
    mix(key.map_index.map_or(255, |index| index as u8));
    for (became, element) in arguments {
        match became {
            Became::Succeeded(output) => output.json().get().bytes().for_each(&mut mix),
            Became::Failed => mix(254),
            Became::Skipped => mix(253),
        }
        mix(element.map_or(255, |index| index as u8));
    }
    let json = match fate {
        Fate::Steps(n) | Fate::StepsFail(n) if key.map_index == Some(n) => "null".to_owned(),
        Fate::Lists(n) => {
            let list: Vec<_> = (0..n).map(|i| (hash >> 32).wrapping_add(u64::from(i)).to_string()).collect();
            format!("[{}]", list.join(","))
        }
        _ => (hash >> 32).to_string(),
    };
    Output::from_json(json).expect("a number is JSON")
}
