use anio::prelude::*;

#[workflow]
mod flow {
    use super::*;

    #[task(id = "1. fetch")]
    async fn fetch(context: &mut Context<serde_json::Value>) -> Result<(), TaskError> {
        context.insert("n", 1)?;
        Ok(())
    }

    #[task(id = "2. keep", dependencies = ["1. fetch"])]
    async fn keep(context: &Context<serde_json::Value>) -> Result<u32, TaskError> {
        Ok(context.get("n")?)
    }

    // A typed task on a keyed one, and the reverse.
    #[task]
    fn double(keep: u32) -> Result<u32> {
        Ok(keep * 2)
    }

    #[task(id = "3. end", dependencies = ["double"])]
    async fn end() -> Result<(), TaskError> {
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
        edges(&flow::workflow()),
        ["1. fetch order 2. keep", "2. keep value double", "double order 3. end"]
    );
}
