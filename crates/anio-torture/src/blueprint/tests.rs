//! What seeds give.

use super::*;

#[test]
fn a_seed_gives_the_same_blueprints_every_time() {
    let text = |seed| format!("{:?}", Blueprint::all(seed));
    assert_eq!(text(7), text(7));
    assert_ne!(text(7), text(8));
}

#[test]
fn many_seeds_have_every_kind_of_task() {
    let blueprints: Vec<Blueprint> = (0..20).flat_map(Blueprint::all).collect();
    let tasks: Vec<&TaskBlueprint> = blueprints.iter().flat_map(|blueprint| &blueprint.tasks).collect();
    let has = |what: &dyn Fn(&TaskBlueprint) -> bool| assert!(tasks.iter().any(|task| what(task)));
    for lane in [Lane::Async, Lane::Cpu, Lane::Blocking] {
        has(&|task| task.lane == lane);
    }
    for how in [How::Error, How::Panic, How::Hang] {
        has(&|task| matches!(task.trouble, Trouble::AtFirst(_, of) if of == how));
    }
    has(&|task| matches!(task.trouble, Trouble::Always(How::Fatal)));
    has(&|task| matches!(task.trouble, Trouble::EveryFourth(_)));
    has(&|task| !task.reads.is_empty());
    has(&|task| task.mapped_over.is_some() && task.yields == Yields::List);
    has(&|task| task.pace > Duration::from_millis(40));
    has(&|task| !task.settled.is_empty());
    has(&|task| matches!(task.when, Some(When::Failed(_))));
    has(&|task| matches!(task.when, Some(When::NotSkipped(_))));
    has(&|task| matches!(task.when, Some(When::AnySucceeded(_))));
    has(&|task| matches!(task.when, Some(When::IsLow(_))));
    has(&|task| task.concurrency.is_some() && task.mapped_over.is_some());
    has(&|task| task.rate.is_some() && task.mapped_over.is_some());
    has(&|task| task.needs == 2);
    has(&|task| task.tells);
    assert!(tasks.iter().all(|task| task.pace <= Duration::from_millis(50)));
}

#[test]
fn many_seeds_have_every_form_of_task_over_every_other() {
    let blueprints: Vec<Blueprint> = (0..40).flat_map(Blueprint::all).collect();
    let pairs: Vec<(&Blueprint, &TaskBlueprint)> =
        blueprints.iter().flat_map(|of| of.tasks.iter().map(move |task| (of, task))).collect();
    let n_of = |what: &dyn Fn(&Blueprint, &TaskBlueprint) -> bool| {
        pairs.iter().filter(|(of, task)| what(of, task)).count()
    };
    let is_tree = |task: &TaskBlueprint| task.pairs_over.is_some();
    let is_steps = |task: &TaskBlueprint| task.steps_max.is_some();
    let fails = |task: &TaskBlueprint| matches!(task.trouble, Trouble::EveryFourth(_));
    let maps = |of: &Blueprint, task: &TaskBlueprint, what: &dyn Fn(&TaskBlueprint) -> bool| {
        task.mapped_over.is_some_and(|list| what(&of.tasks[list]))
    };
    let halves = |of: &Blueprint, task: &TaskBlueprint, what: &dyn Fn(&TaskBlueprint) -> bool| {
        task.pairs_over.is_some_and(|list| what(&of.tasks[list]))
    };
    let reads = |of: &Blueprint, task: &TaskBlueprint, what: &dyn Fn(&TaskBlueprint) -> bool| {
        task.reads.iter().any(|&writer| what(&of.tasks[writer]))
    };
    let counts = [
        ("tree over a map", n_of(&|of, task| halves(of, task, &|list| list.mapped_over.is_some()))),
        ("tree over steps", n_of(&|of, task| halves(of, task, &is_steps))),
        ("tree over a list", n_of(&|of, task| halves(of, task, &|list| !list.has_many()))),
        ("map over a tree", n_of(&|of, task| maps(of, task, &is_tree))),
        ("stream", n_of(&|of, task| of.streams_from(task).is_some())),
        ("stream beside others", n_of(&|of, task| of.streams_from(task).is_some() && !task.after.is_empty())),
        (
            "map over all steps",
            n_of(&|of, task| maps(of, task, &is_steps) && of.streams_from(task).is_none()),
        ),
        ("reader of steps", n_of(&|of, task| reads(of, task, &is_steps) && of.streams_from(task).is_none())),
        (
            "reader of its steps",
            n_of(&|of, task| of.streams_from(task).is_some_and(|steps| task.reads.contains(&steps))),
        ),
        ("reader of a tree", n_of(&|of, task| reads(of, task, &is_tree))),
        ("sum of steps", n_of(&|_, task| is_steps(task) && task.writes == WriteKind::Sum)),
        ("steps that fail", n_of(&|_, task| is_steps(task) && fails(task))),
        ("tree that fails", n_of(&|_, task| is_tree(task) && fails(task))),
        ("tree that decides", n_of(&|_, task| is_tree(task) && task.decides())),
    ];
    let missing: Vec<_> = counts.iter().filter(|(_, n)| *n == 0).collect();
    assert!(missing.is_empty(), "{counts:?}");
}
