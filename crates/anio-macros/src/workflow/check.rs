//! Whether the tasks of a module make a graph.

use quote::ToTokens;
use syn::{Ident, Item, ItemMod};

use crate::errors::Errors;
use crate::names::suggestion;
use crate::task::callback::Callbacks;
use crate::task::check::{self, Asked, Dependency, Module, Scope, Sibling, Target, Task};
use crate::workflow::parse::{ModuleItem, ParsedModule};

/// A module that has been checked.
pub(crate) struct Workflow {
    pub(crate) module: ItemMod,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) callbacks: Callbacks,
    pub(crate) tasks: Vec<Task>,
    pub(crate) others: Vec<Item>,
}

/// Checks a module and its tasks.
pub(crate) fn module(parsed: ParsedModule, errors: &mut Errors) -> Workflow {
    let ParsedModule { module, name, description, callbacks, items, imports } = parsed;
    let (mut tasks, mut others) = (Vec::new(), Vec::new());
    for item in items {
        match item {
            ModuleItem::Task(task) => tasks.push(*task),
            ModuleItem::Other(item) => others.push(*item),
        }
    }
    let siblings = tasks.iter().map(|task| Sibling {
        ident: syn::ext::IdentExt::unraw(&task.function.sig.ident).to_string(),
        name: task.name.clone(),
    });
    let scope = Module { tasks: siblings.collect(), imports };
    let tasks: Vec<_> =
        tasks.into_iter().map(|task| check::task(task, &Scope::Module(&scope), errors)).collect();
    if tasks.is_empty() {
        errors.at(&module.ident, "this workflow has no tasks; mark its functions with `#[task]`");
    }
    check_reserved(&tasks, &others, errors);
    check_names(&tasks, errors);
    check_texts(&tasks, errors);
    check_cycles(&tasks, errors);
    check_conditions(&tasks, errors);
    Workflow { module, name, description, callbacks, tasks, others }
}

impl Workflow {
    /// Whether a function has the name of the one that is made here.
    pub(crate) fn has_reserved_name(&self) -> bool {
        functions(&self.tasks, &self.others).any(|ident| ident == "workflow")
    }
}

/// The names of the module's functions.
fn functions<'a>(tasks: &'a [Task], others: &'a [Item]) -> impl Iterator<Item = &'a Ident> {
    let others = others.iter().filter_map(|item| match item {
        Item::Fn(function) => Some(&function.sig.ident),
        _ => None,
    });
    tasks.iter().map(Task::ident).chain(others)
}

fn check_reserved(tasks: &[Task], others: &[Item], errors: &mut Errors) {
    const MESSAGE: &str =
        "`#[workflow]` makes a function of the name `workflow` here; give this one another name";
    for ident in functions(tasks, others).filter(|ident| *ident == "workflow") {
        errors.at(ident, MESSAGE);
    }
}

fn check_names(tasks: &[Task], errors: &mut Errors) {
    for (i, task) in tasks.iter().enumerate() {
        let Some(first) = tasks[..i].iter().find(|other| other.name == task.name) else { continue };
        let message = if first.ident() == task.ident() {
            format!("the task `{}` is defined twice; give one of the functions another name", task.name)
        } else {
            format!(
                "the tasks `{}` and `{}` both have the name {:?}; give one of them another",
                first.ident(),
                task.ident(),
                task.name
            )
        };
        errors.at_span(task.name_span, message);
    }
}

/// Names in quotes are tasks of this module, unless tasks come in from elsewhere by path; then rustc
/// judges, by constant evaluation.
fn check_texts(tasks: &[Task], errors: &mut Errors) {
    if has_tasks_from_elsewhere(tasks) {
        return;
    }
    for dependency in tasks.iter().flat_map(|task| &task.dependencies) {
        let (Target::Name(name), None) = (&dependency.target, dependency.sibling) else { continue };
        let near = suggestion(&name.value(), tasks.iter().map(|task| task.name.as_str()));
        errors.at(name, format!("no task of this workflow has the name {:?}{near}", name.value()));
    }
}

/// Whether a task depends on one outside of the module.
pub(crate) fn has_tasks_from_elsewhere(tasks: &[Task]) -> bool {
    let outside = |dependency: &Dependency| {
        dependency.sibling.is_none() && matches!(dependency.target, Target::Path(_))
    };
    tasks.iter().flat_map(|task| &task.dependencies).any(outside)
}

