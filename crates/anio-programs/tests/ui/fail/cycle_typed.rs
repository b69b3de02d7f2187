use anio::prelude::*;

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn a(c: u32) -> Result<u32> {
        Ok(c)
    }

    #[task]
    pub fn b(a: u32) -> Result<u32> {
        Ok(a)
    }

    #[task(after(b))]
    pub fn c() -> Result<u32> {
        Ok(1)
    }

    #[task]
    pub fn selfish(selfish: u32) -> Result<u32> {
        Ok(selfish)
    }
}

fn main() {}
