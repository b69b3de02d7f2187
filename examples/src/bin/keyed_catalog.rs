//! Tasks that share a context: the products of a catalogue, priced in two partitions at one time.

use std::error::Error;

use anio::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Product {
    name: String,
    cents: u32,
}

#[task(id = "list_products", retry_attempts = 2, retry_delay_ms = 100)]
pub async fn list_products(context: &mut Context<Value>) -> Result<(), TaskError> {
    let product = |(name, cents): (&str, u32)| Product { name: name.to_owned(), cents };
    let products = [("anvil", 9900), ("bellows", 4500), ("chisel", 1200), ("drill", 7700)].map(product);
    context.insert("products", json!(products))?;
    Ok(())
}

#[task(id = "partition", dependencies = ["list_products"])]
pub async fn partition(context: &mut Context<Value>) -> Result<(), TaskError> {
    let products: Vec<Product> = context.get("products")?;
    let (cheap, dear): (Vec<_>, Vec<_>) = products.into_iter().partition(|product| product.cents < 5000);
    context.insert("cheap", json!(cheap))?;
    context.insert("dear", json!(dear))?;
    Ok(())
}

// These two wait for `partition` and not for each other: they run at one time.
#[task(id = "price_cheap", dependencies = ["partition"])]
pub async fn price_cheap(context: &mut Context<Value>) -> Result<(), TaskError> {
    let sum: u32 = context.get::<Vec<Product>>("cheap")?.iter().map(|product| product.cents).sum();
    context.insert("cents_of_cheap", sum)?;
    Ok(())
}

#[task(id = "price_dear", dependencies = ["partition"])]
pub async fn price_dear(context: &mut Context<Value>) -> Result<(), TaskError> {
    let sum: u32 = context.get::<Vec<Product>>("dear")?.iter().map(|product| product.cents).sum();
    context.insert("cents_of_dear", sum)?;
    Ok(())
}

#[task(id = "total", dependencies = ["price_cheap", "price_dear"])]
pub async fn total(context: &mut Context<Value>) -> Result<(), TaskError> {
    let (cheap, dear): (u32, u32) = (context.get("cents_of_cheap")?, context.get("cents_of_dear")?);
    context.insert("cents", cheap + dear)?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let catalog = anio::workflow! {
        name: "catalog",
        description: "Prices a catalogue in two partitions",
        tasks: [list_products, partition, price_cheap, price_dear, total],
    };
    let directory = tempfile::tempdir()?;
    let engine = Engine::open(format!("sqlite://{}", directory.path().join("catalog.db").display())).await?;
    let context = engine.run(catalog, Context::new()).await?.ok()?.context();
    println!(
        "cheap {}, dear {}",
        context.get::<u32>("cents_of_cheap")?,
        context.get::<u32>("cents_of_dear")?
    );
    println!("total {}", context.get::<u32>("cents")?);
    engine.shutdown().await?;
    Ok(())
}

// Output:
// cheap 5700, dear 17600
// total 23300
