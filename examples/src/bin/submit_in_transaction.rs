//! An order and the run that ships it, in one transaction: both are there, or neither.

use std::error::Error;

use anio::prelude::*;
use anio::{Output, RunOptions, Store};
use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

#[workflow]
mod shipping {
    use anio::prelude::*;

    #[task]
    pub async fn pack(article: Input<String>) -> Result<String> {
        Ok(format!("a box with a {}", *article))
    }
}

/// Stores an order and submits its run, on a connection of the shop's own.
fn order(store: &Store, shop: &mut SqliteConnection, article: &str) -> Result<RunId, Box<dyn Error>> {
    shop.immediate_transaction(|shop| {
        diesel::sql_query("insert into orders (article) values (?)")
            .bind::<Text, _>(article)
            .execute(shop)?;
        let input = Output::new(article.to_owned())?;
        let run = store.submit_in(shop, &shipping::workflow(), input, RunOptions::default())?;
        // The last word is with the shop: what fails here undoes the run, too.
        if article == "harp" { Err("we have no harp".into()) } else { Ok(run) }
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("shop.db").display().to_string();
    let engine = Engine::open(format!("sqlite://{file}")).await?; // makes the tables of the engine
    let mut shop = SqliteConnection::establish(&file)?;
    // The engine writes to the same file: who comes second waits.
    shop.batch_execute("pragma busy_timeout = 5000; create table orders (article text not null)")?;

    for article in ["lamp", "harp"] {
        // Statements on a connection of one's own block the thread.
        match tokio::task::block_in_place(|| order(engine.store(), &mut shop, article)) {
            Ok(run) => {
                let outcome = engine.run_handle(run).await?.wait().await?.ok()?;
                println!("{article}: {}", outcome.output::<shipping::pack>()?);
            }
            Err(error) => println!("{article}: {error}"),
        }
    }
    let orders: i64 = diesel::select(sql::<BigInt>("(select count(*) from orders)")).get_result(&mut shop)?;
    println!("{orders} order, {} run", engine.runs(RunQuery::default()).await?.len());
    engine.shutdown().await?;
    Ok(())
}

// Output:
// lamp: a box with a lamp
// harp: we have no harp
// 1 order, 1 run
