use anio::prelude::*;

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn load() -> Result<u32> {
        Ok(1)
    }

    #[task]
    pub fn report(load: u32, threshold: f64) -> Result<bool> {
        Ok(f64::from(load) > threshold)
    }

    #[task]
    pub fn notify(_load: u32) -> Result<()> {
        Ok(())
    }

    #[task]
    pub fn archive((_a, _b): (u32, u32)) -> Result<()> {
        Ok(())
    }
}

fn main() {}
