//! What may happen next, and what comes of it.

use super::world::{Call, Life, N_LEASES, N_WORKERS_MAX, Phase, Run, Session, Status, Wish, World};
use super::{Plant, Protocol, server, worker};

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// A worker sends a call.
    Send(usize, Call),
    /// The server goes on with a session, for its client, or of which the client is gone.
    Serve(usize),
    /// A worker reads an answer.
    Read(usize),
    /// The server gives a session up.
    Undo(usize),
    /// The clock reaches the end of a lease.
    RunOut(usize),
    /// SIGKILL; SIGSTOP; SIGCONT; the start of a process that is down.
    Kill(usize),
    Freeze(usize),
    Wake(usize),
    Start(usize),
    /// The connection of a worker breaks; the answer to its call is lost, or the transaction was not yet to end.
    Cut {
        worker: usize,
        is_unknown: bool,
    },
    /// The session of a session lock ends, and its process lives.
    LoseSessionLock(usize),
    /// A worker begins to stop, gracefully.
    Stop(usize),
    /// An operator asks for a wish, or for the run to go on.
    Ask {
        run: usize,
        wish: Option<Wish>,
    },
}

impl Protocol {
    /// All that may happen in a state.
    pub(super) fn enabled(&self, world: &World, actions: &mut Vec<Action>) {
        self.actions_of_sessions(world, actions);
        for ix in 0..self.bounds.n_workers {
            let calls = worker::calls(world, ix);
            actions.extend(calls.into_iter().map(|call| Action::Send(ix, call)));
            Self::actions_of_worker(world, ix, actions);
        }
        let runs_on = |ix: &usize| world.leases[*ix].is_some_and(|lease| !lease.lost && !lease.run_out);
        actions.extend((0..N_LEASES).filter(runs_on).map(Action::RunOut));
        if world.n_requests > 0 {
            let wishes = [Some(Wish::Pause), Some(Wish::Cancel), None];
            let runs = (0..self.bounds.n_runs).filter(|run| !world.is_run_locked(*run, usize::MAX));
            actions.extend(runs.flat_map(|run| wishes.map(|wish| Action::Ask { run, wish })));
        }
    }

    /// What comes of it; `None` where it changes nothing, or leads further than is followed.
    pub(super) fn after(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        match action {
            Action::Serve(ix) => next = self.serve(world, ix)?,
            Action::Send(ix, call) => worker::send(&mut next, ix, call),
            Action::Read(ix) => worker::read(&mut next, ix),
            Action::Undo(ix) => self.undo(&mut next, ix),
            Action::RunOut(lease) => next.leases[lease].as_mut()?.run_out = true,
            Action::Wake(ix) | Action::Start(ix) => next.workers[ix].life = Life::Up,
            Action::Ask { run, wish } => ask(&mut next.runs[run], wish).then(|| next.n_requests -= 1)?,
            Action::Kill(ix) => {
                next.orphan(ix, false)?;
                worker::die(&mut next, ix);
                next.n_faults -= 1;
            }
            Action::Cut { worker, is_unknown } => {
                let session = world.sessions[worker]?;
                next.orphan(worker, !is_unknown)?;
                worker::lose_answer(&mut next, worker, session.call, is_unknown, self.plant);
                next.n_faults -= 1;
            }
            Action::Freeze(ix) => (next.workers[ix].life, next.n_faults) = (Life::Frozen, world.n_faults - 1),
            Action::Stop(ix) => (next.workers[ix].is_stopping, next.n_faults) = (true, world.n_faults - 1),
            Action::LoseSessionLock(ix) => {
                (next.workers[ix].holds_session_lock, next.n_faults) = (false, world.n_faults - 1);
            }
        }
        Some(next)
    }

    /// The server goes on with a session. Who is up reads its answer at once: read later, it is the answer to a
    /// call that was served later, or the worker was frozen in between.
    fn serve(&self, world: &World, ix: usize) -> Option<World> {
        let mut next = server::step(world, ix, self.plant)?;
        if ix < N_WORKERS_MAX && world.workers[ix].life == Life::Up {
            worker::read(&mut next, ix);
        } else if ix >= N_WORKERS_MAX && matches!(next.sessions[ix]?.phase, Phase::Answered(_)) {
            next.sessions[ix] = None;
        }
        Some(next)
    }

