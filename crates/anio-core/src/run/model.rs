//! Every interleaving of small runs, against the rules of the contract.
//!
//! The state machine decides alone, but it lives in a world that commits what it asks for when it likes,
//! answers late, dies, and is taken over by another worker while the first goes on. This module is that
//! world, small enough to be walked through completely: a store that takes facts from the owner of the
//! run only, the owner, perhaps a worker that was the owner and does not know that it no longer is
//! (a zombie), and bodies that are a table. At each step it tries everything that could happen next.
//!
//! ```text
//!              Dispatch   Return   Interrupt   Due          Write            Answer
//!   RunState ◄────────────────────────────────────┐   ┌──► store ──► rules ────┐
//!      └──────────────► effects ──► ready, slots, timers, gathered facts ◄─────┘
//!
//!   Crash: the owner and all it had in memory is gone   ┐
//!   TakeOver: the owner goes on as a zombie             ├──► the log is replayed by the next owner
//!   Shutdown … Release: the owner ends what it can      ┘
//! ```
//!
//! [`rule`] says what must hold, [`case`] which DAGs are tried and what should become of them, [`explore`]
//! why it is enough to visit each state once. [`plant`] lists bugs that are planted, one at a time, to
//! show that each is found. Runs that are too large to be walked through completely are tried at random.
//!
//! What is walked through, bounded so that it stays within seconds without optimisation:
//!
//! | DAGs | bodies | the run changes hands | starts are noted |
//! |---|---|---|---|
//! | all of 1 and 2 tasks | every table of success, one failure, failure | twice, any way | or not |
//! | all of 3 | success | once, any way | or not |
//! | all of 3 | every table of success and failure; one task with retries | once, any way | no |
//! | all of 3 | every table with retries | never | no |
//! | all of 4 | success | once, any way | no |
//! | all of 4 | one task fails | once, by a crash | no |
//! | all of 4 | one task with retries | never | no |
//! | maps of 0 to 2 elements, over each other too | success, one failure, retries | once, any way | or not |
//! | killers, and bystanders of them | | as often as they kill | or not |
//!
//! `cargo test -p anio-core --lib model -- --nocapture` tells how much was explored.

mod case;
mod compare;
mod explore;
mod plant;
mod random;
mod rule;
mod worker;
mod world;

use self::case::{Case, Fate, Hand, Limits, On};
use self::explore::{Explored, explore, explore_with};
use self::plant::Plant;
use self::random::Random;
use self::rule::Rule;

/// All DAGs of `n` tasks whose edges lead forward: for each task, those it waits for.
fn all_dags(n: usize) -> Vec<Vec<Vec<On>>> {
    let pairs: Vec<_> = (0..n).flat_map(|to| (0..to).map(move |from| (from, to))).collect();
    (0..1_u32 << pairs.len())
        .map(|bits| {
            let mut edges = vec![Vec::new(); n];
            for (i, (from, to)) in pairs.iter().enumerate() {
                if bits & (1 << i) != 0 {
                    edges[*to].push(On::Whole(*from));
                }
            }
            edges
        })
        .collect()
}

fn explore_all(what: &str, cases: impl IntoIterator<Item = Case>) {
    let mut sum = Explored::default();
    for case in cases {
        match explore(&case) {
            Ok(explored) => sum += explored,
            Err(found) => panic!("{}", found.text),
        }
    }
    let Explored { cases, states, steps, ends } = sum;
    println!("{what}: {cases} cases, {states} states, {steps} steps, {ends} ends");
}

/// All DAGs of `n` tasks, each with all tables of these fates that `tried` lets through.
fn dags_with_tables(n: usize, limits: Limits, fates: &[Fate], tried: fn(&[Fate]) -> bool) -> Vec<Case> {
    let tables = (0..fates.len().pow(n as u32)).map(|table| {
        let fate = |task: usize| fates[table / fates.len().pow(task as u32) % fates.len()];
        (0..n).map(fate).collect::<Vec<_>>()
    });
    let tables: Vec<_> = tables.filter(|table| tried(table)).collect();
    let dags = all_dags(n);
    let pairs = dags.iter().flat_map(|dag| tables.iter().map(move |table| (table, dag)));
    pairs
        .map(|(table, dag)| {
            let tasks: Vec<_> = table.iter().copied().zip(dag.iter().cloned()).collect();
            Case::new(limits, &tasks)
        })
        .collect()
}

fn all(_: &[Fate]) -> bool {
    true
}

