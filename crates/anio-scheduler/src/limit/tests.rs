mod shared;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use anio_core::WorkflowName;

use super::*;

const NOBODY: [u64; 0] = [];

/// The limits of a worker with a few resources, and task runs that come and go.
struct Bench {
    limits: Limits,
    start: Instant,
    n_ready: u32,
}

/// What task number `task` demands, on the lane for work that waits.
fn demand(limits: &Limits, needs: &[(&str, u32)]) -> Demand {
    let position = |name: &str| limits.resources.iter().position(|resource| resource.name == name).unwrap();
    Demand {
        is_cpu: false,
        own: None,
        needs: needs.iter().map(|(name, units)| (position(name), *units)).collect(),
    }
}

fn own(task: u32, concurrency: Option<u32>, rate: Option<&str>) -> Own {
    let rate = rate.map(|rate| rate.parse().unwrap());
    Own { task: (WorkflowName::trusted("w"), task), concurrency, rate }
}

impl Bench {
    fn new(resources: &[(&str, u32)], rates: &[(&str, &str)]) -> Self {
        let config = Config {
            resources: resources.iter().map(|(name, units)| ((*name).to_owned(), *units)).collect(),
            resource_rates: rates
                .iter()
                .map(|(name, rate)| ((*name).to_owned(), rate.parse().unwrap()))
                .collect(),
            ..Config::default()
        };
        let mut limits = Limits::new(&config);
        let start = Instant::now();
        limits.look_at(start);
        Self { limits, start, n_ready: 0 }
    }

    /// A task run comes that needs this; gives its turn, which it is known by from here on.
    fn come(&mut self, needs: &[(&str, u32)]) -> u64 {
        self.come_with(demand(&self.limits, needs), 0)
    }

    fn come_with(&mut self, demand: Demand, priority: i32) -> u64 {
        let key = TaskRunKey { task: self.n_ready, map_index: None };
        let turn = u64::from(self.n_ready);
        self.n_ready += 1;
        self.limits.wait(demand, Ready { priority, turn, run: RunId::from_uuid(uuid::Uuid::nil()), key });
        turn
    }

    /// All that can start now do; gives their turns, and what they hold.
    fn start_all(&mut self, lane: Lane) -> Vec<(u64, Arc<Demand>)> {
        let mut started = Vec::new();
        while let Some((ready, demand)) = self.limits.first(lane) {
            self.limits.pop(&demand);
            self.limits.take(ready, demand);
            started.push((ready.turn, self.limits.begin(ready.run, ready.key).unwrap()));
        }
        started
    }

    fn started(&mut self) -> Vec<u64> {
        self.start_all(Lane::Async).into_iter().map(|(turn, _)| turn).collect()
    }

    fn wait_until(&mut self, ms: u64) {
        self.limits.look_at(self.start + Duration::from_millis(ms));
    }

    /// Milliseconds from the start to when a rate opens that somebody waits for.
    fn opens_ms(&self) -> Option<u128> {
        self.limits.opens().map(|opens| (opens - self.start).as_millis())
    }
}

#[test]
fn no_more_of_a_task_start_than_its_concurrency_and_the_next_in_turn_follows() {
    let mut bench = Bench::new(&[], &[]);
    let demand = Demand { is_cpu: false, own: Some(own(3, Some(2), None)), needs: Vec::new() };
    for priority in [0, 0, 0, 5] {
        bench.come_with(demand.clone(), priority);
    }
    assert_eq!(bench.started(), [3, 0]);
    bench.limits.leave(&demand);
    assert_eq!(bench.started(), [1]);
    bench.limits.leave(&demand);
    bench.limits.leave(&demand);
    assert_eq!(bench.started(), [2]);
    bench.limits.leave(&demand);
    assert!(bench.limits.executing.is_empty() && bench.limits.waiting.is_empty());
}

