//! A case: a small DAG, what its bodies do, and what an undisturbed execution makes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

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
    fn attempts(self) -> u32 {
        match self {
            Self::FailsOnce | Self::Fails => 2,
            _ => 1,
        }
    }

    /// Of a task that goes step by step: how many elements it makes.
    fn steps(self) -> Option<u32> {
        match self {
            Self::Steps(n) | Self::StepsFail(n) => Some(n),
            _ => None,
        }
    }

    fn mends(self) -> bool {
        matches!(self, Self::Mends | Self::StepsFail(_))
    }

    fn fails(self, attempt: u32, map_index: Option<u32>) -> bool {
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

    fn holds(self, became: impl Fn(usize) -> Became) -> bool {
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

/// What becomes of a task run.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum End {
    Succeeded(Output),
    Failed,
    /// One of many task runs of a task: another one failed that it needs, or the task has enough.
    LeftOut,
    /// Of a task, under its key without an element: it needs one that did not succeed.
    Skipped,
    /// Likewise: it decided not to run.
    Declined,
    /// Likewise: its body did.
    Refused,
}

/// What an undisturbed execution makes of a case.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) ends: BTreeMap<TaskRunKey, End>,
    /// How many elements each mapped task has, where it gets that far.
    pub(super) widths: Vec<Option<u32>>,
}

impl Outcome {
    /// The output of a task run.
    pub(super) fn output(&self, key: TaskRunKey) -> Option<&Output> {
        match self.ends.get(&key)? {
            End::Succeeded(output) => Some(output),
            End::Failed | End::LeftOut | End::Skipped | End::Declined | End::Refused => None,
        }
    }

    /// Whether anything of the task is executed, or its list is read.
    pub(super) fn runs(&self, task: u32) -> bool {
        let whole = TaskRunKey { task, map_index: None };
        !matches!(self.ends.get(&whole), Some(End::Skipped | End::Declined))
    }
}

/// What is known of the tasks that had enough: which depends on who ended first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Enough {
    /// The task runs that are skipped.
    pub(super) left_out: BTreeSet<TaskRunKey>,
    /// The tasks that have stopped, with the number of their task runs.
    pub(super) widths: BTreeMap<u32, u32>,
}

#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) plan: Arc<Plan>,
    pub(super) limits: Limits,
    /// By position in the plan.
    tasks: Vec<Spec>,
    /// Of an undisturbed execution in which nobody is poison.
    pub(super) undisturbed: Arc<Outcome>,
}

/// A task of a case.
#[derive(Debug)]
struct Spec {
    fate: Fate,
    /// By position in the plan.
    edges: Vec<On>,
    when: Option<If>,
    until: Option<u32>,
}

impl Spec {
    fn decides(&self) -> bool {
        self.when.is_some() || self.edges.iter().any(|on| matches!(on, On::Settled(_)))
    }