fn at_most_one_fails(table: &[Fate]) -> bool {
    table.iter().filter(|fate| **fate != Fate::Succeeds).count() <= 1
}

const RETRIES: [Fate; 3] = [Fate::Succeeds, Fate::FailsOnce, Fate::Fails];
const FAILS: [Fate; 2] = [Fate::Succeeds, Fate::FailsAt(None)];

const NO_NOTES: Limits = Limits { notes: &[false], ..Limits::ONCE };
const ONE_CRASH: Limits = Limits { hands: &[Hand::Crash], ..NO_NOTES };
const NO_CRASH: Limits = Limits { n_hands: 0, ..NO_NOTES };

#[test]
fn all_dags_of_up_to_two_tasks_hold_every_rule() {
    for n in 1..=2 {
        let limits = Limits { n_hands: 2, ..Limits::ONCE };
        explore_all(&format!("DAGs of {n}"), dags_with_tables(n, limits, &RETRIES, all));
    }
}

#[test]
fn all_dags_of_three_tasks_hold_every_rule() {
    explore_all("DAGs of 3, success", dags_with_tables(3, Limits::ONCE, &[Fate::Succeeds], all));
    explore_all("DAGs of 3, failures", dags_with_tables(3, NO_NOTES, &FAILS, all));
    explore_all("DAGs of 3, one retries", dags_with_tables(3, NO_NOTES, &RETRIES, at_most_one_fails));
    explore_all("DAGs of 3, retries", dags_with_tables(3, NO_CRASH, &RETRIES, all));
}

#[test]
fn all_dags_of_four_tasks_hold_every_rule() {
    explore_all("DAGs of 4, success", dags_with_tables(4, NO_NOTES, &[Fate::Succeeds], all));
    explore_all("DAGs of 4, one fails", dags_with_tables(4, ONE_CRASH, &FAILS, at_most_one_fails));
    explore_all("DAGs of 4, one retries", dags_with_tables(4, NO_CRASH, &RETRIES, at_most_one_fails));
}

fn both_orders(limits: Limits, tasks: &[(Fate, Vec<On>)]) -> [Case; 2] {
    [Case::new(limits, tasks), Case::reversed(limits, tasks)]
}

#[test]
fn maps_hold_every_rule() {
    use Fate::{FailsAt, FailsOnce, Lists, Succeeds};
    use On::{Each, Whole};
    let mut cases = Vec::new();
    for width in 0..=2 {
        let tables = [
            vec![(Lists(width), vec![]), (Succeeds, vec![Each(0)]), (Succeeds, vec![Whole(1)])],
            vec![(Lists(width), vec![]), (Succeeds, vec![Each(0)]), (Succeeds, vec![Each(1)])],
            vec![
                (Lists(width), vec![]),
                (Succeeds, vec![Each(0)]),
                (Succeeds, vec![Each(1)]),
                (Succeeds, vec![Whole(2), Whole(0)]),
            ],
            vec![
                (Lists(width), vec![]),
                (Lists(1), vec![Each(0)]),
                (Succeeds, vec![Each(1)]),
                (Succeeds, vec![Whole(2)]),
            ],
            vec![(Lists(width), vec![]), (FailsOnce, vec![Each(0)]), (Succeeds, vec![Whole(1)])],
            vec![
                (Lists(width), vec![]),
                (FailsAt(Some(1)), vec![Each(0)]),
                (Succeeds, vec![Each(1)]),
                (Succeeds, vec![Whole(0)]),
            ],
            vec![(Succeeds, vec![]), (Succeeds, vec![Each(0)]), (Succeeds, vec![Whole(1)])],
            vec![
                (Lists(width), vec![]),
                (Succeeds, vec![]),
                (Succeeds, vec![Each(0), Whole(1)]),
                (Succeeds, vec![Whole(2)]),
            ],
        ];
        for tasks in tables {
            cases.extend(both_orders(Limits { n_hands: 1, ..Limits::ONCE }, &tasks));
        }
    }
    explore_all("maps", cases);
}

