use anio::prelude::*;

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn load() -> Result<u32> {
        Ok(1)
    }

    #[task]
    pub fn report(#[from(laod)] load: u32, #[from(super::other::load)] elsewhere: u32) -> Result<u32> {
        Ok(load + elsewhere)
    }
}

fn main() {}
