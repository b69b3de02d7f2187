use anio::prelude::*;

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn report() -> Result<u32> {
        Ok(1)
    }

    #[task(after(reprot))]
    pub fn cleanup() -> Result<()> {
        Ok(())
    }

    #[task(after("report"))]
    pub fn archive() -> Result<()> {
        Ok(())
    }
}

fn main() {}
