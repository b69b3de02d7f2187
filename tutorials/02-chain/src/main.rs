//! An invoice in three steps: with types on the edges, then with keys in a context.

use std::error::Error;

use anio::prelude::*;

// region: types
use serde::{Deserialize, Serialize};

/// A line of an order: what, how many, at how many cents.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Line {
    article: String,
    count: u32,
    cents: u32,
}

/// What the customer is asked to pay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Invoice {
    customer: String,
    cents: u32,
}
// endregion

// region: typed
#[workflow]
mod invoicing {
    use anio::prelude::*;

    use super::{Invoice, Line};

    /// Looks the customer's order up.
    #[task]
    pub async fn order(customer: Input<String>) -> Result<Vec<Line>> {
        super::find_order(&customer)
    }

    /// Adds the lines up. A plain function: it computes, so it runs on the pool for that.
    #[task]
    pub fn total(order: &[Line]) -> Result<u32> {
        Ok(order.iter().map(|line| line.count * line.cents).sum())
    }

    /// Writes the invoice: from the run's input and the task before it.
    #[task]
    pub async fn invoice(customer: Input<String>, total: u32) -> Result<Invoice> {
        Ok(Invoice { customer: customer.into_inner(), cents: total })
    }
}
// endregion

// region: keyed
mod keyed {
    use anio::prelude::*;
    use serde_json::Value;

    use super::{Invoice, Line};

    #[task(id = "look_up")]
    pub async fn look_up(context: &mut Context<Value>) -> Result<(), TaskError> {
        let customer: String = context.get("customer")?;
        context.insert("order", super::find_order(&customer)?)?;
        Ok(())
    }

    #[task(id = "add_up", dependencies = ["look_up"])]
    pub async fn add_up(context: &mut Context<Value>) -> Result<(), TaskError> {
        let order: Vec<Line> = context.get("order")?;
        let cents: u32 = order.iter().map(|line| line.count * line.cents).sum();
        context.insert("cents", cents)?;
        Ok(())
    }

    #[task(id = "write", dependencies = ["add_up"])]
    pub async fn write(context: &mut Context<Value>) -> Result<(), TaskError> {
        let invoice = Invoice { customer: context.get("customer")?, cents: context.get("cents")? };
        context.insert("invoice", invoice)?;
        Ok(())
    }

    pub fn workflow() -> Workflow {
        anio::workflow! {
            name: "keyed_invoicing",
            description: "An invoice in three steps that share a context",
            tasks: [look_up, add_up, write],
        }
    }
}
// endregion

/// Stands for a look into the shop's database.
fn find_order(customer: &str) -> Result<Vec<Line>> {
    if customer != "Ada" {
        return Err(TaskError::fatal(format!("no order of {customer:?}")));
    }
    let line = |article: &str, count, cents| Line { article: article.to_owned(), count, cents };
    Ok(vec![line("gear wheel", 12, 250), line("crank", 1, 1990)])
}

// region: main
#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let database = directory.path().join("invoices.db");
    let engine = Engine::open(format!("sqlite://{}", database.display())).await?;

    let outcome = engine.run(invoicing::workflow(), "Ada".to_owned()).await?.ok()?;
    let typed = outcome.output::<invoicing::invoice>()?;
    println!("typed: {} pays {} cents", typed.customer, typed.cents);

    let input = Context::from_json(r#"{"customer": "Ada"}"#)?;
    let outcome = engine.run(keyed::workflow(), input).await?.ok()?;
    let written: Invoice = outcome.context().get("invoice")?;
    println!("keyed: {} pays {} cents", written.customer, written.cents);
    println!("keys:  {}", outcome.context().keys().collect::<Vec<_>>().join(", "));

    let outcome = engine.run(invoicing::workflow(), "Bob".to_owned()).await?;
    if let Some(error) = outcome.error() {
        println!("Bob:   {error}");
    }
    for task in outcome.tasks() {
        let because = task.skipped_because.map(|failed| format!(" because of {failed}")).unwrap_or_default();
        println!("       {} {}{because}", task.name, task.status);
    }
    engine.shutdown().await?;
    Ok(())
}
// endregion
