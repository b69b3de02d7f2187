use anio::prelude::*;

#[task(id = "generate_data")]
async fn generate_data(context: &mut Context<serde_json::Value>) -> Result<(), TaskError> {
    context.insert("n", 1)?;
    Ok(())
}

fn main() {
    anio::workflow! { name: "", taks: [generate_data] };
    anio::workflow! { name: "twice", tasks: [generate_data, generate_data] };
    anio::workflow! { name: catalog, tasks: [] };
    anio::workflow! { name: "none", tasks: [] };
}
