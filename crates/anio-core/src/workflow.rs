//! A workflow: a named DAG of tasks, checked when it is built.

use std::collections::HashMap;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use petgraph::algo::{tarjan_scc, toposort};
use petgraph::graph::{DiGraph, NodeIndex};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::condition::Condition;
use crate::error::{TaskError, WorkflowError, WorkflowErrors};
use crate::name::{WorkflowName, check_name, did_you_mean};
use crate::output::Output;
use crate::plan::Plan;
use crate::task::{
    Callback, Callbacks, ClosureTask, Dependency, Edge, TaskCall, TaskDefinition, TaskOptions, Until,
};

/// The most tasks that a workflow may have.
pub const TASKS_MAX: usize = 1_000_000;

/// A named DAG of tasks. Cheap to clone.
///
/// `#[workflow]` and `workflow!` build one at compile time; [`Workflow::builder`] builds one from what is
/// known at run time only.
///
/// ```
/// use anio_core::{TaskCall, TaskError, TaskOptions, Workflow};
///
/// let workflow = Workflow::builder("greeting")
///     .task("name", TaskOptions::new(), |_: TaskCall| async { Ok::<_, TaskError>("Ada".to_owned()) })
///     .task("greet", TaskOptions::new(), |call: TaskCall| async move {
///         let name = call.output::<String>("name")?;
///         Ok::<_, TaskError>(format!("hello {name}"))
///     })
///     .after("name")
///     .build()?;
/// assert_eq!(workflow.graph().node_count(), 2);
/// assert!(workflow.to_mermaid().contains("name --> greet"));
/// # Ok::<(), anio_core::WorkflowErrors>(())
/// ```
#[derive(Clone)]
pub struct Workflow(Arc<Inner>);

struct Inner {
    name: WorkflowName,
    description: String,
    graph: DiGraph<TaskDefinition, Edge>,
    plan: Arc<Plan>,
}

impl Workflow {
    /// Begins a workflow of this name.
    pub fn builder(name: impl Into<String>) -> WorkflowBuilder {
        WorkflowBuilder {
            name: name.into(),
            description: String::new(),
            tasks: Vec::new(),
            callbacks: Callbacks::default(),
            problems: Vec::new(),
        }
    }

    /// The name.
    pub fn name(&self) -> &WorkflowName {
        &self.0.name
    }

    /// The description; empty when none was given.
    pub fn description(&self) -> &str {
        &self.0.description
    }

    /// The graph: an edge leads from a dependency to its dependant.
    pub fn graph(&self) -> &DiGraph<TaskDefinition, Edge> {
        &self.0.graph
    }

    /// The graph as flat arrays, which is what runs.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.0.plan
    }

    /// The graph in the language of [Mermaid](https://mermaid.js.org) flow charts.
    pub fn to_mermaid(&self) -> String {
        let mut text = String::from("flowchart TD\n");
        for node in self.0.graph.node_indices() {
            let name = &self.0.graph[node].name;
            let id = self.mermaid_id(node);
            if id == *name {
                text += &format!("    {id}\n");
            } else {
                text += &format!("    {id}[\"{}\"]\n", name.replace('"', "#quot;"));
            }
        }
        for edge in self.0.graph.edge_indices() {
            let (from, to) = self.0.graph.edge_endpoints(edge).expect("an edge has two ends");
            let arrow = match self.0.graph[edge] {
                Edge::Order => "-.->",
                Edge::Value => "-->",
                Edge::Settled => "-- settled -->",
                Edge::Each(_) => "-- each -->",
                Edge::Pairs(_) => "-- pairs -->",
            };
            text += &format!("    {} {arrow} {}\n", self.mermaid_id(from), self.mermaid_id(to));
        }
        text
    }

    /// The graph in the language of [Graphviz](https://graphviz.org).
    pub fn to_dot(&self) -> String {
        let mut text = format!("digraph {:?} {{\n", self.0.name.as_str());
        for definition in self.0.graph.node_weights() {
            text += &format!("    {:?};\n", definition.name);
        }
        for edge in self.0.graph.edge_indices() {
            let (from, to) = self.0.graph.edge_endpoints(edge).expect("an edge has two ends");
            let style = match self.0.graph[edge] {
                Edge::Order => " [style=dashed]",
                Edge::Value => "",
                Edge::Settled => " [label=\"settled\"]",
                Edge::Each(_) => " [label=\"each\"]",
                Edge::Pairs(_) => " [label=\"pairs\"]",
            };
            text += &format!("    {:?} -> {:?}{style};\n", self.0.graph[from].name, self.0.graph[to].name);
        }
        text + "}\n"
    }

    /// The graph as JSON: name, description, fingerprint, and for each task its name, its dependencies
    /// with the kind of each edge, and the type of its output.
    pub fn to_json(&self) -> serde_json::Value {
        let tasks: Vec<_> = self
            .0
            .graph
            .node_weights()
            .map(|task| {
                let dependencies: Vec<_> = task
                    .dependencies
                    .iter()
                    .map(|dependency| json!({ "task": dependency.task, "edge": dependency.edge.word() }))
                    .collect();
                let when = task.condition.as_ref().map(ToString::to_string);
                json!({ "name": task.name, "dependencies": dependencies, "when": when, "output": task.output_type })
            })
            .collect();
        json!({
            "name": self.0.name,
            "description": self.0.description,
            "fingerprint": self.0.plan.fingerprint().to_string(),
            "tasks": tasks,
        })
    }

    fn mermaid_id(&self, node: NodeIndex) -> String {
        let name = &self.0.graph[node].name;
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && name != "end";
        if plain { name.clone() } else { format!("t{}", node.index()) }
    }
}

