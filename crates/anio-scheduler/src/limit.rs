//! What a task run waits for beside a slot: the `concurrency` of its task, units of named resources
//! (`needs(gpu = 1)`), a thread of the pool that it names, and rates: of this worker, and such as all workers share.
//!
//! A task run that waits here holds no slot, and takes all that it must have at once, or nothing. Those who
//! wait are asked in turn (higher priority first, then first ready first), and who can start does:
//!
//! ```text
//!   its task's `concurrency` is used up   ──► waits; holds nobody back
//!   a rate is not open yet                ──► waits; holds nobody back
//!   units are missing                     ──► waits; whoever comes after it and needs one of the same
//!                                             resources waits behind it
//!   its turn under a shared rate is missing ──► it is reserved for it; holds nobody back meanwhile
//!   nothing is missing                    ──► starts
//! ```
//!
//! So a task run that needs much cannot starve behind many that need little, and one that waits for one
//! resource holds nobody back who needs another. The price: units that the first in turn does not use yet
//! may stand idle until it has all of its own.
//!
//! Counts are of what executes now; nothing is stored, so a crash leaves no count behind. A body whose run
//! is not held here any more (the lease was lost) keeps its units until it ends.

mod demand;
mod pace;
mod shared;

use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use anio_core::plant::{Plant, is_planted};
use anio_core::run::TaskRunKey;
use anio_core::task::Rate;
use anio_core::{Lane, RunId};
use anio_store::rate::Reservation;
use tokio::time::Instant;

pub(crate) use self::demand::Demand;
use self::demand::{Own, TaskId};
use self::pace::{LoopClock, Pace};
pub(crate) use self::shared::Answer;
use self::shared::{SharedPace, Turn};
use crate::config::Config;
use crate::ready::Ready;

/// What there is, what of it is in use, and who waits for it.
#[derive(Debug)]
pub(crate) struct Limits {
    resources: Vec<Resource>,
    now: Instant,
    clock: LoopClock,
    /// How many task runs execute, for tasks with a `concurrency` of their own.
    executing: HashMap<TaskId, u32>,
    /// The rates of tasks that have begun. They stay, since the time of the last start is in them.
    paces: HashMap<(TaskId, Rate), Pace>,
    waiting: HashMap<Arc<Demand>, BinaryHeap<Ready>>,
    /// Task runs that have got what they need and whose bodies have not begun: their starts are being made
    /// durable.
    starting: HashMap<(RunId, TaskRunKey), Arc<Demand>>,
    /// Whether those who wait have been asked in vain, by lane, and nothing has changed since.
    is_stuck: [bool; 2],
    /// When the next rate opens that somebody waits for who lacks nothing else that is known of.
    opens: Option<Instant>,
    /// Whether somebody lacks nothing but a turn that is not asked for yet.
    has_wants: bool,
}

#[derive(Debug)]
struct Resource {
    name: String,
    kind: Kind,
    /// `None`: it has a rate only.
    units: Option<u32>,
    n_used: u32,
    pace: Option<Pace>,
    /// The rate that all workers share.
    shared: Option<SharedPace>,
}

/// What the units of a resource are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Whatever the user counts.
    Named,
    /// The threads of a named pool.
    Pool,
}

/// What somebody who waits lacks.
enum Lack {
    Nothing,
    Place,
    Time(Instant),
    Units,
    /// Its turn under the shared rate of this resource.
    Turn(usize),
}

impl Limits {
    pub(crate) fn new(config: &Config) -> Self {
        let clock = LoopClock::new();
        let rates = config.resource_rates.keys().chain(config.shared_resource_rates.keys());
        let names = config.resources.keys().chain(rates);
        let mut resources: Vec<Resource> = Vec::new();
        for name in names {
            if resources.iter().any(|resource| resource.name == *name) {
                continue;
            }
            let rate = config.resource_rates.get(name);
            let shared = config.shared_resource_rates.get(name);
            resources.push(Resource {
                name: name.clone(),
                kind: Kind::Named,
                units: config.resources.get(name).copied(),
                n_used: 0,
                pace: rate.map(|rate| Pace::new(*rate, &clock)),
                shared: shared.map(|rate| SharedPace::new(name, *rate)),
            });
        }
        resources.extend(config.pools.iter().map(|(name, n_threads)| Resource {
            name: name.clone(),
            kind: Kind::Pool,
            units: Some(u32::try_from(*n_threads).unwrap_or(u32::MAX)),
            n_used: 0,
            pace: None,
            shared: None,
        }));
        Self {
            resources,
            now: Instant::now(),
            clock,
            executing: HashMap::new(),
            paces: HashMap::new(),
            waiting: HashMap::new(),
            starting: HashMap::new(),
            is_stuck: [false; 2],
            opens: None,
            has_wants: false,
        }
    }

