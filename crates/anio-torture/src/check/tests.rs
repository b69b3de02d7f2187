//! One bad history for each rule, made from a good one: a rule that cannot fail proves nothing.

use std::sync::Arc;

use anio_core::context::{Entry, Writes};
use anio_core::error::FailureKind;
use anio_core::{Output, TaskFailure, TaskName, Timestamp};
use serde_json::Value;

use super::*;
use crate::blueprint::{How, TaskBlueprint, Trouble, Yields};
use crate::history::Ack;

const N: u64 = 4;

/// A list, a map over it, a join; beside them a task that is tried twice, and one that fails, with one that
/// is skipped for it.
fn blueprint() -> Blueprint {
    let plain = |name: &str| {
        let mut task = Blueprint::new(1, 0).tasks[0].clone();
        (task.name, task.trouble, task.attempts) = (name.to_owned(), Trouble::None, 1);
        task
    };
    // The seed decides how wide the list is.
    let list = |seed| TaskBlueprint { seed, yields: Yields::List, ..plain("list") };
    let with = |seed| Blueprint {
        name: "bad".to_owned(),
        tasks: vec![
            list(seed),
            TaskBlueprint { mapped_over: Some(0), ..plain("each") },
            TaskBlueprint { after: vec![1], ..plain("join") },
            TaskBlueprint { trouble: Trouble::AtFirst(1, How::Error), attempts: 2, ..plain("again") },
            TaskBlueprint { trouble: Trouble::Always(How::Fatal), ..plain("bad") },
            TaskBlueprint { after: vec![4], ..plain("skipped") },
        ],
    };
    let is_wide = |blueprint: &Blueprint| reference::execute(blueprint, N).widths["each"] >= 3;
    (0..100).map(with).find(is_wide).expect("most seeds are wide")
}

fn run_id() -> RunId {
    RunId::from_uuid(uuid::Uuid::from_u128(7))
}

/// What an execution without crashes leaves behind.
fn good() -> History {
    let blueprint = blueprint();
    let expected = reference::execute(&blueprint, N);
    let (mut facts, mut diary, mut clock) = (Vec::new(), Vec::new(), 0);
    let mut tick = || {
        clock += 10;
        Timestamp::from_micros(clock)
    };
    for task in &blueprint.tasks {
        let fact = |map_index, attempt, at, kind| FactRecord {
            run: run_id(),
            task: TaskName::trusted(task.name.as_str()),
            map_index,
            attempt,
            at,
            kind,
        };
        if let Some(&n) = expected.widths.get(&task.name) {
            facts.push(fact(None, 0, tick(), FactKind::Expanded { n }));
        }
        let of_task = |((name, _), _): &(&TaskRunName, &ExpectedTaskRun)| *name == task.name;
        for (name, task_run) in expected.task_runs.iter().filter(of_task) {
            for attempt in 1..=task_run.n_attempts {
                let fails = task_run.fails() || attempt < task_run.n_attempts;
                let mut line = |what| {
                    let at = tick();
                    let (task_run, inputs) = (name.clone(), task_run.inputs);
                    diary.push(Line { at, pid: 1, what, run: run_id(), task_run, attempt, inputs });
                    at
                };
                let started_at = line(What::Begin);
                line(if fails { What::Fail } else { What::End });
                let at = tick();
                let kind = if fails {
                    let failure = Arc::new(TaskFailure::new(FailureKind::Error, "fated"));
                    let retry_at = (attempt < task_run.n_attempts).then_some(at);
                    FactKind::Failed { started_at, failure, retry_at }
                } else {
                    let output = Output::new(task_run.output.clone()).unwrap();
                    FactKind::Succeeded { started_at, output, writes: writes(task_run.write.clone()) }
                };
                facts.push(fact(name.1, attempt, at, kind));
            }
        }
    }
    History {
        acks: vec![Ack { run: run_id(), workflow: blueprint.name.clone(), n: N }],
        ends: vec![(run_id(), "failed".to_owned())],
        runs: vec![StoredRun {
            id: run_id(),
            workflow: blueprint.name,
            n: N,
            status: RunStatus::Failed,
            failed_for: Some(("bad".to_owned(), None)),
            facts,
        }],
        diary,
        n_deaths: 0,
        n_bodies_max: 1,
        zombies: BTreeSet::new(),
    }
}

fn writes(write: Option<(String, Value)>) -> Option<Arc<Writes>> {
    let (key, value) = write?;
    let entry = Entry::new(serde_json::value::to_raw_value(&value).unwrap());
    Some(Arc::new(Writes { set: BTreeMap::from([(Arc::from(key), entry)]), removed: BTreeSet::new() }))
}

fn facts_of<'a>(history: &'a mut History, task: &str) -> Vec<&'a mut FactRecord> {
    history.runs[0].facts.iter_mut().filter(|fact| *fact.task.as_str() == *task).collect()
}

