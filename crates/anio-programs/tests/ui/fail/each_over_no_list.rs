use anio::prelude::*;

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn load() -> Result<u32> {
        Ok(1)
    }

    #[task]
    pub fn double(load: Each<u32>) -> Result<u32> {
        Ok(*load * 2)
    }
}

fn main() {}
