//! What an undisturbed execution makes of a case: read in topological order, by none of the code under test.

use std::collections::{BTreeMap, BTreeSet};

use super::case::{Became, Case, Fate, On, output};
use crate::output::Output;
use crate::run::TaskRunKey;

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

impl Case {
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
        let root = self.below(task, 0, n_nodes as u32, &mut values, outcome);
        self.whole[task as usize] = root.map_or(Became::Failed, Became::Succeeded);
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
