//! Runs that are too large to be walked through completely: one way each, at random, from a seed.

use super::action::Action;
use super::case::{Case, Fate, If, Limits, On};
use super::explore::Counterexample;
use super::rule::{Broken, Rule, check};
use super::world::World;

/// Splitmix64 (Steele, Lea, Flood: *Fast Splittable Pseudorandom Number Generators*, 2014).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// A workflow of 10 to 30 tasks, maps, trees, steps and deciding ones among them, that changes hands up to four
/// times, and of which something is asked up to twice.
pub(super) fn case(random: &mut Random) -> Case {
    let limits = Limits {
        slots: 1 + random.below(5),
        n_hands: random.below(5) as u8,
        poison_deaths: [1, 2, 3, u32::MAX][random.below(4)],
        n_asks: random.below(3) as u8,
        asks: super::asks(random.below(3) as u32),
        ..Limits::ONCE
    };
    let mut tasks: Vec<(Fate, Vec<On>)> = Vec::new();
    for task in 0..10 + random.below(21) {
        let fate = match random.below(40) {
            0..10 => Fate::Lists(random.below(5) as u32),
            10..16 => Fate::FailsOnce,
            16 => Fate::Fails,
            17 => Fate::FailsAt(Some(1)),
            18 if limits.can_poison() => Fate::Kills,
            19..22 => Fate::Steps(random.below(4) as u32),
            22 => Fate::StepsFail(random.below(4) as u32),
            _ => Fate::Succeeds,
        };
        let is_by_steps = matches!(fate, Fate::Steps(_) | Fate::StepsFail(_));
        let mut edges = Vec::new();
        let mut is_mapped = false;
        for _ in 0..random.below(4).min(task) {
            let from = task - 1 - random.below(task.min(6));
            if edges.iter().any(|on: &On| on.from() == Some(from)) {
                continue;
            }
            let (fate, above) = &tasks[from];
            let is_list = matches!(fate, Fate::Lists(_) | Fate::Steps(_) | Fate::StepsFail(_))
                || above.iter().any(|on| matches!(on, On::Each(_)));
            let each = is_list && !is_mapped && !is_by_steps && !random.one_in(3);
            is_mapped |= each;
            edges.push(match random.below(8) {
                0..2 if each => On::Pairs(from),
                _ if each => On::Each(from),
                0 => On::Order(from),
                1 if !is_by_steps => On::Settled(from),
                _ => On::Whole(from),
            });
        }
        if edges.iter().any(|on| matches!(on, On::Each(_))) && random.one_in(4) {
            edges.push(On::Until(1 + random.below(3) as u32));
        }
        if !is_by_steps && random.one_in(6) {
            edges.push(On::When(condition(&tasks, &edges, random)));
        }
        tasks.push((fate, edges));
    }
    if random.one_in(2) { Case::reversed(limits, &tasks) } else { Case::new(limits, &tasks) }
}

/// A condition over the tasks that come before one with these edges.
fn condition(tasks: &[(Fate, Vec<On>)], edges: &[On], random: &mut Random) -> If {
    let mut before: Vec<usize> = edges.iter().filter_map(|on| on.from()).collect();
    let mut next = 0;
    while next < before.len() {
        let more = tasks[before[next]].1.iter().filter_map(|on| on.from());
        let more: Vec<_> = more.filter(|task| !before.contains(task)).collect();
        before.extend(more);
        next += 1;
    }
    if before.is_empty() || random.one_in(6) {
        return [If::Always, If::Input(true), If::Input(false)][random.below(3)];
    }
    let (a, b) = (before[random.below(before.len())], before[random.below(before.len())]);
    [If::Succeeded(a), If::Succeeded(a), If::Failed(a), If::Skipped(a), If::Either(a, b)][random.below(5)]
}

/// Goes one way through a case; how many steps it took.
pub(super) fn run(case: &Case, random: &mut Random) -> Result<usize, Counterexample> {
    let mut path = Vec::new();
    walk(case, random, &mut path).map_err(|broken| Counterexample::new(case, broken, &path))?;
    Ok(path.len())
}

fn walk(case: &Case, random: &mut Random, path: &mut Vec<Action>) -> Result<(), Broken> {
    let mut world = World::new(case, None, false)?;
    let mut actions = Vec::new();
    loop {
        actions.clear();
        let n_onward = world.actions(&mut actions);
        if n_onward == 0 {
            return check(world.has_ended(), Rule::RunEnds, || "nothing is left to happen".to_owned());
        }
        check(path.len() < 20_000, Rule::RunEnds, || "it goes on and on".to_owned())?;
        // Misfortune comes now and then, what leads on comes all the time.
        let n = if random.one_in(30) { actions.len() } else { n_onward };
        let action = actions[random.below(n)];
        path.push(action);
        world.perform(action)?;
    }
}
