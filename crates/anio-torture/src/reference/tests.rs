//! What blueprints come to that are small enough to tell by hand.

use super::*;
use crate::blueprint::{How, Trouble, When, WriteKind, Yields};

/// A chain in which nothing fails and nothing is decided.
fn chain() -> Blueprint {
    let mut blueprint = Blueprint::new(1, 0);
    for (position, task) in blueprint.tasks.iter_mut().enumerate() {
        task.trouble = Trouble::None;
        task.after = position.checked_sub(1).into_iter().collect();
        (task.settled, task.when, task.steps_max) = (Vec::new(), None, None);
    }
    blueprint
}

fn undisturbed(blueprint: &Blueprint) -> Expected {
    execute(blueprint, 5, &Handling::default())
}

fn names(expected: &Expected) -> Vec<&str> {
    expected.task_runs.keys().map(|(task, _)| task.as_str()).collect()
}

#[test]
fn what_waits_for_a_failure_does_not_execute_until_it_is_mended() {
    let mut blueprint = chain();
    assert_eq!(undisturbed(&blueprint).task_runs.len(), blueprint.tasks.len());
    assert!(!undisturbed(&blueprint).fails);
    blueprint.tasks[2].trouble = Trouble::Always(How::Fatal);
    let failed = undisturbed(&blueprint);
    assert_eq!(names(&failed), ["t00", "t01", "t02"]);
    assert!(failed.fails);
    let mended = execute(&blueprint, 5, &Handling { mended: true, ..Handling::default() });
    assert_eq!(mended.task_runs.len(), blueprint.tasks.len());
    assert!(!mended.fails);
}

#[test]
fn a_failure_that_another_is_told_of_is_handled_when_that_one_succeeds() {
    let mut blueprint = chain();
    let told = undisturbed(&blueprint).task_runs[&("t03".to_owned(), None)].inputs;
    blueprint.tasks[3].settled = std::mem::take(&mut blueprint.tasks[3].after);
    let given_up = BTreeSet::from([("t02".to_owned(), None)]);
    let handled = execute(&blueprint, 5, &Handling { given_up, ..Handling::default() });
    assert_eq!(handled.task_runs.len(), blueprint.tasks.len());
    assert!(!handled.fails);
    assert_ne!(handled.task_runs[&("t03".to_owned(), None)].inputs, told);
    blueprint.tasks[2].trouble = Trouble::Always(How::Error);
    blueprint.tasks[3].trouble = Trouble::Always(How::Error);
    assert!(undisturbed(&blueprint).fails);
}

#[test]
fn a_condition_decides_who_executes() {
    let mut blueprint = chain();
    let n_executed = |blueprint: &Blueprint| undisturbed(blueprint).task_runs.len();
    for (when, runs) in [
        (When::Failed(1), false),
        (When::NotSkipped(1), true),
        (When::AnySucceeded(vec![0]), true),
        (When::IsLow(0), false),
    ] {
        blueprint.tasks[0].writes = WriteKind::Nothing;
        blueprint.tasks[2].when = Some(when.clone());
        let n_tasks = if runs { blueprint.tasks.len() } else { 2 };
        assert_eq!(n_executed(&blueprint), n_tasks, "{when:?}");
    }
}

#[test]
fn every_output_depends_on_the_input() {
    let blueprint = chain();
    let run = |n| execute(&blueprint, n, &Handling::default());
    let last = |n| run(n).task_runs.into_values().next_back().map(|run| run.inputs);
    assert_eq!(last(1), last(1));
    assert_ne!(last(1), last(2));
}

/// A task in which nothing fails and nothing is decided.
fn plain(name: &str) -> TaskBlueprint {
    TaskBlueprint {
        name: name.to_owned(),
        after: Vec::new(),
        writes: WriteKind::Nothing,
        ..chain().tasks.remove(0)
    }
}

fn of(tasks: Vec<TaskBlueprint>) -> Blueprint {
    Blueprint { name: "of".to_owned(), tasks }
}

