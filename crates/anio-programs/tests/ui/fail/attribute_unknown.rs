use anio::prelude::*;

#[workflow]
mod flow {
    use super::*;

    #[task(retries = 3, timout = "30s", when = always, on_failure = notify)]
    pub fn load() -> Result<u32> {
        Ok(1)
    }

    #[task(priority = 1, priority = 2, on_success = notify, retry_conditions = always)]
    pub fn report() -> Result<u32> {
        Ok(1)
    }
}

fn main() {}
