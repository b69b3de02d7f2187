//! The state machine of a run, driven by a tiny executor: bodies are a table, time is a counter.

#![expect(
    clippy::unwrap_used,
    clippy::unnecessary_wraps,
    reason = "a test may panic; its bodies have one type"
)]

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use anio_core::condition::Condition;
use anio_core::context::Writes;
use anio_core::run::{
    AttemptError, Effect, Event, Fact, FactKind, MAP_WIDTH_MAX, RunState, TaskRunKey, TaskRunStatus,
};
use anio_core::task::Settled;
use anio_core::{
    Backoff, Context, Output, RetryPolicy, RunId, TaskError, TaskOptions, TaskReturn, Timestamp, Workflow,
    WorkflowBuilder,
};
use serde_json::json;

const SECOND: Duration = Duration::from_secs(1);

/// What a body does on its attempt number `n`.
type Body = fn(&Call) -> Result<TaskReturn, TaskError>;

struct Call {
    attempt: u32,
    map_index: Option<u32>,
    arguments: Vec<Output>,
    settled: Vec<String>,
    context: Context,
}

/// Executes a run to its end, committing each fact at once; the facts are kept.
struct Driver {
    state: RunState,
    bodies: HashMap<&'static str, Body>,
    now: Timestamp,
    effects: VecDeque<Effect>,
    facts: Vec<Fact>,
    timers: Vec<(Timestamp, TaskRunKey)>,
    executed: Vec<String>,
    ended: bool,
    /// Crash instead of executing the body after so many.
    bodies_left: u32,
}

