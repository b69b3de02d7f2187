use anio::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
struct Page(u32);

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn another(previous: Previous<u64>) -> Result<Option<u32>> {
        Ok(previous.0.map(|n| n as u32))
    }

    #[task]
    pub fn another_shared(previous: Previous<&u64>) -> Result<Option<Page>> {
        Ok(previous.0.map(|n| Page(*n as u32)))
    }

    #[task]
    pub fn with_option(previous: Previous<Option<u32>>) -> Result<Option<u32>> {
        Ok(previous.0.flatten())
    }
}

fn main() {}