    /// Says what time it is: all that is asked until the next time is answered for this moment.
    pub(crate) fn look_at(&mut self, now: Instant) {
        self.now = now;
        self.clock.set(now);
        if self.opens.is_some_and(|opens| opens <= now) {
            self.opens = None;
            self.is_stuck = [false; 2];
        }
    }

    /// Lets a task run wait.
    pub(crate) fn wait(&mut self, demand: Demand, ready: Ready) {
        self.forget_late(&demand);
        let line = self.waiting.entry(Arc::new(demand)).or_default();
        if line.peek().is_none_or(|first| *first < ready) {
            self.is_stuck = [false; 2];
        }
        line.push(ready);
    }

    /// The first in turn of a lane that lacks nothing but a slot.
    pub(crate) fn first(&mut self, lane: Lane) -> Option<(Ready, Arc<Demand>)> {
        let is_cpu = lane == Lane::Cpu;
        if self.waiting.is_empty() || self.is_stuck[usize::from(is_cpu)] {
            return None;
        }
        let mut firsts: Vec<_> =
            self.waiting.iter().filter_map(|(demand, line)| Some((line.peek()?, demand))).collect();
        firsts.sort_unstable_by(|(a, _), (b, _)| b.cmp(a));
        let mut is_reserved = vec![false; self.resources.len()];
        let mut opens: Option<Instant> = None;
        let mut wanted = Vec::new();
        for (ready, demand) in firsts {
            match self.lack(demand, &is_reserved) {
                Lack::Nothing if demand.is_cpu == is_cpu => return Some((*ready, Arc::clone(demand))),
                Lack::Time(at) => opens = Some(opens.map_or(at, |opens| opens.min(at))),
                Lack::Turn(resource) if demand.is_cpu == is_cpu => wanted.push(resource),
                // For a turn of the other lane it is asked when there is a slot.
                Lack::Place | Lack::Turn(_) => {}
                // The one who lacks nothing is of the other lane, and the next to have a slot there.
                Lack::Units | Lack::Nothing => {
                    demand.needs.iter().for_each(|(resource, _)| is_reserved[*resource] = true);
                }
            }
        }
        self.is_stuck[usize::from(is_cpu)] = true;
        self.opens = opens;
        for resource in wanted {
            self.resources[resource].shared.iter_mut().for_each(SharedPace::want);
            self.has_wants = true;
        }
        None
    }

    fn lack(&self, demand: &Demand, is_reserved: &[bool]) -> Lack {
        let mut opens = self.now;
        if let Some(Own { task, concurrency, rate }) = &demand.own {
            let n_executing = self.executing.get(task).copied().unwrap_or_default();
            if concurrency.is_some_and(|max| n_executing >= max) {
                return Lack::Place;
            }
            let pace = rate.and_then(|rate| self.paces.get(&(task.clone(), rate)));
            opens = pace.map_or(opens, |pace| opens.max(pace.opens()));
        }
        for (resource, _) in &demand.needs {
            let pace = self.resources[*resource].pace.as_ref();
            opens = pace.map_or(opens, |pace| opens.max(pace.opens()));
        }
        if opens > self.now {
            return Lack::Time(opens);
        }
        let has_room = |(resource, units): &(usize, u32)| {
            let Resource { units: all, n_used, .. } = &self.resources[*resource];
            !is_reserved[*resource] && all.is_none_or(|all| all - n_used >= *units)
        };
        if !demand.needs.iter().all(has_room) {
            return Lack::Units;
        }
        // The slowest stand first: a turn of theirs is kept while the next is asked for.
        for (resource, _) in &demand.needs {
            let turn = self.resources[*resource].shared.as_ref().map(|shared| shared.turn(self.now));
            match turn {
                None | Some(Turn::Now) => {}
                Some(Turn::At(at)) => return Lack::Time(at),
                Some(Turn::Unknown) => return Lack::Turn(*resource),
            }
        }
        Lack::Nothing
    }

    /// Takes the first out of the line of those who have this demand.
    pub(crate) fn pop(&mut self, demand: &Arc<Demand>) {
        self.is_stuck = [false; 2];
        if let Some(line) = self.waiting.get_mut(demand) {
            line.pop();
            if line.is_empty() {
                self.waiting.remove(demand);
            }
        }
    }

    /// Gives a task run what it demands, until it leaves.
    pub(crate) fn take(&mut self, ready: Ready, demand: Arc<Demand>) {
        if is_planted(Plant::LimitsNotCounted) {
            return;
        }
        if let Some(Own { task, concurrency, rate }) = &demand.own {
            if concurrency.is_some() {
                *self.executing.entry(task.clone()).or_default() += 1;
            }
            if let Some(rate) = *rate {
                let pace = self.paces.entry((task.clone(), rate));
                pace.or_insert_with(|| Pace::new(rate, &self.clock)).take();
            }
        }
        for (resource, units) in &demand.needs {
            let resource = &mut self.resources[*resource];
            if resource.units.is_some() {
                resource.n_used += units;
            }
            resource.pace.iter_mut().for_each(Pace::take);
            resource.shared.iter_mut().for_each(|shared| shared.take(self.now));
        }
        self.is_stuck = [false; 2];
        self.starting.insert((ready.run, ready.key), demand);
    }

