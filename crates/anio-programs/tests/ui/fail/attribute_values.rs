use anio::prelude::*;

#[workflow]
mod flow {
    use super::*;

    #[task(timeout = 30, priority = high, concurrency = 0, blocking = true, name = report)]
    pub fn load() -> Result<u32> {
        Ok(1)
    }

    #[task(timeout = "0s", concurrency = -1, priority = 3000000000, after = load, dependencies = "load")]
    pub fn report() -> Result<u32> {
        Ok(1)
    }

    #[task(timeout)]
    pub fn archive() -> Result<u32> {
        Ok(1)
    }
}

fn main() {}
