use anio::prelude::*;

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn load(month: Imput<u32>) -> Result<u32> {
        Ok(*month)
    }

    #[task]
    pub fn report(load: u32, ctx: &mut Contex) -> Result<u32> {
        Ok(load)
    }
}

fn main() {}
