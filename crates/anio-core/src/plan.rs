//! A workflow as flat arrays: what runs, and what a run is pinned to.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fmt;
use std::str::FromStr;

use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::condition::Condition;
use crate::name::{TaskName, WorkflowName};
use crate::task::{Callbacks, Edge, ListLen, TaskDefinition};

/// A compiled workflow: tasks by position, edges as positions, a topological order, a fingerprint.
#[derive(Debug)]
pub struct Plan {
    workflow: WorkflowName,
    tasks: Vec<PlanTask>,
    by_name: HashMap<TaskName, u32>,
    /// `dependants[starts[i]..starts[i + 1]]` are the dependants of task `i` (compressed sparse rows).
    starts: Vec<u32>,
    dependants: Vec<u32>,
    topological: Vec<u32>,
    /// For each task whose failure others are told of: those others.
    handlers: HashMap<u32, Vec<u32>>,
    fingerprint: Fingerprint,
    record: PlanRecord,
    callbacks: Callbacks,
    has_callbacks: bool,
}

/// A task of a plan.
#[derive(Debug)]
pub struct PlanTask {
    /// The name.
    pub name: TaskName,
    /// What it waits for: positions and edges, in the order of the body's arguments.
    pub dependencies: Box<[(u32, Edge)]>,
    /// The task as it was defined.
    pub definition: TaskDefinition,
    /// Whether it waits for its dependencies to settle, whatever becomes of them, and decides then.
    pub decides: bool,
    /// Whether it takes the elements that it is mapped over as they come, step by step, and does not wait for
    /// the whole list.
    pub streams: bool,
    shape: Shape,
}

/// What the task runs of a task are.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// There is one.
    One,
    /// One per element of this task's list.
    Each(u32, ListLen),
    /// One per two neighbours of this task's list, or of what others of them made of it.
    Pairs(u32, ListLen),
    /// One after the other.
    Steps,
}

impl Shape {
    fn of(definition: &TaskDefinition, dependencies: &[(u32, Edge)]) -> Self {
        let list = dependencies.iter().find_map(|(task, edge)| match edge {
            Edge::Each(len) => Some(Self::Each(*task, *len)),
            Edge::Pairs(len) => Some(Self::Pairs(*task, *len)),
            _ => None,
        });
        list.unwrap_or(if definition.steps { Self::Steps } else { Self::One })
    }
}

impl PlanTask {
    /// The dependency that this task is mapped over: its position, and how its list is counted.
    pub fn mapped_over(&self) -> Option<(u32, ListLen)> {
        if let Shape::Each(list, len) = self.shape { Some((list, len)) } else { None }
    }

    /// The dependency whose list this task makes one value of: its position, and how it is counted.
    pub fn reduces(&self) -> Option<(u32, ListLen)> {
        if let Shape::Pairs(list, len) = self.shape { Some((list, len)) } else { None }
    }

    /// Whether how many task runs it has is in the facts only, and not in the workflow.
    pub fn is_dynamic(&self) -> bool {
        !matches!(self.shape, Shape::One)
    }
}

impl Plan {
    pub(crate) fn compile(
        workflow: WorkflowName,
        graph: &DiGraph<TaskDefinition, Edge>,
        callbacks: Callbacks,
    ) -> Self {
        let names: Vec<_> = graph.node_weights().map(|task| TaskName::trusted(task.name.as_str())).collect();
        let by_name: HashMap<_, _> =
            (0..).zip(&names).map(|(position, name)| (name.clone(), position)).collect();
        let mut starts = Vec::with_capacity(names.len() + 1);
        let mut dependants = Vec::with_capacity(graph.edge_count());
        for node in graph.node_indices() {
            starts.push(dependants.len() as u32);
            let first = dependants.len();
            dependants.extend(
                graph.edges_directed(node, Direction::Outgoing).map(|edge| edge.target().index() as u32),
            );
            dependants[first..].sort_unstable();
        }
        starts.push(dependants.len() as u32);
        let record = PlanRecord::of(&workflow, graph);
        let tasks: Vec<PlanTask> = names
            .into_iter()
            .zip(graph.node_weights())
            .map(|(name, definition)| {
                let dependencies: Box<[_]> = definition
                    .dependencies
                    .iter()
                    .map(|dependency| (by_name[dependency.task.as_str()], dependency.edge))
                    .collect();
                PlanTask {
                    name,
                    shape: Shape::of(definition, &dependencies),
                    dependencies,
                    definition: definition.clone(),
                    streams: false,
                    decides: definition.condition.is_some()
                        || definition.dependencies.iter().any(|d| matches!(d.edge, Edge::Settled)),
                }
            })
            .collect();
        let calls = |task: &PlanTask| {
            let Callbacks { on_success, on_failure } = &task.definition.callbacks;
            on_success.is_some() || on_failure.is_some()
        };
        let mut plan = Self {
            workflow,
            has_callbacks: tasks.iter().any(calls),
            handlers: handlers(&tasks, &by_name),
            tasks,
            by_name,
            starts,
            dependants,
            topological: topological(graph),
            fingerprint: record.fingerprint(),
            record,
            callbacks,
        };
        for task in 0..plan.n_tasks() {
            plan.tasks[task].streams = plan.can_stream(&plan.tasks[task]);
        }
        plan
    }

