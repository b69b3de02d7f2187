use anio::prelude::*;

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn partition() -> Result<u32> {
        Ok(1)
    }

    #[task]
    pub fn report(partiton: u32) -> Result<u32> {
        Ok(partiton)
    }
}

fn main() {}
