//! The bodies that the macros make, executed by hand: each kind of parameter, each lane, each error.

#![expect(unreachable_pub, reason = "tasks are written here as a user writes them")]

mod call;

use std::error::Error;

use anio::prelude::*;
use anio::task::{Edge, TaskDefinition};
use anio::{Lane, Output, TaskReturn, TaskType};
use serde::{Deserialize, Serialize};

use self::call::{Call, RUN, json};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Flight {
    minutes: u32,
}

/// A type that cannot be cloned: copies go by way of JSON.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Report(u32);

struct Factor(u32);

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub async fn load(month: Input<u32>) -> Result<Vec<Flight>> {
        Ok(vec![Flight { minutes: *month }, Flight { minutes: 2 }])
    }

    #[task]
    pub fn copied(mut load: Vec<Flight>) -> Result<usize> {
        load.push(Flight { minutes: 0 });
        Ok(load.len())
    }

    #[task]
    pub fn shared(load: &[Flight]) -> Result<u32> {
        Ok(load.iter().map(|flight| flight.minutes).sum())
    }

    #[task]
    pub async fn each(load: Each<Flight>, factor: State<Factor>) -> Result<Report> {
        Ok(Report(load.minutes * factor.0.0))
    }

    #[task(blocking)]
    pub fn each_shared(load: Each<&Flight>) -> Result<u32> {
        Ok(load.minutes)
    }

    #[task]
    pub fn gathered(each: Vec<Report>, each_shared: &[u32]) -> Result<u32> {
        Ok(each.into_iter().map(|report| report.0).sum::<u32>() + each_shared.iter().sum::<u32>())
    }

    #[task]
    pub fn again(each: Each<Report>) -> Result<u32> {
        Ok(each.into_inner().0)
    }

    #[task]
    pub fn without_clone(input: Input<Report>) -> Result<Report> {
        Ok(input.into_inner())
    }

    #[task]
    pub fn input_shared(input: Input<&Report>) -> Result<u32> {
        Ok(input.0.0)
    }

    #[task(id = "keyed one", dependencies = ["load"])]
    pub async fn keyed(context: &mut Context<serde_json::Value>) -> Result<(), TaskError> {
        let n: u32 = context.get("n")?;
        context.insert("next", n + 1)?;
        std::future::ready(()).await;
        context.update("n", 0)?;
        Ok(())
    }

    #[task]
    pub fn reads(context: &Context, handle: &TaskHandle) -> Result<String> {
        Ok(format!("{} {}", handle.task(), context.get::<u32>("n")?))
    }

    #[task]
    pub fn handled(handle: TaskHandle) -> Result<(u32, String)> {
        Ok((handle.attempt(), handle.idempotency_key()))
    }

    #[task]
    pub fn fails_with_text() -> Result<(), String> {
        Err("no such month".to_owned())
    }

    #[task]
    pub fn fails_with_box() -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok("x".parse::<u32>().map(drop)?)
    }

    #[task]
    pub fn fails_for_good() -> Result<()> {
        Err(TaskError::fatal("gone"))
    }

    #[task]
    pub fn wrong_key() -> Result<std::collections::BTreeMap<(u32, u32), u32>> {
        Ok([((1, 2), 3)].into())
    }
}

