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
//! | all of 3 in which one task decides | every table of success and failure | once, any way | no |
//! | all of 3 in which two decide | every table of success and failure | once, by a crash | no |
//! | branches, joins, handlers (4 tasks) | every table of success and failure | twice, any way | no |
//! | maps that decide, or are decided by | success, a failed gate, a failed element | once, any way | no |
//! | handlers of retries and of killers | | once, any way; as often as they kill | no; or not |
//! | all of 1 and 2 | every table with retries; asked once: pause, cancel, deadline, a task given up | once, any way | no |
//! | all of 3 | one task fails; asked once, likewise | once, by a crash | no |
//! | all of 2 | every table with retries; asked twice | never | no |
//! | all of 1 to 3, maps, deciders | failures that mend; what failed is done again | once, any way | no |
//! | maps | elements given up alone, once or twice | once, any way | no |
//! | all of 1 and 2, maps | callbacks on everything; asked once | once, any way | no |
//! | trees over 0 to 4 values, of maps too | success, a failed node, retries | once, any way; by a crash | no |
//! | 0 to 2 steps, and what takes their elements as they come | success, steps that fail, failed elements, other tasks before it | once, any way | no |
//! | maps, of lists and of steps, that have enough after 1 or 2 | success, retries, a failed element | once, any way | no |
//! | one tree, steps, maps that have enough | asked once; failures that mend; killers | once, by a crash; as often as they kill | no |
//!
//! A task that decides does so by settled edges, by a condition over each task before it (direct or not),
//! by one over the run's input, or by both. All in all: 3,782 cases, 2.9 million states, 6.8 million steps.
//!
//! `cargo test -p anio-core --lib model -- --nocapture` tells how much was explored.

mod action;
mod case;
mod compare;
mod expected;
mod explore;
mod forms;
mod ledger;
mod plant;
mod random;
mod rule;
mod store;
mod worker;
mod world;

use self::case::{Ask, Case, Fate, Hand, If, Limits, On};
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

/// All that a task of a DAG may decide by: its edges, and mostly a condition.
fn deciders(dag: &[Vec<On>], task: usize) -> Vec<Vec<On>> {
    let from = |task: usize| dag[task].iter().filter_map(|on| on.from());
    let with =
        |edge: fn(usize) -> On, when| -> Vec<On> { from(task).map(edge).chain([On::When(when)]).collect() };
    let mut found = vec![with(On::Whole, If::Input(true)), with(On::Settled, If::Input(false))];
    if from(task).next().is_some() {
        found.push(from(task).map(On::Settled).collect());
    }
    let is_before = |other: usize| {
        let mut open: Vec<_> = from(task).collect();
        while let Some(next) = open.pop() {
            if next == other {
                return true;
            }
            open.extend(from(next));
        }
        false
    };
    for other in (0..task).filter(|other| is_before(*other)) {
        found.push(with(On::Order, If::Succeeded(other)));
        found.push(with(On::Settled, If::Failed(other)));
        found.push(with(On::Order, If::Skipped(other)));
    }
    found
}

/// All DAGs of three tasks of which so many decide, in every way.
fn deciding_dags(n_deciders: usize) -> Vec<Vec<Vec<On>>> {
    let mut found = Vec::new();
    for dag in all_dags(3) {
        for chosen in (0_usize..8).filter(|chosen| chosen.count_ones() as usize == n_deciders) {
            let mut some = vec![dag.clone()];
            for task in (0..3).filter(|task| chosen & (1 << task) != 0) {
                let ways = deciders(&dag, task);
                let each = some.iter().flat_map(|dag| {
                    ways.iter().map(|way| {
                        let mut dag = dag.clone();
                        dag[task].clone_from(way);
                        dag
                    })
                });
                some = each.collect();
            }
            found.extend(some);
        }
    }
    found
}

