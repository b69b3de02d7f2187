//! Draws the tasks of a blueprint: chains, diamonds, random graphs, maps, steps with what takes them.

use std::time::Duration;

use anio_core::Lane;

use super::form::gives_list;
use super::{How, TaskBlueprint, Trouble, When, WriteKind, Yields};
use crate::dice::Dice;

/// What is true of all tasks: they are now short, now long, here and there, and some fail.
fn task(dice: &mut Dice, position: usize) -> TaskBlueprint {
    let lane = match dice.below(10) {
        0 | 1 => Lane::Cpu,
        2 => Lane::Blocking,
        _ => Lane::Async,
    };
    // Long ones wait up to 50 ms; those that keep a core busy do so for less.
    let longest = match (dice.below(10), lane) {
        (0..5, _) => 0,
        (5..8, _) | (_, Lane::Cpu) => 5,
        (8, _) => 15,
        _ => 50,
    };
    TaskBlueprint {
        name: format!("t{position:02}"),
        seed: dice.roll(),
        after: Vec::new(),
        settled: Vec::new(),
        mapped_over: None,
        pairs_over: None,
        steps_max: None,
        enough: None,
        when: None,
        reads: Vec::new(),
        writes: if dice.percent(30) { WriteKind::Own } else { WriteKind::Nothing },
        yields: Yields::Number,
        lane,
        pace: dice.duration(Duration::from_millis(longest)),
        trouble: Trouble::None,
        attempts: 1,
        backoff: dice.duration(Duration::from_millis(12)),
        priority: dice.below(3) as i32 - 1,
        concurrency: dice.percent(8).then_some(2),
        needs: if dice.percent(8) { 1 + dice.below(2) as u32 } else { 0 },
        rate: dice.percent(5).then(|| 60 + 40 * dice.below(4) as u32),
        tells: dice.percent(20),
    }
}

/// Gives one task in six an attempt that fails, and one in thirty a bad end.
fn trouble(dice: &mut Dice, task: &mut TaskBlueprint) {
    let how = match dice.below(8) {
        0 => How::Panic,
        1 if task.lane == Lane::Async => How::Hang,
        _ => How::Error,
    };
    match dice.below(120) {
        0..20 => {
            let n = 1 + dice.below(3) as u32;
            task.trouble = Trouble::AtFirst(n, how);
            task.attempts = n + 1;
        }
        20..24 => {
            let how = if dice.percent(50) { How::Fatal } else { how };
            task.attempts = 1 + dice.below(3) as u32;
            task.trouble = if task.has_many() { Trouble::EveryFourth(how) } else { Trouble::Always(how) };
        }
        _ => {}
    }
    // What has a time-out must not come near it by being long.
    if task.hangs() {
        task.pace = Duration::ZERO;
    }
}

fn finish(dice: &mut Dice, mut tasks: Vec<TaskBlueprint>) -> Vec<TaskBlueprint> {
    let before = ancestors(&tasks);
    for position in 0..tasks.len() {
        let wrote: Vec<usize> =
            before[position].iter().copied().filter(|&a| tasks[a].writes == WriteKind::Own).collect();
        if !wrote.is_empty() && dice.percent(40) {
            tasks[position].reads = vec![wrote[dice.position(wrote.len())]];
        }
        branch(dice, &mut tasks, position, &before[position]);
        if tasks[position].has_many() {
            // There are many of them.
            tasks[position].pace /= 8;
        }
        trouble(dice, &mut tasks[position]);
    }
    tasks
}