    /// The body of a task run begins: what it holds is its own from here on, to be given back by
    /// [`Limits::leave`].
    pub(crate) fn begin(&mut self, run: RunId, key: TaskRunKey) -> Option<Arc<Demand>> {
        self.starting.remove(&(run, key))
    }

    /// Takes back what a task run was given.
    pub(crate) fn leave(&mut self, demand: &Demand) {
        if let Some(Own { task, concurrency: Some(_), .. }) = &demand.own
            && let Some(n_executing) = self.executing.get_mut(task)
        {
            *n_executing -= 1;
            if *n_executing == 0 {
                self.executing.remove(task);
            }
        }
        for (resource, units) in &demand.needs {
            let resource = &mut self.resources[*resource];
            if resource.units.is_some() {
                resource.n_used -= units;
            }
        }
        self.is_stuck = [false; 2];
    }

    /// What is to be reserved under rates that all workers share, and of which resource, for those who wait and lack
    /// nothing else, where so many slots are free: of those who wait, and of those who compute.
    pub(crate) fn reservations(&mut self, n_free: [usize; 2]) -> Vec<(usize, Reservation)> {
        if !std::mem::take(&mut self.has_wants) {
            return Vec::new();
        }
        let is_wanted = |resource: &Resource| resource.shared.as_ref().is_some_and(SharedPace::is_wanted);
        let wanted = (0..).zip(&self.resources).filter(|(_, resource)| is_wanted(resource));
        let wanted: Vec<(usize, u32)> = wanted.map(|(at, _)| (at, self.n_startable(at, n_free))).collect();
        let ask = |(resource, n): (usize, u32)| {
            let shared = self.resources[resource].shared.as_mut();
            shared.map(|shared| (resource, shared.ask(n)))
        };
        wanted.into_iter().filter_map(ask).collect()
    }

    /// How many of those who need a resource could start now but for its rate, at the most.
    fn n_startable(&self, resource: usize, n_free: [usize; 2]) -> u32 {
        let mut n_startable = [0; 2];
        for (demand, line) in &self.waiting {
            if !demand.needs.iter().any(|(needed, _)| *needed == resource) {
                continue;
            }
            let n = line.len().min(self.n_rooms(demand));
            n_startable[usize::from(demand.is_cpu)] += n;
        }
        let n: usize = n_startable.into_iter().zip(n_free).map(|(n, free)| n.min(free)).sum();
        u32::try_from(n).unwrap_or(u32::MAX)
    }

    /// How many have room beside one another that all demand this.
    fn n_rooms(&self, demand: &Demand) -> usize {
        let places = demand.own.as_ref().and_then(|own| {
            let n_executing = self.executing.get(&own.task).copied().unwrap_or_default();
            Some(own.concurrency?.saturating_sub(n_executing))
        });
        let units = demand.needs.iter().filter_map(|(resource, units)| {
            let Resource { units: all, n_used, .. } = &self.resources[*resource];
            Some(((*all)? - n_used) / (*units).max(1))
        });
        units.chain(places).min().map_or(usize::MAX, |n| n as usize)
    }

    /// What came of a reservation.
    pub(crate) fn reserved(&mut self, resource: usize, answer: Answer) {
        self.resources[resource].shared.iter_mut().for_each(|shared| shared.answer(answer));
        self.is_stuck = [false; 2];
    }

    /// Turns that were reserved for those who are gone, and are long past, are not for the first who comes.
    fn forget_late(&mut self, demand: &Demand) {
        for (resource, _) in &demand.needs {
            let Some(shared) = &mut self.resources[*resource].shared else { continue };
            let is_waited_for =
                |other: &Arc<Demand>| other.needs.iter().any(|(needed, _)| needed == resource);
            if !self.waiting.keys().any(is_waited_for) {
                shared.forget(self.now);
            }
        }
    }

    /// How many wait.
    pub(crate) fn n_waiting(&self) -> usize {
        self.waiting.values().map(BinaryHeap::len).sum()
    }

    /// When somebody who waits may start by the clock alone.
    pub(crate) fn opens(&self) -> Option<Instant> {
        self.opens
    }

    /// Forgets all whose bodies have not begun.
    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
        self.opens = None;
        for demand in std::mem::take(&mut self.starting).into_values() {
            self.leave(&demand);
        }
    }
}

#[cfg(test)]
mod tests;
