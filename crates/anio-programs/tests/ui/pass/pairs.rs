use anio::prelude::*;
use serde::{Deserialize, Serialize};

// Private to the program, and without a `Clone`: copies go by way of JSON.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Total {
    minutes: u64,
}

mod sources {
    use anio::prelude::*;

    #[task]
    pub fn words() -> Result<Vec<String>> {
        Ok(vec!["one".to_owned(), "two".to_owned(), "three".to_owned()])
    }
}

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn numbers(n: Input<u64>) -> Result<Vec<u64>> {
        Ok((1..=*n).collect())
    }

    #[task]
    pub fn sum(numbers: Pair<u64>) -> Result<u64> {
        let Pair(left, right) = numbers;
        Ok(left + right)
    }

    #[task(retry(attempts = 3), concurrency = 4, when = succeeded(numbers))]
    pub async fn shared(numbers: Pair<&u64>) -> Result<u64> {
        std::future::ready(()).await;
        Ok(numbers.0 + numbers.1)
    }

    #[task]
    pub fn totals(numbers: Each<u64>) -> Result<Total> {
        Ok(Total { minutes: *numbers })
    }

    // Over a mapped task, and with other parameters beside.
    #[task(blocking)]
    pub fn total(totals: Pair<Total>, sum: u64, n: Input<u64>) -> Result<Total, String> {
        Ok(Total { minutes: totals.0.minutes + totals.1.minutes + sum + *n })
    }

    // What dependants see is one element, no list.
    #[task]
    pub fn report(total: &Total, sum: u64, joined: String) -> Result<u64> {
        Ok(total.minutes + sum + joined.len() as u64)
    }

    #[task]
    pub fn joined(#[from(super::sources::words)] Pair(left, right): Pair<&String>) -> Result<String> {
        Ok(format!("{left} {right}"))
    }

    #[task]
    pub fn lists(n: Input<u64>) -> Result<Vec<Vec<u64>>> {
        Ok(vec![vec![*n]])
    }

    // An element that is a list can be mapped over again.
    #[task]
    pub fn merged(lists: Pair<Vec<u64>>) -> Result<Vec<u64>> {
        Ok([lists.0, lists.1].concat())
    }

    #[task]
    pub fn doubled(merged: Each<u64>) -> Result<u64> {
        Ok(*merged * 2)
    }
}

fn edges(workflow: &Workflow) -> Vec<String> {
    let json = workflow.to_json();
    let mut edges = Vec::new();
    for task in json["tasks"].as_array().unwrap() {
        for dependency in task["dependencies"].as_array().unwrap() {
            let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
            edges.push(format!("{} {} {}", text(&dependency["task"]), text(&dependency["edge"]), text(&task["name"])));
        }
    }
    edges
}

fn main() {
    assert_eq!(
        edges(&flow::workflow()),
        [
            "numbers pairs sum",
            "numbers pairs shared",
            "numbers each totals",
            "totals pairs total",
            "sum value total",
            "total value report",
            "sum value report",
            "joined value report",
            "words pairs joined",
            "lists pairs merged",
            "merged each doubled",
        ]
    );
    assert_eq!(flow::sum(Pair(1, 2)).unwrap(), 3);
    assert_eq!(flow::joined(Pair(&"a".to_owned(), &"b".to_owned())).unwrap(), "a b");
}