/// Lets some tasks take whatever becomes of those before them, and some run on a condition only.
fn branch(dice: &mut Dice, tasks: &mut [TaskBlueprint], position: usize, before: &[usize]) {
    // What goes step by step needs all that it waits for.
    if before.is_empty() || tasks[position].steps_max.is_some() {
        return;
    }
    if !tasks[position].after.is_empty() && dice.percent(15) {
        let task = &mut tasks[position];
        let at = dice.position(task.after.len());
        task.settled.push(task.after.swap_remove(at));
    }
    let any = |dice: &mut Dice| before[dice.position(before.len())];
    if dice.percent(12) {
        let writers: Vec<usize> = before
            .iter()
            .copied()
            .filter(|&a| tasks[a].writes == WriteKind::Own && tasks[a].own_key(Some(0)) == tasks[a].name)
            .collect();
        tasks[position].when = Some(match dice.below(8) {
            0 => When::Failed(any(dice)),
            1 | 2 => When::NotSkipped(any(dice)),
            3 | 4 if !writers.is_empty() => When::IsLow(writers[dice.position(writers.len())]),
            _ => When::AnySucceeded(vec![any(dice), any(dice)]),
        });
    }
}

fn ancestors(tasks: &[TaskBlueprint]) -> Vec<Vec<usize>> {
    let mut all: Vec<Vec<usize>> = Vec::new();
    for task in tasks {
        let mut before: Vec<usize> = Vec::new();
        for dependency in task.before() {
            before.push(dependency);
            before.extend(&all[dependency]);
        }
        before.sort_unstable();
        before.dedup();
        all.push(before);
    }
    all
}

pub(super) fn chain(dice: &mut Dice, n_min: usize, n_max: usize) -> Vec<TaskBlueprint> {
    let n_tasks = n_min + dice.position(n_max - n_min + 1);
    let sums = dice.percent(50);
    let tasks = (0..n_tasks).map(|position| {
        let mut task = task(dice, position);
        task.after = position.checked_sub(1).into_iter().collect();
        if sums {
            task.writes = WriteKind::Sum;
        }
        if dice.percent(8) {
            task.steps_max = Some(5);
        }
        task
    });
    let tasks = tasks.collect();
    finish(dice, tasks)
}

pub(super) fn diamonds(dice: &mut Dice, n_min: usize, n_max: usize) -> Vec<TaskBlueprint> {
    let mut tasks = vec![task(dice, 0)];
    while tasks.len() < n_min || tasks.len() < n_max && dice.percent(60) {
        let top = tasks.len() - 1;
        let n_middle = 2 + dice.position(4);
        for _ in 0..n_middle {
            tasks.push(TaskBlueprint { after: vec![top], ..task(dice, tasks.len()) });
        }
        let bottom = tasks.len();
        tasks.push(TaskBlueprint { after: (top + 1..bottom).collect(), ..task(dice, bottom) });
    }
    finish(dice, tasks)
}

pub(super) fn random(dice: &mut Dice, n_min: usize, n_max: usize, list: Yields) -> Vec<TaskBlueprint> {
    let n_tasks = n_min + dice.position(n_max - n_min + 1);
    let mut tasks: Vec<TaskBlueprint> = Vec::new();
    for position in 0..n_tasks {
        let mut task = task(dice, position);
        let nearest = position.saturating_sub(8);
        for _ in 0..dice.below(4) {
            let dependency = nearest + dice.position(position - nearest);
            if dependency < position && !task.after.contains(&dependency) {
                task.after.push(dependency);
            }
        }
        if dice.percent(15) {
            task.yields = list;
        }
        if dice.percent(35) && position > 0 {
            let over = nearest + dice.position(position - nearest);
            if gives_list(&tasks, over) && !task.after.contains(&over) {
                if dice.percent(60) {
                    task.mapped_over = Some(over);
                } else {
                    task.pairs_over = Some(over);
                }
            }
        }
        if dice.percent(10) && !task.has_many() {
            task.steps_max = Some(list.width_max());
        }
        tasks.push(task);
    }
    finish(dice, tasks)
}

