//! What each task of a run sees of the context: computed when somebody asks, kept for the next.

use std::sync::Arc;

use super::Node;
use super::task_run::Stage;
use crate::context::{Context, Scope, Writer};
use crate::output::Output;
use crate::plan::Plan;

/// The scopes of a run. A scope is shared by all tasks that see the same.
#[derive(Debug, Default)]
pub(super) struct Scopes {
    input: Option<Arc<Scope>>,
    /// What those who come after each task see; filled as far as somebody asked.
    after: Vec<Option<Arc<Scope>>>,
}

impl Scopes {
    /// What a task sees whose dependencies have all settled.
    pub(super) fn before(&mut self, task: u32, plan: &Plan, nodes: &[Node], input: &Output) -> Arc<Scope> {
        let input = self.input.get_or_insert_with(|| Arc::new(Scope::of_input(input.json()))).clone();
        self.after.resize(nodes.len(), None);
        // One that takes the elements of steps as they come sees what the steps saw: what they write is whole
        // when they have ended.
        let steps = plan.task(task).mapped_over().filter(|_| plan.task(task).streams).map(|(steps, _)| steps);
        let dependencies_of =
            |task: u32| plan.task(task).dependencies.iter().map(|(dependency, _)| *dependency);
        let sees = dependencies_of(task).filter(|dependency| Some(*dependency) != steps);
        let sees: Vec<u32> = sees.chain(steps.into_iter().flat_map(dependencies_of)).collect();
        // Depth first, without recursion: a chain may be a million tasks long.
        let mut open = sees.clone();
        while let Some(&next) = open.last() {
            let missing: Vec<u32> = plan
                .task(next)
                .dependencies
                .iter()
                .map(|(dependency, _)| *dependency)
                .filter(|&dependency| self.after[dependency as usize].is_none())
                .collect();
            if self.after[next as usize].is_some() {
                open.pop();
            } else if missing.is_empty() {
                let before = self.joined(dependencies_of(next), plan, &input);
                self.after[next as usize] = Some(overlaid(before, next, plan, &nodes[next as usize].stage));
                open.pop();
            } else {
                open.extend(missing);
            }
        }
        self.joined(sees.into_iter(), plan, &input)
    }

    /// The scopes after these tasks, joined.
    fn joined(&self, tasks: impl Iterator<Item = u32>, plan: &Plan, input: &Arc<Scope>) -> Arc<Scope> {
        let mut scopes = tasks.map(|task| self.after[task as usize].as_ref().expect("computed before"));
        let Some(first) = scopes.next() else { return Arc::clone(input) };
        let mut joined = Arc::clone(first);
        for scope in scopes {
            if !Arc::ptr_eq(scope, &joined) && !Arc::ptr_eq(scope, input) {
                if Arc::ptr_eq(&joined, input) {
                    joined = Arc::clone(scope);
                } else {
                    Arc::make_mut(&mut joined).join(scope, &|a, b| plan.is_ancestor(a, b));
                }
            }
        }
        joined
    }
}

fn overlaid(mut scope: Arc<Scope>, task: u32, plan: &Plan, stage: &Stage) -> Arc<Scope> {
    let name = Arc::<str>::from(format!("task {:?}", plan.task(task).name));
    for (key, run) in stage.runs(task) {
        let Some(writes) = run.writes() else { continue };
        let by = Writer::Task(task, key.map_index);
        match key.map_index {
            None => Arc::make_mut(&mut scope).write(by, &name, writes),
            // The later step is the later writer.
            Some(_) if plan.task(task).definition.steps => Arc::make_mut(&mut scope).write(by, &name, writes),
            Some(index) => {
                let name = Arc::<str>::from(format!("{name} (element {index})"));
                Arc::make_mut(&mut scope).write_beside(by, &name, writes, task);
            }
        }
    }
    scope
}

/// The writes of all tasks in topological order over the input; the last writer of a key counts.
pub(super) fn merged(plan: &Plan, nodes: &[Node], input: &Output) -> Context {
    let mut scope = Scope::of_input(input.json());
    for &task in plan.topological() {
        for (key, run) in nodes[task as usize].stage.runs(task) {
            if let Some(writes) = run.writes() {
                let by = Writer::Task(task, key.map_index);
                scope.write(by, &Arc::from(plan.task(task).name.as_str()), writes);
            }
        }
    }
    Context::over(Arc::new(scope))
}
