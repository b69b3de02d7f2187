use anio::prelude::*;

#[workflow]
mod flow {
    use super::*;

    #[task(id = "a", retry_attempts = 0)]
    pub fn a() -> Result<()> {
        Ok(())
    }

    #[task(id = "b", retry_delay_ms = 100)]
    pub fn b() -> Result<()> {
        Ok(())
    }

    #[task(id = "c", retry_attempts = 3, retry_backoff = "exponental", retry_jitter = "yes")]
    pub fn c() -> Result<()> {
        Ok(())
    }

    #[task(id = "d", retry(attempts = 3), retry_attempts = 3)]
    pub fn d() -> Result<()> {
        Ok(())
    }

    #[task(id = "e", name = "f")]
    pub fn e() -> Result<()> {
        Ok(())
    }

    #[task(retry_attempts = 2, retry_delay_ms = 100, retry_max_delay_ms = 50)]
    pub fn g() -> Result<()> {
        Ok(())
    }
}

fn main() {}
