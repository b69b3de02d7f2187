use anio::prelude::*;

struct Month(u32);

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn load(month: Input<Month>) -> Result<u32> {
        Ok(month.0.0)
    }
}

fn main() {}
