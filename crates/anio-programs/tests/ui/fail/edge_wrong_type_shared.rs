use anio::prelude::*;

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn load() -> Result<Vec<u32>> {
        Ok(vec![1])
    }

    #[task]
    pub fn report(load: &Vec<String>) -> Result<usize> {
        Ok(load.len())
    }
}

fn main() {}
