use anio::prelude::*;

#[task(pool = "images")]
async fn waits() -> Result<()> {
    Ok(())
}

#[task(pool = "images", blocking)]
fn blocks() -> Result<()> {
    Ok(())
}

#[task(pool = images)]
fn no_text() -> Result<()> {
    Ok(())
}

#[task(pol = "images")]
fn misspelt() -> Result<()> {
    Ok(())
}

fn main() {}
