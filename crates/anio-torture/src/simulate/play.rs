//! Plays one schedule from its seed to the verdict.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic;
use std::sync::{Arc, Once};
use std::time::Duration;

use anio_core::run::FactKind;

use super::client;
use super::database::read_runs;
use super::host::Hosts;
use super::script::{Blow, Script, What};
use super::world::World;
use crate::check::{self, Rule};

/// How long all that is left may take, when nothing disturbs any more.
const FINISH_PATIENCE: Duration = Duration::from_secs(300);

/// How often it is looked whether all is done.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How long a shutdown may take, when nothing disturbs any more.
const STOP_PATIENCE: Duration = Duration::from_secs(60);

/// What a schedule came to.
#[derive(Clone, Debug)]
pub struct Played {
    /// Its seed.
    pub seed: u64,
    /// Everything that is wrong, in words.
    pub wrongs: Vec<String>,
    /// What was counted.
    pub counts: BTreeMap<&'static str, u64>,
    /// How long it took, by its own time.
    pub time: Duration,
    /// How many steps it had.
    pub n_steps: u64,
    /// One number for all steps, in their order.
    pub hash: u64,
    /// The steps in words, where they were asked for.
    pub trace: Vec<String>,
}

thread_local! {
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Plays the schedule of a seed. The same seed gives the same steps every time.
pub fn play(seed: u64, is_traced: bool) -> Played {
    note_panics();
    PANICS.take();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime that has no threads and no sockets");
    let script = Script::draw(seed);
    let (world, time) = runtime.block_on(async {
        let world = World::new(script, is_traced);
        perform(&world).await;
        let time = world.elapsed();
        (world, time)
    });
    let mut wrongs = judge(&world);
    wrongs.extend(PANICS.take());
    let (hash, n_steps, trace) = world.digest();
    let counts = std::mem::take(&mut world.state().counts);
    // What is left of the dead is dropped here, and may still do things that nobody sees.
    drop(runtime);
    let processes = std::mem::take(&mut world.state().processes);
    for process in &processes {
        process.dismantle();
    }
    drop(processes);
    debug_assert_eq!(Arc::strong_count(&world), 1, "a schedule leaves something behind");
    PANICS.take();
    Played { seed, wrongs, counts, time, n_steps, hash, trace }
}

async fn perform(world: &Arc<World>) {
    let hosts = Hosts::new(world.script.skews.len());
    for host in 0..world.script.skews.len() {
        tokio::spawn(hosts.clone().keep(Arc::clone(world), host));
    }
    for order in world.script.orders.clone() {
        let (world, hosts) = (Arc::clone(world), hosts.clone());
        let waiting = world.late();
        tokio::spawn(async move {
            tokio::time::sleep_until(world.at(order.at)).await;
            let (client, engine) = loop {
                let engines = hosts.engines();
                if !engines.is_empty() {
                    let (process, engine) = engines[world.draw(|dice| dice.position(engines.len()))].clone();
                    break (process.client(), engine);
                }
                tokio::time::sleep(LOOK_EVERY).await;
            };
            drop(waiting);
            client::serve(client, engine, order).await;
        });
    }
    for blow in &world.script.blows {
        tokio::time::sleep_until(world.at(blow.at)).await;
        strike(world, &hosts, blow);
    }
    tokio::time::sleep_until(world.at(world.script.calm_at)).await;
    world.calm();
    world.note("calm");
    finish(world, &hosts).await;
}

fn strike(world: &Arc<World>, hosts: &Hosts, blow: &Blow) {
    let Some(process) = hosts.process(blow.host) else { return };
    world.note((blow.host, blow.what));
    match blow.what {
        What::Kill => {
            world.count("kills");
            process.kill();
        }
        What::Freeze(time) => {
            world.count("freezes");
            process.freeze(time);
        }
        What::CutOff(time) => {
            world.count("cut_off");
            process.cut_off(time);
        }
        What::Stop => {
            let Some(engine) = process.engine() else { return };
            world.count("shutdowns");
            tokio::spawn(async move {
                let is_down = engine.shutdown().await.is_ok();
                process.gate().await;
                // One that has stopped already is down, too, and has told nothing.
                if is_down {
                    process.has_stopped();
                }
                process.kill();
            });
        }
    }
}

/// Lets all that is left come to its end, then stops the engines.
async fn finish(world: &Arc<World>, hosts: &Hosts) {
    let deadline = tokio::time::Instant::now() + FINISH_PATIENCE;
    loop {
        if let Some((process, engine)) = hosts.engines().first() {
            // What cannot be resumed now is resumed the next time.
            let resumed = tokio::time::timeout(LOOK_EVERY * 8, client::resume_all(process, engine)).await;
            let is_resumed = matches!(resumed, Ok(Ok(())));
            if is_resumed && is_done(world, hosts) {
                break;
            }
        }
        if tokio::time::Instant::now() > deadline {
            let clients = hosts.engines().iter().filter(|(process, _)| process.has_clients()).count();
            world.surprise(format!("after {FINISH_PATIENCE:?} without disturbance it is not over; clients of {clients} processes wait"));
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    for (process, engine) in hosts.engines() {
        match tokio::time::timeout(STOP_PATIENCE, engine.shutdown()).await {
            Ok(Ok(())) => {
                process.has_stopped();
                if process.lease().is_some_and(|lease| world.memory.has_lease(lease)) {
                    world.surprise(format!("host {} has stopped and keeps its lease", process.host));
                }
            }
            // It has stopped by itself a moment ago, or was told to.
            Ok(Err(_)) => {}
            Err(_) => world.surprise(format!("host {} does not stop", process.host)),
        }
    }
}

fn is_done(world: &World, hosts: &Hosts) -> bool {
    let is_over =
        || read_runs(&world.memory).is_ok_and(|runs| runs.iter().all(|run| run.status.is_terminal()));
    let nobody_waits = hosts.engines().iter().all(|(process, _)| !process.has_clients());
    world.is_all_there() && nobody_waits && is_over()
}

/// What is wrong with what happened.
fn judge(world: &World) -> Vec<String> {
    let mut state = world.state();
    let mut wrongs = std::mem::take(&mut state.surprises);
    // While a commit takes its time, any number of bodies may end that are not durable when the crash comes.
    state.history.n_bodies_max = state.history.diary.len();
    match read_runs(&world.memory) {
        Ok(runs) => state.history.runs = runs,
        Err(error) => wrongs.push(format!("the database cannot be read: {error}")),
    }
    let n_runs = state.history.runs.len() as u64;
    *state.counts.entry("runs").or_default() += n_runs;
    let facts = state.history.runs.iter().flat_map(|run| &run.facts);
    let n_stopped = facts.filter(|fact| matches!(fact.kind, FactKind::Stopped { .. })).count() as u64;
    *state.counts.entry("maps_stopped").or_default() += n_stopped;
    let n_zombies = state.history.zombies.len() as u64;
    *state.counts.entry("zombies").or_default() += n_zombies;
    *state.counts.entry("leases").or_default() += state.history.n_deaths as u64;
    let violations = check::check(&state.history, &world.script.blueprints);
    let counts = |rule: Rule| !world.script.is_skewed() || !is_by_clock(rule);
    wrongs.extend(violations.iter().filter(|of| counts(of.rule)).map(ToString::to_string));
    wrongs
}

/// Whether a rule compares the clocks of hosts with the true time.
const fn is_by_clock(rule: Rule) -> bool {
    matches!(
        rule,
        Rule::SuccessIsFinal
            | Rule::EndsAreEnds
            | Rule::DeadlinesHold
            | Rule::CallbacksAreCalled
            | Rule::TaskCancelsHold
            | Rule::OneOwnerCommits
            | Rule::BackoffsHold
            | Rule::EnoughIsEnough
    )
}

/// Bodies panic as they are fated to; what else panics on this thread is kept.
fn note_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let is_fated = info.payload().downcast_ref::<&str>() == Some(&"fated to panic");
            if is_fated {
                return;
            }
            if tokio::runtime::Handle::try_current().is_ok() {
                PANICS.with_borrow_mut(|panics| panics.push(info.to_string()));
            } else {
                before(info);
            }
        }));
    });
}
