//! Task runs that wait for a slot: higher priority first, then first ready first.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use anio_core::run::TaskRunKey;
use anio_core::{Lane as LaneKind, RunId, TaskOptions};

/// The lane whose slots the task runs of a task take. Those of a named pool are bounded by its threads; beside them
/// they hold a slot of those who wait, as blocking ones do, and none of the worker's own pool.
pub(crate) fn slots_of(options: &TaskOptions) -> LaneKind {
    if options.pool.is_some() { LaneKind::Blocking } else { options.lane }
}

/// A task run that is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ready {
    pub(crate) priority: i32,
    /// Counts up; the first ready has the lowest.
    pub(crate) turn: u64,
    pub(crate) run: RunId,
    pub(crate) key: TaskRunKey,
}

impl Ord for Ready {
    fn cmp(&self, other: &Self) -> Ordering {
        self.priority.cmp(&other.priority).then(other.turn.cmp(&self.turn))
    }
}

impl PartialOrd for Ready {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The slots of a lane and those who wait for one.
#[derive(Debug)]
pub(crate) struct Lane {
    waiting: BinaryHeap<Ready>,
    pub(crate) n_used: usize,
    n_slots: usize,
}

impl Lane {
    pub(crate) fn of(n_slots: usize) -> Self {
        Self { waiting: BinaryHeap::new(), n_used: 0, n_slots }
    }

    pub(crate) fn push(&mut self, ready: Ready) {
        self.waiting.push(ready);
    }

    /// Whether there is a slot. It is taken by raising `n_used`.
    pub(crate) fn has_slot(&self) -> bool {
        self.n_used < self.n_slots
    }

    /// How many slots there are.
    pub(crate) fn n_free(&self) -> usize {
        self.n_slots.saturating_sub(self.n_used)
    }

    /// The next in turn.
    pub(crate) fn first(&self) -> Option<Ready> {
        self.waiting.peek().copied()
    }

    /// Takes the next in turn.
    pub(crate) fn pop(&mut self) -> Option<Ready> {
        self.waiting.pop()
    }

    /// How many wait.
    pub(crate) fn n_waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn higher_priority_goes_first_then_first_ready_first() {
        let run = RunId::from_uuid(uuid::Uuid::nil());
        let key = TaskRunKey { task: 0, map_index: None };
        let mut lane = Lane::of(10);
        for (turn, priority) in [(0, 0), (1, 5), (2, 0), (3, 5), (4, -1)] {
            lane.push(Ready { priority, turn, run, key });
        }
        let turns: Vec<u64> = std::iter::from_fn(|| lane.pop()).map(|ready| ready.turn).collect();
        assert_eq!(turns, [1, 3, 0, 2, 4]);
    }

    #[test]
    fn ten_thousand_of_one_priority_leave_in_the_order_in_which_they_came() {
        let run = RunId::from_uuid(uuid::Uuid::nil());
        let mut lane = Lane::of(1);
        for task in 0..10_000 {
            lane.push(Ready {
                priority: 0,
                turn: u64::from(task),
                run,
                key: TaskRunKey { task, map_index: None },
            });
        }
        let tasks: Vec<u32> = std::iter::from_fn(|| lane.pop()).map(|ready| ready.key.task).collect();
        assert!(tasks.is_sorted());
        assert!(lane.has_slot());
        lane.n_used = 1;
        assert!(!lane.has_slot(), "a full lane gives nothing");
    }
}