    /// Whether this edge asks for the success of the task that it is from.
    fn needs(&self, on: On) -> bool {
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

    fn fate(&self, key: TaskRunKey) -> Fate {
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
    ) -> Result<TaskReturn, AttemptError> {
        let fate = self.fate(key);
        let refuses = fate == Fate::Refuses;
        let mended = fate.mends() && state.attempts_before.keys().any(|cleared| cleared.task == key.task);
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

    /// What an undisturbed execution makes of the case where these task runs fail as poison, or given up, and
    /// these are left out: the DAG read in topological order, by none of the code that is under test.
    pub(super) fn outcome(&self, poison: &[TaskRunKey], again: bool, enough: &Enough) -> Outcome {
        let n = self.tasks.len();
        let mut reading = Reading { case: self, poison, again, enough, whole: vec![Became::Skipped; n] };
        let mut outcome = Outcome { ends: BTreeMap::new(), widths: vec![None; n] };
        for &task in self.plan.topological() {
            reading.task(task, &mut outcome);
        }
        outcome
    }
}

/// A case, read in topological order.
struct Reading<'a> {
    case: &'a Case,
    poison: &'a [TaskRunKey],
    again: bool,
    enough: &'a Enough,
    /// What became of each task so far.
    whole: Vec<Became>,
}

impl Reading<'_> {
    fn task(&mut self, task: u32, outcome: &mut Outcome) {
        let key = TaskRunKey { task, map_index: None };
        let spec = &self.case.tasks[task as usize];
        let (whole, ends) = (task as usize, &mut outcome.ends);
        if self.poison.contains(&key) {
            ends.insert(key, End::Failed);
            self.whole[whole] = Became::Failed;
            return;
        }
        let holds = spec.when.is_none_or(|when| when.holds(|task| self.whole[task].clone()));
        let needs = |on: &&On| spec.needs(**on);
        let has_succeeded = |task: usize| matches!(self.whole[task], Became::Succeeded(_));
        let from = |on: &On| on.from().expect("an edge is from a task");
        let lacking: Vec<_> = spec.edges.iter().filter(needs).filter(|on| !has_succeeded(from(on))).collect();
        let stream = self.stream(task, outcome);
        // It has the elements that were made before their steps failed.
        let lacks_the_rest =
            matches!((&lacking[..], &stream), ([On::Each(_)], Some(list)) if !list.is_empty());
        let ends = &mut outcome.ends;
        if !holds || !(lacking.is_empty() || lacks_the_rest) {
            ends.insert(key, if spec.decides() { End::Declined } else { End::Skipped });
            return;
        }
        if spec.fate == Fate::Refuses {
            ends.insert(key, End::Refused);
            return;
        }
        if let Some(n) = spec.fate.steps() {
            let (of_task, whole_output) = self.steps(task, n);
            outcome.widths[whole] = Some(of_task.len() as u32);
            ends.extend(of_task);
            self.whole[whole] = whole_output.map_or(Became::Failed, Became::Succeeded);
            return;
        }
        let list = spec.edges.iter().find_map(|on| match on {
            On::Each(list) | On::Pairs(list) => Some(*list),
            _ => None,
        });
        let Some(list) = list else {
            let end = self.end(key, self.arguments(key));
            self.whole[whole] = match &end {
                End::Succeeded(output) => Became::Succeeded(output.clone()),
                _ => Became::Failed,
            };
            ends.insert(key, end);
            return;
        };
        let list = match (stream, &self.whole[list]) {
            (Some(items), _) => items,
            (None, Became::Succeeded(list)) if list.parse::<Vec<u64>>().is_ok() => list.elements(),
            _ => {
                ends.insert(key, End::Failed);
                self.whole[whole] = Became::Failed;
                return;
            }
        };
        if spec.edges.iter().any(|on| matches!(on, On::Pairs(_))) {
            return self.tree(task, &list, outcome);
        }
        let n = self.enough.widths.get(&task).copied().unwrap_or(list.len() as u32);
        outcome.widths[whole] = Some(n);
        let keys = (0..n).map(|index| TaskRunKey { task, map_index: Some(index) });
        let of_task: Vec<_> = keys.map(|key| (key, self.end(key, self.arguments_of(key, &list)))).collect();
        self.whole[whole] = if of_task.iter().any(|(_, end)| *end == End::Failed) {
            Became::Failed
        } else if lacks_the_rest {
            Became::Skipped
        } else {
            Became::Succeeded(list_of(&of_task))
        };
        ends.extend(of_task);
    }

    /// The elements that a task takes from steps as they come, whatever becomes of these.
    fn stream(&self, task: u32, outcome: &Outcome) -> Option<Vec<Output>> {
        let planned = self.case.plan.task(task);
        let (list, _) = planned.mapped_over().filter(|_| planned.streams)?;
        let steps = (0..).map(|index| TaskRunKey { task: list, map_index: Some(index) });
        let outputs = steps.map_while(|step| outcome.output(step));
        Some(outputs.take_while(|output| !output.is_null()).cloned().collect())
    }

    /// The steps of a task, and their list.
    fn steps(&self, task: u32, n: u32) -> (Vec<(TaskRunKey, End)>, Option<Output>) {
        let mut steps: Vec<(TaskRunKey, End)> = Vec::new();
        let width = self.enough.widths.get(&task).copied().unwrap_or(n + 1);
        for index in 0..width {
            let key = TaskRunKey { task, map_index: Some(index) };
            let previous = match steps.last() {
                Some((_, End::Succeeded(output))) => Some((Became::Succeeded(output.clone()), Some(77))),
                _ => None,
            };
            let end = self.end(key, self.arguments(key).chain(previous));
            let has_ended = !matches!(end, End::Succeeded(_));
            steps.push((key, end));
            if has_ended {
                break;
            }
        }
        let has_failed = steps.iter().any(|(_, end)| *end == End::Failed);
        let list = (!has_failed).then(|| list_of(&steps));
        (steps, list)
    }

