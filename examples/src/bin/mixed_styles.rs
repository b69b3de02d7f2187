//! Both styles in one workflow: a keyed task behind a typed one, and a typed one behind that.

use std::error::Error;

use anio::prelude::*;

#[workflow]
mod parcel {
    use anio::prelude::*;
    use serde_json::Value;

    /// Typed: the weight in grams, by the run's input.
    #[task]
    pub async fn weigh(articles: Input<Vec<u32>>) -> Result<u32> {
        Ok(articles.iter().sum())
    }

    /// Keyed, and reads the output of a typed task as a parameter.
    #[task]
    pub async fn postage(weigh: u32, context: &mut Context<Value>) -> Result<()> {
        context.insert("cents", if weigh > 2000 { 690 } else { 480 })?;
        context.insert("carrier", "mail coach")?;
        Ok(())
    }

    /// Typed, and reads what the keyed task wrote.
    #[task(after(postage))]
    pub async fn label(weigh: u32, context: &Context<Value>) -> Result<String> {
        let (carrier, cents): (String, u32) = (context.get("carrier")?, context.get("cents")?);
        Ok(format!("{weigh} g by {carrier}, {cents} cents"))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let engine = Engine::open(format!("sqlite://{}", directory.path().join("parcels.db").display())).await?;
    for articles in [vec![250, 900], vec![1500, 800]] {
        let outcome = engine.run(parcel::workflow(), articles).await?.ok()?;
        println!("{}", outcome.output::<parcel::label>()?);
    }
    engine.shutdown().await?;
    Ok(())
}

// Output:
// 1150 g by mail coach, 480 cents
// 2300 g by mail coach, 690 cents
