use anio::prelude::*;

#[workflow]
mod flow {
    use super::*;

    #[task(retry(attempts = 0))]
    pub fn a() -> Result<()> {
        Ok(())
    }

    #[task(retry = 3)]
    pub fn b() -> Result<()> {
        Ok(())
    }

    #[task(retry(backoff = fixed("1s")))]
    pub fn c() -> Result<()> {
        Ok(())
    }

    #[task(retry(attempts = 3, backoff = exponentail("1s")))]
    pub fn d() -> Result<()> {
        Ok(())
    }

    #[task(retry(attempts = 3, backoff = linear("10s", max = "1s"), jiter))]
    pub fn e() -> Result<()> {
        Ok(())
    }

    #[task(retry(attempts = 3, backoff = fixed))]
    pub fn f() -> Result<()> {
        Ok(())
    }

    #[task(retry(attempts = 3, backoff = fixed("1s", max = "2s")))]
    pub fn g() -> Result<()> {
        Ok(())
    }

    #[task(retry(attempts = 3, backoff = exponential(200)))]
    pub fn h() -> Result<()> {
        Ok(())
    }
}

fn main() {}
