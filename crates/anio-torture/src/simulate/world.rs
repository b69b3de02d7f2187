//! What all processes of a schedule share: the time, the database, the dice, and what is written down.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anio_core::{RunId, Timestamp};
use anio_scheduler::{Clock, Ids};
use anio_store::memory::Memory;
use anio_store::record::WorkerId;
use tokio::time::Instant;
use uuid::Uuid;

use super::process::Process;
use super::script::Script;
use super::weather::Fate;
use crate::dice::Dice;
use crate::history::History;

/// The time at which every schedule begins.
const EPOCH_MICROS: i64 = 1_700_000_000_000_000;

/// What has more steps than this is going round in circles.
const STEPS_MAX: u64 = 200_000;

/// What all processes of a schedule share.
pub(super) struct World {
    pub(super) script: Script,
    pub(super) memory: Memory,
    time: Time,
    n_ids: AtomicU64,
    state: Mutex<State>,
}

pub(super) struct State {
    dice: Dice,
    hash: DefaultHasher,
    n_steps: u64,
    trace: Option<Vec<String>>,
    is_calm: bool,
    /// Verbs that are on their way though nobody waits for them.
    n_late: usize,
    n_leases: u32,
    /// All that ever lived.
    pub(super) processes: Vec<Arc<Process>>,
    pub(super) history: History,
    pub(super) mended: HashSet<RunId>,
    pub(super) surprises: Vec<String>,
    pub(super) counts: BTreeMap<&'static str, u64>,
}

