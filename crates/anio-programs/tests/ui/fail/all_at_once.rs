use anio::prelude::*;

#[workflow]
mod flow {
    use super::*;

    #[task(timeout = "0s")]
    pub fn load(month: Imput<u32>) -> Result<Vec<u32>> {
        Ok(vec![*month])
    }

    #[task(retry(attempts = 0))]
    pub fn split(laod: &Vec<u32>) -> Result<u32> {
        Ok(laod[0])
    }

    #[task(after(split), prioritaet = 1)]
    pub fn report(split: u32) -> u32 {
        split
    }
}

fn main() {}