impl fmt::Debug for Workflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Workflow({:?}, {} tasks)", self.0.name, self.0.graph.node_count())
    }
}

/// Collects the tasks of a workflow; [`WorkflowBuilder::build`] checks them all.
#[derive(Debug)]
pub struct WorkflowBuilder {
    name: String,
    description: String,
    tasks: Vec<TaskDefinition>,
    callbacks: Callbacks,
    problems: Vec<WorkflowError>,
}

impl WorkflowBuilder {
    /// Describes the workflow to people.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }

    /// Adds a task: a closure that is given the call and returns a value that serialises.
    ///
    /// The closure's call gives the outputs of its dependencies ([`TaskCall::output`]), the run's input,
    /// the context and the handle.
    #[must_use]
    pub fn task<F, Fut, T, E>(self, name: impl Into<String>, options: TaskOptions, body: F) -> Self
    where
        F: Fn(TaskCall) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Serialize + Send + Sync + 'static,
        E: Into<TaskError> + Send + 'static,
    {
        self.define(TaskDefinition {
            options,
            output_type: std::any::type_name::<T>(),
            uses_context: true,
            ..TaskDefinition::new(name, Arc::new(ClosureTask(body)))
        })
    }

    /// Adds a task as it is described.
    #[must_use]
    pub fn define(mut self, definition: TaskDefinition) -> Self {
        self.tasks.push(definition);
        self
    }

    /// Lets the task added last wait for another, whose output it can read.
    #[must_use]
    pub fn after(self, dependency: impl Into<String>) -> Self {
        self.dependency(dependency.into(), Edge::Value)
    }

    /// Lets the task added last wait for another, whatever becomes of it: [`TaskCall::settled`] tells what.
    /// A failure that it is told of counts as handled when it succeeds.
    #[must_use]
    pub fn after_settled(self, dependency: impl Into<String>) -> Self {
        self.dependency(dependency.into(), Edge::Settled)
    }

    /// Lets the task added last run only if a condition holds, which is decided when all its dependencies
    /// have settled. The condition may name any task that comes before.
    #[must_use]
    pub fn when(mut self, condition: Condition) -> Self {
        match self.tasks.last_mut() {
            Some(last) => last.condition = Some(condition),
            None => self.problems.push(WorkflowError::NoTaskBefore),
        }
        self
    }

    /// Calls a function after each task run of the task added last that succeeded.
    #[must_use]
    pub fn on_success(mut self, callback: Callback) -> Self {
        match self.tasks.last_mut() {
            Some(last) => last.callbacks.on_success = Some(callback),
            None => self.problems.push(WorkflowError::NoTaskBefore),
        }
        self
    }

    /// Calls a function after each task run of the task added last that failed for good.
    #[must_use]
    pub fn on_failure(mut self, callback: Callback) -> Self {
        match self.tasks.last_mut() {
            Some(last) => last.callbacks.on_failure = Some(callback),
            None => self.problems.push(WorkflowError::NoTaskBefore),
        }
        self
    }

    /// Calls a function when all tasks of a run have settled and no failure is left unhandled, before the
    /// run counts as ended.
    #[must_use]
    pub fn on_run_success(mut self, callback: Callback) -> Self {
        self.callbacks.on_success = Some(callback);
        self
    }

