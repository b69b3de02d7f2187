use anio::prelude::*;

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn load() -> Result<Vec<u32>> {
        Ok(vec![1])
    }

    #[task]
    pub fn double(load: Each<u64>) -> Result<u64> {
        Ok(*load * 2)
    }
}

fn main() {}
