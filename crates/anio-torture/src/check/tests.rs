//! One bad history for each rule, made from a good one: a rule that cannot fail proves nothing.

mod enough;
mod form;
mod sample;

use std::sync::Arc;
use std::time::Duration;

use anio_core::context::{Entry, Writes};
use anio_core::error::FailureKind;
use anio_core::{Output, TaskFailure, TaskName, Timestamp};
use anio_store::record::WorkerId;
use serde_json::Value;

use self::sample::{N, begin_again, blueprint, facts_of, good, position_of, run_id, writes};
use super::*;
use crate::blueprint::{How, RESOURCE_UNITS, TaskBlueprint, Trouble, Yields};
use crate::diary::What;
use crate::history::{Ack, Ended, LeaseDeed, LeaseStep, Stop};
use crate::operator::{Ask, Asked};
use crate::reference::Handling;

/// Breaks a good history so that this rule does not hold.
fn break_rule(rule: Rule, history: &mut History) {
    match rule {
        Rule::AcknowledgedRunsAreKept => {
            history.acks.push(Ack {
                run: RunId::from_uuid(uuid::Uuid::nil()),
                workflow: "bad".to_owned(),
                n: N,
                key: None,
            });
        }
        Rule::AcknowledgedEndsAreKept => history.ends[0].status = "succeeded".to_owned(),
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
        Rule::AttemptsBeginOncePerWorker => {
            let at = begin_again(history, "join", position_of(history, "join", What::Begin));
            history.diary[at].pid = 1;
        }
        Rule::CrashesCostWhatWasUnderWay => {
            begin_again(history, "join", position_of(history, "join", What::Begin));
        }
        Rule::EndsAreEnds => {
            let at = begin_again(history, "bad", history.diary.len() - 1);
            history.diary[at].at = Timestamp::from_micros(i64::MAX);
        }
        Rule::CancelsHold => ask(history, Asked::Cancel, 1),
        Rule::TaskCancelsHold => {
            ask(history, Asked::GiveUp("join".to_owned(), None), 1);
            history.spawned.insert(1, Timestamp::from_micros(2));
        }
        Rule::PausesHold => ask(history, Asked::SeenPaused, 1),
        Rule::DeadlinesHold => {
            history.runs[0].intent = Intent::Late(Timestamp::from_micros(1));
            history.spawned.insert(1, Timestamp::from_micros(2));
        }
        Rule::DueRunsWait => history.runs[0].intent = Intent::Due(Timestamp::from_micros(i64::MAX)),
        Rule::KeysAreOneRun => {
            let key = Some("key".to_owned());
            history.runs[0].key.clone_from(&key);
            let run = RunId::from_uuid(uuid::Uuid::nil());
            history.acks.push(Ack { run, workflow: "bad".to_owned(), n: N, key });
        }
        Rule::RetriesKeepWhatSucceeded => retry(history, &["bad", "list"]),
        Rule::CallbacksAreTrue => {
            let at = position_of(history, "join", What::Called);
            history.diary[at].inputs = 0;
        }
        Rule::CallbacksAreCalled => {
            let at = position_of(history, "bad", What::Called);
            history.diary.remove(at);
        }
        Rule::LimitsHold => history.diary.retain(|line| line.what != What::Gone),
        Rule::OneOwnerCommits => {
            // What another process had begun before this one, is recorded after it.
            let at = position_of(history, "list", What::Begin);
            history.diary[at].pid = 2;
            let list = history.runs[0].facts.remove(0);
            let after = history.runs[0].facts.iter().position(|fact| fact.task == *"join").unwrap();
            history.runs[0].facts.insert(after + 1, list);
        }
        Rule::ZombiesCommitNothing => drop(stop_and_take_over(history)),
        Rule::ZombiesSaySo => {
            let stop = stop_and_take_over(history);
            history.stops = vec![Stop { waited: true, ..stop }];
        }
        Rule::WhatRunsAgainIsChosen => {
            history.runs[0].intent = Intent::Rerun(4);
            retry(history, &["bad", "skipped", "list"]);
        }
        Rule::JointSubmitsAreOne => history.runs[0].intent = Intent::Joint(5),
        Rule::RatesHold => {
            // As fast as they can.
            let template = history.runs[0].facts.iter().find(|fact| fact.task == *"each").unwrap().at;
            for fact in facts_of(history, "each") {
                if let FactKind::Succeeded { started_at, .. } = &mut fact.kind {
                    *started_at = template;
                }
            }
        }
        Rule::ToldEndsAreDurable => {
            let begun = history.diary[0].clone();
            history.diary.insert(0, Line { what: What::Told, task_run: ("-".to_owned(), None), ..begun });
        }
        Rule::ShutdownsLoseNothing => {
            history.stopped.insert(1);
            history.runs[0].facts.retain(|fact| fact.task != *"join");
        }
        Rule::BackoffsHold => {
            let failed = facts_of(history, "again").into_iter().next().expect("it fails once");
            let FactKind::Failed { retry_at, .. } = &mut failed.kind else { panic!("it fails first") };
            *retry_at = retry_at.map(|at| at.after(Duration::from_secs(60)));
        }
        Rule::StandingLeasesAreLeft => history.leases[2].at = Timestamp::from_micros(99),
        Rule::RunsAreTakenUnderALease => history.leases.swap(1, 2),
        Rule::PoisonEnds => {
            let deadly =
                StoredRun { workflow: DEADLY.to_owned(), facts: Vec::new(), ..history.runs[0].clone() };
            history.runs.push(StoredRun { id: RunId::from_uuid(uuid::Uuid::from_u128(8)), ..deadly });
        }
        Rule::EnoughIsEnough => {
            let stop = facts_of(history, "each")[1].clone();
            let kind = FactKind::Stopped { running: Vec::new() };
            history.runs[0].facts.push(FactRecord { map_index: None, attempt: 0, kind, ..stop });
        }
        Rule::EpochsHaveOneOwner => history.leases[4].what = LeaseDeed::Takes(run_id(), 0),
    }
}

