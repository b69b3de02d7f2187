//! Trees, steps, what takes them as they come, and maps that have enough.

use super::case::{Case, Fate, Hand, Limits, On};
use super::{NO_NOTES, ONE_CRASH, asks, both_orders, explore_all};

#[test]
fn trees_hold_every_rule() {
    use Fate::{FailsAt, FailsOnce, Lists, Succeeds};
    use On::{Each, Pairs, Settled, Whole};
    let mut cases = Vec::new();
    for width in 0..=4 {
        for fate in [Succeeds, FailsAt(Some(1)), FailsAt(Some(0))] {
            let tasks = [(Lists(width), vec![]), (fate, vec![Pairs(0)]), (Succeeds, vec![Whole(1)])];
            cases.extend(both_orders(NO_NOTES, &tasks));
        }
    }
    for width in 2..=3 {
        let mapped = [
            (Lists(width), vec![]),
            (Succeeds, vec![Each(0)]),
            (Succeeds, vec![Pairs(1)]),
            (Succeeds, vec![Settled(2)]),
        ];
        cases.extend(both_orders(ONE_CRASH, &mapped));
        cases.extend(both_orders(NO_NOTES, &[(Lists(width), vec![]), (FailsOnce, vec![Pairs(0)])]));
    }
    explore_all("trees", cases);
}

#[test]
fn steps_and_what_takes_them_hold_every_rule() {
    use Fate::{FailsAt, FailsOnce, Steps, StepsFail, Succeeds};
    use On::{Each, Order, Pairs, Settled, Whole};
    let mut cases = Vec::new();
    for n in 0..=2 {
        for steps in [Steps(n), StepsFail(n)] {
            for tasks in [
                vec![(steps, vec![]), (Succeeds, vec![Each(0)]), (Succeeds, vec![Whole(1)])],
                vec![(steps, vec![]), (Succeeds, vec![Each(0)]), (Succeeds, vec![Settled(1)])],
                vec![(steps, vec![]), (FailsAt(Some(0)), vec![Each(0)]), (Succeeds, vec![Whole(0)])],
                vec![(steps, vec![]), (Succeeds, vec![]), (Succeeds, vec![Each(0), Order(1)])],
                vec![(steps, vec![]), (FailsAt(None), vec![]), (Succeeds, vec![Each(0), Whole(1)])],
                vec![(steps, vec![]), (Succeeds, vec![Whole(0)]), (Succeeds, vec![Each(0), Whole(1)])],
                vec![(steps, vec![]), (Succeeds, vec![Pairs(0)])],
            ] {
                cases.extend(both_orders(NO_NOTES, &tasks));
            }
        }
        let retried = [(FailsOnce, vec![]), (Steps(n), vec![Whole(0)]), (FailsOnce, vec![Each(1)])];
        cases.extend(both_orders(ONE_CRASH, &retried));
    }
    explore_all("steps", cases);
}

#[test]
fn a_map_that_has_enough_stops_in_every_interleaving() {
    use Fate::{FailsAt, FailsOnce, Lists, Steps, Succeeds};
    use On::{Each, Settled, Until, Whole};
    let mut cases = Vec::new();
    for enough in 1..=2 {
        for fate in [Succeeds, FailsOnce, FailsAt(Some(0))] {
            let map =
                [(Lists(3), vec![]), (fate, vec![Each(0), Until(enough)]), (Succeeds, vec![Settled(1)])];
            cases.push(Case::new(NO_NOTES, &map));
            let steps =
                [(Steps(2), vec![]), (fate, vec![Each(0), Until(enough)]), (Succeeds, vec![Whole(1)])];
            cases.extend(both_orders(NO_NOTES, &steps));
        }
    }
    let listed = [(Steps(2), vec![]), (Succeeds, vec![Each(0), Until(1)]), (Succeeds, vec![Whole(0)])];
    cases.extend(both_orders(NO_NOTES, &listed));
    explore_all("enough", cases);
}

#[test]
fn what_is_asked_of_trees_steps_and_maps_that_have_enough_is_done() {
    use Fate::{FailsAt, Kills, Lists, Mends, Steps, StepsFail, Succeeds};
    use On::{Each, Pairs, Settled, Until, Whole};
    let mut cases = Vec::new();
    let tree = [(Lists(3), vec![]), (Succeeds, vec![Pairs(0)]), (Succeeds, vec![Settled(1)])];
    let mending_tree = [(Lists(3), vec![]), (Mends, vec![Pairs(0)]), (Succeeds, vec![Whole(1)])];
    let stream = [(Steps(2), vec![]), (Succeeds, vec![Each(0)]), (Succeeds, vec![Settled(1)])];
    let mending_steps =
        [(StepsFail(1), vec![]), (FailsAt(Some(0)), vec![Each(0)]), (Succeeds, vec![Whole(1)])];
    let mending_stream = [(StepsFail(1), vec![]), (Mends, vec![Each(0)]), (Succeeds, vec![Whole(1)])];
    let enough = [(Steps(2), vec![]), (Succeeds, vec![Each(0), Until(1)]), (Succeeds, vec![Whole(1)])];
    let enough_of_list =
        [(Lists(3), vec![]), (FailsAt(Some(0)), vec![Each(0), Until(1)]), (Succeeds, vec![Whole(1)])];
    for (tasks, task) in [
        (&tree, 1),
        (&mending_tree, 1),
        (&stream, 0),
        (&stream, 1),
        (&mending_steps, 1),
        (&mending_stream, 1),
        (&enough, 0),
        (&enough, 1),
        (&enough_of_list, 1),
    ] {
        let limits = Limits { n_asks: 1, asks: asks(task), hands: &[Hand::Crash], ..NO_NOTES };
        cases.extend(both_orders(limits, tasks));
        cases.push(Case::new(Limits { asks: asks(2), n_hands: 0, ..limits }, tasks));
    }
    for tasks in [&tree, &stream, &enough_of_list] {
        cases.push(Case::new(Limits { calls: true, ..ONE_CRASH }, tasks));
    }
    let started = [(Lists(2), vec![]), (Succeeds, vec![Each(0), Until(1)]), (Succeeds, vec![Whole(1)])];
    cases.push(Case::new(Limits { n_asks: 1, asks: asks(2), ..ONE_CRASH }, &started));
    for poison_deaths in 1..=2 {
        let limits = Limits { poison_deaths, n_hands: 0, ..Limits::ONCE };
        for tasks in [
            vec![(Lists(2), vec![]), (Kills, vec![Pairs(0)])],
            vec![(Steps(2), vec![]), (Kills, vec![Each(0)]), (Succeeds, vec![Settled(1)])],
        ] {
            cases.extend(both_orders(limits, &tasks));
        }
    }
    explore_all("asked of forms", cases);
}