fn position_of(history: &History, task: &str, what: What) -> usize {
    history.diary.iter().position(|line| line.task_run.0 == task && line.what == what).unwrap()
}

/// Appends a copy of the first beginning of a task, by another process, as soon as the line `after`.
fn begin_again(history: &mut History, task: &str, after: usize) -> usize {
    let mut line = history.diary[position_of(history, task, What::Begin)].clone();
    line.pid = 2;
    line.at = history.diary[after].at;
    history.diary.insert(after + 1, line);
    after + 1
}

/// Breaks a good history so that this rule does not hold.
fn break_rule(rule: Rule, history: &mut History) {
    match rule {
        Rule::AcknowledgedRunsAreKept => {
            history.acks.push(Ack {
                run: RunId::from_uuid(uuid::Uuid::nil()),
                workflow: "bad".to_owned(),
                n: N,
            });
        }
        Rule::AcknowledgedEndsAreKept => history.ends[0].1 = "succeeded".to_owned(),
        Rule::RunsEnd => history.runs[0].status = RunStatus::Running,
        Rule::StatusAgrees => history.runs[0].status = RunStatus::Succeeded,
        Rule::BodiesBelongToRuns => history.diary[0].run = RunId::from_uuid(uuid::Uuid::nil()),
        Rule::NothingExtraExecutes => history.diary[0].task_run.0 = "skipped".to_owned(),
        Rule::TaskRunsEndOnce => {
            let at = history.runs[0].facts.iter().position(|fact| fact.task == *"join").unwrap();
            history.runs[0].facts.remove(at);
        }
        Rule::OutputsAgree => {
            let FactKind::Succeeded { output, .. } = &mut facts_of(history, "join")[0].kind else {
                unreachable!()
            };
            *output = Output::new(1).unwrap();
        }
        Rule::WritesAgree => {
            let FactKind::Succeeded { writes: found, .. } = &mut facts_of(history, "join")[0].kind else {
                unreachable!()
            };
            *found = writes(Some(("x".to_owned(), Value::Null)));
        }
        Rule::FailuresAgree => {
            let mut failed = facts_of(history, "again")[0].clone();
            failed.attempt = 2;
            let at = history.runs[0].facts.iter().position(|fact| fact.task == *"again").unwrap();
            facts_of(history, "again")[1].attempt = 3;
            history.runs[0].facts.insert(at + 1, failed);
        }
        Rule::WidthsAgree => facts_of(history, "each")[0].kind = FactKind::Expanded { n: 1 },
        Rule::FactsAreRecordedOnce => {
            let copy = history.runs[0].facts[0].clone();
            history.runs[0].facts.insert(1, copy);
        }
        Rule::AttemptsCountUp => facts_of(history, "again")[1].attempt = 3,
        Rule::SuccessesWereExecuted => {
            let at = position_of(history, "join", What::End);
            history.diary.remove(at);
        }
        Rule::InputsAgree => {
            let at = position_of(history, "join", What::Begin);
            history.diary[at].inputs ^= 1;
        }
        Rule::SuccessIsFinal => {
            let last = history.diary.len() - 1;
            begin_again(history, "join", last);
        }
        Rule::DependenciesEndFirst => {
            let line = history.diary.remove(position_of(history, "join", What::Begin));
            history.diary.insert(0, line);
        }
        Rule::DependenciesAreDurable => {
            let at = position_of(history, "join", What::Begin);
            begin_again(history, "each", at);
        }
        Rule::AttemptsBeginOncePerProcess => {
            let at = begin_again(history, "join", position_of(history, "join", What::Begin));
            history.diary[at].pid = 1;
        }
        Rule::CrashesCostWhatWasUnderWay => {
            begin_again(history, "join", position_of(history, "join", What::Begin));
        }
    }
}

fn broken(history: &History) -> BTreeSet<Rule> {
    check(history, &[blueprint()]).into_iter().map(|violation| violation.rule).collect()
}

#[test]
fn a_good_history_has_no_violations() {
    assert_eq!(check(&good(), &[blueprint()]), []);
}

#[test]
fn each_rule_finds_the_history_that_breaks_it() {
    for rule in Rule::ALL {
        let mut history = good();
        break_rule(rule, &mut history);
        assert!(broken(&history).contains(&rule), "{rule:?} is not among {:?}", broken(&history));
    }
}

#[test]
fn a_crash_may_repeat_what_was_under_way() {
    let mut history = good();
    begin_again(&mut history, "join", position_of(&good(), "join", What::Begin));
    history.n_deaths = 1;
    assert_eq!(broken(&history), BTreeSet::new());
}

#[test]
fn what_a_zombie_begins_counts_for_nothing() {
    let mut history = good();
    let last = history.diary.len() - 1;
    begin_again(&mut history, "join", last);
    assert_eq!(broken(&history), BTreeSet::from([Rule::SuccessIsFinal, Rule::CrashesCostWhatWasUnderWay]));
    history.zombies.insert(2);
    assert_eq!(broken(&history), BTreeSet::new());
}
