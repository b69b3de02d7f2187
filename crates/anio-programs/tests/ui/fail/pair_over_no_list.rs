use anio::prelude::*;

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn load() -> Result<u32> {
        Ok(1)
    }

    #[task]
    pub fn total(load: Pair<u32>) -> Result<u32> {
        Ok(load.0 + load.1)
    }

    #[task]
    pub fn largest(load: Pair<&u32>) -> Result<u32> {
        Ok(*load.0.max(load.1))
    }
}

fn main() {}
