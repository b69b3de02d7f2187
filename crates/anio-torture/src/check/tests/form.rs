//! Histories in which something is wrong with a tree, with steps, or with what takes steps as they come.

use super::sample::{at_of, width_of};
use super::*;

/// A copy of the first beginning of a task run, right before or after a line of another.
fn begin_at(history: &mut History, task_run: (&str, u32), at: usize) {
    let first = at_of(history, task_run, What::Begin);
    let mut line = history.diary[first].clone();
    (line.pid, line.at) = (2, history.diary[at.min(history.diary.len() - 1)].at);
    history.diary.insert(at, line);
}

/// What is broken when this task run begins before that one has ended.
fn too_early(task_run: (&str, u32), before: (&str, u32)) -> BTreeSet<Rule> {
    let mut history = good();
    let first = at_of(&history, task_run, What::Begin);
    let line = history.diary.remove(first);
    let at = at_of(&history, before, What::End);
    history.diary.insert(at, line);
    broken(&history)
}

/// What is broken when that one begins again after this one has begun.
fn again_behind(task_run: (&str, u32), before: (&str, u32)) -> BTreeSet<Rule> {
    let mut history = good();
    let at = at_of(&history, task_run, What::Begin);
    begin_at(&mut history, before, at + 1);
    broken(&history)
}

#[test]
fn a_node_waits_for_those_under_it_a_step_for_the_one_before_and_an_element_for_its_step() {
    for (task_run, before) in
        [(("tree", 0), ("tree", 1)), (("steps", 2), ("steps", 1)), (("taken", 1), ("steps", 1))]
    {
        let (early, again) = (too_early(task_run, before), again_behind(task_run, before));
        assert!(early.contains(&Rule::DependenciesEndFirst), "{task_run:?} {before:?}: {early:?}");
        assert!(again.contains(&Rule::DependenciesAreDurable), "{task_run:?} {before:?}: {again:?}");
    }
}

#[test]
fn what_takes_steps_as_they_come_need_not_wait_for_the_next() {
    let mut history = good();
    let lines = |history: &History| {
        let is_first = |line: &&Line| line.task_run == ("taken".to_owned(), Some(0));
        history.diary.iter().filter(is_first).cloned().collect::<Vec<_>>()
    };
    let moved = lines(&history);
    history.diary.retain(|line| line.task_run != ("taken".to_owned(), Some(0)));
    let at = at_of(&history, ("steps", 1), What::Begin);
    history.diary.splice(at..at, moved);
    assert_eq!(check(&history, &[blueprint()]), []);
    // Nor does the next step wait for it.
    let ended = at_of(&history, ("taken", 0), What::End);
    let line = history.diary.remove(ended);
    let at = at_of(&history, ("steps", 2), What::End);
    history.diary.insert(at, line);
    assert_eq!(check(&history, &[blueprint()]), []);
}

#[test]
fn a_tree_is_one_narrower_than_its_list_and_steps_have_no_width() {
    let mut history = good();
    let FactKind::Expanded { n } = &mut facts_of(&mut history, "tree")[0].kind else { unreachable!() };
    *n += 1;
    assert!(broken(&history).contains(&Rule::WidthsAgree));
    for task in ["steps", "taken"] {
        let mut history = good();
        let mut fact = facts_of(&mut history, task)[0].clone();
        (fact.kind, fact.map_index, fact.attempt) = (FactKind::Expanded { n: 3 }, None, 0);
        history.runs[0].facts.push(fact);
        assert!(broken(&history).contains(&Rule::NothingExtraExecutes), "{task}");
    }
}

#[test]
fn there_is_a_task_run_for_each_node_step_and_element_and_no_other() {
    for (task, n) in [("tree", width_of("tree")), ("steps", 4), ("taken", 3)] {
        let mut history = good();
        let is_last = |fact: &FactRecord| fact.task == *task && fact.map_index == Some(n - 1);
        history.runs[0].facts.retain(|fact| !is_last(fact));
        assert!(broken(&history).contains(&Rule::TaskRunsEndOnce), "{task}");
        let mut history = good();
        let mut fact = facts_of(&mut history, task).pop().unwrap().clone();
        fact.map_index = Some(n);
        history.runs[0].facts.push(fact);
        assert!(broken(&history).contains(&Rule::NothingExtraExecutes), "{task}");
    }
}

