//! Tasks over pairs, maps that end early and tasks that go step by step, as the macros make them: what they
//! are defined as, and their bodies, called by hand.

#![expect(unreachable_pub, reason = "tasks are written here as a user writes them")]

mod call;

use anio::prelude::*;
use anio::task::{Edge, TaskDefinition};
use anio::{Lane, Output, TaskType};
use serde::{Deserialize, Serialize};

use self::call::{Call, RUN, json};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Page {
    number: u32,
}

/// A type that cannot be cloned: copies go by way of JSON.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Report(u32);

/// A type that JSON cannot be read as.
#[derive(Serialize)]
struct Unreadable(u32);

impl<'de> Deserialize<'de> for Unreadable {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom("it is never read"))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "`until` gives each output by reference")]
fn is_enough(sum: &mut u64, square: &u64) -> ControlFlow<()> {
    *sum += square;
    if *sum > 10 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

mod sources {
    use anio::prelude::*;

    #[task]
    pub fn words() -> Result<Vec<String>> {
        Ok(vec!["to".to_owned(), "be".to_owned()])
    }
}

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn numbers(n: Input<u64>) -> Result<Vec<u64>> {
        Ok((1..=*n).collect())
    }

    #[task(until = is_enough)]
    pub fn square(numbers: Each<u64>) -> Result<u64> {
        Ok(*numbers * *numbers)
    }

    #[task]
    pub fn total(square: Pair<u64>) -> Result<u64> {
        let Pair(left, right) = square;
        Ok(left + right)
    }

    #[task]
    pub fn reports(numbers: Each<u64>) -> Result<Report> {
        Ok(Report(u32::try_from(*numbers)?))
    }

    #[task]
    pub async fn merged(reports: Pair<Report>) -> Result<Report> {
        Ok(Report(10 * reports.0.0 + reports.1.0))
    }

    #[task]
    pub fn largest(reports: Pair<&Report>, numbers: &[u64]) -> Result<Report> {
        assert!(!numbers.is_empty());
        Ok(Report(reports.0.0.max(reports.1.0)))
    }

    #[task]
    pub fn sentence(#[from(super::sources::words)] Pair(left, right): Pair<&String>) -> Result<String> {
        Ok(format!("{left} {right}"))
    }

    #[task]
    pub async fn page(previous: Previous<Page>, last: Input<u32>) -> Result<Option<Page>> {
        let number = previous.0.map_or(1, |page| page.number + 1);
        Ok((number <= *last).then_some(Page { number }))
    }

    #[task]
    pub fn shared(before: Previous<&Report>, context: &mut Context) -> Result<Option<Report>> {
        context.insert("seen", before.0.is_some())?;
        Ok(before.0.filter(|report| report.0 < 3).map(|report| Report(report.0 + 1)))
    }

    #[task]
    pub fn copied(previous: Previous<Report>) -> Result<Option<Report>> {
        Ok(previous.0)
    }

    #[task]
    pub fn unreadable(previous: Previous<&Unreadable>) -> Result<Option<Unreadable>> {
        Ok(Some(Unreadable(previous.0.map_or(1, |value| value.0 + 1))))
    }

    #[task]
    pub fn nothing(previous: Previous<()>) -> Result<Option<()>> {
        Ok(previous.0.or(Some(())))
    }

    #[task]
    pub fn endless(previous: Previous<f64>) -> Result<Option<f64>> {
        Ok(Some(1.0 / previous.0.unwrap_or(f64::NAN)))
    }

    #[task]
    pub fn failing(previous: Previous<u32>) -> Result<Option<u32>, String> {
        Err(format!("nothing after {:?}", previous.0))
    }

    #[task]
    pub fn report(page: &[Page], total: u64, sentence: &str) -> Result<u64> {
        Ok(page.len() as u64 + total + sentence.len() as u64)
    }
}

/// A value, once as another task of this process left it and once as the store gives it back.
fn both<T: Clone + Serialize + Send + Sync + 'static>(value: T) -> [Output; 2] {
    let output = Output::new(value).expect("it serialises");
    [output.clone(), json(output.json().get())]
}

