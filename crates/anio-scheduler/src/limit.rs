//! How many task runs of one task execute at one time on this worker: `concurrency = n`.
//!
//! The count is of what is executing now; nothing is stored, so a crash leaves no count behind.

use std::collections::{BinaryHeap, HashMap};

use anio_core::WorkflowName;

use crate::ready::Ready;

/// The limits of all tasks that have one and are in use.
#[derive(Debug, Default)]
pub(crate) struct Limits(HashMap<(WorkflowName, u32), Limit>);

#[derive(Debug, Default)]
struct Limit {
    n_executing: u32,
    waiting: BinaryHeap<Ready>,
}

impl Limits {
    /// Takes a place under the task's limit, or lets the task run wait for one (`None`).
    pub(crate) fn admit(&mut self, workflow: &WorkflowName, max: u32, ready: Ready) -> Option<Ready> {
        let limit = self.0.entry((workflow.clone(), ready.key.task)).or_default();
        if limit.n_executing < max {
            limit.n_executing += 1;
            return Some(ready);
        }
        limit.waiting.push(ready);
        None
    }

    /// Gives a place back; returns who is next in turn, to be queued for a slot again.
    pub(crate) fn leave(&mut self, workflow: &WorkflowName, task: u32) -> Option<Ready> {
        let key = (workflow.clone(), task);
        let limit = self.0.get_mut(&key)?;
        limit.n_executing = limit.n_executing.saturating_sub(1);
        let next = limit.waiting.pop();
        if next.is_none() && limit.n_executing == 0 {
            self.0.remove(&key);
        }
        next
    }

    pub(crate) fn clear_waiting(&mut self) {
        self.0.values_mut().for_each(|limit| limit.waiting.clear());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anio_core::RunId;
    use anio_core::run::TaskRunKey;

    #[test]
    fn no_more_than_the_limit_are_admitted_and_the_next_in_turn_follows() {
        let workflow = WorkflowName::trusted("w");
        let ready = |turn| Ready {
            priority: 0,
            turn,
            run: RunId::from_uuid(uuid::Uuid::nil()),
            key: TaskRunKey { task: 3, map_index: Some(turn as u32) },
        };
        let mut limits = Limits::default();
        let admitted = (0..5).filter_map(|turn| limits.admit(&workflow, 2, ready(turn))).count();
        assert_eq!(admitted, 2);
        assert_eq!(limits.leave(&workflow, 3).map(|ready| ready.turn), Some(2));
        assert!(limits.admit(&workflow, 2, ready(2)).is_some());
        limits.clear_waiting();
        assert_eq!(limits.leave(&workflow, 3), None);
        assert_eq!(limits.leave(&workflow, 3), None);
        assert!(limits.0.is_empty());
    }
}
