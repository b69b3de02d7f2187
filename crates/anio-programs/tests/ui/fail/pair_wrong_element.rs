use anio::prelude::*;

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn load() -> Result<Vec<u32>> {
        Ok(vec![1])
    }

    #[task]
    pub fn total(load: Pair<u64>) -> Result<u64> {
        Ok(load.0 + load.1)
    }

    #[task]
    pub fn largest(load: Pair<&u64>) -> Result<u64> {
        Ok(*load.0.max(load.1))
    }

    #[task]
    pub fn lists(load: Pair<Vec<u32>>) -> Result<Vec<u32>> {
        Ok([load.0, load.1].concat())
    }
}

fn main() {}