/// A condition asks about tasks that come before, and nothing else is decided by then. With tasks from
/// elsewhere, rustc judges what is not found here, by constant evaluation.
fn check_conditions(tasks: &[Task], errors: &mut Errors) {
    if has_tasks_from_elsewhere(tasks) {
        return;
    }
    for (i, task) in tasks.iter().enumerate() {
        for asked in task.asked.iter().filter(|asked| !is_before(tasks, asked, i)) {
            errors.at(&asked.target, not_before(tasks, asked, i));
        }
    }
}

fn not_before(tasks: &[Task], asked: &Asked, task: usize) -> String {
    let written = asked.target.to_token_stream().to_string().replace(' ', "");
    match (&asked.target, asked.sibling) {
        (_, Some(sibling)) if sibling == task => {
            "the condition of a task is about the tasks that come before it, not about itself".to_owned()
        }
        (_, Some(sibling)) if is_ancestor(tasks, task, sibling) => {
            format!(
                "`{}` comes after this task; its condition is about tasks that come before",
                tasks[sibling].name
            )
        }
        (Target::Path(_), Some(_)) => {
            format!("`{written}` does not come before this task; add `after({written})`")
        }
        (Target::Name(name), Some(_)) => format!(
            "{:?} does not come before this task; add `dependencies = [{:?}]`",
            name.value(),
            name.value()
        ),
        (Target::Path(_), None) => format!(
            "`{written}` does not come before this task, and is no task of this module; if it is one elsewhere, \
             add `after({written})`"
        ),
        (Target::Name(name), None) => {
            let near = suggestion(&name.value(), tasks.iter().map(|task| task.name.as_str()));
            format!("no task of this workflow has the name {:?}{near}", name.value())
        }
    }
}

/// Whether a task of the module comes before another, as far as this module shows.
pub(crate) fn is_before(tasks: &[Task], asked: &Asked, task: usize) -> bool {
    asked.sibling.is_some_and(|sibling| is_ancestor(tasks, sibling, task))
}

fn is_ancestor(tasks: &[Task], ancestor: usize, task: usize) -> bool {
    let siblings = |task: usize| tasks[task].dependencies.iter().filter_map(|dependency| dependency.sibling);
    let mut seen = vec![false; tasks.len()];
    let mut open: Vec<usize> = siblings(task).collect();
    while let Some(before) = open.pop() {
        if before == ancestor {
            return true;
        }
        if !std::mem::replace(&mut seen[before], true) {
            open.extend(siblings(before));
        }
    }
    false
}

/// Tells each circle of tasks that wait for one another, at the dependency that a user would look at
/// first: the one that leads back to the task that is defined first.
fn check_cycles(tasks: &[Task], errors: &mut Errors) {
    let mut walk = Walk { tasks, state: vec![State::New; tasks.len()], path: Vec::new(), cycles: Vec::new() };
    for task in 0..tasks.len() {
        walk.visit(task);
    }
    for cycle in walk.cycles {
        // The walk goes from a task to what it waits for; the message goes the way the data flows.
        let first = cycle[0];
        let names = cycle.iter().rev().map(|&task| tasks[task].name.as_str());
        let path = std::iter::once(tasks[first].name.as_str()).chain(names).collect::<Vec<_>>().join(" -> ");
        let next = *cycle.get(1).unwrap_or(&first);
        let place = tasks[first].dependencies.iter().find(|dependency| dependency.sibling == Some(next));
        let place = place
            .map_or_else(|| tasks[first].ident().to_token_stream(), |place| place.target.to_token_stream());
        errors.at(place, format!("the tasks wait for one another: {path}"));
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Open,
    Done,
}

struct Walk<'a> {
    tasks: &'a [Task],
    state: Vec<State>,
    path: Vec<usize>,
    cycles: Vec<Vec<usize>>,
}

impl Walk<'_> {
    fn visit(&mut self, task: usize) {
        match self.state[task] {
            State::Done => return,
            State::Open => {
                let start = self.path.iter().position(|&other| other == task).unwrap_or_default();
                self.cycles.push(self.path[start..].to_vec());
                return;
            }
            State::New => self.state[task] = State::Open,
        }
        self.path.push(task);
        for dependency in self.tasks[task].dependencies.iter().filter_map(|dependency| dependency.sibling) {
            self.visit(dependency);
        }
        self.path.pop();
        self.state[task] = State::Done;
    }
}
