use anio::prelude::*;

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn left() -> Result<Vec<u32>> {
        Ok(vec![1])
    }

    #[task]
    pub fn right() -> Result<Vec<u32>> {
        Ok(vec![2])
    }

    #[task]
    pub fn both(left: Each<u32>, right: Each<u32>) -> Result<u32> {
        Ok(*left + *right)
    }
}

fn main() {}
