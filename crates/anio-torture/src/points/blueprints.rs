//! The workflows that the points are passed with: every graph of three tasks, and one of each thing that
//! outlives a step: a map, a tree, steps, a map that has enough, a retry, a callback, a limit, a failure, a long run
//! to ask things of.

use std::time::Duration;

use anio_core::Lane;

use crate::blueprint::{Blueprint, How, TaskBlueprint, Trouble, WriteKind, Yields};
use crate::reference::{self, Expected, Handling};

/// The number in the input of every run.
pub const N: u64 = 1;

/// The workflows that have all graphs of three tasks.
pub const DAGS: usize = 8;

/// The name of one of [`DAGS`].
pub fn dag(n: usize) -> String {
    format!("dag-{n}")
}

/// All of them.
pub fn all() -> Vec<Blueprint> {
    let mut all: Vec<Blueprint> = (0..DAGS).map(graph).collect();
    all.extend([mapped(), tree(), steps(), enough(), again(), limited(), slow(), bad()]);
    all
}

fn task(name: &str, after: &[usize]) -> TaskBlueprint {
    TaskBlueprint {
        name: name.to_owned(),
        // Odd: a backoff has no jitter then.
        seed: 1001 + 2 * name.len() as u64,
        after: after.to_vec(),
        settled: Vec::new(),
        mapped_over: None,
        pairs_over: None,
        steps_max: None,
        enough: None,
        when: None,
        reads: Vec::new(),
        writes: WriteKind::Nothing,
        yields: Yields::Number,
        lane: Lane::Async,
        pace: Duration::ZERO,
        trouble: Trouble::None,
        attempts: 1,
        backoff: Duration::ZERO,
        priority: 0,
        concurrency: None,
        needs: 0,
        rate: None,
        tells: false,
    }
}

fn of(name: &str, tasks: Vec<TaskBlueprint>) -> Blueprint {
    Blueprint { name: name.to_owned(), tasks }
}

/// Three tasks; each bit of `n` is one of the three edges that they may have.
fn graph(n: usize) -> Blueprint {
    let after = |edges: &[(usize, usize)]| {
        edges.iter().filter(|(bit, _)| n >> bit & 1 == 1).map(|(_, before)| *before).collect::<Vec<_>>()
    };
    let tasks = vec![task("a", &[]), task("b", &after(&[(0, 0)])), task("c", &after(&[(1, 0), (2, 1)]))];
    of(&dag(n), tasks)
}

/// A list of three, a map over it whose elements run long enough for their starts to be recorded, and a join
/// with a callback.
fn mapped() -> Blueprint {
    let of_seed = |seed| {
        let list = TaskBlueprint { seed, yields: Yields::List, ..task("list", &[]) };
        let pace = Duration::from_millis(15);
        let each = TaskBlueprint { mapped_over: Some(0), pace, ..task("each", &[]) };
        of("mapped", vec![list, each, TaskBlueprint { tells: true, ..task("join", &[1]) }])
    };
    find(of_seed, |of| of.widths.get("each") == Some(&3))
}

/// A list of four, a map over it, a tree over that, whose last node waits for two others and whose nodes run long
/// enough for their starts to be recorded, and a join.
fn tree() -> Blueprint {
    let of_seed = |seed| {
        let list = TaskBlueprint { seed, yields: Yields::List, ..task("list", &[]) };
        let each = TaskBlueprint { mapped_over: Some(0), writes: WriteKind::Own, ..task("each", &[]) };
        let tree =
            TaskBlueprint { pairs_over: Some(1), pace: Duration::from_millis(15), ..task("tree", &[]) };
        of("tree", vec![list, each, tree, TaskBlueprint { reads: vec![1], ..task("join", &[2]) }])
    };
    find(of_seed, |of| of.widths.get("tree") == Some(&3))
}

/// Steps that make three elements, a map that takes them as they come, with a callback, and a join that reads what
/// the last step wrote.
fn steps() -> Blueprint {
    let of_seed = |seed| {
        let pace = Duration::from_millis(15);
        let steps = TaskBlueprint { seed, steps_max: Some(4), pace, ..task("steps", &[]) };
        let steps = TaskBlueprint { writes: WriteKind::Own, ..steps };
        let taken = TaskBlueprint { mapped_over: Some(0), pace, tells: true, ..task("taken", &[]) };
        of("steps", vec![steps, taken, TaskBlueprint { reads: vec![0], ..task("join", &[1]) }])
    };
    find(of_seed, |of| of.task_runs.keys().filter(|(task, _)| task == "taken").count() == 3)
}

/// A list of three, a map over it that has enough with two outputs, and a join.
fn enough() -> Blueprint {
    let of_seed = |seed| {
        let list = TaskBlueprint { seed, yields: Yields::Few, ..task("list", &[]) };
        let pace = Duration::from_millis(15);
        let each = TaskBlueprint { mapped_over: Some(0), enough: Some(2), pace, ..task("each", &[]) };
        // The third waits for one of the others to end.
        let each = TaskBlueprint { concurrency: Some(2), ..each };
        of("enough", vec![list, each, task("join", &[1])])
    };
    find(of_seed, |of| of.widths.get("each") == Some(&3))
}

/// The blueprint of the first seed that comes to this.
fn find(of_seed: impl Fn(u64) -> Blueprint, is_it: impl Fn(&Expected) -> bool) -> Blueprint {
    let comes_to = |of: &Blueprint| is_it(&reference::execute(of, N, &Handling::default()));
    (1..1000).map(of_seed).find(comes_to).expect("some seed in 1,000 comes to that")
}

/// A task that fails once and is tried again after a while, and one after it.
fn again() -> Blueprint {
    let trouble = Trouble::AtFirst(1, How::Error);
    // Longer than it takes another process to take over.
    let backoff = Duration::from_millis(400);
    let fails = TaskBlueprint { trouble, attempts: 2, backoff, ..task("again", &[]) };
    of("again", vec![fails, task("then", &[0])])
}

/// Three tasks that may not run at one time, by their needs.
fn limited() -> Blueprint {
    let one = |name| TaskBlueprint { needs: 2, pace: Duration::from_millis(15), ..task(name, &[]) };
    of("limited", vec![one("x"), one("yy"), one("zzz"), task("join", &[0, 1, 2])])
}

/// A chain that takes a while.
fn slow() -> Blueprint {
    let one = |name, after: &[usize]| TaskBlueprint {
        pace: Duration::from_millis(40),
        needs: 2,
        ..task(name, after)
    };
    of("slow", vec![one("first", &[]), one("second", &[0]), task("third", &[1])])
}

/// A task that fails until it is mended, one after it, and one beside it.
fn bad() -> Blueprint {
    let trouble = Trouble::Always(How::Error);
    of("bad", vec![TaskBlueprint { trouble, ..task("bad", &[]) }, task("after", &[0]), task("beside", &[])])
}