#[test]
fn a_big_one_is_next_after_those_before_it_however_many_small_ones_follow() {
    let mut bench = Bench::new(&[("memory", 4)], &[]);
    for _ in 0..3 {
        bench.come(&[("memory", 1)]);
    }
    let mut small: VecDeque<_> = bench.start_all(Lane::Async).into();
    let big = bench.come(&[("memory", 4)]);
    while let Some((_, demand)) = small.pop_front() {
        bench.come(&[("memory", 1)]);
        assert_eq!(bench.started(), NOBODY, "the unit that is left is for the big one");
        bench.limits.leave(&demand);
    }
    assert_eq!(bench.started(), [big]);
    let urgent = demand(&bench.limits, &[("memory", 1)]);
    let urgent = bench.come_with(urgent, 1);
    bench.limits.leave(&demand(&bench.limits, &[("memory", 4)]));
    assert_eq!(bench.started(), [urgent, 4, 5, 6]);
}

#[test]
fn one_that_waits_for_a_resource_holds_back_nobody_who_needs_another() {
    let mut bench = Bench::new(&[("gpu", 1), ("memory", 4), ("disk", 1)], &[]);
    bench.come(&[("gpu", 1)]);
    assert_eq!(bench.started(), [0]);
    bench.come(&[("gpu", 1), ("memory", 2)]);
    let disk = bench.come(&[("disk", 1)]);
    let memory = bench.come(&[("memory", 1)]);
    assert_eq!(bench.started(), [disk], "the memory is kept for the one that waits for the gpu");
    bench.limits.leave(&demand(&bench.limits, &[("gpu", 1)]));
    assert_eq!(bench.started(), [1, memory]);
}

#[test]
fn one_that_waits_for_its_place_or_its_rate_keeps_no_units() {
    let mut bench = Bench::new(&[("gpu", 2)], &[]);
    let gpu = demand(&bench.limits, &[("gpu", 1)]);
    let one_at_a_time = Demand { own: Some(own(1, Some(1), None)), ..gpu.clone() };
    let hourly = Demand { own: Some(own(2, None, Some("1/h"))), ..gpu.clone() };
    for demand in [&one_at_a_time, &one_at_a_time, &hourly, &hourly] {
        bench.come_with(demand.clone(), 0);
    }
    assert_eq!(bench.started(), [0, 2]);
    bench.limits.leave(&hourly);
    let other = bench.come(&[("gpu", 1)]);
    assert_eq!(bench.started(), [other]);
}

#[test]
fn starts_follow_the_rate_of_their_task_and_those_of_their_resources() {
    let mut bench = Bench::new(&[], &[("api", "2/s")]);
    let api = demand(&bench.limits, &[("api", 1)]);
    let hurried = Demand { own: Some(own(1, None, Some("10/s"))), ..api.clone() };
    let plain = Demand { own: Some(own(2, None, Some("10/s"))), is_cpu: false, needs: Vec::new() };
    for demand in [&hurried, &hurried, &plain, &plain, &plain] {
        bench.come_with(demand.clone(), 0);
    }
    assert_eq!(bench.started(), [0, 2], "one may start at once under each rate");
    assert_eq!(bench.opens_ms(), Some(100));
    bench.wait_until(99);
    assert_eq!(bench.started(), NOBODY);
    for (ms, started) in [(100, vec![3]), (200, vec![4]), (400, vec![]), (500, vec![1])] {
        bench.wait_until(ms);
        assert_eq!(bench.started(), started, "after {ms} ms");
    }
    assert_eq!(bench.opens_ms(), None);
}

#[test]
fn a_start_that_lacks_units_is_counted_by_no_rate() {
    let mut bench = Bench::new(&[("api", 1)], &[("api", "1/s")]);
    bench.come(&[("api", 1)]);
    assert_eq!(bench.started(), [0]);
    bench.come(&[("api", 1)]);
    for ms in [1000, 2000, 3000] {
        bench.wait_until(ms);
        assert_eq!(bench.started(), NOBODY);
    }
    assert_eq!(bench.opens_ms(), None, "the clock alone starts nobody");
    bench.limits.leave(&demand(&bench.limits, &[("api", 1)]));
    assert_eq!(bench.started(), [1]);
    bench.limits.leave(&demand(&bench.limits, &[("api", 1)]));
    bench.come(&[("api", 1)]);
    assert_eq!(bench.started(), NOBODY);
    assert_eq!(bench.opens_ms(), Some(4000));
}

