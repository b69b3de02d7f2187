//! Histories of a map that has enough.

use super::sample::at_of;
use super::*;

/// The sample, whose map has enough with two of its outputs.
fn hunt() -> Blueprint {
    let mut hunt = blueprint();
    hunt.tasks[1].enough = Some(2);
    hunt
}

/// The good history, in which the map stops after its first two elements. The third is under way then, and left out;
/// what comes after it does not begin.
fn stopped() -> History {
    let mut history = good();
    let hunt = hunt();
    let enough = BTreeMap::from([("each".to_owned(), BTreeSet::from([0, 1]))]);
    let expected = reference::execute(&hunt, N, &Handling { enough, ..Handling::default() });
    let is_left = |task: &str, index: Option<u32>| task != "each" || index < Some(2);
    let third = at_of(&history, ("each", 2), What::Begin);
    let (begun, inputs) =
        (history.diary[third].clone(), expected.task_runs[&("join".to_owned(), None)].inputs);
    history.diary.retain(|line| {
        is_left(&line.task_run.0, line.task_run.1) || line.at == begun.at && line.what == What::Begin
    });
    for line in &mut history.diary {
        if line.task_run.0 == "join" && line.what != What::Called {
            line.inputs = inputs;
        }
    }
    let output = Output::new(expected.task_runs[&("join".to_owned(), None)].output.clone()).unwrap();
    let writes = writes(expected.task_runs[&("join".to_owned(), None)].write.clone());
    let facts = &mut history.runs[0].facts;
    let join = facts.iter_mut().find(|fact| fact.task == *"join").unwrap();
    let FactKind::Succeeded { started_at, .. } = join.kind else { unreachable!() };
    join.kind = FactKind::Succeeded { started_at, output, writes };
    let first = facts.iter().position(|fact| fact.task == *"each" && fact.map_index == Some(2)).unwrap();
    let template = facts[first].clone();
    facts.retain(|fact| is_left(fact.task.as_str(), fact.map_index));
    let at = begun.at.after(Duration::from_micros(1));
    let stop = FactKind::Stopped { running: vec![2] };
    let skipped = FactKind::Skipped { reason: "enough".to_owned() };
    for (n, (map_index, attempt, kind)) in [(None, 0, stop), (Some(2), 1, skipped)].into_iter().enumerate() {
        facts.insert(first + n, FactRecord { map_index, attempt, kind, at, ..template.clone() });
    }
    let called = template.at;
    history.diary.iter_mut().for_each(|line| line.at = line.at.max(Timestamp::from_micros(1)));
    let gone = Line { what: What::Gone, at: called, ..begun };
    let at = history.diary.iter().position(|line| line.at > called).unwrap();
    history.diary.insert(at, gone);
    history.ends[0].outputs = history.runs[0].outputs(Some(&hunt));
    history
}

fn wrong(history: &History) -> BTreeSet<Rule> {
    check(history, &[hunt()]).into_iter().map(|violation| violation.rule).collect()
}

fn stop_of(history: &mut History) -> &mut FactRecord {
    let mut facts = history.runs[0].facts.iter_mut();
    facts.find(|fact| matches!(fact.kind, FactKind::Stopped { .. })).unwrap()
}

#[test]
fn a_map_that_has_enough_leaves_the_others_out() {
    assert_eq!(check(&stopped(), &[hunt()]), []);
}

#[test]
fn a_map_does_not_stop_before_it_has_enough() {
    let mut hunt = hunt();
    hunt.tasks[1].enough = Some(3);
    let wrong = check(&stopped(), &[hunt]).into_iter().map(|violation| violation.rule);
    assert!(wrong.collect::<Vec<_>>().contains(&Rule::EnoughIsEnough));
}

#[test]
fn what_was_under_way_ends_and_nothing_else_does() {
    let mut history = stopped();
    history.runs[0].facts.retain(|fact| !matches!(fact.kind, FactKind::Skipped { .. }));
    assert!(wrong(&history).contains(&Rule::EnoughIsEnough));
    let mut history = stopped();
    stop_of(&mut history).kind = FactKind::Stopped { running: Vec::new() };
    assert!(wrong(&history).contains(&Rule::EnoughIsEnough));
}

#[test]
fn nothing_of_a_map_begins_after_it_has_stopped() {
    let mut history = stopped();
    let at = at_of(&history, ("each", 2), What::Begin);
    let mut line = history.diary[at].clone();
    // What was under way may be just about to begin, where it was.
    history.diary[at].at = stop_of(&mut history).at.after(Duration::from_micros(1));
    assert_eq!(wrong(&history), BTreeSet::new());
    let later = history.diary[at].at;
    history.spawned.insert(1, later);
    assert!(wrong(&history).contains(&Rule::EnoughIsEnough));
    let mut history = stopped();
    (line.at, line.task_run.1) = (later, Some(3));
    history.diary.insert(at + 1, line);
    assert!(wrong(&history).contains(&Rule::EnoughIsEnough));
}

#[test]
fn the_output_of_a_map_that_has_enough_is_what_there_is() {
    let n = |history: &History| history.runs[0].outputs(Some(&hunt()));
    let mut other = stopped();
    for fact in facts_of(&mut other, "each") {
        if let FactKind::Succeeded { output, .. } = &mut fact.kind {
            *output = Output::new(7).unwrap();
        }
    }
    assert_ne!(n(&other), n(&stopped()));
    assert!(
        wrong(&other).contains(&Rule::AcknowledgedEndsAreKept) && wrong(&other).contains(&Rule::OutputsAgree)
    );
}
