//! A value that all tasks share: a price list, registered with the engine.

use std::collections::HashMap;
use std::error::Error;

use anio::prelude::*;

/// What the program has open once, such as a connection pool or a client.
#[derive(Debug)]
pub struct PriceList {
    cents: HashMap<&'static str, u32>,
}

impl PriceList {
    fn look_up(&self, article: &str) -> Option<u32> {
        self.cents.get(article).copied()
    }
}

#[workflow]
mod quote {
    use anio::prelude::*;

    use super::PriceList;

    #[task]
    pub async fn articles(wanted: Input<String>) -> Result<Vec<String>> {
        Ok(wanted.split(", ").map(str::to_owned).collect())
    }

    #[task]
    pub async fn price(articles: Each<&String>, list: State<PriceList>) -> Result<u32> {
        list.look_up(&articles).ok_or_else(|| TaskError::fatal(format!("we have no {}", *articles)))
    }

    #[task]
    pub fn total(price: Vec<u32>) -> Result<u32> {
        Ok(price.iter().sum())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let cents = HashMap::from([("anvil", 9900), ("bellows", 4500), ("chisel", 1200)]);
    let list = PriceList { cents };
    let directory = tempfile::tempdir()?;
    let database = format!("sqlite://{}", directory.path().join("quotes.db").display());
    let engine = Engine::builder().store(database).state(list).start().await?;
    for wanted in ["anvil, chisel", "bellows, harp"] {
        let outcome = engine.run(quote::workflow(), wanted.to_owned()).await?;
        match outcome.error() {
            None => println!("{wanted}: {} cents", outcome.output::<quote::total>()?),
            Some(error) => println!("{wanted}: {error}"),
        }
    }
    engine.shutdown().await?;
    Ok(())
}

// Output:
// anvil, chisel: 11100 cents
// bellows, harp: task "price" (element 1) failed after 1 attempt: we have no harp
