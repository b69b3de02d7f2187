use anio::prelude::*;

#[task(id = "generate_data", dependencies = [])]
async fn generate_data(context: &mut Context<serde_json::Value>) -> Result<(), TaskError> {
    context.insert("products", json!(["a", "b"]))?;
    Ok(())
}

#[task(
    id = "partition_data",
    dependencies = ["generate_data"],
    retry_attempts = 2,
    retry_delay_ms = 1000,
    retry_max_delay_ms = 5000,
    retry_backoff = "exponential",
    retry_jitter = true,
    retry_condition = "transient"
)]
async fn partition_data(context: &mut Context<serde_json::Value>) -> Result<(), TaskError> {
    let products: Vec<String> = context.get("products")?;
    context.insert("partition_1", json!(products[..1]))?;
    Ok(())
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
    let flow = anio::workflow! {
        name: "catalog",
        description: "splits the catalog",
        tasks: [generate_data, partition_data],
    };
    assert_eq!(edges(&flow), ["generate_data order partition_data"]);
    assert_eq!(flow.description(), "splits the catalog");
    let retry = &flow.plan().task(1).definition.options.retry;
    assert_eq!(retry.attempts, 2);
    assert_eq!(retry.backoff.delay(1).as_millis(), 1000);
    assert_eq!(retry.backoff.delay(9).as_millis(), 5000);
    assert_eq!(retry.jitter, Jitter::Full);
    let condition = flow.plan().task(1).definition.options.retry_condition;
    assert_eq!(condition, anio::RetryCondition::Transient);
}
