use anio::prelude::*;

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn load(a: Input<u32>, b: Input<u32>, c: &Context, d: &Context) -> Result<u32> {
        let _ = (c, d);
        Ok(*a + *b)
    }
}

fn main() {}