impl Driver {
    fn new(workflow: &Workflow, bodies: &[(&'static str, Body)]) -> Self {
        Self::resumed(workflow, bodies, Vec::new(), 0)
    }

    fn resumed(workflow: &Workflow, bodies: &[(&'static str, Body)], facts: Vec<Fact>, epoch: u32) -> Self {
        let id = RunId::from_uuid(uuid::Uuid::from_u128(1));
        let input = Output::from_json(r#"{"from":"input"}"#).unwrap();
        let mut state = RunState::new(id, Arc::clone(workflow.plan()), input, 3);
        for fact in &facts {
            state.replay(fact).unwrap();
        }
        let now = Timestamp::from_micros(1_000_000 * i64::from(epoch + 1) * 1000);
        let bodies = bodies.iter().copied().collect();
        let mut driver = Self {
            state,
            bodies,
            now,
            effects: VecDeque::new(),
            facts,
            timers: Vec::new(),
            executed: Vec::new(),
            ended: false,
            bodies_left: u32::MAX,
        };
        driver.apply(Event::Begin { epoch });
        driver
    }

    fn apply(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.state.apply(self.now, event, &mut effects);
        self.effects.extend(effects);
    }

    fn run(mut self) -> Self {
        let mut n_committed = 0;
        loop {
            let Some(effect) = self.effects.pop_front() else {
                let Some((at, key)) = self.timers.pop() else { return self };
                self.now = self.now.max(at);
                self.apply(Event::Due { key });
                continue;
            };
            match effect {
                Effect::Ready(key) => self.apply(Event::Dispatched { key }),
                Effect::Execute { key, attempt } => {
                    if self.bodies_left == 0 {
                        return self;
                    }
                    self.bodies_left -= 1;
                    let result = self.call(key, attempt).map_err(AttemptError::from);
                    self.now = self.now.after(SECOND);
                    self.apply(Event::Returned { key, attempt, result });
                }
                Effect::Persist(fact) => {
                    self.facts.push(fact);
                    n_committed += 1;
                    self.apply(Event::Committed { n: n_committed });
                }
                Effect::Note(fact) => self.facts.push(fact),
                Effect::Arm { key, at } => self.timers.push((at, key)),
                Effect::Withdraw
                | Effect::Vacate(_)
                | Effect::CallOff(_)
                | Effect::Call(_)
                | Effect::CallRun
                | Effect::Hold
                | Effect::Held => {}
                Effect::End(_) => {
                    n_committed += 1;
                    self.apply(Event::Committed { n: n_committed });
                }
                Effect::Ended => self.ended = true,
            }
        }
    }

    fn call(&mut self, key: TaskRunKey, attempt: u32) -> Result<TaskReturn, TaskError> {
        let name = self.state.plan().task(key.task).name.to_string();
        self.executed.push(match key.map_index {
            Some(index) => format!("{name}[{index}]#{attempt}"),
            None => format!("{name}#{attempt}"),
        });
        let arguments = self
            .state
            .arguments(key)
            .iter()
            .flatten()
            .filter_map(|argument| argument.value().cloned())
            .collect();
        let settled =
            self.state.arguments(key).into_iter().flatten().map(|argument| match argument.settled {
                Settled::Succeeded(output) => output.json().get().to_owned(),
                Settled::Failed(failure, _) => format!("failed: {failure}"),
                Settled::Skipped(reason) => format!("skipped: {reason}"),
            });
        let settled = settled.collect();
        let context = Context::over(self.state.scope(key.task));
        let body = self.bodies[name.as_str()];
        body(&Call { attempt, map_index: key.map_index, arguments, settled, context })
    }

    fn statuses(&self) -> Vec<String> {
        self.state
            .task_runs()
            .map(|run| match run.map_index {
                Some(index) => format!("{}[{index}] {}", run.task, run.status),
                None => format!("{} {}", run.task, run.status),
            })
            .collect()
    }
}

fn returns(value: impl serde::Serialize + Send + Sync + 'static) -> Result<TaskReturn, TaskError> {
    Ok(TaskReturn { output: Output::new(value).unwrap(), writes: Writes::default() })
}

fn writes(call: &Call, key: &str, value: u32) -> Result<TaskReturn, TaskError> {
    let mut context = call.context.clone();
    context.insert(key, value)?;
    Ok(TaskReturn { output: Output::new(()).unwrap(), writes: context.into_writes() })
}

fn task(builder: WorkflowBuilder, name: &str, options: TaskOptions) -> WorkflowBuilder {
    builder.task(name, options, |_| async { Ok::<_, TaskError>(()) })
}

fn chain(names: &[&str]) -> Workflow {
    let mut builder = Workflow::builder("chain");
    for (i, name) in names.iter().enumerate() {
        builder = task(builder, name, TaskOptions::new());
        if i > 0 {
            builder = builder.after(names[i - 1]);
        }
    }
    builder.build().unwrap()
}

fn retrying(attempts: u32) -> TaskOptions {
    TaskOptions::new().retry(RetryPolicy::attempts(attempts).with_backoff(Backoff::fixed(SECOND)))
}

#[test]
fn a_chain_passes_its_data_and_ends() {
    let bodies: [(&str, Body); 3] = [
        ("a", |_| returns(1)),
        ("b", |call| returns(*call.arguments[0].get::<i32>()? + 1)),
        ("c", |call| returns(*call.arguments[0].get::<i32>()? + 1)),
    ];
    let end = Driver::new(&chain(&["a", "b", "c"]), &bodies).run();
    assert!(end.ended);
    assert_eq!(end.executed, ["a#1", "b#1", "c#1"]);
    assert_eq!(end.state.output(2).unwrap().json().get(), "3");
    assert_eq!(end.state.failure(), None);
}

#[test]
fn a_failure_skips_what_depends_on_it_and_nothing_else() {
    let workflow = [("bad", None), ("after", Some("bad")), ("last", Some("after")), ("free", None)]
        .into_iter()
        .fold(Workflow::builder("w"), |builder, (name, after)| {
            let builder = task(builder, name, TaskOptions::new());
            if let Some(after) = after { builder.after(after) } else { builder }
        })
        .build()
        .unwrap();
    let ok: Body = |_| returns(());
    let end = Driver::new(
        &workflow,
        &[("bad", |_| Err(TaskError::message("no"))), ("after", ok), ("last", ok), ("free", ok)],
    )
    .run();
    let mut statuses = end.statuses();
    statuses.sort();
    assert_eq!(statuses, ["after skipped", "bad failed", "free succeeded", "last skipped"]);
    assert_eq!(end.state.failure().unwrap().to_string(), "task \"bad\" failed after 1 attempt: no");
    let skipped = end.state.task_runs().find(|run| run.task == "last").unwrap();
    assert_eq!(skipped.skipped_because.unwrap().as_str(), "bad");
}

#[test]
fn attempts_are_counted_and_wait_between() {
    let workflow = task(Workflow::builder("w"), "a", retrying(3)).build().unwrap();
    let end = Driver::new(
        &workflow,
        &[("a", |call| match call.attempt {
            3 => returns("done"),
            n => Err(TaskError::message(format!("no {n}"))),
        })],
    )
    .run();
    assert_eq!(end.executed, ["a#1", "a#2", "a#3"]);
    assert_eq!(
        end.now.as_micros(),
        1_000_000_000 + 5_000_000,
        "three bodies and two delays of a second each"
    );
    assert_eq!(end.statuses(), ["a succeeded"]);

    let end = Driver::new(&workflow, &[("a", |_| Err(TaskError::message("never")))]).run();
    assert_eq!(end.executed.len(), 3);
    assert_eq!(end.state.failure().unwrap().attempts, 3);
}

#[test]
fn a_fatal_error_is_not_tried_again_and_a_wish_for_delay_is_heard() {
    let workflow = task(Workflow::builder("w"), "a", retrying(3)).build().unwrap();
    let end = Driver::new(&workflow, &[("a", |_| Err(TaskError::fatal("broken")))]).run();
    assert_eq!(end.executed, ["a#1"]);
    let end = Driver::new(&workflow, &[("a", |_| Err(TaskError::retry_after(60 * SECOND, "later")))]).run();
    assert_eq!(end.now.as_micros(), 1_000_000_000 + 123_000_000);
}

fn mapped(width: &str) -> Workflow {
    let width = width.to_owned();
    let builder = Workflow::builder("w").task("list", TaskOptions::new(), move |_| {
        let width = width.clone();
        async move { Ok::<_, TaskError>(width) }
    });
    let builder = task(builder, "each", TaskOptions::new()).map_over::<u32>("list");
    let builder = task(builder, "twice", TaskOptions::new()).map_over::<u32>("each");
    task(builder, "sum", TaskOptions::new()).after("twice").build().unwrap()
}

const MAP: [(&str, Body); 4] = [
    ("list", |_| returns(vec![10_u32, 20, 30])),
    ("each", |call| {
        let list = call.arguments[0].get::<Vec<u32>>()?;
        returns(list[call.map_index.unwrap() as usize] + 1)
    }),
    ("twice", |call| {
        let list = call.arguments[0].get::<Vec<u32>>()?;
        returns(list[call.map_index.unwrap() as usize] * 2)
    }),
    ("sum", |call| returns(call.arguments[0].get::<Vec<u32>>()?.iter().sum::<u32>())),
];

#[test]
fn a_map_has_a_task_run_per_element_and_a_map_over_a_map_too() {
    let end = Driver::new(&mapped(""), &MAP).run();
    assert!(end.ended);
    assert_eq!(end.executed.len(), 1 + 3 + 3 + 1);
    assert_eq!(end.state.output(3).unwrap().json().get(), "126");
}

#[test]
fn an_empty_list_is_a_map_of_zero_that_succeeds() {
    let mut bodies = MAP;
    bodies[0].1 = |_| returns(Vec::<u32>::new());
    let end = Driver::new(&mapped(""), &bodies).run();
    assert!(end.ended);
    assert_eq!(end.executed, ["list#1", "sum#1"]);
    assert_eq!(end.state.output(3).unwrap().json().get(), "0");
    assert_eq!(end.state.output(1).unwrap().json().get(), "[]");
}

#[test]
fn one_failed_element_fails_its_map_and_the_others_go_on() {
    let mut bodies = MAP;
    bodies[1].1 = |call| match call.map_index {
        Some(1) => Err(TaskError::message("bad element")),
        _ => returns(1),
    };
    let end = Driver::new(&mapped(""), &bodies).run();
    assert_eq!(
        end.statuses(),
        [
            "list succeeded",
            "each[0] succeeded",
            "each[1] failed",
            "each[2] succeeded",
            "twice skipped",
            "sum skipped"
        ]
    );
    assert_eq!(end.state.failure().unwrap().map_index, Some(1));
}

#[test]
fn a_list_that_is_no_list_fails_the_task_that_maps_over_it() {
    let mut bodies = MAP;
    bodies[0].1 = |_| returns("not a list");
    let end = Driver::new(&mapped(""), &bodies).run();
    assert!(end.ended);
    let failure = end.state.failure().unwrap().to_string();
    assert!(
        failure.contains("task \"each\"") && failure.contains("the list of task \"list\" cannot be read"),
        "{failure}"
    );
    let again = Driver::resumed(&mapped(""), &bodies, end.facts, 1).run();
    assert!(again.ended && again.executed.is_empty());
}

#[test]
fn a_list_over_the_limit_fails_its_map_with_the_limit_and_the_size() {
    let mut bodies = MAP;
    bodies[0].1 = |_| returns(vec![0_u8; MAP_WIDTH_MAX + 1]);
    let end = Driver::new(&mapped(""), &bodies).run();
    let failure = end.state.failure().unwrap().to_string();
    for part in ["task \"each\"", "list of task \"list\"", "1000001 elements", "limit of 1000000"] {
        assert!(failure.contains(part), "{part} is not in: {failure}");
    }
    assert_eq!(end.executed, ["list#1"]);
}

#[test]
fn the_context_is_what_the_tasks_before_wrote() {
    let workflow = ["a", "b", "c"]
        .iter()
        .fold(Workflow::builder("w"), |builder, name| task(builder, name, TaskOptions::new()));
    let workflow =
        task(workflow, "join", TaskOptions::new()).after("a").after("b").after("c").build().unwrap();
    let bodies: [(&str, Body); 4] = [
        ("a", |call| writes(call, "same", 7)),
        ("b", |call| writes(call, "same", 7)),
        ("c", |call| writes(call, "own", 1)),
        ("join", |call| {
            assert_eq!(call.context.get::<String>("from")?, "input");
            assert_eq!(call.context.get::<u32>("same")? + call.context.get::<u32>("own")?, 8);
            writes(call, "joined", 8)
        }),
    ];
    let end = Driver::new(&workflow, &bodies).run();
    assert!(end.ended && end.state.failure().is_none());
    assert_eq!(end.state.context().to_json().unwrap(), r#"{"from":"input","joined":8,"own":1,"same":7}"#);
    let mut bodies = bodies;
    bodies[1].1 = |call| writes(call, "same", 8);
    let end = Driver::new(&workflow, &bodies).run();
    let failure = end.state.failure().unwrap().to_string();
    assert!(failure.contains("task \"a\" and task \"b\""), "{failure}");
}

#[test]
fn replay_after_a_crash_at_any_body_runs_nothing_twice_that_succeeded() {
    let workflow = mapped("");
    let whole = Driver::new(&workflow, &MAP).run();
    for crash_at in 0..8 {
        let mut first = Driver::new(&workflow, &MAP);
        first.bodies_left = crash_at;
        let first = first.run();
        assert!(!first.ended);
        let n_facts = first.facts.len();
        let ended = |facts: &[Fact]| -> Vec<TaskRunKey> {
            facts.iter().filter(|f| matches!(f.kind, FactKind::Succeeded { .. })).map(|f| f.key).collect()
        };
        let kept = ended(&first.facts);
        let second = Driver::resumed(&workflow, &MAP, first.facts, 1).run();
        assert!(second.ended, "crash at {crash_at}");
        assert_eq!(kept.len() + second.executed.len(), whole.executed.len());
        assert!(ended(&second.facts[n_facts..]).iter().all(|key| !kept.contains(key)));
        let starts = second.facts[n_facts..].iter().filter(|fact| fact.kind == FactKind::Started).count();
        assert!(starts > 0);
        assert_eq!(second.state.output(3), whole.state.output(3));
    }
}

/// The facts of a run whose worker died when the list had its fact and the width of the map had none.
fn facts_before_the_map(bodies: &[(&'static str, Body)]) -> Vec<Fact> {
    let mut facts = Driver::new(&mapped(""), bodies).run().facts;
    let width = facts.iter().position(|fact| matches!(fact.kind, FactKind::Expanded { .. })).unwrap();
    facts.truncate(width);
    facts
}

#[test]
fn an_empty_map_whose_width_was_lost_in_a_crash_lets_those_after_it_go_on() {
    let mut bodies = MAP;
    bodies[0].1 = |_| returns(Vec::<u32>::new());
    let end = Driver::resumed(&mapped(""), &bodies, facts_before_the_map(&bodies), 1).run();
    assert!(end.ended);
    assert_eq!(end.executed, ["sum#1"]);
}

#[test]
fn elements_that_may_have_killed_their_worker_have_their_start_recorded_first() {
    let mut resumed = Driver::resumed(&mapped(""), &MAP, facts_before_the_map(&MAP), 1);
    resumed.effects.clear();
    resumed.apply(Event::Dispatched { key: TaskRunKey { task: 1, map_index: Some(0) } });
    let [Effect::Persist(Fact { kind: FactKind::Started, .. })] = resumed.effects.make_contiguous() else {
        panic!("{:?}", resumed.effects);
    };
}

#[test]
fn a_task_that_kills_its_worker_again_and_again_is_poison() {
    let workflow = chain(&["a", "killer", "c"]);
    let ok: Body = |_| returns(());
    let bodies = [("a", ok), ("killer", ok), ("c", ok)];
    let mut facts = Vec::new();
    let mut attempts = Vec::new();
    for epoch in 0..10 {
        let mut driver = Driver::resumed(&workflow, &bodies, facts, epoch);
        // The body of `killer` never returns: the worker dies in it.
        driver.bodies_left = u32::from(epoch == 0);
        let driver = driver.run();
        facts = driver.facts.clone();
        if driver.ended {
            assert_eq!(driver.statuses(), ["a succeeded", "killer failed", "c skipped"]);
            assert!(driver.state.failure().unwrap().to_string().contains("3 deaths of its worker"));
            attempts.extend(facts.iter().filter(|f| f.key.task == 1).map(|fact| fact.attempt));
            break;
        }
    }
    assert_eq!(attempts, [1, 2, 3, 3], "three starts and a failure of the third");
}

#[test]
fn a_graceful_stop_is_no_death() {
    let workflow = chain(&["a"]);
    let mut facts = Vec::new();
    for epoch in 0..5 {
        let mut driver = Driver::resumed(&workflow, &[("a", |_| returns(()))], facts, epoch);
        driver.bodies_left = 0;
        let mut driver = driver.run();
        driver.apply(Event::Interrupted { key: TaskRunKey { task: 0, map_index: None }, attempt: epoch + 1 });
        facts = driver.run().facts;
    }
    let end = Driver::resumed(&workflow, &[("a", |_| returns(()))], facts, 5).run();
    assert_eq!(end.executed, ["a#6"]);
    assert!(end.ended);
    assert_eq!(end.state.task_runs().next().unwrap().status, TaskRunStatus::Succeeded);
}

#[test]
fn events_that_come_too_late_do_nothing() {
    let workflow = chain(&["a"]);
    let mut end = Driver::new(&workflow, &[("a", |_| returns(1))]).run();
    let key = TaskRunKey { task: 0, map_index: None };
    for event in [
        Event::Returned { key, attempt: 1, result: returns(2).map_err(AttemptError::from) },
        Event::Returned { key, attempt: 7, result: returns(2).map_err(AttemptError::from) },
        Event::Due { key },
        Event::Begin { epoch: 9 },
        Event::Cancel,
        Event::Pause,
        Event::Resume,
        Event::Called { key },
        Event::RunCalled,
        Event::CancelTask { key },
        Event::Committed { n: 99 },
        Event::Interrupted { key: TaskRunKey { task: 5, map_index: Some(3) }, attempt: 1 },
    ] {
        end.apply(event);
    }
    assert!(end.effects.is_empty());
    end.apply(Event::Dispatched { key });
    assert_eq!(end.effects, [Effect::Vacate(key)], "the slot is given back");
    assert_eq!(json!(end.state.output(0).unwrap().json()), json!(1));
}

#[test]
fn a_run_ends_no_earlier_than_the_last_of_its_attempts() {
    let builder = task(Workflow::builder("two"), "one", TaskOptions::new());
    let workflow = task(builder, "other", TaskOptions::new()).build().unwrap();
    let id = RunId::from_uuid(uuid::Uuid::from_u128(1));
    let mut state = RunState::new(id, Arc::clone(workflow.plan()), Output::from_json("1").unwrap(), 3);
    let mut effects = Vec::new();
    let key = |task| TaskRunKey { task, map_index: None };
    let returned =
        |task| Event::Returned { key: key(task), attempt: 1, result: returns(1).map_err(AttemptError::from) };
    // Two bodies return on two threads: the one that is told of first was the last by the clock.
    let events = [
        (1, Event::Begin { epoch: 0 }),
        (2, Event::Dispatched { key: key(0) }),
        (3, Event::Dispatched { key: key(1) }),
        (20, returned(0)),
        (10, returned(1)),
    ];
    for (at, event) in events {
        state.apply(Timestamp::from_micros(at), event, &mut effects);
    }
    let ends: Vec<_> = effects
        .iter()
        .filter_map(|effect| if let Effect::End(end) = effect { Some(end.at) } else { None })
        .collect();
    assert_eq!(ends, [Timestamp::from_micros(20)]);
}

/// Executes to the end, then again with a crash before each body, and checks that nothing differs.
fn ends(workflow: &Workflow, bodies: &[(&'static str, Body)]) -> Driver {
    let whole = Driver::new(workflow, bodies).run();
    assert!(whole.ended);
    for crash_at in 0..whole.executed.len() as u32 {
        let mut first = Driver::new(workflow, bodies);
        first.bodies_left = crash_at;
        let first = first.run();
        let second = Driver::resumed(workflow, bodies, first.facts, 1).run();
        assert!(second.ended, "crash at {crash_at}");
        assert_eq!(second.statuses(), whole.statuses(), "crash at {crash_at}");
        // An attempt that the crash cut short has its number: there may be more of them.
        let failed = |end: &Driver| end.state.failure().map(|failure| failure.task.clone());
        assert_eq!(failed(&second), failed(&whole), "crash at {crash_at}");
    }
    // The facts alone lead to the same state, with nothing left to do.
    let replayed = Driver::resumed(workflow, bodies, whole.facts.clone(), 1).run();
    assert_eq!((replayed.statuses(), replayed.executed.len()), (whole.statuses(), 0));
    whole
}

const OK: Body = |_| returns(1);
const FAILS: Body = |_| Err(TaskError::message("no"));

#[test]
fn exactly_one_of_two_complementary_branches_runs() {
    for (quality, taken) in [(9, "publish"), (2, "repair")] {
        let good = || Condition::value("quality").greater_than(5);
        let builder = task(Workflow::builder("w"), "check", TaskOptions::new());
        let builder = task(builder, "publish", TaskOptions::new()).after("check").when(good());
        let builder =
            task(builder, "repair", TaskOptions::new()).after("check").when(Condition::none([good()]));
        let builder = task(builder, "join", TaskOptions::new());
        let builder = builder.after_settled("publish").after_settled("repair");
        let either = [Condition::succeeded("publish"), Condition::succeeded("repair")];
        let workflow = builder.when(Condition::any(either)).build().unwrap();
        let check: Body =
            if quality == 9 { |call| writes(call, "quality", 9) } else { |call| writes(call, "quality", 2) };
        let end = ends(&workflow, &[("check", check), ("publish", OK), ("repair", OK), ("join", OK)]);
        assert_eq!(end.executed, ["check#1", &format!("{taken}#1"), "join#1"]);
        assert_eq!(end.state.failure(), None);
        let skipped = end.state.task_runs().find(|run| run.status == TaskRunStatus::Skipped).unwrap();
        assert!(skipped.skip_reason.unwrap().starts_with("its condition does not hold: "));
    }
}

#[test]
fn a_handled_failure_leaves_the_run_succeeded_and_an_unhandled_one_does_not() {
    let build = |handler: &str| {
        let builder = task(Workflow::builder("w"), "bad", retrying(2));
        let builder = task(builder, "needs it", TaskOptions::new()).after("bad");
        let builder = task(builder, "after that", TaskOptions::new()).after("needs it");
        match handler {
            "edge" => task(builder, "handles", TaskOptions::new()).after_settled("bad"),
            "condition" => {
                // It does not depend on the failed task itself, but on one that is skipped for it.
                let builder = task(builder, "handles", TaskOptions::new()).after_settled("after that");
                builder.when(Condition::failed("bad"))
            }
            _ => builder,
        }
        .build()
        .unwrap()
    };
    let bodies = [("bad", FAILS), ("needs it", OK), ("after that", OK), ("handles", OK)];
    for handler in ["edge", "condition"] {
        let end = ends(&build(handler), &bodies);
        assert_eq!(end.statuses()[0..3], ["bad failed", "needs it skipped", "after that skipped"]);
        assert_eq!(end.statuses()[3], "handles succeeded");
        assert_eq!(end.state.failure(), None);
        assert_eq!(end.state.handled_failures().next().unwrap().task, "bad");
        let unhandled = ends(&build(handler), &[bodies[0], bodies[1], bodies[2], ("handles", FAILS)]);
        assert_eq!(unhandled.state.failure().unwrap().task, "bad", "a handler that fails handles nothing");
    }
    assert_eq!(ends(&build("none"), &bodies).state.failure().unwrap().task, "bad");
}

#[test]
fn a_fallback_gets_the_input_and_is_told_what_happened() {
    let builder = task(Workflow::builder("w"), "a", TaskOptions::new());
    let builder = task(builder, "bad", TaskOptions::new()).after("a");
    let builder = task(builder, "skipped", TaskOptions::new()).after("bad");
    let builder = task(builder, "fallback", TaskOptions::new());
    let workflow = builder.after_settled("a").after_settled("bad").after_settled("skipped").build().unwrap();
    let end = ends(
        &workflow,
        &[
            ("a", |call| writes(call, "seen", 1)),
            ("bad", FAILS),
            ("skipped", OK),
            ("fallback", |call| {
                assert_eq!(call.settled, ["null", "failed: no", "skipped: task \"bad\" failed"]);
                assert_eq!(call.context.get::<String>("from")?, "input");
                assert_eq!(call.context.get::<u32>("seen")?, 1);
                returns("instead")
            }),
        ],
    );
    assert_eq!(end.state.failure(), None);
    assert_eq!(end.state.output(3).unwrap().json().get(), "\"instead\"");
}

#[test]
fn a_skip_by_condition_skips_what_needs_the_task_and_tells_who() {
    let builder = task(Workflow::builder("w"), "a", TaskOptions::new());
    let builder = task(builder, "never", TaskOptions::new()).after("a").when(Condition::failed("a"));
    let builder = task(builder, "next", TaskOptions::new()).after("never");
    let builder = task(builder, "needs data", TaskOptions::new());
    let workflow = builder.after("a").after("never").when(Condition::Always).build().unwrap();
    let end = ends(&workflow, &[("a", OK), ("never", OK), ("next", OK), ("needs data", OK)]);
    assert_eq!(end.executed, ["a#1"]);
    let reasons: Vec<_> = end.state.task_runs().filter_map(|run| run.skip_reason).collect();
    assert_eq!(
        reasons,
        [
            "its condition does not hold: failed(a)",
            "task \"never\" was skipped",
            "task \"never\" was skipped",
        ]
    );
    assert_eq!(end.state.failure(), None, "a skip by decision is no failure");
}

#[test]
fn conditions_work_at_the_root_and_on_maps() {
    let root = |key: &str| {
        let builder = task(Workflow::builder("w"), "root", TaskOptions::new());
        builder.when(Condition::value(key).equals("input")).build().unwrap()
    };
    assert_eq!(ends(&root("from"), &[("root", OK)]).executed, ["root#1"]);
    assert_eq!(ends(&root("other"), &[("root", OK)]).statuses(), ["root skipped"]);

    let builder = task(Workflow::builder("w"), "list", TaskOptions::new());
    let builder = task(builder, "gate", TaskOptions::new());
    let builder = task(builder, "each", TaskOptions::new()).map_over::<u32>("list").after_settled("gate");
    let workflow = builder.when(Condition::failed("gate")).build().unwrap();
    let list: Body = |_| returns(vec![1_u32, 2]);
    let end = ends(&workflow, &[("list", list), ("gate", FAILS), ("each", OK)]);
    assert_eq!(end.statuses(), ["list succeeded", "gate failed", "each[0] succeeded", "each[1] succeeded"]);
    let end = ends(&workflow, &[("list", list), ("gate", OK), ("each", OK)]);
    assert_eq!(end.statuses()[2], "each skipped");
}

#[test]
fn a_failed_element_is_what_became_of_its_map() {
    let builder = task(Workflow::builder("w"), "list", TaskOptions::new());
    let builder = task(builder, "each", TaskOptions::new()).map_over::<u32>("list");
    let workflow = task(builder, "after", TaskOptions::new()).after_settled("each").build().unwrap();
    let end = ends(
        &workflow,
        &[
            ("list", |_| returns(vec![1_u32, 2, 3])),
            ("each", |call| match call.map_index {
                Some(1) => Err(TaskError::message("bad element")),
                _ => returns(1),
            }),
            ("after", |call| {
                assert_eq!(call.settled, ["failed: bad element"]);
                returns(())
            }),
        ],
    );
    assert_eq!(end.state.failure(), None);
}

#[test]
fn a_deciding_task_waits_for_all_that_comes_before_it() {
    // `join` is skipped as soon as `bad` has failed, while `slow` has yet to run.
    let builder = task(task(Workflow::builder("w"), "bad", TaskOptions::new()), "first", TaskOptions::new());
    let builder = task(builder, "slow", TaskOptions::new()).after("first");
    let builder = task(builder, "join", TaskOptions::new()).after("bad").after("slow");
    let builder = task(builder, "cleanup", TaskOptions::new()).after_settled("join");
    let workflow = builder.when(Condition::succeeded("slow")).build().unwrap();
    let bodies: [(&str, Body); 5] = [
        ("bad", FAILS),
        ("first", OK),
        ("slow", |call| writes(call, "left behind", 3)),
        ("join", OK),
        ("cleanup", |call| {
            assert_eq!(call.settled, ["skipped: task \"bad\" failed"]);
            assert_eq!(call.context.get::<u32>("left behind")?, 3);
            returns(())
        }),
    ];
    let end = ends(&workflow, &bodies);
    assert_eq!(end.executed, ["bad#1", "first#1", "slow#1", "cleanup#1"]);
    assert_eq!(end.state.failure().unwrap().task, "bad", "nobody was told of the failure itself");
}

#[test]
fn conditions_that_name_what_is_not_before_are_refused() {
    let builder = task(task(Workflow::builder("w"), "one", TaskOptions::new()), "two", TaskOptions::new());
    let either = Condition::any([Condition::succeeded("one"), Condition::failed("tow")]);
    let error = builder.when(either).build().unwrap_err().to_string();
    assert!(error.contains("names \"one\", which does not come before it; add `after(one)`"), "{error}");
    assert!(error.contains("names \"tow\", which is unknown; did you mean \"two\"?"), "{error}");
}
