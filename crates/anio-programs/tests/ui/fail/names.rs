use anio::prelude::*;

#[workflow(name = "", title = "x")]
mod flow {
    use super::*;

    #[task(name = "")]
    pub fn a() -> Result<()> {
        Ok(())
    }

    #[task(id = " padded ")]
    pub fn b() -> Result<()> {
        Ok(())
    }

    #[task(name = "two\nlines", dependencies = ["\t"])]
    pub fn c() -> Result<()> {
        Ok(())
    }
}

fn main() {}