    /// Whether a task can begin with what its list has so far: it need not know how that ends, to decide or to
    /// have what else it waits for.
    fn can_stream(&self, task: &PlanTask) -> bool {
        let Some((list, _)) = task.mapped_over() else { return false };
        let mut others = task.dependencies.iter().map(|(other, _)| *other).filter(|other| *other != list);
        self.task(list).definition.steps
            && !task.decides
            && others.all(|other| !self.is_ancestor(list, other))
    }

    /// The workflow's name.
    pub fn workflow(&self) -> &WorkflowName {
        &self.workflow
    }

    /// What is called when all tasks of a run have settled.
    pub fn callbacks(&self) -> &Callbacks {
        &self.callbacks
    }

    /// Whether anything is called when a task run has ended.
    pub fn has_callbacks(&self) -> bool {
        self.has_callbacks
    }

    /// The number of tasks.
    pub fn n_tasks(&self) -> usize {
        self.tasks.len()
    }

    /// The task at this position.
    ///
    /// # Panics
    /// When there is no such position.
    pub fn task(&self, task: u32) -> &PlanTask {
        &self.tasks[task as usize]
    }

    /// All tasks, in the order in which they were defined.
    pub fn tasks(&self) -> &[PlanTask] {
        &self.tasks
    }

    /// The position of the task of this name.
    pub fn position(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    /// The tasks that wait for this one.
    pub fn dependants(&self, task: u32) -> &[u32] {
        let task = task as usize;
        &self.dependants[self.starts[task] as usize..self.starts[task + 1] as usize]
    }

    /// All tasks, each after those it waits for.
    pub fn topological(&self) -> &[u32] {
        &self.topological
    }

    /// The tasks that are told of a failure of this one: by a `settled` edge, or by a condition that names
    /// it. If one of them succeeds, the failure is handled.
    pub fn handlers(&self, task: u32) -> &[u32] {
        self.handlers.get(&task).map_or(&[], Vec::as_slice)
    }

    /// Whether `ancestor` comes before `task` on some path. A walk over the ancestors of `task`; asked
    /// only when two tasks wrote one context key.
    pub fn is_ancestor(&self, ancestor: u32, task: u32) -> bool {
        let mut seen = vec![false; self.tasks.len()];
        let mut open = vec![task];
        while let Some(task) = open.pop() {
            for (dependency, _) in &self.tasks[task as usize].dependencies {
                if *dependency == ancestor {
                    return true;
                }
                if !std::mem::replace(&mut seen[*dependency as usize], true) {
                    open.push(*dependency);
                }
            }
        }
        false
    }

    /// What the plan is pinned by.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// What is stored of the plan.
    pub fn record(&self) -> &PlanRecord {
        &self.record
    }
}

/// A topological order in which tasks that do not wait for each other stand as they were defined.
///
/// (Kahn's algorithm with a heap; `petgraph::algo::toposort` gives the finishing order of a depth-first
/// walk, which puts what was defined last first.)
fn topological(graph: &DiGraph<TaskDefinition, Edge>) -> Vec<u32> {
    let mut missing: Vec<usize> =
        graph.node_indices().map(|node| graph.edges_directed(node, Direction::Incoming).count()).collect();
    let roots = (0..missing.len()).filter(|&task| missing[task] == 0);
    let mut open: BinaryHeap<_> = roots.map(|task| Reverse(NodeIndex::new(task))).collect();
    let mut order = Vec::with_capacity(missing.len());
    while let Some(Reverse(node)) = open.pop() {
        order.push(node.index() as u32);
        for dependant in graph.neighbors_directed(node, Direction::Outgoing) {
            missing[dependant.index()] -= 1;
            if missing[dependant.index()] == 0 {
                open.push(Reverse(dependant));
            }
        }
    }
    assert!(order.len() == missing.len(), "a built workflow has no cycle");
    order
}

/// Who is told of which task's failure.
fn handlers(tasks: &[PlanTask], by_name: &HashMap<TaskName, u32>) -> HashMap<u32, Vec<u32>> {
    let mut handlers: HashMap<u32, Vec<u32>> = HashMap::new();
    for (handler, task) in (0..).zip(tasks) {
        let by_edge = task.dependencies.iter().filter(|(_, edge)| matches!(edge, Edge::Settled));
        let named = task.definition.condition.iter().flat_map(Condition::tasks);
        let mut told: Vec<u32> = by_edge.map(|(task, _)| *task).collect();
        told.extend(named.filter_map(|name| by_name.get(name).copied())); // `build` refuses unknown names.
        told.sort_unstable();
        told.dedup();
        for task in told {
            handlers.entry(task).or_default().push(handler);
        }
    }
    handlers
}

/// A hash of all that a run relies on: task names, edges, types of outputs. (XXH3, 128 bits.)
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(u128);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(text, 16).map(Self)
    }
}

