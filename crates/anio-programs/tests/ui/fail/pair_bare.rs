use anio::prelude::*;

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn load() -> Result<Vec<u32>> {
        Ok(vec![1])
    }

    #[task]
    pub fn bare(load: Pair) -> Result<u32> {
        Ok(load.0 + load.1)
    }

    #[task]
    pub fn two(load: Pair<u32, u32>) -> Result<u32> {
        Ok(load.0 + load.1)
    }
}

fn main() {}