/// As the first seed has it that makes this true.
fn seeded(make: impl Fn(u64) -> Blueprint, is_it: impl Fn(&Expected) -> bool) -> (Blueprint, Expected) {
    let mut all = (0..1000).map(make).map(|blueprint| (undisturbed(&blueprint), blueprint));
    let (expected, blueprint) = all.find(|(expected, _)| is_it(expected)).expect("a seed in 1,000");
    (blueprint, expected)
}

/// A list of so many elements, a tree over it, and one after that.
fn tree(n: usize) -> (Blueprint, Expected) {
    let make = |seed| {
        let list = TaskBlueprint { seed, yields: Yields::List, ..plain("list") };
        let tree = TaskBlueprint { pairs_over: Some(0), ..plain("tree") };
        of(vec![list, tree, TaskBlueprint { after: vec![1], ..plain("then") }])
    };
    let list = |expected: &Expected| expected.task_runs[&("list".to_owned(), None)].output.clone();
    seeded(make, |expected| list(expected).as_array().is_some_and(|list| list.len() == n))
}

/// Steps that make so many elements, one that takes them as they come, and one after that.
fn steps(n: usize) -> Blueprint {
    let make = |seed| {
        let steps = TaskBlueprint { seed, steps_max: Some(6), writes: WriteKind::Own, ..plain("steps") };
        let taken = TaskBlueprint { mapped_over: Some(0), reads: vec![0], ..plain("taken") };
        of(vec![steps, taken, TaskBlueprint { after: vec![1], reads: vec![0], ..plain("then") }])
    };
    seeded(make, |expected| indices(expected, "taken").len() == n).0
}

fn indices(expected: &Expected, task: &str) -> Vec<u32> {
    expected.task_runs.keys().filter(|(name, _)| name == task).filter_map(|(_, index)| *index).collect()
}

fn before(expected: &Expected, task: &str, index: u32) -> Vec<Before> {
    expected.task_runs[&(task.to_owned(), Some(index))].dependencies.clone()
}

#[test]
fn a_tree_makes_one_of_neighbours_in_the_order_of_the_list() {
    let (blueprint, expected) = tree(5);
    let list = expected.task_runs[&("list".to_owned(), None)].output.as_array().cloned().unwrap();
    let made = |index, left: &Value, right: &Value| {
        let values = vec![left.clone(), right.clone()];
        blueprint.tasks[1].output(&Inputs { map_index: Some(index), n: 5, values, read: Vec::new() })
    };
    // As the heap of five leaves has it: the first two lie one level lower.
    let three = made(3, &list[0], &list[1]);
    let one = made(1, &three, &list[2]);
    let zero = made(0, &one, &made(2, &list[3], &list[4]));
    assert_eq!(expected.task_runs[&("tree".to_owned(), Some(0))].output, zero);
    assert_eq!((expected.widths["tree"], indices(&expected, "tree")), (4, vec![0, 1, 2, 3]));
    let node = |index| Before::One(("tree".to_owned(), Some(index)));
    let list = Before::Whole("list".to_owned());
    assert_eq!(before(&expected, "tree", 0), [list.clone(), node(1), node(2)]);
    assert_eq!(before(&expected, "tree", 1), [list.clone(), node(3)]);
    assert_eq!(before(&expected, "tree", 3), [list]);
}

#[test]
fn a_tree_over_one_element_is_that_element_and_over_none_is_skipped() {
    let (_, expected) = tree(1);
    assert_eq!((expected.widths["tree"], indices(&expected, "tree")), (0, vec![]));
    assert!(expected.task_runs.contains_key(&("then".to_owned(), None)));
    let (_, expected) = tree(0);
    assert_eq!((expected.widths.get("tree"), expected.fails), (None, false));
    assert_eq!(names(&expected), ["list"]);
}

