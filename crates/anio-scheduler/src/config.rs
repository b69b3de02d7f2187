//! The numbers that a worker runs by, with their defaults and bounds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anio_core::Workflow;
use anio_core::name::did_you_mean;
use anio_core::task::{Rate, States};

use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::ids::{Ids, SystemIds};
use crate::lanes::Lanes;
use crate::trace::TraceContext;

/// Messages to the scheduler that may wait in its inbox; who sends more waits.
pub(crate) const INBOX_MESSAGES_MAX: usize = 4096;

/// An attempt that has been running so long has its start recorded; see `docs/durability.md`.
pub(crate) const NOTE_AFTER: Duration = Duration::from_millis(10);

/// How long a shutdown waits, after it has called off what still runs, for plain functions to see it.
pub(crate) const ABANDON_AFTER: Duration = Duration::from_millis(250);

/// An async body that holds a thread of tokio for so long between two await points is told of in the log.
pub(crate) const HELD_MAX: Duration = Duration::from_millis(200);

/// How long a claim that failed is left alone.
pub(crate) const CLAIM_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How long a worker that was told of a change by others, or looked for runs that are due, does not look again.
pub(crate) const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// How often a worker that holds runs asks whether others have changed a database that does not notify.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How long a reservation under a shared rate that failed is not tried again.
pub(crate) const RESERVE_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The longest name of a rate that all workers share.
const RATE_NAME_BYTES_MAX: usize = 255;

/// How often a worker renews its lease at the least.
pub(crate) const RENEW_EVERY_MAX: Duration = Duration::from_secs(2);

/// What a worker runs by.
#[derive(Clone, Debug)]
pub struct Config {
    /// Bodies on tokio and on blocking threads that run at one time; 1 to 1,000,000. Default: 64.
    pub concurrency: usize,
    /// Threads of the pool for CPU work; 1 to 1,024. Default: one per core.
    pub cpu_threads: usize,
    /// Further pools for CPU work, by name, and how many threads each has; 1 to 1,024. What a task names must be
    /// among them. Default: none.
    pub pools: BTreeMap<String, usize>,
    /// How long the worker's lease holds without renewal; 1 s to 1 h. Default: 15 s.
    pub lease: Duration,
    /// Runs that the worker holds in memory at one time; more wait in the database. Default: 16,384.
    pub live_runs_max: usize,
    /// Deaths of its worker in a row that a task run may be in flight during before it fails. Default: 3.
    pub poison_deaths: u32,
    /// The largest output, input or context value, in bytes of JSON. Default: 16 MiB.
    pub value_bytes_max: usize,
    /// How long a graceful shutdown waits for bodies to end before it drops them. Default: 10 s.
    pub shutdown_grace: Duration,
    /// What people see as the worker's name. Default: host name and process id.
    pub name: String,
    /// The named resources of this worker, and how many units there are of each; at least 1. What a task
    /// needs must be among these or have a rate. Default: none.
    pub resources: BTreeMap<String, u32>,
    /// How often task runs start, all together, that need a resource. One that has a rate alone has units
    /// without limit. Default: none.
    pub resource_rates: BTreeMap<String, Rate>,
    /// How often task runs start on all workers of the database together, that need a resource. Beside a rate of
    /// the worker's own both hold. Default: none.
    pub shared_resource_rates: BTreeMap<String, Rate>,
    /// Values for `State<T>` parameters.
    pub states: Arc<States>,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// Where the identities of runs and of leases come from.
    pub ids: Arc<dyn Ids>,
    /// Where plain functions execute. Default: on threads.
    pub lanes: Lanes,
    /// What keeps a run in one trace. Default: nothing.
    pub trace: Option<Arc<dyn TraceContext>>,
}

impl Default for Config {
    fn default() -> Self {
        let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
        let host = if host.trim().is_empty() { "worker" } else { host.trim() };
        Self {
            concurrency: 64,
            cpu_threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            pools: BTreeMap::new(),
            lease: Duration::from_secs(15),
            live_runs_max: 16_384,
            poison_deaths: anio_core::run::POISON_DEATHS,
            value_bytes_max: 16 << 20,
            shutdown_grace: Duration::from_secs(10),
            name: format!("{host}:{}", std::process::id()),
            resources: BTreeMap::new(),
            resource_rates: BTreeMap::new(),
            shared_resource_rates: BTreeMap::new(),
            states: Arc::default(),
            clock: Arc::new(SystemClock),
            ids: Arc::new(SystemIds),
            lanes: Lanes::default(),
            trace: None,
        }
    }
}

