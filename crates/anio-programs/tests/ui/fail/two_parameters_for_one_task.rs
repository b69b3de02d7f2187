use anio::prelude::*;

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn load() -> Result<u32> {
        Ok(1)
    }

    #[task(after(load))]
    pub fn report(load: u32, #[from(load)] again: &u32) -> Result<u32> {
        Ok(load + again)
    }
}

fn main() {}