/// What is stored of a plan, so that a later program can tell what has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanRecord {
    /// The workflow's name.
    pub workflow: WorkflowName,
    /// Its tasks, in alphabetical order.
    pub tasks: Vec<TaskRecord>,
}

/// What is stored of a task of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// The name.
    pub name: String,
    /// What it waits for, in alphabetical order: name and kind of edge.
    pub after: Vec<(String, String)>,
    /// The type of its output.
    pub output: String,
    /// Its condition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// Whether it goes step by step.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub steps: bool,
}

impl PlanRecord {
    fn of(workflow: &WorkflowName, graph: &DiGraph<TaskDefinition, Edge>) -> Self {
        let mut tasks: Vec<_> = graph
            .node_weights()
            .map(|task| {
                let edges = task.dependencies.iter();
                let mut after: Vec<_> =
                    edges.map(|edge| (edge.task.clone(), edge.edge.word().to_owned())).collect();
                after.sort();
                TaskRecord {
                    name: task.name.clone(),
                    after,
                    output: task.output_type.to_owned(),
                    when: task.condition.as_ref().map(ToString::to_string),
                    steps: task.steps,
                }
            })
            .collect();
        tasks.sort_by(|a, b| a.name.cmp(&b.name));
        Self { workflow: workflow.clone(), tasks }
    }

    /// The record's fingerprint.
    pub fn fingerprint(&self) -> Fingerprint {
        let text = serde_json::to_vec(self).expect("a plan record is plain data");
        Fingerprint(xxh3_128(&text))
    }