#[test]
fn what_is_above_a_node_that_fails_is_skipped_and_all_else_executes() {
    let (blueprint, _) = tree(5);
    let given_up = BTreeSet::from([("tree".to_owned(), Some(3))]);
    let expected = execute(&blueprint, 5, &Handling { given_up, ..Handling::default() });
    assert_eq!(indices(&expected, "tree"), [2, 3]);
    assert!(expected.fails);
    // One that is given up early has its end, whatever becomes of those under it.
    let given_up = BTreeSet::from([("tree".to_owned(), Some(0)), ("tree".to_owned(), Some(3))]);
    let expected = execute(&blueprint, 5, &Handling { given_up, ..Handling::default() });
    assert_eq!(indices(&expected, "tree"), [0, 2, 3]);
}

#[test]
fn a_step_is_given_what_the_one_before_returned_and_the_last_finds_the_end() {
    let blueprint = steps(3);
    let expected = undisturbed(&blueprint);
    assert_eq!(indices(&expected, "steps"), [0, 1, 2, 3]);
    let step = |index| expected.task_runs[&("steps".to_owned(), Some(index))].clone();
    let values = vec![step(1).output];
    let inputs = Inputs { map_index: Some(2), n: 5, values, read: Vec::new() };
    assert_eq!((step(2).inputs, step(3).output), (inputs.hash(), Value::Null));
    assert_eq!(step(2).dependencies, [Before::One(("steps".to_owned(), Some(1)))]);
    assert_eq!((before(&expected, "steps", 0), expected.widths.len()), (vec![], 0));
    assert_eq!(before(&expected, "taken", 1), [Before::One(("steps".to_owned(), Some(1)))]);
}

#[test]
fn what_takes_steps_as_they_come_sees_nothing_that_they_wrote_and_those_after_see_the_last() {
    let blueprint = steps(2);
    let expected = undisturbed(&blueprint);
    let of = |task: &str, index| expected.task_runs[&(task.to_owned(), index)].clone();
    let given = |map_index, values, read: Value| {
        Inputs { map_index, n: 5, values, read: vec![("steps".to_owned(), read)] }.hash()
    };
    let first = vec![of("steps", Some(0)).output];
    assert_eq!(of("taken", Some(0)).inputs, given(Some(0), first, Value::Null));
    let list = vec![(0..2).map(|index| of("taken", Some(index)).output).collect()];
    let (_, written) = of("steps", Some(2)).write.unwrap();
    assert_eq!(of("then", None).inputs, given(None, list, written));
}

#[test]
fn what_steps_made_that_fail_then_is_taken_all_the_same() {
    let blueprint = steps(3);
    let fails_at = |index, settled: &[usize]| {
        let given_up = BTreeSet::from([("steps".to_owned(), Some(index))]);
        let mut blueprint = blueprint.clone();
        blueprint.tasks[2].settled = settled.to_vec();
        blueprint.tasks[2].after.retain(|before| !settled.contains(before));
        execute(&blueprint, 5, &Handling { given_up, ..Handling::default() })
    };
    let expected = fails_at(2, &[]);
    assert_eq!((indices(&expected, "steps"), indices(&expected, "taken")), (vec![0, 1, 2], vec![0, 1]));
    // It has no whole list: what needs it is skipped, what is told of it is told that.
    assert!(expected.fails && !expected.task_runs.contains_key(&("then".to_owned(), None)));
    assert_eq!(fails_at(2, &[1]).task_runs[&("then".to_owned(), None)].told_of, ["taken"]);
    assert!(indices(&fails_at(0, &[]), "taken").is_empty());
}

#[test]
fn what_has_to_know_how_the_steps_end_waits_for_all_of_them() {
    let mut blueprint = steps(3);
    blueprint.tasks[1].when = Some(When::NotSkipped(0));
    let expected = undisturbed(&blueprint);
    assert_eq!(before(&expected, "taken", 1), [Before::Whole("steps".to_owned())]);
    assert_eq!(expected.widths["taken"], 3);
}