/// One worker takes the run and is buried, then another takes it and stops.
fn leases() -> Vec<LeaseStep> {
    let step = |micros, worker, what| LeaseStep {
        at: Timestamp::from_micros(micros),
        worker: WorkerId(uuid::Uuid::from_u128(worker)),
        what,
    };
    let stands = |micros| LeaseDeed::Stands(Timestamp::from_micros(micros));
    vec![
        step(1, 1, stands(100)),
        step(10, 1, LeaseDeed::Takes(run_id(), 0)),
        step(150, 1, LeaseDeed::Buried),
        step(151, 2, stands(300)),
        step(160, 2, LeaseDeed::Takes(run_id(), 1)),
        step(200, 2, LeaseDeed::GivenBack),
    ]
}

/// Stops the process in the body of `join`; another begins that body too, and the first goes on.
fn stop_and_take_over(history: &mut History) -> Stop {
    let at = position_of(history, "join", What::Begin);
    let begun_at = history.diary[at].at.as_micros();
    let heir = begin_again(history, "join", at);
    history.diary[heir].at = Timestamp::from_micros(begun_at + 2);
    let (stopped_at, continued_at) = (begun_at + 1, begun_at + 3);
    let [stopped_at, continued_at] = [stopped_at, continued_at].map(Timestamp::from_micros);
    let stop = Stop { pid: 1, stopped_at, continued_at, waited: false };
    history.stops.push(stop.clone());
    stop
}

fn ask(history: &mut History, what: Asked, at: i64) {
    history.asks.push(Ask { run: run_id(), what, at: Timestamp::from_micros(at), pid: 1 });
}

/// Mends and retries the run: these tasks are cleared, and what had failed succeeds, as does what waited for it.
fn retry(history: &mut History, cleared: &[&str]) {
    let blueprint = blueprint();
    let handling = Handling { mended: true, ..Handling::default() };
    let expected = reference::execute(&blueprint, N, &handling);
    let run = &mut history.runs[0];
    let mut clock = run.finished_at.unwrap().as_micros();
    let mut tick = || {
        clock += 10;
        Timestamp::from_micros(clock)
    };
    let at = tick();
    let fact = |task: &str, attempt, at, kind| FactRecord {
        run: run_id(),
        task: TaskName::trusted(task),
        map_index: None,
        attempt,
        at,
        kind,
        traceparent: None,
    };
    run.facts
        .extend(cleared.iter().map(|&task| fact(task, u32::from(task != "skipped"), at, FactKind::Cleared)));
    for task in ["bad", "skipped"] {
        let attempt = if task == "bad" { 2 } else { 1 };
        let task_run = &expected.task_runs[&(task.to_owned(), None)];
        let mut line = |what, inputs| {
            let (at, task_run) = (tick(), (task.to_owned(), None));
            history.diary.push(Line { at, pid: 1, what, run: run_id(), task_run, attempt, inputs });
            at
        };
        let started_at = line(What::Begin, task_run.inputs);
        line(What::End, task_run.inputs);
        let at = line(What::Gone, task_run.inputs);
        let output = Output::new(task_run.output.clone()).unwrap();
        let kind = FactKind::Succeeded { started_at, output, writes: writes(task_run.write.clone()) };
        run.facts.push(fact(task, attempt, at, kind));
        line(What::Called, 1);
    }
    (run.status, run.failed_for, run.finished_at) = (RunStatus::Succeeded, None, Some(tick()));
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
    let again = begin_again(&mut history, "join", last);
    assert_eq!(
        broken(&history),
        BTreeSet::from([Rule::SuccessIsFinal, Rule::CrashesCostWhatWasUnderWay, Rule::CallbacksAreTrue])
    );
    history.lost.push((2, history.diary[again].at.after(Duration::from_secs(1))));
    assert_eq!(broken(&history), BTreeSet::new());
    // Who was stopped for long says so soon after it goes on; what it had begun long before that, counts.
    history.lost[0].1 = history.diary[again].at.after(Duration::from_secs(60));
    assert!(broken(&history).contains(&Rule::SuccessIsFinal));
}

