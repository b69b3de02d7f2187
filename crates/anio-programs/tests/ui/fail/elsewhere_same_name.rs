use anio::prelude::*;

mod other {
    use anio::prelude::*;

    #[task]
    pub fn load() -> Result<u32> {
        Ok(1)
    }
}

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn load() -> Result<u32> {
        Ok(2)
    }

    #[task(dependencies = ["laod"])]
    pub fn report(#[from(super::other::load)] a: u32, load: u32) -> Result<u32> {
        Ok(a + load)
    }
}

fn main() {}