    /// Calls a function when all tasks of a run have settled and a failure is left unhandled, before the
    /// run counts as ended. A run that is cancelled, or whose deadline passes, is not told of.
    #[must_use]
    pub fn on_run_failure(mut self, callback: Callback) -> Self {
        self.callbacks.on_failure = Some(callback);
        self
    }

    /// Maps the task added last over the list that another returns: one task run per element, each of
    /// which reads its own by [`TaskCall::element`]. The list may have up to 1,000,000 elements; an
    /// empty one is a map of zero, which succeeds.
    #[must_use]
    pub fn map_over<T: DeserializeOwned + Send + Sync + 'static>(
        self,
        dependency: impl Into<String>,
    ) -> Self {
        self.dependency(dependency.into(), Edge::Each(|list: &Output| Ok(list.get::<Vec<T>>()?.len())))
    }

    /// Lets the task added last make one value of the list that another returns, two by two, in a tree: each
    /// task run makes one of two neighbours ([`TaskCall::pair`]), of elements or of what other task runs made.
    /// Its output is the last of these values. Of one element it is that element, without a task run; where
    /// the list is empty the task is skipped.
    ///
    /// The order of the list is kept, so the operation need be associative, and no more. The list may have up
    /// to 1,000,000 elements; the tree is as low as can be: ⌈log₂ n⌉ task runs from an element to the output.
    #[must_use]
    pub fn reduce_over<T: DeserializeOwned + Send + Sync + 'static>(
        self,
        dependency: impl Into<String>,
    ) -> Self {
        self.dependency(dependency.into(), Edge::Pairs(|list: &Output| Ok(list.get::<Vec<T>>()?.len())))
    }

    /// Ends the map of the task added last when it has enough: `fold` is given each output, in the order in
    /// which the elements succeeded, and something to remember them in, which begins as `A::default()`. After
    /// its first `Break` no element begins any more. Those that are under way are told to stop, and what has
    /// not succeeded is skipped; the task succeeds with the outputs that there are. An element that has failed for
    /// good before that fails the task, as in any map.
    ///
    /// That the map has enough is durable. `fold` is called while the engine decides what comes next, and
    /// again when a run is read back: it should be quick, and depend on nothing but what it is given. An
    /// output that does not read as a `T`, or a panic in `fold`, fails the element for good.
    #[must_use]
    pub fn until<A, T, F>(mut self, fold: F) -> Self
    where
        A: Default + Clone + Send + Sync + 'static,
        T: DeserializeOwned + Send + Sync + 'static,
        F: Fn(&mut A, &T) -> ControlFlow<()> + Send + Sync + 'static,
    {
        match self.tasks.last_mut() {
            Some(last) => last.until = Some(Until::new(fold)),
            None => self.problems.push(WorkflowError::NoTaskBefore),
        }
        self
    }

    /// Lets the task added last go step by step: a task run that returns a value is followed by another, which
    /// is given that value ([`TaskCall::previous`]), up to the one that returns `None` (JSON null), or to the
    /// limit of 1,000,000. The task's output is the list of the values.
    ///
    /// Each step is durable before the next begins. A task that is mapped over this one takes each value as
    /// soon as it is there, unless it has a condition, or waits for other tasks that come after this one.
    #[must_use]
    pub fn steps(mut self) -> Self {
        match self.tasks.last_mut() {
            Some(last) => last.steps = true,
            None => self.problems.push(WorkflowError::NoTaskBefore),
        }
        self
    }

    fn dependency(mut self, task: String, edge: Edge) -> Self {
        match self.tasks.last_mut() {
            Some(last) => last.dependencies.push(Dependency { task, edge }),
            None => self.problems.push(WorkflowError::NoTaskBefore),
        }
        self
    }

    /// Checks everything and builds the workflow.
    ///
    /// # Errors
    /// All that is wrong, at once: names, options, unknown or doubled dependencies, and the path of
    /// each cycle.
    pub fn build(self) -> Result<Workflow, WorkflowErrors> {
        let Self { name, description, tasks, callbacks, mut problems } = self;
        let workflow_name = WorkflowName::new(&name).map_err(|error| problems.push(error)).ok();
        if tasks.is_empty() {
            problems.push(WorkflowError::NoTasks { workflow: name.clone() });
        }
        if tasks.len() > TASKS_MAX {
            problems.push(WorkflowError::TooManyTasks { workflow: name, n_tasks: tasks.len() });
            return Err(WorkflowErrors(problems));
        }
        let graph = connect(tasks, &mut problems);
        find_cycles(&graph, &mut problems);
        match workflow_name {
            Some(name) if problems.is_empty() => {
                let plan = Plan::compile(name.clone(), &graph, callbacks);
                check_conditions(&plan, &mut problems);
                if !problems.is_empty() {
                    return Err(WorkflowErrors(problems));
                }
                let plan = Arc::new(plan);
                Ok(Workflow(Arc::new(Inner { name, description, graph, plan })))
            }
            _ => Err(WorkflowErrors(problems)),
        }
    }
}

