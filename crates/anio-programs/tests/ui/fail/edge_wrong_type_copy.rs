use anio::prelude::*;

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn load() -> Result<u32> {
        Ok(1)
    }

    #[task]
    pub async fn report(load: String) -> Result<usize> {
        Ok(load.len())
    }
}

fn main() {}