/// A DAG with all tables of success and failure; what its tasks would do that never run does not matter.
fn with_all_tables(limits: Limits, dag: &[Vec<On>]) -> Vec<Case> {
    let tables = (0..1_usize << dag.len()).map(|table| {
        let fates = (0..dag.len()).map(|task| FAILS[table >> task & 1]);
        fates.zip(dag.iter().cloned()).collect::<Vec<_>>()
    });
    let cases = tables.map(|tasks| {
        let case = Case::new(limits, &tasks);
        let matters =
            |(task, (fate, _)): (u32, &(Fate, _))| *fate == Fate::Succeeds || case.undisturbed.runs(task);
        (0..).zip(&tasks).all(matters).then_some(case)
    });
    cases.flatten().collect()
}

#[test]
fn deciding_tasks_in_all_dags_of_three_hold_every_rule() {
    let one = deciding_dags(1);
    explore_all("one decides", one.iter().flat_map(|dag| with_all_tables(NO_NOTES, dag)));
    let two = deciding_dags(2);
    explore_all("two decide", two.iter().flat_map(|dag| with_all_tables(ONE_CRASH, dag)));
}

#[test]
fn branches_joins_and_handlers_hold_every_rule() {
    use If::{Either, Failed, Input, Skipped};
    use On::{Order, Settled, When, Whole};
    let join = vec![Settled(1), Settled(2), When(Either(1, 2))];
    let handled = |handler: Vec<On>| vec![vec![], vec![Whole(0)], vec![Whole(1)], handler];
    let two_before = |last: Vec<On>| vec![vec![], vec![], vec![Whole(0), Whole(1)], last];
    let skipped = |last: Vec<On>| vec![vec![], vec![Order(0), When(Failed(0))], vec![Whole(1)], last];
    let dags = [
        vec![vec![], vec![Whole(0), When(Input(true))], vec![Whole(0), When(Input(false))], join.clone()],
        vec![vec![], vec![Order(0), When(If::Succeeded(0))], vec![Order(0), When(Failed(0))], join],
        handled(vec![Settled(0)]),
        handled(vec![Settled(2), When(Failed(0))]),
        handled(vec![Settled(2)]),
        two_before(vec![Settled(2), When(Failed(1))]),
        two_before(vec![Order(2), When(If::Succeeded(0))]),
        vec![vec![When(Input(false))], vec![Whole(0)], vec![Settled(1)], vec![Whole(2)]],
        vec![vec![When(Input(true))], vec![Whole(0)], vec![Settled(1)], vec![Whole(2)]],
        skipped(vec![Settled(2)]),
        skipped(vec![Order(2), When(Skipped(1))]),
        skipped(vec![Whole(2), When(If::Always)]),
    ];
    let limits = Limits { n_hands: 2, ..NO_NOTES };
    explore_all("branches", dags.iter().flat_map(|dag| with_all_tables(limits, dag)));
}

#[test]
fn deciding_maps_and_handlers_of_poison_hold_every_rule() {
    use Fate::{Fails, FailsAt, FailsOnce, Kills, Lists, Succeeds};
    use If::Failed;
    use On::{Each, Order, Settled, When, Whole};
    let mut cases = Vec::new();
    for width in 0..=2 {
        for gate in FAILS {
            for tasks in [
                vec![(Lists(width), vec![]), (gate, vec![]), (Succeeds, vec![Each(0), Settled(1)])],
                vec![
                    (Lists(width), vec![]),
                    (gate, vec![]),
                    (Succeeds, vec![Each(0), Order(1), When(Failed(1))]),
                    (Succeeds, vec![Settled(2)]),
                ],
            ] {
                cases.extend(both_orders(NO_NOTES, &tasks));
            }
        }
        let failing = [
            (Lists(width), vec![]),
            (FailsAt(Some(1)), vec![Each(0)]),
            (Succeeds, vec![Whole(1)]),
            (Succeeds, vec![Settled(2), When(Failed(1))]),
        ];
        cases.extend(both_orders(NO_NOTES, &failing));
    }
    for fate in [FailsOnce, Fails] {
        let retries = [(fate, vec![]), (fate, vec![Settled(0)]), (Succeeds, vec![Order(1), When(Failed(0))])];
        cases.extend(both_orders(NO_NOTES, &retries));
    }
    for poison_deaths in 1..=2 {
        let limits = Limits { poison_deaths, n_hands: 0, ..Limits::ONCE };
        let killer =
            [(Kills, vec![]), (Succeeds, vec![Whole(0)]), (Succeeds, vec![Settled(1), When(Failed(0))])];
        cases.extend(both_orders(limits, &killer));
        let bystander = [(Succeeds, vec![]), (Succeeds, vec![Settled(0)])];
        cases.extend(both_orders(Limits { n_hands: 2, ..limits }, &bystander));
    }
    explore_all("deciding maps and poison", cases);
}

