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
    pub fn step(previous: Previous<u32>) -> Option<u32> {
        previous.0
    }

    #[task]
    pub fn pair(list: Pair<Option<u32>>) -> Option<u32> {
        list.0.or(list.1)
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