#[test]
fn a_line_that_a_stopped_process_wrote_late_is_no_new_beginning() {
    let mut history = good();
    let last = history.diary.len() - 1;
    let late = begin_again(&mut history, "each", last);
    let before = [Rule::DependenciesAreDurable, Rule::CallbacksAreTrue];
    assert!(before.iter().any(|rule| broken(&history).contains(rule)));
    // By the clock it began when the first did, before what rests on it, and before its callback.
    history.diary[late].at = history.diary[position_of(&history, "each", What::Begin)].at;
    assert!(before.iter().all(|rule| !broken(&history).contains(rule)));
}

#[test]
fn a_worker_that_was_stopped_may_record_what_it_does_once_it_knows() {
    let mut history = good();
    let stop = stop_and_take_over(&mut history);
    history.n_deaths = 1;
    assert!(broken(&history).contains(&Rule::ZombiesCommitNothing));
    history.stops = vec![Stop { waited: true, ..stop.clone() }];
    history.lost.push((1, stop.continued_at.after(Duration::from_micros(1))));
    assert_eq!(broken(&history), BTreeSet::new());
    // Where nobody took over, it may go on as if nothing had been.
    let mut history = good();
    history.stops = vec![Stop { waited: true, ..stop }];
    assert_eq!(broken(&history), BTreeSet::new());
}

#[test]
fn what_two_workers_began_is_not_laid_to_the_first() {
    let mut history = good();
    break_rule(Rule::OneOwnerCommits, &mut history);
    // All is of one worker, but for the join.
    history.diary.iter_mut().filter(|line| line.task_run.0 != "join").for_each(|line| line.pid = 2);
    assert!(broken(&history).contains(&Rule::OneOwnerCommits));
    // The owner of the list began the join too, right after one that it had taken over from.
    let at = position_of(&history, "join", What::Begin);
    let begun_at = Timestamp::from_micros(history.diary[at].at.as_micros() + 1);
    let heir = begin_again(&mut history, "join", at);
    history.diary[heir].pid = 2;
    history.diary[heir].at = begun_at;
    assert!(!broken(&history).contains(&Rule::OneOwnerCommits));
}

#[test]
fn what_one_zombie_begins_does_not_tell_that_another_was_taken_over_from() {
    let mut history = good();
    let stop = stop_and_take_over(&mut history);
    history.n_deaths = 1;
    assert!(broken(&history).contains(&Rule::ZombiesCommitNothing));
    history.lost.push((2, stop.continued_at));
    assert_eq!(broken(&history), BTreeSet::new());
}

#[test]
fn outputs_that_a_client_saw_do_not_change() {
    let mut history = good();
    history.ends[0].outputs ^= 1;
    assert_eq!(broken(&history), BTreeSet::from([Rule::AcknowledgedEndsAreKept]));
}

#[test]
fn the_users_row_and_the_run_beside_it_are_both_there_or_neither() {
    let mut history = good();
    history.runs[0].intent = Intent::Joint(5);
    history.rows.push(5);
    assert_eq!(broken(&history), BTreeSet::new());
    history.rows.push(6);
    assert_eq!(broken(&history), BTreeSet::from([Rule::JointSubmitsAreOne]));
}

#[test]
fn a_task_that_runs_again_takes_those_after_it_along() {
    let again = |cleared: &[&str]| {
        let mut history = good();
        history.runs[0].intent = Intent::Rerun(4);
        retry(&mut history, cleared);
        broken(&history)
    };
    assert!(!again(&["bad", "skipped"]).contains(&Rule::WhatRunsAgainIsChosen));
    assert!(again(&["bad"]).contains(&Rule::WhatRunsAgainIsChosen));
    assert!(again(&["bad", "skipped", "join"]).contains(&Rule::WhatRunsAgainIsChosen));
}

