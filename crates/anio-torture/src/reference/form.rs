//! What tasks come to that have many task runs: maps, trees, steps.

use serde_json::Value;

use super::{Before, Interpreter};
use crate::blueprint::{Fortune, TaskBlueprint};

impl Interpreter<'_> {
    /// All elements execute, also beside one that fails; but those that the task has enough without.
    pub(super) fn map(&mut self, task: &TaskBlueprint, elements: Vec<Value>, values: &[Value]) -> Fortune {
        let mut outputs = Some(Vec::new());
        let steps = self.blueprint.streams_from(task).map(|steps| self.blueprint.tasks[steps].name.clone());
        for (index, element) in (0..).zip(elements) {
            let values = [element].into_iter().chain(values.iter().cloned()).collect();
            // One that is taken as it comes needs its own step, and no other.
            let before = steps.clone().map(|steps| Before::One((steps, Some(index))));
            let output = self.expect(task, Some(index), values, before);
            if self.expected.task_runs[&(task.name.clone(), Some(index))].is_left_out() {
                continue;
            }
            outputs = outputs.zip(output).map(|(mut outputs, output)| {
                outputs.push(output);
                outputs
            });
        }
        outputs.map_or(Fortune::Failed, |outputs| Fortune::Succeeded(Value::Array(outputs)))
    }

    /// One value of a list, two by two. Node 0 is the root, the two under node `k` are at `2k + 1` and `2k + 2`;
    /// what is not among the nodes are the elements, from the left.
    pub(super) fn tree(&mut self, task: &TaskBlueprint, list: Vec<Value>, values: &[Value]) -> Fortune {
        let Some(n_nodes) = list.len().checked_sub(1) else { return Fortune::Skipped };
        self.expected.widths.insert(task.name.clone(), n_nodes as u32);
        let mut tree = Tree { task, n_nodes: n_nodes as u32, values, list: list.into_iter() };
        self.node(&mut tree, 0).map_or(Fortune::Failed, Fortune::Succeeded)
    }

    fn node(&mut self, tree: &mut Tree<'_>, position: u32) -> Option<Value> {
        if position >= tree.n_nodes {
            return tree.list.next();
        }
        let under = [2 * position + 1, 2 * position + 2];
        let [left, right] = under.map(|position| self.node(tree, position));
        let name = |index| (tree.task.name.clone(), Some(index));
        // One may be given up before it is its turn, and whatever becomes of those under it.
        let Some(pair) = left.zip(right) else {
            if self.handling.given_up.contains(&name(position)) {
                self.expect(tree.task, Some(position), Vec::new(), None);
            }
            return None;
        };
        let before = under.into_iter().filter(|under| *under < tree.n_nodes).map(name).map(Before::One);
        let values = [pair.0, pair.1].into_iter().chain(tree.values.iter().cloned()).collect();
        self.expect(tree.task, Some(position), values, before)
    }

    /// One after the other, until one finds the end. What they made is there also when one fails.
    pub(super) fn steps(&mut self, task: &TaskBlueprint, values: &[Value]) -> Fortune {
        let mut items: Vec<Value> = Vec::new();
        for index in 0.. {
            let previous = items.last().cloned().unwrap_or_default();
            let values = [previous].into_iter().chain(values.iter().cloned()).collect();
            let before =
                u32::checked_sub(index, 1).map(|index| Before::One((task.name.clone(), Some(index))));
            match self.expect(task, Some(index), values, before) {
                Some(Value::Null) => break,
                Some(item) => items.push(item),
                None => {
                    self.cut_short.insert(task.name.clone(), items);
                    return Fortune::Failed;
                }
            }
        }
        Fortune::Succeeded(Value::Array(items))
    }

    /// The elements of steps that failed, for a task that takes them as they come and has all else that it needs.
    /// It executes them, and has no whole list in the end.
    pub(super) fn cut_short(&mut self, task: &TaskBlueprint) -> Option<Fortune> {
        let steps = &self.blueprint.tasks[self.blueprint.streams_from(task)?].name;
        let items = self.cut_short.get(steps).filter(|items| !items.is_empty())?.clone();
        let values: Option<Vec<Value>> = task.after.iter().map(|&position| self.value(position)).collect();
        Some(match self.map(task, items, &values?) {
            Fortune::Succeeded(_) => Fortune::Skipped,
            fortune => fortune,
        })
    }
}

struct Tree<'a> {
    task: &'a TaskBlueprint,
    n_nodes: u32,
    /// What all nodes are given.
    values: &'a [Value],
    /// The elements that are left.
    list: std::vec::IntoIter<Value>,
}
