use anio::prelude::*;

struct Broken;

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn load() -> Result<u32, Broken> {
        Err(Broken)
    }
}

fn main() {}
