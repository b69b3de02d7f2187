use anio::prelude::*;

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn page(previous: Previous<u32>) -> Result<Option<u32>> {
        Ok(previous.0.map(|n| n + 1))
    }

    #[task]
    pub fn one(page: u32) -> Result<u32> {
        Ok(page)
    }

    #[task]
    pub fn options(page: &Vec<Option<u32>>) -> Result<usize> {
        Ok(page.len())
    }

    #[task]
    pub fn element(page: Each<Option<u32>>) -> Result<Option<u32>> {
        Ok(*page)
    }
}

fn main() {}