    fn actions_of_sessions(&self, world: &World, actions: &mut Vec<Action>) {
        for (ix, session) in world.sessions.iter().enumerate() {
            let Some(session) = session else { continue };
            let is_gone = ix >= N_WORKERS_MAX;
            let is_up = !is_gone && world.workers[ix].life == Life::Up;
            let is_open = matches!(session.phase, Phase::Open { .. });
            match session.phase {
                Phase::Answered(_) if is_up => actions.push(Action::Read(ix)),
                Phase::Answered(_) => {}
                // The end of a transaction is a word of the client.
                _ if !is_open || is_up || is_gone && !session.is_doomed => actions.push(Action::Serve(ix)),
                _ => {}
            }
            if is_gone || is_open && !is_up && self.plant != Some(Plant::OpenTransactionsStay) {
                actions.push(Action::Undo(ix));
            }
        }
    }

    fn actions_of_worker(world: &World, ix: usize, actions: &mut Vec<Action>) {
        let worker = &world.workers[ix];
        match worker.life {
            Life::Up => {}
            Life::Frozen => actions.push(Action::Wake(ix)),
            Life::Down => actions.push(Action::Start(ix)),
        }
        if world.n_faults == 0 || worker.life == Life::Down {
            return;
        }
        actions.push(Action::Kill(ix));
        if worker.life == Life::Up {
            actions.push(Action::Freeze(ix));
        }
        if worker.holds_session_lock {
            actions.push(Action::LoseSessionLock(ix));
        }
        if worker.life == Life::Up && worker.is_registered && !worker.is_stopping {
            actions.push(Action::Stop(ix));
        }
        match world.sessions[ix].map(|session| (session.call, session.phase)) {
            None => {}
            Some((Call::Claim | Call::Bury { .. }, Phase::Sent)) => {
                actions.push(Action::Cut { worker: ix, is_unknown: false });
            }
            Some((_, Phase::Open { .. })) => {
                actions.extend([false, true].map(|is_unknown| Action::Cut { worker: ix, is_unknown }));
            }
            Some(_) => actions.push(Action::Cut { worker: ix, is_unknown: true }),
        }
    }

    /// The server gives up a session: of one whose client is gone, or is silent in the middle of a transaction. The
    /// latter finds its connection broken, and knows that nothing was stored.
    fn undo(&self, world: &mut World, ix: usize) {
        let Some(session) = world.sessions[ix].take() else { return };
        if ix < N_WORKERS_MAX {
            worker::lose_answer(world, ix, session.call, false, self.plant);
        }
    }
}

impl World {
    /// The client of a session is gone, and the server does not know yet: it may go on with it, or give it up.
    /// `None` where there are too many such sessions to follow.
    fn orphan(&mut self, ix: usize, is_doomed: bool) -> Option<()> {
        let Some(session) = self.sessions[ix].take() else { return Some(()) };
        if !matches!(session.phase, Phase::Answered(_)) {
            let free = self.sessions[N_WORKERS_MAX..].iter_mut().find(|session| session.is_none())?;
            *free = Some(Session { is_doomed, ..session });
        }
        Some(())
    }
}

/// What becomes of a request: the table of `Backend::request`. Tells whether anything does.
fn ask(run: &mut Run, wish: Option<Wish>) -> bool {
    let before = *run;
    match (run.status, wish) {
        (Status::Queued | Status::Running, Some(Wish::Pause)) if run.requested == Some(Wish::Cancel) => {}
        (Status::Queued, Some(Wish::Pause)) => (run.status, run.requested) = (Status::Paused, None),
        (Status::Paused, None) => (run.status, run.requested) = (Status::Queued, None),
        // Its next worker does it, where it had one.
        (Status::Queued, Some(Wish::Cancel)) if run.epoch > 0 && run.requested.is_none() => {
            run.requested = Some(Wish::Cancel);
        }
        (Status::Queued | Status::Paused, Some(Wish::Cancel)) => {
            (run.status, run.requested, run.owner) = (Status::Cancelled, None, None);
        }
        (Status::Running, Some(wish)) => run.requested = Some(wish),
        (Status::Running, None) if run.requested == Some(Wish::Pause) => run.requested = None,
        _ => {}
    }
    *run != before
}