#[test]
fn outputs_of_trees_and_steps_are_among_those_that_a_client_saw() {
    let outputs = |history: &History| history.runs[0].outputs(Some(&blueprint()));
    for (task, index) in [("tree", 0), ("steps", 1), ("taken", 2)] {
        let mut history = good();
        let before = outputs(&history);
        let is_it = |fact: &FactRecord| fact.task == *task && fact.map_index == Some(index);
        let fact = history.runs[0].facts.iter_mut().find(|fact| is_it(fact)).unwrap();
        let FactKind::Succeeded { output, .. } = &mut fact.kind else { unreachable!() };
        *output = Output::new(1).unwrap();
        assert_ne!(outputs(&history), before, "{task}");
        let found = broken(&history);
        assert!(found.contains(&Rule::AcknowledgedEndsAreKept), "{task}: {found:?}");
        assert!(found.contains(&Rule::OutputsAgree), "{task}: {found:?}");
    }
}

/// The good history, but the step at 2 was given up: what the first two made was taken.
fn cut_short() -> History {
    let mut history = good();
    let end = history.runs[0].finished_at.unwrap();
    let is_left = |task: &str, index: Option<u32>| {
        !(task == "steps" && index >= Some(2) || task == "taken" && index == Some(2) || task == "last")
    };
    history.diary.retain(|line| is_left(&line.task_run.0, line.task_run.1));
    let facts = &mut history.runs[0].facts;
    let template = facts.iter().find(|fact| fact.task == *"steps").unwrap().clone();
    facts.retain(|fact| is_left(fact.task.as_str(), fact.map_index));
    let failure = Arc::new(TaskFailure::new(FailureKind::Cancelled, "cancelled by request"));
    let failed = FactKind::Failed { started_at: end, failure, retry_at: None };
    for (attempt, kind) in [(0, FactKind::Cancelled), (1, failed)] {
        facts.push(FactRecord { map_index: Some(2), attempt, at: end, kind, ..template.clone() });
    }
    let called = history.diary.iter().find(|line| line.what == What::Called).unwrap();
    let called =
        Line { task_run: ("steps".to_owned(), Some(2)), attempt: 1, inputs: 0, at: end, ..called.clone() };
    history.diary.push(called);
    history.ends[0].outputs = history.runs[0].outputs(Some(&blueprint()));
    history
}

#[test]
fn what_was_taken_of_steps_that_failed_then_is_executed_and_recorded() {
    assert_eq!(check(&cut_short(), &[blueprint()]), []);
    let mut history = cut_short();
    history.runs[0].facts.retain(|fact| !(fact.task == *"taken" && fact.map_index == Some(1)));
    assert!(broken(&history).contains(&Rule::TaskRunsEndOnce));
    // It has no whole list, and no step follows one that failed.
    let n_outputs = |history: &History| history.runs[0].outputs(Some(&blueprint()));
    let mut other = cut_short();
    other.runs[0].facts.retain(|fact| fact.task != *"taken");
    assert_eq!(n_outputs(&other), n_outputs(&cut_short()));
    let mut history = cut_short();
    let mut fact = facts_of(&mut history, "steps")[0].clone();
    fact.map_index = Some(3);
    history.runs[0].facts.push(fact);
    assert!(broken(&history).contains(&Rule::NothingExtraExecutes));
}

#[test]
fn a_retry_of_steps_keeps_what_was_taken_of_them() {
    let cleared = |task_runs: &[(&str, Option<u32>)]| {
        let mut history = cut_short();
        let at = history.runs[0].finished_at.unwrap().after(Duration::from_secs(1));
        let template = history.runs[0].facts[0].clone();
        for &(task, map_index) in task_runs {
            let attempt = u32::from(task != "skipped");
            let (task, kind) = (TaskName::trusted(task), FactKind::Cleared);
            history.runs[0].facts.push(FactRecord { task, map_index, attempt, at, kind, ..template.clone() });
        }
        broken(&history).contains(&Rule::RetriesKeepWhatSucceeded)
    };
    let failed = [("bad", None), ("skipped", None), ("steps", Some(2))];
    assert!(!cleared(&failed));
    assert!(!cleared(&[failed[0], failed[1], failed[2], ("last", None)]));
    assert!(cleared(&[failed[0], failed[1], failed[2], ("taken", None)]));
    assert!(cleared(&[failed[0], failed[1], failed[2], ("taken", Some(0))]));
    assert!(cleared(&failed[..2]));
}
