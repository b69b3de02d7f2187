//! Whether all goes on from a state, when nothing more fails.
//!
//! `stateright` looks for states that no path should end in; it cannot say "from everywhere there is a way to". So
//! from each state one fair way is walked: whoever is frozen or down stays so as long as somebody else is up, the
//! server goes on with what waits and gives up who is silent in a transaction, and each that is up does in turn
//! what it can do. At its end every run has ended, or is paused as was asked.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::PoisonError;

use super::world::{Call, Life, N_LEASES, N_SESSIONS, N_WORKERS_MAX, Phase, Status, Worker, World};
use super::{Action, Plant, Protocol, server, worker};
use stateright::Model as _;

/// More than enough: each run is taken over, and goes on for two tasks.
const N_ROUNDS: usize = 16;

/// How many steps one worker takes before it is another's turn.
const N_STEPS: usize = 12;

impl Protocol {
    /// Whether the fair way leads home.
    pub(super) fn goes_on(&self, world: &World) -> bool {
        let mut at = World { n_leases: u8::MAX, n_faults: 0, n_requests: 0, ..world.clone() };
        let mut passed = Vec::new();
        for _ in 0..N_ROUNDS {
            wake_one(&mut at, self.bounds.n_workers);
            at.normalize(self.bounds.n_workers);
            let here = fingerprint(&at);
            if is_home(&at) || self.at_home.lock().unwrap_or_else(PoisonError::into_inner).contains(&here) {
                self.at_home.lock().unwrap_or_else(PoisonError::into_inner).extend(passed);
                return true;
            }
            passed.push(here);
            self.serve_the_silent(&mut at);
            for ix in 0..self.bounds.n_workers {
                self.take_turn(&mut at, ix);
            }
            run_out(&mut at);
        }
        false
    }

    /// What is under way for clients that say nothing more.
    fn serve_the_silent(&self, world: &mut World) {
        for ix in 0..N_SESSIONS {
            let is_up = world.workers.get(ix).is_some_and(|worker| worker.life == Life::Up);
            let Some(session) = world.sessions[ix].filter(|_| !is_up) else { continue };
            let is_open = matches!(session.phase, Phase::Open { .. });
            if !is_open && let Some(next) = server::step(world, ix, self.plant) {
                *world = next;
            }
            let Some(session) = world.sessions[ix] else { continue };
            let gives_up = match session.phase {
                Phase::Open { .. } => ix >= N_WORKERS_MAX || self.plant != Some(Plant::OpenTransactionsStay),
                _ => ix >= N_WORKERS_MAX,
            };
            if gives_up {
                *world = self.next_state(world, Action::Undo(ix)).unwrap_or_else(|| world.clone());
            }
        }
    }

    /// What one worker does: it reads what has come, and makes the next call.
    fn take_turn(&self, world: &mut World, ix: usize) {
        if world.workers[ix].life != Life::Up {
            return;
        }
        for _ in 0..N_STEPS {
            match world.sessions[ix].map(|session| session.phase) {
                Some(Phase::Answered(_)) => worker::read(world, ix),
                Some(_) => match server::step(world, ix, self.plant) {
                    Some(next) => *world = next,
                    None => return, // It waits for a lock.
                },
                None => match next_call(world, ix) {
                    Some(call) => worker::send(world, ix, call),
                    None => return,
                },
            }
        }
    }
}

/// Renewals come first, as they come several times while a lease lasts.
fn next_call(world: &World, ix: usize) -> Option<Call> {
    let calls = worker::calls(world, ix);
    let rank = |call: &&Call| match call {
        Call::Renew { .. } => 0,
        Call::Bury { .. } => 1,
        _ => 2,
    };
    calls.iter().min_by_key(rank).copied()
}

/// Where nobody is up, one starts again; or wakes, where none is down.
fn wake_one(world: &mut World, n_workers: usize) {
    let workers = &mut world.workers[..n_workers];
    if workers.iter().any(|worker| worker.life == Life::Up && !worker.is_stopping) {
        return;
    }
    let down = workers.iter().position(|worker| worker.life == Life::Down);
    let ix = down.or_else(|| workers.iter().position(|worker| worker.life == Life::Frozen));
    if let Some(ix) = ix {
        workers[ix].life = Life::Up;
    }
}

/// The leases run out of those who do not renew them.
fn run_out(world: &mut World) {
    for ix in 0..N_LEASES {
        let is_kept = |worker: &Worker| worker.life == Life::Up && worker.lease.map(usize::from) == Some(ix);
        let is_kept = world.workers.iter().any(is_kept);
        if let Some(lease) = &mut world.leases[ix] {
            lease.run_out |= !is_kept;
        }
    }
    // How many were given on the way is all the same.
    world.n_leases = u8::MAX;
}

fn is_home(world: &World) -> bool {
    world.runs.iter().all(|run| run.has_ended() || run.status == Status::Paused)
}

fn fingerprint(world: &World) -> u64 {
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    hasher.finish()
}
