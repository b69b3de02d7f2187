//! A process of a simulation: it can die, stand still, and be cut off from the database.
//!
//! One that has died does nothing any more that others could see: its verbs stay on their way for ever, its bodies
//! and clients wait for ever and write nothing. What is left of it is dropped with the whole schedule.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anio::Engine;
use anio_core::{Lane, RunId, Timestamp, Workflow};
use anio_store::record::WorkerId;
use anio_store::{Schedule, Wait};
use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::Instant;

use super::world::World;
use crate::diary::{Line, What};
use crate::surroundings::Surroundings;

/// Added to the number of a process that writes after it has lost its lease.
const ZOMBIE: u32 = 1_000_000;

pub(super) struct Process {
    pub(super) world: Arc<World>,
    pub(super) host: usize,
    state: Mutex<State>,
    dead: watch::Sender<bool>,
    /// Until when it stands still.
    still: watch::Sender<Instant>,
}

struct State {
    engine: Option<Engine>,
    workflows: Vec<Workflow>,
    cut_off_until: Instant,
    /// The lease that it took last, and its number.
    lease: Option<(WorkerId, u32)>,
    n_clients: usize,
}

impl Process {
    pub(super) fn new(world: &Arc<World>, host: usize) -> Arc<Self> {
        let now = Instant::now();
        let state =
            State { engine: None, workflows: Vec::new(), cut_off_until: now, lease: None, n_clients: 0 };
        let process = Arc::new(Self {
            world: Arc::clone(world),
            host,
            state: Mutex::new(state),
            dead: watch::Sender::new(false),
            still: watch::Sender::new(now),
        });
        world.state().processes.push(Arc::clone(&process));
        process
    }

    /// Lets go of what refers back to it. The schedule is over.
    pub(super) fn dismantle(&self) {
        let mut state = self.state();
        let parts = (state.engine.take(), std::mem::take(&mut state.workflows));
        drop(state);
        drop(parts);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn kill(&self) {
        self.dead.send_replace(true);
    }

    pub(super) fn is_dead(&self) -> bool {
        *self.dead.borrow()
    }

    /// Waits for its death.
    pub(super) async fn died(&self) {
        let mut dead = self.dead.subscribe();
        // The sender is here, so it cannot be gone.
        let _ = dead.wait_for(|dead| *dead).await;
    }

    pub(super) fn freeze(&self, time: Duration) {
        self.still.send_replace(Instant::now() + time);
    }

    /// Lets it go on, if it stands still.
    pub(super) fn thaw(&self) {
        if *self.still.borrow() > Instant::now() {
            self.world.note((self.host, "thaws"));
            self.world.count("thaws");
            self.still.send_replace(Instant::now());
        }
    }

    pub(super) fn cut_off(&self, time: Duration) {
        self.state().cut_off_until = Instant::now() + time;
    }

    pub(super) fn is_cut_off(&self) -> bool {
        Instant::now() < self.state().cut_off_until && !self.world.is_calm()
    }

    pub(super) fn set_workflows(&self, workflows: &[Workflow]) {
        self.state().workflows = workflows.to_vec();
    }

    /// The workflow of a blueprint, as this process executes it; after those of all blueprints the deadly one.
    pub(super) fn workflow(&self, blueprint: usize) -> Workflow {
        self.state().workflows[blueprint].clone()
    }

    pub(super) fn set_engine(&self, engine: Engine) {
        self.state().engine = Some(engine);
    }

    /// The engine, when it has started and the process lives.
    pub(super) fn engine(&self) -> Option<Engine> {
        if self.is_dead() { None } else { self.state().engine.clone() }
    }

    /// It has taken a lease.
    pub(super) fn has_lease(&self, worker: WorkerId) {
        let mut state = self.state();
        if state.lease.is_none_or(|(last, _)| last != worker) {
            let pid = self.world.next_lease();
            state.lease = Some((worker, pid));
        }
    }

    /// Its last lease.
    pub(super) fn lease(&self) -> Option<WorkerId> {
        self.state().lease.map(|(worker, _)| worker)
    }

    /// The number of its last lease, or of the zombie that it is since it lost that.
    fn pid_of(&self, lease: Option<(WorkerId, u32)>) -> u32 {
        let Some((worker, pid)) = lease else { return ZOMBIE };
        if self.world.memory.has_lease(worker) {
            return pid;
        }
        self.world.state().history.zombies.insert(pid + ZOMBIE);
        pid + ZOMBIE
    }

    /// Lets go on who belongs to a process that lives and does not stand still.
    pub(super) async fn gate(&self) {
        let mut still = self.still.subscribe();
        loop {
            if self.is_dead() || self.world.is_running_wild() {
                std::future::pending::<()>().await;
            }
            let until = *still.borrow_and_update();
            if Instant::now() >= until {
                return;
            }
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(until) => {}
                // The sender is here, so it cannot be gone.
                _ = still.changed() => {}
            }
        }
    }

