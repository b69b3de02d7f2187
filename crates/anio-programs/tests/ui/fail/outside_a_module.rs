use anio::prelude::*;

#[task]
fn load() -> Result<u32> {
    Ok(1)
}

#[task]
fn report(load: u32) -> Result<u32> {
    Ok(load)
}

fn main() {}