#[test]
fn poison_ends_and_nobody_else_is_poison() {
    use Fate::{FailsOnce, Kills, Lists, Succeeds};
    use On::{Each, Whole};
    let mut cases = Vec::new();
    for poison_deaths in 1..=3 {
        for tasks in [
            vec![(Kills, vec![])],
            vec![(Succeeds, vec![]), (Kills, vec![Whole(0)]), (Succeeds, vec![Whole(1)])],
            vec![(Kills, vec![]), (Succeeds, vec![])],
            vec![(Lists(2), vec![]), (Kills, vec![Each(0)])],
            vec![(Lists(0), vec![]), (Succeeds, vec![Each(0)]), (Kills, vec![Whole(1)])],
        ] {
            let limits = Limits { poison_deaths, n_hands: 0, ..Limits::ONCE };
            cases.extend(both_orders(limits, &tasks));
        }
        for tasks in [
            vec![(Succeeds, vec![]), (Succeeds, vec![])],
            vec![(FailsOnce, vec![]), (Succeeds, vec![Whole(0)])],
        ] {
            cases.extend(both_orders(Limits { poison_deaths, n_hands: 2, ..Limits::ONCE }, &tasks));
        }
    }
    explore_all("poison", cases);
}

#[test]
fn large_runs_hold_every_rule() {
    let (mut n_steps, first) = (0, 0x5eed_0000);
    for seed in first..first + 2_000 {
        let mut random = Random::new(seed);
        let case = random::case(&mut random);
        match random::run(&case, &mut random) {
            Ok(n) => n_steps += n,
            Err(found) => panic!("seed {seed:#x}: {}", found.text),
        }
    }
    println!("random: 2000 runs from seed {first:#x}, {n_steps} steps");
}

/// Each bug, the case that shows it, and the rule that it breaks.
#[test]
fn every_planted_bug_is_found() {
    use Fate::{Fails, FailsOnce, Kills, Lists, Succeeds};
    use On::{Each, Whole};
    let chain = vec![(Succeeds, vec![]), (Succeeds, vec![Whole(0)]), (Succeeds, vec![Whole(1)])];
    let pair = vec![(Succeeds, vec![]), (Succeeds, vec![])];
    let map = vec![(Lists(2), vec![]), (Succeeds, vec![Each(0)]), (Succeeds, vec![Whole(1)])];
    let retry = vec![(FailsOnce, vec![]), (Succeeds, vec![Whole(0)])];
    let failing = vec![(Fails, vec![]), (Succeeds, vec![Whole(0)]), (Succeeds, vec![Whole(1)])];
    let killer = vec![(Kills, vec![])];
    for (plant, tasks, rule) in [
        (Plant::AnswersEarly, &chain, Rule::DurableFirst),
        (Plant::AnswersTheEndEarly, &chain, Rule::AcknowledgedIsDurable),
        (Plant::CountsNotes, &chain, Rule::AcknowledgedIsDurable),
        (Plant::ReordersABatch, &pair, Rule::ProducedOrder),
        (Plant::WritesTwice, &pair, Rule::FactOnce),
        (Plant::LosesExpansions, &map, Rule::LogReadsBack),
        (Plant::NoFence, &pair, Rule::OneOwner),
        (Plant::LosesTheLastFact, &chain, Rule::NoSecondSuccess),
        (Plant::ForgetsTheFirstFact, &chain, Rule::FactOnce),
        (Plant::CountsAnew, &pair, Rule::FactOnce),
        (Plant::ForgetsTimersOnResume, &retry, Rule::RunEnds),
        (Plant::StartsUnrecorded, &pair, Rule::CautiousStart),
        (Plant::DropsInterruptions, &pair, Rule::PoisonEnds),
        (Plant::ReleasesOnReturn, &chain, Rule::DurableFirst),
        (Plant::NeverCautious, &pair, Rule::CautiousStart),
        (Plant::ForgetsDeaths, &killer, Rule::PoisonEnds),
        (Plant::ForgetsFailures, &failing, Rule::PolicyHolds),
        (Plant::ForgetsSkips, &failing, Rule::LogReadsBack),
        (Plant::ForgetsTheFailure, &failing, Rule::SameOutcome),
        (Plant::ForgetsATask, &chain, Rule::EndIsLast),
        (Plant::LeavesANumberOut, &pair, Rule::AttemptsCountUp),
    ] {
        let one_death = matches!(plant, Plant::ForgetsDeaths | Plant::DropsInterruptions);
        let poison_deaths = if one_death { 1 } else { u32::MAX };
        let case = Case::new(Limits { poison_deaths, ..Limits::ONCE }, tasks);
        assert!(explore(&case).is_ok(), "{plant:?} is shown by a case that is right without it");
        assert!(explore_with(&case, plant, false).is_err(), "{plant:?} is not found");
        match explore_with(&case, plant, true) {
            Ok(_) => panic!("{plant:?} does not show in what happens"),
            Err(found) => assert_eq!(found.broken.rule, rule, "{plant:?}: {}", found.text),
        }
    }
}
