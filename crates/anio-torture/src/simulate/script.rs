//! What happens in a schedule, as far as it is decided before it begins: all of it follows from the seed.

use std::time::Duration;

use super::weather::Weather;
use crate::blueprint::Blueprint;
use crate::dice::Dice;

/// A schedule to be played.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) blueprints: Vec<Blueprint>,
    pub(super) weather: Weather,
    /// Of each host, how far its clock is off, in microseconds.
    pub(super) skews: Vec<i64>,
    pub(super) limits: Limits,
    pub(super) orders: Vec<Order>,
    /// In the order of their times.
    pub(super) blows: Vec<Blow>,
    /// In 100 answers, after how many of them the process dies that got it.
    pub(super) deaths_after_answers: u64,
    /// In 100 runs, how many are nobody's at first.
    pub(super) nobodys: u64,
    /// Whether all runs are of the workflow whose body kills its process.
    pub(super) is_deadly: bool,
    /// In 100 leases that run out while their process stands still, how many of those go on just then.
    pub(super) thaws: u64,
    /// Whether the database tells of changes.
    pub(super) notifies: bool,
    /// When all that disturbs is over.
    pub(super) calm_at: Duration,
    /// For what is decided on the way.
    pub(super) dice: Dice,
}

/// What the workers of a schedule run by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) lease: Duration,
    pub(super) concurrency: usize,
    pub(super) cpu_threads: usize,
    pub(super) live_runs_max: usize,
    pub(super) patience: Duration,
}

/// Runs to be submitted.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) at: Duration,
    /// Its position among the script's; after the last comes the workflow that kills.
    pub(super) blueprint: usize,
    /// More than one are submitted together.
    pub(super) inputs: Vec<u64>,
    /// The key that it is submitted by, where its intent is to have one: others may use it too.
    pub(super) key: u64,
    pub(super) dice: Dice,
}

/// Something that happens to a host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blow {
    pub(super) at: Duration,
    pub(super) host: usize,
    pub(super) what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum What {
    /// Its process dies.
    Kill,
    /// Its process stands still.
    Freeze(Duration),
    /// Its process cannot reach the database.
    CutOff(Duration),
    /// Its process is told to stop.
    Stop,
}

impl Script {
    pub(super) fn draw(seed: u64) -> Self {
        let mut dice = Dice::new(crate::dice::mix(seed, 5));
        let n_hosts = 1 + dice.position(3);
        let n_blueprints = 1 + dice.position(2);
        let blueprints =
            (0..n_blueprints).map(|n| Blueprint::small(dice.roll(), &format!("sim-{n}"))).collect();
        let limits = Limits {
            lease: Duration::from_millis(1000 + 500 * dice.below(5)),
            concurrency: 1 + dice.position(4),
            cpu_threads: 1 + dice.position(2),
            live_runs_max: if dice.percent(40) { 1 + dice.position(3) } else { 100 },
            patience: Duration::from_millis(500 + dice.below(6_000)),
        };
        let is_skewed = dice.percent(15);
        let mut skew = || if is_skewed { dice.below(4_000_000).cast_signed() - 2_000_000 } else { 0 };
        let skews = (0..n_hosts).map(|_| skew()).collect();
        let span = Duration::from_millis(*pick(&mut dice, &[300, 1_000, 4_000]));
        let n_orders = if dice.percent(15) { 4 + dice.below(8) } else { 1 + dice.below(4) };
        let mut orders: Vec<Order> =
            (0..n_orders).map(|_| Order::draw(&mut dice, span, n_blueprints)).collect();
        let is_deadly = dice.percent(4);
        if is_deadly {
            orders.truncate(2);
            for order in &mut orders {
                order.blueprint = n_blueprints;
            }
        }
        let n_blows = dice.below(6);
        let mut blows: Vec<Blow> = (0..n_blows).map(|_| Blow::draw(&mut dice, span, n_hosts)).collect();
        // Who is told to stop counts no deaths any more: it did not die.
        blows.retain(|blow| !is_deadly || blow.what != What::Stop);
        blows.sort_by_key(|blow| blow.at);
        Self {
            blueprints,
            weather: Weather::draw(&mut dice),
            skews,
            limits,
            orders,
            blows,
            deaths_after_answers: if dice.percent(25) { 5 + dice.below(40) } else { 0 },
            is_deadly,
            thaws: if dice.percent(30) { 60 } else { 0 },
            nobodys: *pick(&mut dice, &[30, 30, 90]),
            notifies: dice.percent(30),
            calm_at: span + dice.duration(span),
            dice: Dice::new(dice.roll()),
        }
    }

    /// Whether the clocks of the hosts agree.
    pub(super) fn is_skewed(&self) -> bool {
        self.skews.iter().any(|skew| *skew != 0)
    }
}

impl Order {
    fn draw(dice: &mut Dice, span: Duration, n_blueprints: usize) -> Self {
        let n_inputs = if dice.percent(15) { 2 + dice.below(3) } else { 1 };
        let key = dice.below(2);
        // Those of one key agree in all else.
        Self {
            at: dice.duration(span),
            blueprint: dice.position(n_blueprints),
            inputs: (0..n_inputs).map(|_| dice.roll() >> 12).collect(),
            key,
            dice: Dice::new(dice.roll()),
        }
    }
}

impl Blow {
    fn draw(dice: &mut Dice, span: Duration, n_hosts: usize) -> Self {
        let for_long = Duration::from_millis(*pick(dice, &[100, 1_000, 3_000, 6_000]));
        let what = match dice.below(10) {
            0..4 => What::Kill,
            4..6 => What::Freeze(dice.duration(for_long)),
            6..8 => What::CutOff(dice.duration(for_long)),
            _ => What::Stop,
        };
        Self { at: dice.duration(span), host: dice.position(n_hosts), what }
    }
}

fn pick<'a, T>(dice: &mut Dice, from: &'a [T]) -> &'a T {
    &from[dice.position(from.len())]
}