impl Config {
    /// Checks every number.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`], which names the option and what it may be.
    pub fn check(&self) -> Result<(), Error> {
        let in_range = |option, value: usize, max: usize| match value {
            0 => Err(Error::InvalidConfig { option, problem: format!("is 0; it may be 1 to {max}") }),
            value if value > max => {
                Err(Error::InvalidConfig { option, problem: format!("is {value}; it may be 1 to {max}") })
            }
            _ => Ok(()),
        };
        in_range("concurrency", self.concurrency, 1_000_000)?;
        in_range("cpu_threads", self.cpu_threads, 1024)?;
        in_range("live_runs_max", self.live_runs_max, 10_000_000)?;
        in_range("poison_after", self.poison_deaths as usize, u32::MAX as usize)?;
        in_range("value_bytes_max", self.value_bytes_max, 1 << 30)?;
        if self.lease < Duration::from_secs(1) || self.lease > Duration::from_secs(3600) {
            let problem = format!("is {:?}; it may be 1 s to 1 h", self.lease);
            return Err(Error::InvalidConfig { option: "lease", problem });
        }
        if let Some((name, n)) = self.pools.iter().find(|(_, n)| !(1..=1024).contains(*n)) {
            let problem = format!("{name:?} has {n} threads; it may have 1 to 1024");
            return Err(Error::InvalidConfig { option: "pool", problem });
        }
        let is_long = |name: &&String| !(1..=RATE_NAME_BYTES_MAX).contains(&name.len());
        if let Some(name) = self.shared_resource_rates.keys().find(is_long) {
            let problem =
                format!("{name:?} has {} bytes; it may have 1 to {RATE_NAME_BYTES_MAX}", name.len());
            return Err(Error::InvalidConfig { option: "shared_resource_rate", problem });
        }
        if let Some(name) = self.resources.iter().find_map(|(name, units)| (*units == 0).then_some(name)) {
            let problem = format!("{name:?} has 0 units; it may have 1 to {}", u32::MAX);
            return Err(Error::InvalidConfig { option: "resource", problem });
        }
        Ok(())
    }

    /// Checks that there is enough of all that the tasks of a workflow need, and the pools that they name.
    ///
    /// # Errors
    /// [`Error::MissingResource`], [`Error::MissingPool`].
    pub(crate) fn check_needs(&self, workflow: &Workflow) -> Result<(), Error> {
        for task in workflow.plan().tasks() {
            let pool = task.definition.options.pool.as_ref();
            if let Some(pool) = pool.filter(|pool| !self.pools.contains_key(*pool)) {
                return Err(Error::MissingPool {
                    workflow: workflow.name().to_string(),
                    task: task.name.to_string(),
                    pool: pool.clone(),
                    suggestion: did_you_mean(pool, self.pools.keys().map(String::as_str)).map(str::to_owned),
                });
            }
            for (resource, needs) in &task.definition.options.needs {
                let has = match self.resources.get(resource) {
                    Some(has) => *has,
                    None if self.has_rate(resource) => continue,
                    None => 0,
                };
                if has >= *needs {
                    continue;
                }
                let rates = self.resource_rates.keys().chain(self.shared_resource_rates.keys());
                let names = self.resources.keys().chain(rates).map(String::as_str);
                return Err(Error::MissingResource {
                    workflow: workflow.name().to_string(),
                    task: task.name.to_string(),
                    resource: resource.clone(),
                    needs: *needs,
                    has,
                    suggestion: did_you_mean(resource, names).filter(|_| has == 0).map(str::to_owned),
                });
            }
        }
        Ok(())
    }

    fn has_rate(&self, resource: &str) -> bool {
        self.resource_rates.contains_key(resource) || self.shared_resource_rates.contains_key(resource)
    }

    pub(crate) fn renew_every(&self) -> Duration {
        (self.lease / 4).min(RENEW_EVERY_MAX)
    }
}
