use anio::prelude::*;

#[task(id = "generate_data")]
async fn generate_data(context: &mut Context<serde_json::Value>) -> Result<(), TaskError> {
    context.insert("n", 1)?;
    Ok(())
}

mod other {
    use anio::prelude::*;

    #[task(id = "generate_data")]
    pub async fn generate() -> Result<(), TaskError> {
        Ok(())
    }
}

fn main() {
    anio::workflow! { name: "catalog", tasks: [generate_data, other::generate] };
}
