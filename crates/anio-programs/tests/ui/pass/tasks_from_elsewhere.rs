use anio::prelude::*;

mod sources {
    use anio::prelude::*;

    #[task]
    pub fn raw() -> Result<Vec<u32>> {
        Ok(vec![1, 2])
    }

    #[task(name = "cleaned rows")]
    pub fn clean(#[from(raw)] rows: Vec<u32>) -> Result<Vec<u32>> {
        Ok(rows)
    }

    #[task]
    pub fn lock() -> Result<()> {
        Ok(())
    }
}

#[workflow]
mod flow {
    use super::*;
    use super::sources::lock;

    #[task(after(lock), dependencies = ["raw"])]
    pub fn report(#[from(super::sources::clean)] rows: Each<&u32>) -> Result<u32> {
        Ok(**rows)
    }

    #[task]
    pub fn total(report: &[u32]) -> Result<u32> {
        Ok(report.iter().sum())
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
            "cleaned rows each report",
            "raw order report",
            "lock order report",
            "report value total",
            "raw value cleaned rows",
        ]
    );
}