/// The flights, once as another task of this process left them and once as the store gives them back.
fn flights() -> [Output; 2] {
    let flights = vec![Flight { minutes: 3 }, Flight { minutes: 4 }];
    [Output::new(flights).expect("flights serialise"), json(r#"[{"minutes":3},{"minutes":4}]"#)]
}

#[test]
fn an_output_is_read_as_the_parameter_says() {
    for load in flights() {
        assert_eq!(Call::new().argument("load", load.clone()).output::<flow::copied>(), "3");
        assert_eq!(Call::new().argument("load", load.clone()).output::<flow::shared>(), "7");
        assert_eq!(
            Call::new().state(Factor(10)).element("load", load.clone(), 1).output::<flow::each>(),
            "40"
        );
        assert_eq!(Call::new().element("load", load, 0).output::<flow::each_shared>(), "3");
    }
}

#[test]
fn a_copy_leaves_the_shared_value_alone() {
    let [load, _] = flights();
    assert_eq!(Call::new().argument("load", load.clone()).output::<flow::copied>(), "3");
    assert_eq!(load.get::<Vec<Flight>>().expect("it reads").len(), 2);
}

#[test]
fn the_outputs_of_a_mapped_task_are_a_list() {
    let gather = <flow::each as TaskType>::definition().gather.expect("a mapped task gathers");
    let elements = vec![Output::new(Report(1)).expect("it serialises"), json("2")];
    let list = Output::gathered(elements, Some(gather));
    assert_eq!(*list.get::<Vec<Report>>().expect("it reads"), [Report(1), Report(2)]);
    let call = Call::new().argument("each", list.clone()).argument("each_shared", json("[10,20]"));
    assert_eq!(call.output::<flow::gathered>(), "33");
    assert_eq!(Call::new().element("each", list.clone(), 1).output::<flow::again>(), "2");
    assert_eq!(flow::each::copy(&list).expect("it reads"), [Report(1), Report(2)]);
    assert_eq!(*flow::each::read(&list).expect("it reads"), [Report(1), Report(2)]);
}

#[test]
fn a_map_counts_its_elements() {
    let definition = flow::each::definition();
    let Edge::Each(count) = definition.dependencies[0].edge else { panic!("`each` maps over `load`") };
    for (list, n) in [("[]", Some(0)), (r#"[{"minutes":1}]"#, Some(1)), ("7", None)] {
        assert_eq!(count(&json(list)).ok(), n, "{list}");
    }
}

#[test]
fn an_input_is_copied_or_shared() {
    assert_eq!(Call::new().input(json("5")).output::<flow::load>(), r#"[{"minutes":5},{"minutes":2}]"#);
    for input in [json("6"), Output::new(Report(6)).expect("it serialises")] {
        assert_eq!(Call::new().input(input.clone()).output::<flow::without_clone>(), "6");
        assert_eq!(Call::new().input(input).output::<flow::input_shared>(), "6");
    }
}

#[test]
fn an_input_of_a_wrong_type_is_told_before_and_when_it_is_read() {
    let check = flow::load::definition().check_input.expect("`load` reads the input");
    assert!(check(&json("5")).is_ok());
    assert!(check(&json("\"May\"")).is_err());
    let error = Call::new().input(json("\"May\"")).error::<flow::load>();
    assert!(error.is_fatal());
    let text = error.to_string();
    assert!(text.contains("task \"load\"") && text.contains("cannot read the run's input"), "{text}");
}

#[test]
fn an_output_of_a_wrong_type_is_a_failure_that_names_both_tasks() {
    let text = Call::new().argument("load", json("7")).error::<flow::copied>().to_string();
    assert!(text.contains("task \"copied\"") && text.contains("the output of \"load\""), "{text}");
    let text = Call::new().error::<flow::shared>().to_string();
    assert!(text.contains("did not bring what the task needs"), "{text}");
}

#[test]
fn a_keyed_task_writes_its_delta_and_nothing_else() {
    let call = Call::new().input(json(r#"{"n": 1, "other": 2}"#));
    let TaskReturn { output, writes } = call.run::<flow::keyed>().expect("the task succeeds");
    assert_eq!(output.json().get(), "null");
    let set: Vec<_> = writes.set.iter().map(|(key, entry)| (&**key, entry.raw().get())).collect();
    assert_eq!(set, [("n", "0"), ("next", "2")]);
    let error = Call::new().error::<flow::keyed>().to_string();
    assert_eq!(error, "context key \"n\" is not there");
}

#[test]
fn a_task_can_look_at_context_and_handle() {
    assert_eq!(Call::new().input(json(r#"{"n": 1}"#)).output::<flow::reads>(), "\"reads 1\"");
    let key = format!("{RUN}/handled");
    assert_eq!(Call::new().output::<flow::handled>(), format!("[2,\"{key}\"]"));
}

#[test]
fn a_state_that_is_not_registered_is_a_fatal_error() {
    let [load, _] = flights();
    let error = Call::new().element("load", load, 0).error::<flow::each>();
    assert!(error.is_fatal() && error.to_string().contains("Factor"), "{error}");
}

#[test]
fn errors_of_every_kind_become_task_errors() {
    assert_eq!(Call::new().error::<flow::fails_with_text>().to_string(), "no such month");
    let text = Call::new().error::<flow::fails_with_box>().to_string();
    assert_eq!(text, "invalid digit found in string");
    assert!(Call::new().error::<flow::fails_for_good>().is_fatal());
}

#[test]
fn what_does_not_serialise_is_a_failure_that_names_the_task() {
    let error = Call::new().error::<flow::wrong_key>();
    assert!(error.is_fatal());
    assert!(error.to_string().contains("task \"wrong_key\""), "{error}");
}

#[test]
fn the_lane_follows_from_the_function() {
    let lane = |definition: TaskDefinition| definition.options.lane;
    assert_eq!(lane(flow::load::definition()), Lane::Async);
    assert_eq!(lane(flow::copied::definition()), Lane::Cpu);
    assert_eq!(lane(flow::each_shared::definition()), Lane::Blocking);
}

#[test]
fn a_definition_says_what_the_engine_needs_to_know() {
    let keyed = flow::keyed::definition();
    assert_eq!((keyed.name.as_str(), keyed.uses_context), ("keyed one", true));
    let load = flow::load::definition();
    assert!(!load.uses_context && load.gather.is_none() && load.check_input.is_some());
    assert!(load.output_type.contains("Flight"), "{}", load.output_type);
    assert_ne!(load.body_hash, flow::copied::definition().body_hash);
    assert_eq!(load.body_hash, flow::load::definition().body_hash);
    assert_eq!(flow::workflow().graph().node_count(), 16);
    assert_eq!(flow::workflow().plan().fingerprint(), flow::workflow().plan().fingerprint());
}

#[test]
fn a_function_can_be_called_by_hand() {
    let flights = [Flight { minutes: 1 }];
    assert_eq!(flow::shared(&flights).expect("it succeeds"), 1);
    let each = flow::each(Each(flights[0].clone()), State::from(Factor(2)));
    assert_eq!(futures::executor::block_on(each).expect("it succeeds"), Report(2));
    let mut context = Context::from_json(r#"{"n": 1}"#).expect("it is an object");
    futures::executor::block_on(flow::keyed(&mut context)).expect("it succeeds");
    assert_eq!(context.value("next"), Some(&json!(2)));
}