    /// After something was told: now and then it dies just then.
    pub(super) async fn tempt(&self) {
        let percent = self.world.script.deaths_after_answers;
        if !self.world.is_calm() && self.world.draw(|dice| dice.percent(percent)) {
            self.world.note((self.host, "dies after an answer"));
            self.world.count("kills");
            self.world.count("kills_after_an_answer");
            self.kill();
        }
        self.gate().await;
    }

    /// A graceful shutdown of it is over: what its bodies came to is durable.
    pub(super) fn has_stopped(&self) {
        if let Some((_, pid)) = self.state().lease {
            self.world.state().history.stopped.insert(pid);
        }
    }

    pub(super) fn client(self: &Arc<Self>) -> Client {
        self.state().n_clients += 1;
        Client(Arc::clone(self))
    }

    pub(super) fn has_clients(&self) -> bool {
        self.state().n_clients > 0
    }
}

/// A client that has something to wait for.
pub(super) struct Client(pub(super) Arc<Process>);

impl Drop for Client {
    fn drop(&mut self) {
        self.0.state().n_clients -= 1;
    }
}

#[async_trait]
impl Surroundings for Process {
    fn now(&self) -> Timestamp {
        self.world.now()
    }

    fn pid(&self) -> u32 {
        self.pid_of(self.state().lease)
    }

    async fn enter(&self, pressed: bool) -> u32 {
        // The lease under which it was started; it may be lost by the time that it begins.
        let lease = self.state().lease;
        if !pressed {
            for _ in 0..self.world.draw(|dice| dice.below(3)) {
                tokio::task::yield_now().await;
            }
            self.gate().await;
        } else if self.is_dead() {
            std::future::pending::<()>().await;
        }
        self.pid_of(lease)
    }

    async fn pass_time(&self, _: Lane, pace: Duration) {
        tokio::time::sleep(pace).await;
        self.gate().await;
    }

    fn is_mended(&self, run: RunId) -> bool {
        self.world.state().mended.contains(&run)
    }

    fn write(&self, line: &Line) {
        if self.is_dead() {
            return;
        }
        let (task, index) = &line.task_run;
        self.world.note((
            Told(line.what),
            line.pid,
            line.run.as_uuid().as_u128() as u32,
            task,
            index,
            line.attempt,
        ));
        self.world.count(match line.what {
            What::Begin => "bodies_begun",
            What::Called => "callbacks",
            What::End | What::Fail | What::Gone | What::Told => "lines",
        });
        self.world.state().history.diary.push(line.clone());
    }
}

/// A line of the diary as a step.
#[derive(Debug)]
struct Told(What);

impl std::hash::Hash for Told {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        std::mem::discriminant(&self.0).hash(state);
    }
}

/// The schedule of a process's store.
pub(super) struct Ways(pub(super) Arc<Process>);

impl Schedule for Ways {
    fn spawn(&self, connection: Wait) {
        tokio::spawn(connection);
    }

    fn travel(&self) -> Wait {
        let process = Arc::clone(&self.0);
        let (way, n_first) = process.world.way();
        Box::pin(async move {
            if !way.is_zero() {
                tokio::time::sleep(way).await;
            }
            for _ in 0..n_first {
                tokio::task::yield_now().await;
            }
            process.gate().await;
        })
    }

    fn pause(&self, time: Duration) -> Wait {
        Box::pin(tokio::time::sleep(time))
    }

    fn now(&self) -> std::time::Instant {
        Instant::now().into_std()
    }
}
