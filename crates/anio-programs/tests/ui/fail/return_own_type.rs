use anio::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
struct Report(u32);

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn report() -> Report {
        Report(1)
    }
}

fn main() {}
