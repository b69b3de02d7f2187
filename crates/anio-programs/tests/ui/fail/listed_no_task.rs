use anio::prelude::*;

#[task(id = "generate_data")]
async fn generate_data(context: &mut Context<serde_json::Value>) -> Result<(), TaskError> {
    context.insert("n", 1)?;
    Ok(())
}

fn helper() {}

fn main() {
    anio::workflow! { name: "catalog", tasks: [generate_data, partition, helper, String] };
}
