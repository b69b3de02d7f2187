use anio::prelude::*;

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn load() -> Result<u32> {
        Ok(1)
    }

    #[task]
    pub fn bare(load: Settled) -> Result<()> {
        Ok(())
    }

    #[task]
    pub fn reference(load: &Settled<u32>) -> Result<bool> {
        Ok(load.is_succeeded())
    }

    #[task]
    pub fn misspelt(lod: Settled<u32>) -> Result<bool> {
        Ok(lod.is_succeeded())
    }

    #[task]
    pub fn type_misspelt(x: Setled<u32>) -> Result<()> {
        Ok(())
    }

    #[task(after(load))]
    pub fn twice(load: Settled<u32>) -> Result<bool> {
        Ok(load.is_succeeded())
    }
}

fn main() {}
