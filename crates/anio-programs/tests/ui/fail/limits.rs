use anio::prelude::*;

#[workflow]
mod flow {
    use super::*;

    #[task(rate = "10", needs())]
    pub fn load() -> Result<u32> {
        Ok(1)
    }

    #[task(rate = "0/s", needs(gpu = 0, memory, disk = "1", gpu = 1, gpu = 2))]
    pub fn split() -> Result<u32> {
        Ok(1)
    }

    #[task(rate = 10, needs = "gpu")]
    pub fn report() -> Result<u32> {
        Ok(1)
    }

    #[task(rates = "10/s", need(gpu = 1), needs("gpu" = 1))]
    pub fn archive() -> Result<u32> {
        Ok(1)
    }
}

fn main() {}