#[test]
fn a_process_that_lost_its_lease_is_another_worker_from_then_on() {
    let mut history = good();
    let first = position_of(&history, "join", What::Begin);
    let again = begin_again(&mut history, "join", first);
    (history.diary[again].pid, history.n_deaths) = (1, 1);
    let begun_at = history.diary[again].at;
    history.diary[again].at = begun_at.after(Duration::from_micros(2));
    assert_eq!(broken(&history), BTreeSet::from([Rule::AttemptsBeginOncePerWorker]));
    history.lost.push((1, begun_at.after(Duration::from_micros(1))));
    assert_eq!(broken(&history), BTreeSet::new());
}

#[test]
fn a_run_that_was_retried_has_two_lives() {
    let mut history = good();
    retry(&mut history, &["bad", "skipped"]);
    assert_eq!(check(&history, &[blueprint()]), []);
    // What was kept is not to be done again.
    let last = history.diary.len() - 1;
    begin_again(&mut history, "join", last);
    history.n_deaths = 1;
    assert!(broken(&history).contains(&Rule::SuccessIsFinal));
}

#[test]
fn what_failed_and_was_not_cleared_shows() {
    let mut history = good();
    retry(&mut history, &["skipped"]);
    assert!(broken(&history).contains(&Rule::RetriesKeepWhatSucceeded));
}

#[test]
fn a_cancelled_run_may_leave_things_undone_and_only_then() {
    let mut history = good();
    let after = position_of(&history, "again", What::Begin);
    let end = history.diary[after].at;
    history.diary.truncate(after);
    let run = &mut history.runs[0];
    run.facts.retain(|fact| fact.at < end);
    (run.status, run.failed_for, run.finished_at) = (RunStatus::Cancelled, None, Some(end));
    history.ends.clear();
    assert!(broken(&history).contains(&Rule::StatusAgrees), "nobody meant to cancel it");
    history.runs[0].intent = Intent::Cancel;
    ask(&mut history, Asked::Cancel, 1);
    assert_eq!(check(&history, &[blueprint()]), []);
    // A process that is started later has nothing to do.
    history.spawned.insert(1, Timestamp::from_micros(2));
    assert_eq!(broken(&history), BTreeSet::from([Rule::CancelsHold]));
}

#[test]
fn a_pause_ends_when_somebody_is_about_to_resume() {
    let mut history = good();
    ask(&mut history, Asked::SeenPaused, 1);
    assert_eq!(broken(&history), BTreeSet::from([Rule::PausesHold]));
    ask(&mut history, Asked::Resume, 2);
    assert_eq!(broken(&history), BTreeSet::new());
}

#[test]
fn units_of_the_resource_are_counted_over_all_tasks() {
    let mut history = good();
    // One more task holds on to its unit at each of these, until there is none left.
    for _ in 0..=RESOURCE_UNITS {
        let at = history.diary.iter().position(|line| line.what == What::Gone).unwrap();
        history.diary.remove(at);
    }
    assert!(broken(&history).contains(&Rule::LimitsHold));
}

#[test]
fn elements_of_a_map_that_was_given_up_may_have_begun_before_a_crash_and_left_no_facts() {
    let mut history = good();
    let end = history.runs[0].finished_at.unwrap();
    let is_each = |task: &str| task == "each";
    history.diary.retain(|line| {
        let (task, what) = (&line.task_run.0, line.what);
        task != "join" && !(is_each(task) && what == What::Called)
    });
    let mut facts = std::mem::take(&mut history.runs[0].facts);
    let template = facts[0].clone();
    facts.retain(|fact| fact.task != *"join" && fact.task != *"each");
    let failure = Arc::new(TaskFailure::new(FailureKind::Cancelled, "cancelled by request"));
    let failed = FactKind::Failed { started_at: end, failure, retry_at: None };
    for (attempt, kind) in [(0, FactKind::Cancelled), (1, failed)] {
        facts.push(FactRecord {
            task: TaskName::trusted("each"),
            attempt,
            at: end,
            kind,
            ..template.clone()
        });
    }
    history.runs[0].facts = facts;
    history.ends.clear();
    let called = history.diary.iter().find(|line| line.what == What::Called).unwrap();
    let called = Line { task_run: ("each".to_owned(), None), attempt: 1, inputs: 0, ..called.clone() };
    history.diary.push(called);
    assert_eq!(check(&history, &[blueprint()]), []);
    // Facts of elements are another thing.
    let element = FactRecord { task: TaskName::trusted("each"), map_index: Some(0), attempt: 1, ..template };
    history.runs[0].facts.push(FactRecord { kind: FactKind::Started, ..element });
    assert!(broken(&history).contains(&Rule::NothingExtraExecutes));
}
