use anio::prelude::*;

#[workflow]
mod flow {
    use super::*;

    #[task(id = "a", dependencies = ["c"])]
    pub async fn first() -> Result<()> {
        Ok(())
    }

    #[task(id = "b")]
    pub async fn second(first: ()) -> Result<()> {
        Ok(first)
    }

    #[task(id = "c", dependencies = ["b"])]
    pub async fn third() -> Result<()> {
        Ok(())
    }
}

fn main() {}
