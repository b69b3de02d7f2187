use anio::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
struct Stats {
    n: u32,
}

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn load() -> Result<Vec<u32>> {
        Ok(vec![1])
    }

    #[task]
    pub fn stats(load: Pair<u32>) -> Result<Stats> {
        Ok(Stats { n: load.0 + load.1 })
    }

    #[task]
    pub fn total(load: Pair<&u32>) -> Result<u64> {
        Ok(u64::from(*load.0) + u64::from(*load.1))
    }

    #[task]
    pub fn all(load: Pair<u32>) -> Result<Vec<u32>> {
        Ok(vec![load.0, load.1])
    }
}

fn main() {}