#[test]
fn what_waits_for_a_slot_of_the_other_lane_keeps_its_units() {
    let mut bench = Bench::new(&[("gpu", 1)], &[]);
    let plain = demand(&bench.limits, &[("gpu", 1)]);
    let cpu = Demand { is_cpu: true, ..plain.clone() };
    bench.come_with(cpu.clone(), 0);
    bench.come_with(plain, 0);
    assert_eq!(bench.started(), NOBODY);
    assert_eq!(bench.start_all(Lane::Cpu).len(), 1);
    assert_eq!(bench.started(), NOBODY);
    bench.limits.leave(&cpu);
    assert_eq!(bench.started(), [1]);
}

#[test]
fn when_the_lease_is_lost_bodies_that_run_keep_their_units_and_others_do_not() {
    let mut bench = Bench::new(&[("gpu", 3)], &[]);
    let gpu = demand(&bench.limits, &[("gpu", 1)]);
    bench.come(&[("gpu", 1)]);
    assert_eq!(bench.started(), [0]);
    bench.come(&[("gpu", 1)]);
    let (ready, held) = bench.limits.first(Lane::Async).unwrap();
    bench.limits.pop(&held);
    bench.limits.take(ready, held);
    bench.come(&[("gpu", 2)]);
    bench.limits.clear();
    assert_eq!(bench.limits.resources[0].n_used, 1);
    assert_eq!(bench.started(), NOBODY, "nobody waits any more");
    assert!(bench.limits.begin(ready.run, ready.key).is_none());
    bench.limits.leave(&gpu);
    assert_eq!(bench.limits.resources[0].n_used, 0);
}

#[test]
fn whatever_comes_units_are_never_exceeded_and_everybody_starts() {
    for seed in 1..=200_u64 {
        let mut random = seed;
        let mut next = |n: u64| {
            // Xorshift (G. Marsaglia, 2003).
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % n
        };
        let all = BTreeMap::from([("disk", 2), ("gpu", 3), ("memory", 5)]);
        let resources: Vec<_> = all.iter().map(|(name, units)| (*name, *units)).collect();
        let mut bench = Bench::new(&resources, &[]);
        let (mut running, mut n_started) = (Vec::new(), 0);
        for _ in 0..60 {
            let mut needs = Vec::new();
            for (name, units) in &resources {
                if next(2) == 0 {
                    needs.push((*name, 1 + next(u64::from(*units)) as u32));
                }
            }
            let own = (next(3) == 0).then(|| own(next(3) as u32, Some(1 + next(3) as u32), None));
            let demand = Demand { is_cpu: next(2) == 0, own, ..demand(&bench.limits, &needs) };
            bench.come_with(demand, next(2) as i32);
        }
        loop {
            for lane in [Lane::Async, Lane::Cpu, Lane::Async] {
                let started = bench.start_all(lane);
                n_started += started.len();
                running.extend(started);
            }
            for (resource, (name, units)) in resources.iter().enumerate() {
                let used: u32 = running
                    .iter()
                    .flat_map(|(_, demand)| &demand.needs)
                    .filter_map(|(position, units)| (*position == resource).then_some(units))
                    .sum();
                assert!(used <= *units, "seed {seed}: {used} of {name}");
                assert_eq!(used, bench.limits.resources[resource].n_used);
            }
            if running.is_empty() {
                break;
            }
            let (_, demand) = running.swap_remove(next(running.len() as u64) as usize);
            bench.limits.leave(&demand);
        }
        assert_eq!(n_started, 60, "seed {seed}");
    }
}
