use anio::prelude::*;

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn nothing() {}

    #[task]
    pub fn number() -> u32 {
        1
    }

    #[task]
    pub fn list() -> Vec<Option<u32>> {
        vec![]
    }

    #[task]
    pub fn something() -> impl Sized {
        1
    }

    #[task]
    pub fn borrowed() -> &'static str {
        "x"
    }

    #[task]
    pub fn borrowing(list: &Vec<Option<u32>>) -> Result<&Option<u32>> {
        Ok(&list[0])
    }
}

fn main() {}
