use anio::prelude::*;

#[workflow]
mod flow {
    use super::*;

    #[task(timeout = "30")]
    pub fn a() -> Result<()> {
        Ok(())
    }

    #[task(timeout = "30 seconds")]
    pub fn b() -> Result<()> {
        Ok(())
    }

    #[task(timeout = "soon")]
    pub fn c() -> Result<()> {
        Ok(())
    }

    #[task(timeout = "366d")]
    pub fn d() -> Result<()> {
        Ok(())
    }

    #[task(timeout = "")]
    pub fn e() -> Result<()> {
        Ok(())
    }
}

fn main() {}
