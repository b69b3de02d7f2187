use anio::prelude::*;

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn load() -> Result<Vec<u32>> {
        Ok(vec![1])
    }

    #[task]
    pub fn double(load: Each<u32>) -> Result<u32> {
        Ok(*load * 2)
    }

    #[task]
    pub fn report(double: u32) -> Result<u32> {
        Ok(double)
    }
}

fn main() {}