const ASKED: [Ask; 3] = [Ask::Pause, Ask::Cancel, Ask::Deadline];

/// What may be asked of every case: to pause, to cancel, that it is late, and to give one task up.
fn asks(give_up: u32) -> &'static [Ask] {
    const FIRST: &[Ask] = &[ASKED[0], ASKED[1], ASKED[2], Ask::GiveUp(0, None), Ask::Again];
    const SECOND: &[Ask] = &[ASKED[0], ASKED[1], ASKED[2], Ask::GiveUp(1, None), Ask::Again];
    const ELEMENT: &[Ask] = &[Ask::Pause, Ask::GiveUp(1, Some(1)), Ask::Again];
    [FIRST, SECOND, ELEMENT][give_up as usize]
}

#[test]
fn what_is_asked_of_a_run_is_done_in_all_small_dags() {
    for give_up in 0..2 {
        let limits = Limits { n_asks: 1, asks: asks(give_up), ..NO_NOTES };
        for n in 1..=2 {
            if give_up < n {
                let what = format!("asked once, DAGs of {n}");
                explore_all(&what, dags_with_tables(n as usize, limits, &RETRIES, all));
            }
        }
        let limits = Limits { hands: &[Hand::Crash], ..limits };
        explore_all("asked once, DAGs of 3", dags_with_tables(3, limits, &FAILS, at_most_one_fails));
        let limits = Limits { n_asks: 2, n_hands: 0, ..limits };
        explore_all("asked twice, DAGs of 2", dags_with_tables(2, limits, &RETRIES, all));
    }
}

#[test]
fn what_failed_is_done_again_and_nothing_else() {
    use Fate::{Fails, FailsAt, FailsOnce, Lists, Mends, Succeeds};
    use On::{Each, Order, Settled, When, Whole};
    let again: &[Ask] = &[Ask::Again];
    let limits = Limits { n_asks: 1, asks: again, ..NO_NOTES };
    explore_all("again, DAGs of 2", dags_with_tables(2, limits, &[Succeeds, Mends, Fails], all));
    let three = dags_with_tables(3, Limits { hands: &[Hand::Crash], ..limits }, &[Succeeds, Mends], all);
    explore_all("again, DAGs of 3", three);
    let mut cases = Vec::new();
    for tasks in [
        vec![(Lists(2), vec![]), (Mends, vec![Each(0)]), (Succeeds, vec![Whole(1)])],
        vec![(Lists(2), vec![]), (FailsAt(Some(1)), vec![Each(0)]), (Succeeds, vec![Each(1)])],
        vec![(Mends, vec![]), (Lists(2), vec![Whole(0)]), (Succeeds, vec![Each(1)])],
        vec![
            (Mends, vec![]),
            (Succeeds, vec![Order(0), When(If::Succeeded(0))]),
            (FailsOnce, vec![Whole(1)]),
        ],
        vec![(Mends, vec![]), (Fails, vec![Settled(0)]), (Succeeds, vec![Settled(1), When(If::Failed(1))])],
        vec![(Succeeds, vec![]), (Mends, vec![Order(0), When(If::Succeeded(0))]), (Succeeds, vec![Whole(1)])],
    ] {
        cases.extend(both_orders(limits, &tasks));
    }
    explore_all("again, maps and deciders", cases);
}

