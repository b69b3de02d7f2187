use anio::prelude::*;

#[derive(Clone)]
struct Page(u32);

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn page(previous: Previous<Page>) -> Result<Option<Page>> {
        Ok(previous.0.map(|page| Page(page.0 + 1)))
    }
}

fn main() {}
