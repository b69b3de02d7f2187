//! A workflow with a history in which nothing is wrong, and ways to get at what is in it.

use super::*;

pub(super) const N: u64 = 4;

/// A list, a map over it, a join; beside them a task that is tried twice, and one that fails, with one that
/// is skipped for it; a tree over the list; and steps, with a map that takes them as they come
/// and one after that.
pub(super) fn blueprint() -> Blueprint {
    let plain = |name: &str| {
        let mut task = Blueprint::new(1, 0).tasks[0].clone();
        (task.name, task.trouble, task.attempts) = (name.to_owned(), Trouble::None, 1);
        (task.needs, task.concurrency, task.tells) = (1, Some(2), true);
        (task.rate, task.steps_max) = (None, None);
        task
    };
    // The seed decides how wide the list is, and how many steps there are.
    let list = |seed| TaskBlueprint { seed, yields: Yields::List, ..plain("list") };
    let steps = |seed| TaskBlueprint { seed, steps_max: Some(5), ..plain("steps") };
    let with = |seed| Blueprint {
        name: "bad".to_owned(),
        tasks: vec![
            list(seed),
            TaskBlueprint { mapped_over: Some(0), rate: Some(20), ..plain("each") },
            TaskBlueprint { after: vec![1], ..plain("join") },
            TaskBlueprint { trouble: Trouble::AtFirst(1, How::Error), attempts: 2, ..plain("again") },
            TaskBlueprint { trouble: Trouble::Always(How::Fatal), ..plain("bad") },
            TaskBlueprint { after: vec![4], ..plain("skipped") },
            TaskBlueprint { pairs_over: Some(0), ..plain("tree") },
            steps(seed),
            TaskBlueprint { mapped_over: Some(7), ..plain("taken") },
            TaskBlueprint { after: vec![8], ..plain("last") },
        ],
    };
    let is_wide = |blueprint: &Blueprint| {
        let expected = reference::execute(blueprint, N, &Handling::default());
        let n_taken = expected.task_runs.keys().filter(|(task, _)| task == "taken").count();
        expected.widths["each"] >= 3 && n_taken == 3
    };
    (0..1000).map(with).find(is_wide).expect("most seeds are wide")
}

pub(super) fn run_id() -> RunId {
    RunId::from_uuid(uuid::Uuid::from_u128(7))
}

/// What an execution without crashes leaves behind.
pub(super) fn good() -> History {
    let blueprint = blueprint();
    let expected = reference::execute(&blueprint, N, &Handling::default());
    let (mut facts, mut diary, mut clock) = (Vec::new(), Vec::new(), 0);
    // Each moment is that much later that the rate of the elements holds.
    let mut tick = || {
        clock += 60_000;
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
            traceparent: None,
        };
        if let Some(&n) = expected.widths.get(&task.name) {
            facts.push(fact(None, 0, tick(), FactKind::Expanded { n }));
        }
        let of_task = |((name, _), _): &(&TaskRunName, &ExpectedTaskRun)| *name == task.name;
        let mut task_runs: Vec<_> = expected.task_runs.iter().filter(of_task).collect();
        if task.pairs_over.is_some() {
            // What is under a node has the higher number.
            task_runs.reverse();
        }
        for (name, task_run) in task_runs {
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
                line(What::Gone);
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
                if attempt == task_run.n_attempts {
                    let (task_run, inputs, at) = (name.clone(), u64::from(!fails), tick());
                    let what = What::Called;
                    diary.push(Line { at, pid: 1, what, run: run_id(), task_run, attempt, inputs });
                }
            }
        }
    }
    let mut history = History {
        acks: vec![Ack { run: run_id(), workflow: blueprint.name.clone(), n: N, key: None }],
        ends: vec![Ended { run: run_id(), status: "failed".to_owned(), outputs: 0 }],
        asks: Vec::new(),
        spawned: BTreeMap::from([(1, Timestamp::from_micros(0))]),
        runs: vec![StoredRun {
            id: run_id(),
            workflow: blueprint.name.clone(),
            n: N,
            key: None,
            intent: Intent::Plain,
            status: RunStatus::Failed,
            finished_at: Some(tick()),
            failed_for: Some(("bad".to_owned(), None)),
            facts,
        }],
        diary,
        n_deaths: 0,
        n_bodies_max: 1,
        stops: Vec::new(),
        zombies: BTreeSet::new(),
        lost: Vec::new(),
        rows: Vec::new(),
        stopped: BTreeSet::new(),
        leases: leases(),
    };
    history.ends[0].outputs = history.runs[0].outputs(Some(&blueprint));
    history
}

pub(super) fn writes(write: Option<(String, Value)>) -> Option<Arc<Writes>> {
    let (key, value) = write?;
    let entry = Entry::new(serde_json::value::to_raw_value(&value).unwrap());
    Some(Arc::new(Writes { set: BTreeMap::from([(Arc::from(key), entry)]), removed: BTreeSet::new() }))
}

pub(super) fn facts_of<'a>(history: &'a mut History, task: &str) -> Vec<&'a mut FactRecord> {
    history.runs[0].facts.iter_mut().filter(|fact| *fact.task.as_str() == *task).collect()
}

pub(super) fn position_of(history: &History, task: &str, what: What) -> usize {
    history.diary.iter().position(|line| line.task_run.0 == task && line.what == what).unwrap()
}

/// Appends a copy of the first beginning of a task, by another process, as soon as the line `after`.
pub(super) fn begin_again(history: &mut History, task: &str, after: usize) -> usize {
    let mut line = history.diary[position_of(history, task, What::Begin)].clone();
    line.pid = 2;
    line.at = history.diary[after].at;
    history.diary.insert(after + 1, line);
    after + 1
}

/// Where a task run with an index does this first.
pub(super) fn at_of(history: &History, (task, index): (&str, u32), what: What) -> usize {
    let name = (task.to_owned(), Some(index));
    history.diary.iter().position(|line| line.task_run == name && line.what == what).unwrap()
}

/// How many task runs a task is expanded to.
pub(super) fn width_of(task: &str) -> u32 {
    reference::execute(&blueprint(), N, &Handling::default()).widths[task]
}