    /// Why a run that began under `self` cannot go on under `new`; `None` when it can.
    ///
    /// It can when every task that has `begun` (has a fact) is still there, waits for the same tasks under the
    /// same condition and returns the same type: tasks that are only added, or changed before they began, do no harm.
    pub fn difference(&self, new: &Self, begun: impl Fn(&str) -> bool) -> Option<String> {
        let task_of = |name: &str| new.tasks.binary_search_by(|task| task.name.as_str().cmp(name)).ok();
        self.tasks.iter().filter(|old| begun(&old.name)).find_map(|old| {
            let Some(position) = task_of(&old.name) else {
                return Some(format!(
                    "task {:?} has begun in this run and is gone from the program",
                    old.name
                ));
            };
            let new = &new.tasks[position];
            if new.after != old.after {
                let names = |after: &[(String, String)]| {
                    after.iter().map(|(task, edge)| format!("{task} ({edge})")).collect::<Vec<_>>().join(", ")
                };
                let (was, is) = (names(&old.after), names(&new.after));
                return Some(format!(
                    "task {:?} has begun in this run waiting for [{was}] and now waits for [{is}]",
                    old.name
                ));
            }
            if new.when != old.when {
                let text = |when: &Option<String>| when.clone().unwrap_or_else(|| "no condition".to_owned());
                let (was, is) = (text(&old.when), text(&new.when));
                return Some(format!(
                    "task {:?} has been decided in this run under {was} and is now under {is}",
                    old.name
                ));
            }
            if new.steps != old.steps {
                let (was, is) = if old.steps { ("step by step", "once") } else { ("once", "step by step") };
                return Some(format!("task {:?} has begun in this run {was} and now goes {is}", old.name));
            }
            (new.output != old.output).then(|| {
                format!(
                    "task {:?} has begun in this run returning {} and now returns {}",
                    old.name, old.output, new.output
                )
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::{Condition, TaskError, TaskOptions, Workflow, WorkflowBuilder};

    fn workflow(edges: &[(&str, &[&str])]) -> Workflow {
        let mut builder = Workflow::builder("w");
        for (task, dependencies) in edges {
            builder = builder.task(*task, TaskOptions::new(), |_| async { Ok::<_, TaskError>(()) });
            for dependency in *dependencies {
                builder = builder.after(*dependency);
            }
        }
        builder.build().unwrap()
    }

    #[test]
    fn the_arrays_say_what_the_graph_says() {
        let diamond = workflow(&[("d", &["b", "c"]), ("b", &["a"]), ("c", &["a"]), ("a", &[])]);
        let plan = diamond.plan();
        let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| plan.position(name).unwrap());
        assert_eq!(plan.dependants(a), [b.min(c), b.max(c)]);
        assert!(plan.dependants(d).is_empty());
        assert!(
            plan.is_ancestor(a, d)
                && plan.is_ancestor(b, d)
                && !plan.is_ancestor(b, c)
                && !plan.is_ancestor(d, d)
        );
        let place = |task| plan.topological().iter().position(|&t| t == task).unwrap();
        assert!(place(a) < place(b) && place(b) < place(d) && place(c) < place(d));
    }

    #[test]
    fn the_fingerprint_is_of_names_and_edges_and_not_of_their_order() {
        let one = workflow(&[("a", &[]), ("b", &["a"])]).plan().fingerprint();
        assert_eq!(one, workflow(&[("b", &["a"]), ("a", &[])]).plan().fingerprint());
        assert_ne!(one, workflow(&[("a", &[]), ("b", &[])]).plan().fingerprint());
        assert_eq!(one.to_string().parse::<super::Fingerprint>().unwrap(), one);
    }

    #[test]
    fn steps_that_have_begun_stay_steps() {
        let task = |name: &str| {
            let task = |_| async { Ok::<_, TaskError>(None::<u32>) };
            Workflow::builder("w").task(name, TaskOptions::new(), task)
        };
        let (once, steps) = (task("a").build().unwrap(), task("a").steps().build().unwrap());
        assert_ne!(once.plan().fingerprint(), steps.plan().fingerprint());
        let (once, steps) = (once.plan().record(), steps.plan().record());
        let told = steps.difference(once, |_| true).unwrap();
        assert_eq!(told, "task \"a\" has begun in this run step by step and now goes once");
        assert_eq!(steps.difference(once, |_| false), None);
    }

    #[test]
    fn what_needs_only_the_elements_of_steps_takes_them_as_they_come() {
        let task = |builder: WorkflowBuilder, name: &str| {
            builder.task(name, TaskOptions::new(), |_| async { Ok::<_, TaskError>(None::<u32>) })
        };
        let steps = || task(Workflow::builder("w"), "list").steps();
        let mapped = |builder| task(builder, "mapped").map_over::<u32>("list");
        let streams = |builder: WorkflowBuilder| {
            let workflow = builder.build().unwrap();
            let plan = workflow.plan();
            plan.task(plan.position("mapped").unwrap()).streams
        };
        assert!(streams(mapped(steps())));
        assert!(streams(mapped(task(steps(), "beside")).after("beside")));
        assert!(!streams(mapped(task(steps(), "behind").after("list")).after("behind")));
        assert!(!streams(mapped(steps()).when(Condition::Always)));
        assert!(!streams(mapped(task(steps(), "beside")).after_settled("beside")));
        assert!(!streams(mapped(task(Workflow::builder("w"), "list"))));
    }

    #[test]
    fn a_changed_condition_is_told_where_it_has_been_decided() {
        let with = |condition: Option<Condition>| {
            let task = |builder: WorkflowBuilder, name: &str| {
                builder.task(name, TaskOptions::new(), |_| async { Ok::<_, TaskError>(()) })
            };
            let builder = task(task(Workflow::builder("w"), "a"), "b").after("a");
            condition.into_iter().fold(builder, WorkflowBuilder::when).build().unwrap()
        };
        let (old, new) = (with(Some(Condition::failed("a"))), with(None));
        let difference = |begun: &[&str]| {
            old.plan().record().difference(new.plan().record(), |task| begun.contains(&task))
        };
        assert_eq!(difference(&["a"]), None);
        assert!(difference(&["a", "b"]).unwrap().contains("under failed(a) and is now under no condition"));
    }

    #[test]
    fn a_change_is_told_only_where_a_task_has_begun() {
        let old = workflow(&[("a", &[]), ("b", &["a"])]);
        let added = workflow(&[("a", &[]), ("b", &["a"]), ("c", &["b"])]);
        let rewired = workflow(&[("a", &[]), ("x", &[]), ("b", &["a", "x"])]);
        let gone = workflow(&[("b", &[])]);
        let difference = |new: &Workflow, begun: &[&str]| {
            old.plan().record().difference(new.plan().record(), |task| begun.contains(&task))
        };
        assert_eq!(difference(&added, &["a", "b"]), None);
        assert_eq!(difference(&rewired, &["a"]), None);
        assert!(difference(&rewired, &["a", "b"]).unwrap().contains("now waits for [a (value), x (value)]"));
        assert!(difference(&gone, &["a"]).unwrap().contains("\"a\" has begun in this run and is gone"));
    }
}
