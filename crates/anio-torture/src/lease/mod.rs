//! The protocol of leases and takeovers, as a model that `stateright` walks through: every interleaving of what
//! workers, the database, failures and operators do, up to a bound, against the rules of the contract.
//!
//! ```text
//!   worker ──► call ──► session ──► the database            sent │ waits for a lock │ open │ answered
//!     ▲                    │           leases, runs, facts
//!     └──── answer ────────┘
//!   failures: kill -9, SIGSTOP, a connection cut (the call may take effect later, or never), a session lock lost
//!   beside:   leases run out at any moment; restart, waking, graceful stop; pause, resume, cancel
//! ```
//!
//! `world` is the state, `action` what may happen, `server` what the SQL does, `worker` what a process does with the
//! answers, `rule` what must hold, `home` the question whether all goes on from here, `same` what makes two states one,
//! `plant` the mistakes that show that each rule can be broken. It decides nothing about the state machine of a run, which `anio-core` explores by itself:
//! a run here is a chain of two tasks.

mod action;
mod command;
mod home;
mod plant;
mod rule;
mod same;
mod server;
mod worker;
mod world;

use std::collections::HashSet;
use std::sync::Mutex;

use stateright::{Checker as _, HasDiscoveries, Model, Property};

use self::action::Action;
pub use self::command::Command;
pub use self::plant::Plant;
use self::world::{Life, Status, Wrongs};
use self::world::{N_RUNS_MAX, N_WORKERS_MAX, World};

/// How far the explorer goes.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Processes, 1 to 3.
    pub n_workers: usize,
    /// Runs, 1 to 2.
    pub n_runs: usize,
    /// How many leases are given, over all: one for each start, and one whenever one was lost.
    pub n_leases: u8,
    /// Failures: kills, stops of a process, cut connections, lost session locks, graceful stops.
    pub n_faults: u8,
    /// Requests of an operator.
    pub n_requests: u8,
}

/// The model, with a mistake in it or none.
#[derive(Debug)]
struct Protocol {
    bounds: Bounds,
    plant: Option<Plant>,
    /// States from which all goes on; so that the way home is walked once.
    at_home: Mutex<HashSet<u64>>,
}

impl Model for Protocol {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let bounds = self.bounds;
        let mut world = World {
            leases: Default::default(),
            n_leases: bounds.n_leases,
            runs: Default::default(),
            workers: Default::default(),
            sessions: Default::default(),
            n_faults: bounds.n_faults,
            n_requests: bounds.n_requests,
            wrongs: Wrongs::default(),
        };
        world.runs.iter_mut().skip(bounds.n_runs).for_each(|run| run.status = Status::Succeeded);
        world.workers.iter_mut().skip(bounds.n_workers).for_each(|worker| worker.life = Life::Down);
        vec![world]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        self.enabled(world, actions);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = self.after(world, action)?;
        next.normalize(self.bounds.n_workers);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        rule::properties()
    }
}

/// What the explorer found.
#[derive(Clone, Debug)]
pub struct Finding {
    /// How many states there are.
    pub n_states: usize,
    /// How many steps it takes to the last of them.
    pub depth: usize,
    /// The rules that can be broken, each with a shortest way there.
    pub broken: Vec<(&'static str, Vec<String>)>,
    /// What should be possible and was not met.
    pub missed: Vec<&'static str>,
}

/// Walks through all states within the bounds, or until this rule is broken; `None`: until any is.
///
/// # Panics
/// Where the bounds are beyond what they may be.
pub fn explore(bounds: Bounds, plant: Option<Plant>, until: Option<&'static str>) -> Finding {
    assert!((1..=N_WORKERS_MAX).contains(&bounds.n_workers), "1 to {N_WORKERS_MAX} workers");
    assert!((1..=N_RUNS_MAX).contains(&bounds.n_runs), "1 to {N_RUNS_MAX} runs");
    let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
    let until = until.map_or(HasDiscoveries::AnyFailures, |rule| HasDiscoveries::AllOf([rule].into()));
    let model = Protocol { bounds, plant, at_home: Mutex::default() };
    let checker = model.checker().finish_when(until).threads(n_threads).spawn_bfs().join();
    let mut ways = checker.discoveries();
    let (rules, others): (Vec<_>, Vec<_>) = (checker.model().properties().into_iter())
        .partition(|property| property.expectation.discovery_is_failure());
    let steps = |path: stateright::Path<World, Action>| {
        path.into_actions().iter().map(|action| format!("{action:?}")).collect()
    };
    Finding {
        n_states: checker.unique_state_count(),
        depth: checker.max_depth(),
        missed: others.iter().map(|other| other.name).filter(|name| !ways.contains_key(name)).collect(),
        broken: rules.iter().filter_map(|rule| Some((rule.name, steps(ways.remove(rule.name)?)))).collect(),
    }
}
