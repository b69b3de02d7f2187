//! What a task run must have before it may start, beside a slot.

use std::cmp::Reverse;
use std::time::Duration;

use anio_core::plan::Plan;
use anio_core::task::Rate;
use anio_core::{Lane, WorkflowName};

use super::shared::SharedPace;
use super::{Kind, Limits};
use crate::ready::slots_of;

/// What a task run must have before it may start, beside a slot. Task runs whose demands are equal wait in
/// one line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Demand {
    /// Whether it starts on the pool for CPU work.
    pub(super) is_cpu: bool,
    pub(super) own: Option<Own>,
    /// Positions of resources, and how many units of each; those with the slowest shared rates first.
    pub(super) needs: Vec<(usize, u32)>,
}

/// The limits of one task alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Own {
    pub(super) task: TaskId,
    pub(super) concurrency: Option<u32>,
    pub(super) rate: Option<Rate>,
}

/// A task among those of all workflows.
pub(super) type TaskId = (WorkflowName, u32);

impl Limits {
    /// What the task runs of a task must have; `None` where a slot is enough.
    pub(crate) fn demand(&self, plan: &Plan, task: u32) -> Option<Demand> {
        let options = &plan.task(task).definition.options;
        let (concurrency, rate) = (options.concurrency, options.rate);
        let has_own = concurrency.is_some() || rate.is_some();
        if !has_own && options.needs.is_empty() && options.pool.is_none() {
            return None;
        }
        let own = has_own.then(|| Own { task: (plan.workflow().clone(), task), concurrency, rate });
        let position = |name: &String, kind| {
            let resource = self.resources.iter().position(|has| has.kind == kind && has.name == *name);
            resource.expect("a workflow is registered only where all that it needs is there")
        };
        let needs = options.needs.iter().map(|(name, units)| (position(name, Kind::Named), *units));
        let pool = options.pool.iter().map(|name| (position(name, Kind::Pool), 1));
        let mut needs: Vec<(usize, u32)> = needs.chain(pool).collect();
        needs.sort_by_key(|(resource, _)| Reverse(self.shared_interval(*resource)));
        Some(Demand { is_cpu: slots_of(options) == Lane::Cpu, own, needs })
    }
    /// From one start to the next of all that need a resource on all workers; nothing where they may come as they
    /// like.
    fn shared_interval(&self, resource: usize) -> Option<Duration> {
        self.resources[resource].shared.as_ref().map(SharedPace::interval)
    }
}
