use anio::prelude::*;

#[workflow]
mod flow {
    use super::*;

    #[task(id = "generate_data")]
    pub async fn generate(context: &mut Context<serde_json::Value>) -> Result<(), TaskError> {
        context.insert("n", 1)?;
        Ok(())
    }

    #[task(id = "partition", dependencies = ["generat_data", "notify"])]
    pub async fn partition(context: &Context<serde_json::Value>) -> Result<(), TaskError> {
        context.get::<u32>("n")?;
        Ok(())
    }

    #[task(id = "combine", dependencies = ["partition", "partition", partition])]
    pub async fn combine() -> Result<(), TaskError> {
        Ok(())
    }
}

fn main() {}
