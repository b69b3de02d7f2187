use anio::prelude::*;

#[task(id = "generate_data")]
async fn generate_data(context: &mut Context<serde_json::Value>) -> Result<(), TaskError> {
    context.insert("n", 1)?;
    Ok(())
}

#[task(id = "partition", dependencies = ["generat_data"])]
async fn partition() -> Result<(), TaskError> {
    Ok(())
}

#[task(id = "combine", dependencies = ["partition", "somewhere_else"])]
async fn combine() -> Result<(), TaskError> {
    Ok(())
}

fn main() {
    anio::workflow! {
        name: "catalog",
        description: "two dependencies that are not there",
        tasks: [generate_data, partition, combine],
    };
}
