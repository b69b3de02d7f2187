use anio::prelude::*;

fn is_even(pair: &Pair<u32>) -> bool {
    (pair.0 + pair.1) % 2 == 0
}

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
    pub fn two_pairs(left: Pair<u32>, right: Pair<u32>) -> Result<u32> {
        Ok(left.0 + right.1)
    }

    #[task]
    pub fn each_and_pair(left: Each<u32>, right: Pair<u32>) -> Result<u32> {
        Ok(*left + right.1)
    }

    #[task]
    pub fn reference(left: &Pair<u32>) -> Result<u32> {
        Ok(left.0 + left.1)
    }

    #[task]
    pub fn each_reference(left: &Each<u32>) -> Result<u32> {
        Ok(left.0)
    }

    #[task]
    pub fn misspelt(lefd: Pair<u32>) -> Result<u32> {
        Ok(lefd.0 + lefd.1)
    }

    #[task]
    pub fn type_misspelt(x: Pairs<u32>) -> Result<u32> {
        Ok(1)
    }

    #[task(when = is_even)]
    pub fn guarded(left: Pair<u32>) -> Result<u32> {
        Ok(left.0 + left.1)
    }

    #[task(after(left))]
    pub fn twice(left: Pair<u32>) -> Result<u32> {
        Ok(left.0 + left.1)
    }
}

fn main() {}
