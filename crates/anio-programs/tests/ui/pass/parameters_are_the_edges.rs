use anio::prelude::*;
use serde::{Deserialize, Serialize};

// Private to the program, and yet returned by public tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Flight(u32);

#[workflow]
mod delays {
    use super::*;

    #[task(retry(attempts = 3, backoff = exponential("200ms", max = "5s")), timeout = "30s")]
    pub async fn load(month: Input<u32>) -> Result<Vec<Flight>> {
        Ok(vec![Flight(*month)])
    }

    #[task]
    pub fn sorted(load: &Vec<Flight>) -> Result<Vec<Flight>> {
        Ok(load.clone())
    }

    #[task(concurrency = 8)]
    pub fn stats(sorted: Each<Flight>) -> Result<u32> {
        Ok(sorted.0.0)
    }

    #[task]
    pub async fn report(stats: Vec<u32>) -> Result<u32> {
        Ok(stats.iter().sum())
    }

    #[task(after(report))]
    pub async fn cleanup(ctx: &Context) -> Result<()> {
        assert_eq!(ctx.keys().count(), 0);
        Ok(())
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
        edges(&delays::workflow()),
        ["load value sorted", "sorted each stats", "stats value report", "report order cleanup"]
    );
    assert_eq!(delays::sorted(&vec![Flight(2)]).unwrap(), [Flight(2)]);
}