/// A list, a map over it, a map over that map (nested where its elements are lists), and a join; twice.
pub(super) fn maps(dice: &mut Dice, n_max: u64, list: Yields) -> Vec<TaskBlueprint> {
    let mut tasks: Vec<TaskBlueprint> = Vec::new();
    for _ in 0..=dice.below(n_max) {
        let first = tasks.len();
        let before = first.checked_sub(1).into_iter().collect();
        tasks.push(TaskBlueprint { after: before, yields: list, ..task(dice, first) });
        let yields = if dice.percent(30) { list } else { Yields::Number };
        tasks.push(TaskBlueprint { mapped_over: Some(first), yields, ..task(dice, first + 1) });
        tasks.push(TaskBlueprint {
            mapped_over: Some(first + 1),
            after: vec![first],
            ..task(dice, first + 2)
        });
        tasks.push(TaskBlueprint { after: vec![first + 2, first], ..task(dice, first + 3) });
    }
    tasks.push(TaskBlueprint { after: vec![0], ..task(dice, tasks.len()) });
    finish(dice, tasks)
}

/// Steps; a map that takes their elements as they come, and may wait for something beside; a tree over each of the
/// two lists; a map over the steps that has to wait for all of them; and a join; twice.
pub(super) fn flows(dice: &mut Dice, n_max: u64, list: Yields) -> Vec<TaskBlueprint> {
    let mut tasks: Vec<TaskBlueprint> = vec![task(dice, 0)];
    for _ in 0..=dice.below(n_max) {
        let (before, steps) = (tasks.len() - 1, tasks.len());
        let after = if dice.percent(70) { vec![before] } else { Vec::new() };
        let yields = if dice.percent(30) { list } else { Yields::Number };
        // From four on, the last node of a tree waits for two others.
        let steps_max = Some(list.width_max() + 2);
        tasks.push(TaskBlueprint { after, steps_max, yields, ..task(dice, steps) });
        let after = if dice.percent(40) { vec![before] } else { Vec::new() };
        let yields = if dice.percent(30) { list } else { Yields::Number };
        tasks.push(TaskBlueprint { mapped_over: Some(steps), after, yields, ..task(dice, steps + 1) });
        let mut join = vec![steps + 1];
        for over in [steps + 1, steps] {
            if dice.percent(60) {
                join.push(tasks.len());
                let yields = if dice.percent(50) { list } else { Yields::Number };
                tasks.push(TaskBlueprint { pairs_over: Some(over), yields, ..task(dice, tasks.len()) });
            }
        }
        let nearest = tasks.len() - 1;
        if dice.percent(40) {
            let is_over_tree = dice.percent(50) && gives_list(&tasks, nearest);
            let (over, after) = if is_over_tree { (nearest, steps) } else { (steps, nearest) };
            join.push(tasks.len());
            tasks.push(TaskBlueprint {
                mapped_over: Some(over),
                after: vec![after],
                ..task(dice, tasks.len())
            });
        }
        tasks.push(TaskBlueprint { after: join, ..task(dice, tasks.len()) });
    }
    finish(dice, tasks)
}

/// A list, a map over it that has enough with some of it, one after that, and one that is told of it.
pub(super) fn hunt(dice: &mut Dice) -> Vec<TaskBlueprint> {
    let list = TaskBlueprint { yields: Yields::Few, ..task(dice, 0) };
    let each = TaskBlueprint { mapped_over: Some(0), ..task(dice, 1) };
    let (then, told) = (task(dice, 2), task(dice, 3));
    let tasks = vec![
        list,
        each,
        TaskBlueprint { after: vec![1], ..then },
        TaskBlueprint { settled: vec![1], after: vec![0], ..told },
    ];
    let mut tasks = finish(dice, tasks);
    let each = &mut tasks[1];
    each.enough = Some(1 + dice.position(3));
    // Whether one that fails for good does so before there is enough is a matter of time, and whether one that may
    // write has: so none does either.
    (each.writes, each.settled, each.when) = (WriteKind::Nothing, Vec::new(), None);
    each.mapped_over = Some(0);
    if each.wants_mending() {
        each.trouble = Trouble::None;
    }
    tasks
}