    /// One value of a list.
    fn tree(&mut self, task: u32, list: &[Output], outcome: &mut Outcome) {
        let whole = TaskRunKey { task, map_index: None };
        let Some(n_nodes) = list.len().checked_sub(1) else {
            outcome.ends.insert(whole, End::Declined);
            return;
        };
        outcome.widths[task as usize] = Some(n_nodes as u32);
        let mut values = list.iter();
        let last = self.below(task, 0, n_nodes as u32, &mut values, outcome);
        self.whole[task as usize] = last.map_or(Became::Failed, Became::Succeeded);
    }

    /// What comes to stand at a position of the tree: the values, taken from the left, are its leaves.
    fn below<'a>(
        &self,
        task: u32,
        position: u32,
        n_nodes: u32,
        values: &mut impl Iterator<Item = &'a Output>,
        outcome: &mut Outcome,
    ) -> Option<Output> {
        if position >= n_nodes {
            return values.next().cloned();
        }
        let left = self.below(task, 2 * position + 1, n_nodes, values, outcome);
        let right = self.below(task, 2 * position + 2, n_nodes, values, outcome);
        let key = TaskRunKey { task, map_index: Some(position) };
        let end = match (left, right) {
            (Some(left), Some(right)) => {
                let pair = Output::gathered(vec![left, right], None);
                let pair = (Became::Succeeded(pair), None);
                self.end(key, self.given(key, &pair).into_iter())
            }
            _ if self.poison.contains(&key) => End::Failed,
            _ => End::LeftOut,
        };
        let output = if let End::Succeeded(output) = &end { Some(output.clone()) } else { None };
        outcome.ends.insert(key, end);
        output
    }

    fn end(&self, key: TaskRunKey, arguments: impl Iterator<Item = (Became, Option<u32>)>) -> End {
        let fate = self.case.fate(key);
        if self.enough.left_out.contains(&key) {
            return End::LeftOut;
        }
        let mended = self.again && fate.mends();
        if self.poison.contains(&key) || (fate.fails(fate.attempts(), key.map_index) && !mended) {
            return End::Failed;
        }
        End::Succeeded(output(fate, key, arguments))
    }

    fn arguments(&self, key: TaskRunKey) -> impl Iterator<Item = (Became, Option<u32>)> {
        self.given(key, &(Became::Skipped, None)).into_iter()
    }

    /// The arguments of an element of a map over this list.
    fn arguments_of(&self, key: TaskRunKey, list: &[Output]) -> impl Iterator<Item = (Became, Option<u32>)> {
        let index = key.map_index.expect("it is an element");
        let of_list = if self.case.plan.task(key.task).streams {
            (Became::Succeeded(Output::gathered(vec![list[index as usize].clone()], None)), Some(0))
        } else {
            (Became::Succeeded(Output::gathered(list.to_vec(), None)), Some(index))
        };
        self.given(key, &of_list).into_iter()
    }

    /// What a task run is given, with this for what is of its list.
    fn given(&self, key: TaskRunKey, of_list: &(Became, Option<u32>)) -> Vec<(Became, Option<u32>)> {
        let edges = self.case.tasks[key.task as usize].edges.iter();
        let given = edges.filter_map(|on| match on {
            On::Order(_) | On::When(_) | On::Until(_) => None,
            On::Each(_) | On::Pairs(_) => Some(of_list.clone()),
            On::Whole(task) | On::Settled(task) => Some((self.whole[*task].clone(), None)),
        });
        given.collect()
    }
}

/// The list of the outputs that there are, but for the null of the step that found the end.
fn list_of(runs: &[(TaskRunKey, End)]) -> Output {
    let outputs = runs.iter().filter_map(|(_, end)| match end {
        End::Succeeded(output) if !output.is_null() => Some(output.clone()),
        _ => None,
    });
    Output::gathered(outputs.collect(), None)
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
fn output(fate: Fate, key: TaskRunKey, arguments: impl Iterator<Item = (Became, Option<u32>)>) -> Output {
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