#[test]
fn elements_are_given_up_alone() {
    use Fate::{FailsOnce, Lists, Succeeds};
    use On::{Each, Settled, Whole};
    let mut cases = Vec::new();
    for tasks in [
        vec![(Lists(2), vec![]), (Succeeds, vec![Each(0)]), (Succeeds, vec![Whole(1)])],
        vec![(Lists(2), vec![]), (FailsOnce, vec![Each(0)]), (Succeeds, vec![Settled(1)])],
    ] {
        for n_asks in 1..=2 {
            cases.push(Case::new(Limits { n_asks, asks: asks(2), ..NO_NOTES }, &tasks));
        }
        cases.push(Case::new(Limits { n_asks: 1, asks: asks(1), ..NO_NOTES }, &tasks));
    }
    let empty = [(Lists(0), vec![]), (Succeeds, vec![Each(0)]), (Succeeds, vec![Whole(1)])];
    cases.extend(both_orders(Limits { n_asks: 2, asks: asks(1), ..NO_NOTES }, &empty));
    explore_all("elements given up", cases);
}

#[test]
fn callbacks_hold_every_rule() {
    use Fate::{FailsOnce, Lists, Refuses, Succeeds};
    use On::{Each, Settled, Whole};
    let limits = Limits { calls: true, ..NO_NOTES };
    for n in 1..=2 {
        let fates = [Succeeds, FailsOnce, Fate::FailsAt(None), Refuses];
        explore_all(&format!("callbacks, DAGs of {n}"), dags_with_tables(n, limits, &fates, all));
        let asked = Limits { n_asks: 1, asks: asks(0), hands: &[Hand::Crash], ..limits };
        explore_all(&format!("callbacks asked, DAGs of {n}"), dags_with_tables(n, asked, &FAILS, all));
    }
    let mut cases = Vec::new();
    for tasks in [
        vec![(Lists(2), vec![]), (Succeeds, vec![Each(0)]), (Succeeds, vec![Whole(1)])],
        vec![(Refuses, vec![]), (Succeeds, vec![Whole(0)]), (Succeeds, vec![Settled(0)])],
    ] {
        cases.extend(both_orders(limits, &tasks));
    }
    explore_all("callbacks of maps", cases);
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
    use Fate::{Fails, FailsOnce, Kills, Lists, Steps, Succeeds};
    use On::{Each, Order, Pairs, Settled, Until, When, Whole};
    let chain = vec![(Succeeds, vec![]), (Succeeds, vec![Whole(0)]), (Succeeds, vec![Whole(1)])];
    let pair = vec![(Succeeds, vec![]), (Succeeds, vec![])];
    let map = vec![(Lists(2), vec![]), (Succeeds, vec![Each(0)]), (Succeeds, vec![Whole(1)])];
    let retry = vec![(FailsOnce, vec![]), (Succeeds, vec![Whole(0)])];
    let failing = vec![(Fails, vec![]), (Succeeds, vec![Whole(0)]), (Succeeds, vec![Whole(1)])];
    let killer = vec![(Kills, vec![])];
    let mending = vec![(Fate::Mends, vec![]), (Succeeds, vec![Whole(0)])];
    let told = vec![(Succeeds, vec![]), (Succeeds, vec![Settled(0)])];
    let fails = Fate::FailsAt(None);
    let handled = vec![(fails, vec![]), (Succeeds, vec![Order(0), When(If::Failed(0))])];
    let in_vain = vec![(fails, vec![]), (fails, vec![Settled(0)])];
    let declined = vec![(Succeeds, vec![]), (Succeeds, vec![Order(0), When(If::Failed(0))])];
    let behind = vec![(fails, vec![]), (Succeeds, vec![]), (Succeeds, vec![Whole(0), Whole(1)])];
    let tree = vec![(Lists(3), vec![]), (Succeeds, vec![Pairs(0)])];
    let stream = vec![(Steps(1), vec![]), (Succeeds, vec![Each(0)])];
    let enough = vec![(Lists(3), vec![]), (Succeeds, vec![Each(0), Until(1)]), (Succeeds, vec![Whole(1)])];
    let behind = [behind, vec![(Succeeds, vec![Settled(2)])]].concat();
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
        (Plant::ForgetsBackoffs, &retry, Rule::WaitsItsTime),
        (Plant::ForgetsFailures, &failing, Rule::PolicyHolds),
        (Plant::ForgetsSkips, &failing, Rule::NeedsSuccess),
        (Plant::ForgetsTheFailure, &failing, Rule::HandledOnly),
        (Plant::ForgetsATask, &chain, Rule::EndIsLast),
        (Plant::LeavesANumberOut, &pair, Rule::AttemptsCountUp),
        (Plant::DecidesOnReturn, &told, Rule::DurableFirst),
        (Plant::DecidesBySkipsAtOnce, &behind, Rule::DurableFirst),
        (Plant::TellsSkipsTwice, &declined, Rule::DecidesOnce),
        (Plant::ForgetsDecisions, &declined, Rule::DecidesOnce),
        (Plant::TakesFailedForSkipped, &handled, Rule::DecidesAlike),
        (Plant::ForgetsToDecide, &told, Rule::RunEnds),
        (Plant::RunsTheSkipped, &failing, Rule::NeedsSuccess),
        (Plant::HandlesNothing, &handled, Rule::HandledOnly),
        (Plant::HandlesByTelling, &in_vain, Rule::HandledOnly),
        (Plant::ForgetsRequests, &pair, Rule::EndsAsAsked),
        (Plant::ForgetsTheHalt, &pair, Rule::HaltedStartsNothing),
        (Plant::LosesAGivingUp, &pair, Rule::GivenUpForGood),
        (Plant::ForgetsWhoWasGivenUp, &pair, Rule::GivenUpForGood),
        (Plant::ForgetsCalls, &pair, Rule::CalledBack),
        (Plant::ReadsWhatWasCleared, &mending, Rule::EndIsLast),
        (Plant::ReleasesOnReturn, &tree, Rule::DurableFirst),
        (Plant::ReleasesOnReturn, &stream, Rule::DurableFirst),
        (Plant::LosesStops, &enough, Rule::EnoughIsEnough),
        (Plant::ForgetsStops, &enough, Rule::LogReadsBack),
    ] {
        let one_death = matches!(plant, Plant::ForgetsDeaths | Plant::DropsInterruptions);
        let poison_deaths = if one_death { 1 } else { u32::MAX };
        let (n_asks, asks): (_, &[Ask]) = match plant {
            Plant::ForgetsRequests => (1, &[Ask::Cancel]),
            Plant::ForgetsTheHalt => (1, &[Ask::Pause]),
            Plant::LosesAGivingUp | Plant::ForgetsWhoWasGivenUp => (1, &[Ask::GiveUp(0, None)]),
            Plant::ReadsWhatWasCleared => (1, &[Ask::Again]),
            _ => (0, &[]),
        };
        let calls = plant == Plant::ForgetsCalls;
        let case = Case::new(Limits { poison_deaths, n_asks, asks, calls, ..Limits::ONCE }, tasks);
        assert!(explore(&case).is_ok(), "{plant:?} is shown by a case that is right without it");
        assert!(explore_with(&case, plant, false).is_err(), "{plant:?} is not found");
        match explore_with(&case, plant, true) {
            Ok(_) => panic!("{plant:?} does not show in what happens"),
            Err(found) => assert_eq!(found.broken.rule, rule, "{plant:?}: {}", found.text),
        }
    }
}