#[test]
fn a_task_over_pairs_makes_one_of_two() {
    for [left, right] in [both(3_u64), [json("3"), json("3")]] {
        assert_eq!(Call::new().pair::<flow::total>("square", [left, right]).output::<flow::total>(), "6");
    }
    let words = ["to", "be"].map(|word| Output::new(word.to_owned()).expect("it serialises"));
    let call = Call::new().pair::<flow::sentence>("words", words);
    assert_eq!(call.output::<flow::sentence>(), "\"to be\"");
}

#[test]
fn a_pair_is_copied_by_json_where_there_is_no_clone() {
    let pair = || [Output::new(Report(1)).expect("it serialises"), json("2")];
    let call = Call::new().pair::<flow::merged>("reports", pair());
    assert_eq!(call.output::<flow::merged>(), "12", "the left one stands first");
    let call = Call::new().pair::<flow::largest>("reports", pair()).argument("numbers", json("[1]"));
    assert_eq!(call.output::<flow::largest>(), "2");
}

#[test]
fn a_pair_of_one_or_of_three_is_a_failure_that_names_the_list() {
    for list in ["[1]", "[1,2,3]", "[]"] {
        let error = Call::new().argument("square", json(list)).error::<flow::total>();
        let TaskError::DependencyNotSatisfied { dependency, task_id } = &error else { panic!("{error}") };
        assert_eq!((dependency.as_str(), task_id.as_str()), ("square", "total"), "{list}");
    }
    let error = Call::new().argument("square", json("7")).error::<flow::total>().to_string();
    assert!(error.contains("cannot read the output of \"square\""), "{error}");
}

#[test]
fn a_task_over_pairs_is_defined_as_a_tree_whose_output_is_an_element() {
    let TaskDefinition { dependencies, gather, until, steps, output_type, .. } = flow::total::definition();
    assert!(until.is_none() && !steps);
    assert_eq!(output_type, "u64");
    let [dependency] = &dependencies[..] else { panic!("there is one list") };
    assert_eq!(dependency.task, "square");
    let Edge::Pairs(count) = dependency.edge else { panic!("`total` is over pairs of `square`") };
    assert_eq!(count(&json("[1,4,9]")).expect("it is a list"), 3);
    assert!(count(&json("7")).is_err());
    let gather = gather.expect("two become a list");
    let list = gather(&both(4_u64)).expect("they read").downcast::<Vec<u64>>().expect("it is typed");
    assert_eq!(*list, [4, 4]);
    let total: <flow::total as TaskType>::Output = 9;
    let element: <flow::total as TaskType>::Element = total;
    for output in both(element) {
        assert_eq!(flow::total::copy(&output).expect("it reads"), 9);
        assert_eq!(*flow::total::read(&output).expect("it reads"), 9);
    }
}

#[test]
fn until_is_part_of_the_definition_of_a_map() {
    assert!(flow::square::definition().until.is_some());
    assert!(flow::reports::definition().until.is_none());
    assert!(matches!(flow::square::definition().dependencies[0].edge, Edge::Each(_)));
    let mut sum = 9;
    assert!(is_enough(&mut sum, &1).is_continue() && is_enough(&mut sum, &1).is_break());
}

