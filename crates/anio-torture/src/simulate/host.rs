//! A host: starts a process, waits for its death, starts the next.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use anio::Engine;
use anio_core::Workflow;
use anio_scheduler::{Config, Lanes, Scheduler};
use anio_store::{Schedule, Store, StoreOptions};

use super::database::Connection;
use super::deadly;
use super::process::{Process, Ways};
use super::world::{Counted, World};
use crate::Result;
use crate::blueprint::{RESOURCE, RESOURCE_UNITS};
use crate::body;
use crate::special::POISON_DEATHS;
use crate::surroundings::Surroundings;

/// How often it is looked whether an engine has stopped by itself.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The default asks the system for its name and its cores, which takes longer than a process here lives.
static DEFAULTS: LazyLock<Config> = LazyLock::new(Config::default);

/// How long a shutdown waits for bodies.
pub(super) const GRACE: Duration = Duration::from_millis(20);

/// All hosts, with the process that each has now.
#[derive(Clone)]
pub(super) struct Hosts(Arc<Vec<Mutex<Option<Arc<Process>>>>>);

impl Hosts {
    pub(super) fn new(n: usize) -> Self {
        Self(Arc::new((0..n).map(|_| Mutex::default()).collect()))
    }

    /// The process of a host, if one lives.
    pub(super) fn process(&self, host: usize) -> Option<Arc<Process>> {
        let process = self.0[host].lock().unwrap_or_else(PoisonError::into_inner);
        process.clone().filter(|process| !process.is_dead())
    }

    /// The processes that live and have an engine.
    pub(super) fn engines(&self) -> Vec<(Arc<Process>, Engine)> {
        let processes = (0..self.0.len()).filter_map(|host| self.process(host));
        processes.filter_map(|process| process.engine().map(|engine| (process, engine))).collect()
    }

    /// Keeps a process going on a host.
    pub(super) async fn keep(self, world: Arc<World>, host: usize) {
        loop {
            let process = Process::new(&world, host);
            world.note((host, "start"));
            world.count("starts");
            *self.0[host].lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&process));
            tokio::select! {
                biased;
                () = process.died() => {}
                () = live(&process) => process.kill(),
            }
            world.note((host, "gone"));
            let pause = world.draw(|dice| dice.duration(Duration::from_millis(400)));
            tokio::time::sleep(pause).await;
        }
    }
}

/// Starts an engine, and returns when it has stopped by itself.
async fn live(process: &Arc<Process>) {
    match start(process).await {
        Ok(engine) => process.set_engine(engine),
        Err(error) => return process.world.note((process.host, "not started", error.to_string())),
    }
    while let Some(engine) = process.engine() {
        if engine.worker().await.is_err() {
            return process.world.note((process.host, "stopped"));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn start(process: &Arc<Process>) -> Result<Engine> {
    let world = &process.world;
    let script = &world.script;
    let around: Arc<dyn Surroundings> = process.clone();
    let workflows: Result<Vec<Workflow>> =
        script.blueprints.iter().map(|blueprint| body::workflow(blueprint, &around)).collect();
    let mut workflows = workflows?;
    if script.is_deadly {
        workflows.push(deadly::workflow(process)?);
    }
    process.set_workflows(&workflows);
    let schedule: Arc<dyn Schedule> = Arc::new(Ways(Arc::clone(process)));
    let options = StoreOptions { patience: script.limits.patience, ..StoreOptions::default() };
    let store = Store::scheduled(Box::new(Connection::new(process)), options, &schedule)?;
    let config = Config {
        concurrency: script.limits.concurrency,
        cpu_threads: script.limits.cpu_threads,
        lease: script.limits.lease,
        live_runs_max: script.limits.live_runs_max,
        // Where a body kills, it must be stopped; else any number of crashes is the weather's fault.
        poison_deaths: if script.is_deadly { POISON_DEATHS } else { u32::MAX },
        shutdown_grace: GRACE,
        name: format!("host {}", process.host),
        resources: BTreeMap::from([(RESOURCE.to_owned(), RESOURCE_UNITS)]),
        clock: world.clock(process.host),
        ids: Arc::new(Counted(Arc::clone(world))),
        lanes: Lanes::Tasks,
        ..DEFAULTS.clone()
    };
    Ok(Engine::over(Scheduler::start(store, config, workflows, Vec::new()).await?, GRACE))
}