impl World {
    pub(super) fn new(script: Script, is_traced: bool) -> Arc<Self> {
        let time = Time::new();
        let state = State {
            dice: script.dice.clone(),
            hash: DefaultHasher::new(),
            n_steps: 0,
            trace: is_traced.then(Vec::new),
            is_calm: false,
            n_late: 0,
            n_leases: 0,
            processes: Vec::new(),
            history: History::default(),
            mended: HashSet::new(),
            surprises: Vec::new(),
            counts: BTreeMap::new(),
        };
        let clock = time.clone();
        let memory = Memory::with_clock(move || clock.now());
        Arc::new(Self { script, memory, time, n_ids: AtomicU64::new(0), state: Mutex::new(state) })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // A panic in the engine is told of as one; what is written down is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The true time.
    pub(super) fn now(&self) -> Timestamp {
        self.time.now()
    }

    /// How long the schedule has been going on.
    pub(super) fn elapsed(&self) -> Duration {
        self.time.start.elapsed()
    }

    pub(super) fn at(&self, since: Duration) -> Instant {
        self.time.start + since
    }

    /// The clock of a host.
    pub(super) fn clock(&self, host: usize) -> Arc<dyn Clock> {
        Arc::new(HostClock { time: self.time.clone(), skew: self.script.skews[host] })
    }

    /// Decides something by the dice.
    pub(super) fn draw<T>(&self, draw: impl FnOnce(&mut Dice) -> T) -> T {
        draw(&mut self.state().dice)
    }

    /// Notes a step.
    pub(super) fn note(&self, step: impl Debug + Hash) {
        let now = self.elapsed();
        let mut state = self.state();
        state.n_steps += 1;
        now.hash(&mut state.hash);
        step.hash(&mut state.hash);
        if let Some(trace) = &mut state.trace {
            trace.push(format!("{:>9.3} s  {step:?}", now.as_secs_f64()));
        }
    }

    pub(super) fn count(&self, what: &'static str) {
        *self.state().counts.entry(what).or_default() += 1;
    }

    pub(super) fn surprise(&self, what: String) {
        self.state().surprises.push(what);
    }

    /// Their leases have been seen to have run out: now and then one of those that stand still goes on just then.
    pub(super) fn tempt(&self, dead: &[WorkerId]) {
        let processes = self.state().processes.clone();
        let is_dead = |process: &Process| process.lease().is_some_and(|lease| dead.contains(&lease));
        for process in processes.iter().filter(|process| is_dead(process)) {
            if self.draw(|dice| dice.percent(self.script.thaws)) {
                process.thaw();
            }
        }
    }

    /// No more disturbance.
    pub(super) fn calm(&self) {
        self.state().is_calm = true;
    }

    pub(super) fn is_calm(&self) -> bool {
        self.state().is_calm
    }

    /// Whether nothing has disturbed for a while.
    pub(super) fn is_calm_for_long(&self) -> bool {
        self.elapsed() > self.script.calm_at + Duration::from_secs(60)
    }

    /// Whether so much happens that it cannot come to an end.
    pub(super) fn is_running_wild(&self) -> bool {
        self.state().n_steps > STEPS_MAX
    }

    pub(super) fn fate(&self, is_read: bool) -> Fate {
        let mut state = self.state();
        if state.is_calm { Fate::Done } else { self.script.weather.fate(&mut state.dice, is_read) }
    }

    /// How long a way to the database takes, and how many others go first at its end.
    pub(super) fn way(&self) -> (Duration, u64) {
        let mut state = self.state();
        let way = self.script.weather.way(&mut state.dice);
        let is_long = way > Duration::from_millis(100);
        let way = if state.is_calm && is_long { Duration::from_millis(1) } else { way };
        (way, state.dice.below(3))
    }

    pub(super) fn late(self: &Arc<Self>) -> Late {
        self.state().n_late += 1;
        Late(Arc::clone(self))
    }

    /// Whether nothing is on its way that nobody waits for.
    pub(super) fn is_all_there(&self) -> bool {
        self.state().n_late == 0
    }

    /// A number for a lease that was taken: as a process of its own it shows in the history.
    pub(super) fn next_lease(&self) -> u32 {
        let now = self.now();
        let mut state = self.state();
        state.n_leases += 1;
        let pid = state.n_leases;
        state.history.spawned.insert(pid, now);
        state.history.n_deaths += 1;
        pid
    }

    /// Ends it: what happened, in short and, where it was wanted, in full.
    pub(super) fn digest(&self) -> (u64, u64, Vec<String>) {
        let mut state = self.state();
        (state.hash.finish(), state.n_steps, state.trace.take().unwrap_or_default())
    }
}

/// A verb that is on its way though nobody waits for it.
pub(super) struct Late(Arc<World>);

impl Drop for Late {
    fn drop(&mut self) {
        self.0.state().n_late -= 1;
    }
}

/// The time, which is another each time that it is asked for: what comes after something has a later one.
#[derive(Clone, Debug)]
struct Time {
    start: Instant,
    last_micros: Arc<AtomicU64>,
}

impl Time {
    fn new() -> Self {
        Self { start: Instant::now(), last_micros: Arc::default() }
    }

    fn now(&self) -> Timestamp {
        let elapsed = u64::try_from(self.start.elapsed().as_micros()).expect("a schedule is short");
        let micros = elapsed.max(self.last_micros.load(Ordering::Relaxed) + 1);
        self.last_micros.store(micros, Ordering::Relaxed);
        Timestamp::from_micros(EPOCH_MICROS + micros.cast_signed())
    }
}

#[derive(Debug)]
struct HostClock {
    time: Time,
    skew: i64,
}

impl Clock for HostClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.time.now().as_micros() + self.skew)
    }
}

/// Identities that count up.
#[derive(Clone)]
pub(super) struct Counted(pub(super) Arc<World>);

impl Debug for Counted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Counted")
    }
}

impl Ids for Counted {
    fn next(&self) -> Uuid {
        let n = self.0.n_ids.fetch_add(1, Ordering::Relaxed);
        let ms = u128::from(self.0.now().as_micros().unsigned_abs() / 1000);
        Uuid::from_u128(ms << 80 | 7 << 76 | 2 << 62 | u128::from(n))
    }
}