/// Makes the graph, noting every name, option and dependency that is wrong.
fn connect(tasks: Vec<TaskDefinition>, problems: &mut Vec<WorkflowError>) -> DiGraph<TaskDefinition, Edge> {
    let mut graph = DiGraph::with_capacity(tasks.len(), tasks.len());
    let mut by_name = HashMap::with_capacity(tasks.len());
    for definition in tasks {
        problems.extend(check_name("task", &definition.name).err());
        problems.extend(definition.options.check(&definition.name).err());
        let name = definition.name.clone();
        let node = graph.add_node(definition);
        if by_name.insert(name.clone(), node).is_some() {
            problems.push(WorkflowError::DuplicateTask { task: name });
        }
    }
    for node in graph.node_indices() {
        problems.extend(check_form(&graph[node]));
        let mut seen: Vec<String> = Vec::new();
        for Dependency { task: dependency, edge } in graph[node].dependencies.clone() {
            let task = graph[node].name.clone();
            if seen.contains(&dependency) {
                problems.push(WorkflowError::DuplicateDependency { task, dependency });
            } else if let Some(&from) = by_name.get(&dependency) {
                graph.add_edge(from, node, edge);
                seen.push(dependency);
            } else {
                let suggestion =
                    did_you_mean(&dependency, by_name.keys().map(String::as_str)).map(str::to_owned);
                problems.push(WorkflowError::UnknownDependency { task, dependency, suggestion });
            }
        }
    }
    graph
}

/// What is wrong with the task runs that a task is to have.
fn check_form(task: &TaskDefinition) -> Option<WorkflowError> {
    let count = |is: fn(&Edge) -> bool| task.dependencies.iter().filter(|to| is(&to.edge)).count();
    let n_each = count(|edge| matches!(edge, Edge::Each(_)));
    let n_lists = n_each + count(|edge| matches!(edge, Edge::Pairs(_)));
    let decides = task.condition.is_some() || count(|edge| matches!(edge, Edge::Settled)) > 0;
    let (option, problem) = if n_lists > 1 {
        ("map", "is over more than one list; a task maps over one")
    } else if task.until.is_some() && n_each == 0 {
        ("until", "is for a task that is mapped over a list")
    } else if task.steps && n_lists > 0 {
        ("steps", "is for a task that is not mapped over a list")
    } else if task.steps && decides {
        ("steps", "is for a task that needs all that it waits for; put the condition on a task before it")
    } else {
        return None;
    };
    Some(WorkflowError::InvalidOption { task: task.name.clone(), option, problem })
}

/// Notes every condition that names a task which is unknown, or does not come before.
fn check_conditions(plan: &Plan, problems: &mut Vec<WorkflowError>) {
    for (position, task) in (0..).zip(plan.tasks()) {
        for named in task.definition.condition.iter().flat_map(Condition::tasks) {
            let (task, named) = (task.name.to_string(), named.to_owned());
            match plan.position(&named) {
                None => {
                    let known = plan.tasks().iter().map(|task| task.name.as_str());
                    let suggestion = did_you_mean(&named, known).map(str::to_owned);
                    problems.push(WorkflowError::UnknownInCondition { task, named, suggestion });
                }
                Some(other) if !plan.is_ancestor(other, position) => {
                    problems.push(WorkflowError::NotBefore { task, named });
                }
                Some(_) => {}
            }
        }
    }
}

