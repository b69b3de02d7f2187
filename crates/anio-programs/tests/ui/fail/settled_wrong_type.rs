use anio::prelude::*;

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn load() -> Result<Vec<u32>> {
        Ok(vec![1])
    }

    #[task]
    pub fn double(load: Each<u32>) -> Result<u32> {
        Ok(*load * 2)
    }

    #[task]
    pub async fn copied(load: Settled<String>) -> Result<bool> {
        Ok(load.is_succeeded())
    }

    #[task]
    pub fn shared(load: Settled<&[u64]>) -> Result<bool> {
        Ok(load.is_succeeded())
    }

    #[task]
    pub fn one(double: Settled<u32>) -> Result<bool> {
        Ok(double.is_succeeded())
    }
}

fn main() {}
