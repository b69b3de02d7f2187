use anio::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Big(u32);

#[derive(Debug, Deserialize)]
struct Month(u32);

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn load(month: Input<Month>) -> Result<Vec<Big>> {
        Ok(vec![Big(month.0.0)])
    }

    #[task]
    pub fn each(load: Each<Big>) -> Result<Big> {
        Ok(load.into_inner())
    }

    #[task]
    pub fn all(each: Vec<Big>, load: Vec<Big>) -> Result<usize> {
        Ok(each.len() + load.len())
    }
}

fn main() {
    assert_eq!(flow::workflow().graph().edge_count(), 3);
    assert_eq!(flow::each(Each(Big(1))).unwrap(), Big(1));
}