/// Notes one path of names for each knot of tasks that wait for one another.
fn find_cycles(graph: &DiGraph<TaskDefinition, Edge>, problems: &mut Vec<WorkflowError>) {
    if toposort(graph, None).is_ok() {
        return;
    }
    for knot in tarjan_scc(graph) {
        let first = *knot.iter().min().expect("a component has a node");
        if knot.len() == 1 && !graph.contains_edge(first, first) {
            continue;
        }
        // Walk inside the knot until a node returns; what lies between is a cycle.
        let mut path = vec![first];
        let start = loop {
            let last = *path.last().expect("the path begins with a node");
            let next = graph
                .neighbors(last)
                .filter(|next| knot.contains(next))
                .min()
                .expect("within a knot every node leads on");
            if let Some(start) = path.iter().position(|&node| node == next) {
                path.push(next);
                break start;
            }
            path.push(next);
        };
        let path = path[start..].iter().map(|&node| graph[node].name.clone()).collect();
        problems.push(WorkflowError::Cycle { path });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(edges: &[(&str, &[&str])]) -> Result<Workflow, WorkflowErrors> {
        let mut builder = Workflow::builder("w");
        for (task, dependencies) in edges {
            builder = builder.task(*task, TaskOptions::new(), |_| async { Ok::<_, TaskError>(()) });
            for dependency in *dependencies {
                builder = builder.after(*dependency);
            }
        }
        builder.build()
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let error =
            build(&[("a", &["b", "b"]), ("b", &["a", "cc"]), ("c", &[]), ("c", &[]), ("", &[])]).unwrap_err();
        let text = error.to_string();
        for part in [
            r#"task "a": dependency "b" is named twice"#,
            r#"dependency "cc" is unknown; did you mean "c"?"#,
            r#"task "c" is defined twice"#,
            "is empty",
            "the tasks wait for one another: a -> b -> a",
        ] {
            assert!(text.contains(part), "{part} is not in:\n{text}");
        }
    }

    #[test]
    fn more_tasks_than_a_workflow_may_have_are_refused_with_the_limit() {
        let mut builder = Workflow::builder("large");
        for n in 0..=TASKS_MAX {
            builder = builder.task(n.to_string(), TaskOptions::new(), |_| async { Ok::<_, TaskError>(()) });
        }
        let text = builder.build().unwrap_err().to_string();
        for part in ["large", "1000001 tasks", "limit of 1,000,000"] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
    }

    #[test]
    fn a_cycle_is_told_with_its_path() {
        let error = build(&[("in", &[]), ("a", &["in", "c"]), ("b", &["a"]), ("c", &["b"])]).unwrap_err();
        assert_eq!(error.to_string(), "the tasks wait for one another: a -> b -> c -> a");
        let error = build(&[("a", &["a"])]).unwrap_err();
        assert_eq!(error.to_string(), "the tasks wait for one another: a -> a");
    }

    #[test]
    fn task_runs_of_two_kinds_in_one_task_are_refused() {
        let task = |builder: WorkflowBuilder, name: &str| {
            builder.task(name, TaskOptions::new(), |_| async { Ok::<_, TaskError>(vec![1_u32]) })
        };
        let list = || task(task(Workflow::builder("w"), "list"), "task");
        let enough = |(): &mut (), _: &u32| ControlFlow::Break(());
        for (builder, told) in [
            (list().map_over::<u32>("list").reduce_over::<u32>("list"), "is over more than one list"),
            (list().after("list").until(enough), "until is for a task that is mapped"),
            (list().reduce_over::<u32>("list").until(enough), "until is for a task that is mapped"),
            (list().map_over::<u32>("list").steps(), "steps is for a task that is not mapped"),
            (list().after_settled("list").steps(), "put the condition on a task before it"),
            (list().when(Condition::Always).steps(), "put the condition on a task before it"),
        ] {
            let text = builder.build().unwrap_err().to_string();
            assert!(text.contains(told), "{told} is not in: {text}");
        }
    }

    #[test]
    fn an_empty_workflow_and_a_loose_after_are_refused() {
        assert!(build(&[]).unwrap_err().to_string().contains("has no tasks"));
        let error = Workflow::builder("w").after("a").build().unwrap_err().to_string();
        assert!(error.contains("`after` names"), "{error}");
    }

    #[test]
    fn the_graph_can_be_drawn() {
        let workflow = build(&[("load", &[]), ("to end", &["load"])]).unwrap();
        assert_eq!(workflow.to_mermaid(), "flowchart TD\n    load\n    t1[\"to end\"]\n    load --> t1\n");
        assert_eq!(
            workflow.to_dot(),
            "digraph \"w\" {\n    \"load\";\n    \"to end\";\n    \"load\" -> \"to end\";\n}\n"
        );
        assert_eq!(workflow.to_json()["tasks"][1]["dependencies"][0]["task"], "load");
    }
}