#[test]
fn a_step_is_given_what_the_one_before_returned() {
    let call = || Call::new().input(json("2"));
    assert_eq!(call().output::<flow::page>(), r#"{"number":1}"#);
    for page in both(Page { number: 1 }) {
        assert_eq!(call().previous(page).output::<flow::page>(), r#"{"number":2}"#);
    }
    for page in both(Page { number: 2 }) {
        assert_eq!(call().previous(page).output::<flow::page>(), "null");
    }
    let error = call().previous(json("7")).error::<flow::page>().to_string();
    assert!(
        error.contains("task \"page\" of run") && error.contains("what the step before returned"),
        "{error}"
    );
}

#[test]
fn a_step_shares_or_copies_what_has_no_clone() {
    let previous = [Output::new(Report(2)).expect("it serialises"), json("2")];
    for report in previous {
        let call = Call::new().previous(report.clone());
        assert_eq!(call.output::<flow::copied>(), "2");
        let returned = Call::new().previous(report).run::<flow::shared>().expect("the step succeeds");
        assert_eq!(returned.output.json().get(), "3");
        assert_eq!(returned.writes.set.len(), 1);
    }
    assert_eq!(Call::new().output::<flow::copied>(), "null");
}

#[test]
fn the_last_step_keeps_what_it_wrote_into_the_context() {
    let returned = Call::new().previous(json("3")).run::<flow::shared>().expect("the step succeeds");
    assert_eq!(returned.output.json().get(), "null");
    let set: Vec<_> = returned.writes.set.iter().map(|(key, entry)| (&**key, entry.raw().get())).collect();
    assert_eq!(set, [("seen", "true")]);
}

#[test]
fn the_value_of_a_step_is_passed_on_without_parsing() {
    let first = Call::new().run::<flow::unreadable>().expect("the step succeeds").output;
    assert_eq!(first.json().get(), "1");
    assert_eq!(first.get::<Unreadable>().expect("it is typed").0, 1);
    let second = Call::new().previous(first).output::<flow::unreadable>();
    assert_eq!(second, "2");
    let error = Call::new().previous(json("1")).error::<flow::unreadable>().to_string();
    assert!(error.contains("never read"), "{error}");
}

#[test]
fn steps_gather_a_list_of_their_elements() {
    let gather = flow::shared::definition().gather.expect("steps gather");
    let list = gather(&[Output::new(Report(2)).expect("it serialises"), json("3")]).expect("they read");
    assert_eq!(*list.downcast::<Vec<Report>>().expect("it is typed"), [Report(2), Report(3)]);
}

#[test]
fn a_step_that_returns_null_for_a_value_fails_and_says_why() {
    for error in [Call::new().error::<flow::nothing>(), Call::new().error::<flow::endless>()] {
        assert!(matches!(error, TaskError::Data { .. }) && error.is_fatal());
        let text = error.to_string();
        assert!(text.contains(&format!("of run {RUN}")), "{text}");
        assert!(text.contains("null in JSON, which would end its steps"), "{text}");
    }
    let text = Call::new().error::<flow::nothing>().to_string();
    assert!(text.starts_with("task \"nothing\""), "{text}");
    assert_eq!(Call::new().previous(json("2.0")).output::<flow::endless>(), "0.5");
    let text = Call::new().previous(json("5")).error::<flow::failing>().to_string();
    assert_eq!(text, "nothing after Some(5)");
}

#[test]
fn steps_are_defined_by_their_elements_and_their_output_is_the_list() {
    let page = flow::page::definition();
    assert!(page.steps && page.dependencies.is_empty() && page.until.is_none());
    assert!(page.output_type.ends_with("Page"), "{}", page.output_type);
    assert_eq!(page.options.lane, Lane::Async);
    assert!(!flow::total::definition().steps && !flow::square::definition().steps);
    let element: <flow::page as TaskType>::Element = Page { number: 1 };
    let pages: <flow::page as TaskType>::Output = vec![element];
    for list in both(pages.clone()) {
        assert_eq!(flow::page::copy(&list).expect("it reads"), pages);
        assert_eq!(*flow::page::read(&list).expect("it reads"), pages);
    }
    assert!(flow::workflow().to_mermaid().contains("square -- pairs --> total"));
}

#[test]
fn the_functions_can_be_called_by_hand() {
    assert_eq!(flow::total(Pair(1, 2)).expect("it succeeds"), 3);
    let page = flow::page(Previous(Some(Page { number: 1 })), Input(2));
    assert_eq!(futures::executor::block_on(page).expect("it succeeds"), Some(Page { number: 2 }));
    assert_eq!(flow::copied(Previous(None)).expect("it succeeds"), None);
}
