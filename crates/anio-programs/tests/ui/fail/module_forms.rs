use anio::prelude::*;

#[workflow]
mod empty {
    pub fn helper() {}
}

#[workflow]
mod reserved {
    use super::*;

    #[task]
    pub fn workflow() -> Result<()> {
        Ok(())
    }
}

#[workflow]
fn no_module() {}

#[task]
struct NoFunction;

fn main() {}
