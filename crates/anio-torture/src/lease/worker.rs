//! What a worker does: the keeper, the writer and the scheduler of one process, which share one connection.

use super::plant::Plant;
use super::world::News;
use super::world::{
    Answer, Call, Content, Held, Lease, LeaseId, Life, N_LEASES, N_RUNS_MAX, N_TASKS, Phase, Session, Status,
    Wish, Worker, World,
};

/// The calls that a worker may make next, none while one is under way.
pub(super) fn calls(world: &World, ix: usize) -> Vec<Call> {
    let worker = &world.workers[ix];
    if worker.life != Life::Up || world.sessions[ix].is_some() {
        return Vec::new();
    }
    if let Some(call) = worker.again {
        return vec![call];
    }
    let Some(lease) = worker.lease.filter(|_| worker.is_registered) else {
        let may_register = world.n_leases > 0;
        return may_register.then_some(Call::Register { says_locked: true }).into_iter().collect();
    };
    if worker.is_stopping {
        return vec![Call::Release];
    }
    let mut calls = Vec::new();
    for (run, held) in worker.held.iter().enumerate() {
        if let Some(held) = held {
            calls.push(commit(worker, run, *held));
        }
    }
    if world.runs.iter().any(|run| run.status == Status::Queued) {
        calls.push(Call::Claim);
    }
    if worker.to_bury != 0 {
        calls.push(Call::Bury { dead: worker.to_bury });
    } else if would_learn(world, worker, usize::from(lease)) {
        calls.push(Call::Renew { says_locked: true });
    }
    calls
}

/// Whether a renewal would change anything or bring any news. It is sent every few seconds; all the others are left
/// out, since they lead back to where they came from.
fn would_learn(world: &World, worker: &Worker, lease: usize) -> bool {
    let Some(row) = world.leases[lease] else { return true };
    let mut others = (0..N_LEASES).filter(|ix| *ix != lease && world.is_standing(*ix));
    let has_news = |(run, held): (usize, &Option<Held>)| {
        held.is_some_and(|held| {
            world.runs[run].owner == Some(lease as LeaseId) && world.runs[run].requested != held.wish
        })
    };
    row.lost
        || row.run_out
        || !worker.holds_session_lock
        || others.any(|ix| world.is_dead(ix))
        || worker.held.iter().enumerate().any(has_news)
}

fn commit(worker: &Worker, run: usize, held: Held) -> Call {
    let content = match held.wish {
        Some(Wish::Cancel) => Content::Cancelled,
        Some(Wish::Pause) => Content::Hold,
        None => Content::Fact { task: held.task },
    };
    Call::Commit { number: worker.number + 1, run: run as u8, epoch: held.epoch, content }
}

/// Sends a call.
pub(super) fn send(world: &mut World, ix: usize, call: Call) {
    let worker = &mut world.workers[ix];
    let is_new = worker.again.take().is_none();
    match call {
        Call::Register { .. } if is_new => {
            // The lock comes before the row, which speaks of it.
            let Some(free) = world.leases.iter().position(Option::is_none) else { return };
            world.n_leases -= 1;
            // The row is there from now on and has run out, which is as good as none: others may bury it.
            world.leases[free] = Some(Lease { run_out: true, ..Lease::default() });
            *worker = Worker { lease: Some(free as LeaseId), holds_session_lock: true, ..Worker::default() };
        }
        Call::Register { .. } | Call::Renew { .. } => worker.holds_session_lock = true,
        Call::Commit { number, .. } => worker.number = number,
        Call::Bury { .. } | Call::Claim | Call::Release => {}
    }
    let Some(lease) = world.workers[ix].lease else { return };
    world.sessions[ix] = Some(Session { lease, call, phase: Phase::Sent, is_doomed: false });
}

/// Reads the answer to its call.
pub(super) fn read(world: &mut World, ix: usize) {
    let Some(Session { call, phase: Phase::Answered(answer), .. }) = world.sessions[ix] else { return };
    world.sessions[ix] = None;
    let worker = &mut world.workers[ix];
    match (call, answer) {
        (_, Answer::LeaseLost) => lose_lease(worker),
        (Call::Release, _) if worker.is_stopping => {
            *worker = Worker { life: Life::Down, ..Worker::default() }
        }
        (Call::Release, _) => lose_lease(worker),
        (Call::Register { .. }, _) => worker.is_registered = true,
        (Call::Bury { .. }, _) => worker.to_bury = 0,
        (Call::Commit { run, content, .. }, _) => acknowledge(world, ix, run, content),
        (_, Answer::Renewed { dead, news }) => {
            worker.to_bury = dead;
            for (held, news) in worker.held.iter_mut().zip(news) {
                if let (Some(held), News::Of(wish)) = (held, news) {
                    held.wish = wish;
                }
            }
        }
        (_, Answer::Claimed(runs)) => {
            for ((held, run), row) in worker.held.iter_mut().zip(runs).zip(&world.runs) {
                // What is requested stands in the row that a claim returns; it is asked for again where it came later.
                let taken = run.map(|(epoch, task)| Held { epoch, task, wish: row.requested });
                *held = taken.or(*held);
            }
        }
        (_, Answer::Done | Answer::StoredBefore) => {}
    }
}

/// The connection breaks under a call: what is to be done about it, now that nobody knows, or everybody, whether it
/// took effect.
pub(super) fn lose_answer(world: &mut World, ix: usize, call: Call, is_unknown: bool, plant: Option<Plant>) {
    let worker = &mut world.workers[ix];
    worker.again = match (call, plant) {
        (Call::Claim, Some(Plant::LostClaimForgotten)) if is_unknown => None,
        // Runs may have been claimed that nobody here knows of: all go back.
        (Call::Claim, _) if is_unknown => Some(Call::Release),
        (Call::Commit { number, run, epoch, content }, Some(Plant::UnknownTakenForFailure)) => {
            Some(Call::Commit { number: number + 1, run, epoch, content })
        }
        (Call::Commit { run, content, .. }, Some(Plant::UnknownTakenForSuccess)) => {
            return acknowledge(world, ix, run, content);
        }
        _ => Some(call),
    };
}

/// What a worker believed is gone, whether it wanted to or not; it begins anew under another lease.
fn lose_lease(worker: &mut Worker) {
    *worker = Worker { life: worker.life, is_stopping: false, ..Worker::default() };
}

fn acknowledge(world: &mut World, ix: usize, run: u8, content: Content) {
    let held = &mut world.workers[ix].held[usize::from(run)];
    match content {
        Content::Fact { task } => {
            world.wrongs.acknowledged_in_vain |= world.runs[usize::from(run)].next_task() <= task;
            *held = held.filter(|_| task + 1 < N_TASKS).map(|held| Held { task: task + 1, ..held });
        }
        Content::Hold | Content::Cancelled => *held = None,
    }
}

/// A process that ends, however: what it believed is gone, its locks too.
pub(super) fn die(world: &mut World, ix: usize) {
    world.workers[ix] = Worker { life: Life::Down, ..Worker::default() };
}

/// Nothing of a run is held twice by one worker, so this is all that it can hold.
const _: () = assert!(N_RUNS_MAX <= 8, "sets of runs are bits of a byte");
