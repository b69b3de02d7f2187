use anio::prelude::*;

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn month() -> Result<u32> {
        Ok(1)
    }

    #[task]
    pub fn load(month: Input<u32>) -> Result<u32> {
        Ok(*month)
    }
}

fn main() {}
