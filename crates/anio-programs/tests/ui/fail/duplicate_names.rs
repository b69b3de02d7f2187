use anio::prelude::*;

#[workflow]
mod flow {
    use super::*;

    #[task(name = "load")]
    pub fn load_flights() -> Result<u32> {
        Ok(1)
    }

    #[task(id = "load")]
    pub fn load_planes() -> Result<u32> {
        Ok(1)
    }

    #[task]
    pub fn report() -> Result<u32> {
        Ok(1)
    }

    #[task]
    pub fn report() -> Result<u32> {
        Ok(2)
    }
}

fn main() {}
