use anio::prelude::*;

fn is_large(rows: &Vec<u32>) -> bool {
    rows.len() > 3
}

async fn is_large_soon(rows: &Vec<u32>) -> bool {
    rows.len() > 3
}

fn how_many(rows: &Vec<u32>) -> usize {
    rows.len()
}

fn takes_two(rows: &Vec<u32>, other: &u32) -> bool {
    rows.len() > *other as usize
}

fn takes_another(rows: &String) -> bool {
    rows.is_empty()
}

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn load() -> Result<Vec<u32>> {
        Ok(vec![1])
    }

    #[task(when = is_large_soon)]
    pub fn soon(load: Vec<u32>) -> Result<()> {
        Ok(drop(load))
    }

    #[task(when = how_many)]
    pub fn number(load: Vec<u32>) -> Result<()> {
        Ok(drop(load))
    }

    #[task(when = takes_two)]
    pub fn two(load: Vec<u32>) -> Result<()> {
        Ok(drop(load))
    }

    #[task(when = takes_another)]
    pub fn another(load: Vec<u32>) -> Result<()> {
        Ok(drop(load))
    }

    #[task(when = gone::to_be_found)]
    pub fn nowhere(load: Vec<u32>) -> Result<()> {
        Ok(drop(load))
    }

    #[task(when = is_large)]
    pub fn fits(load: Vec<u32>) -> Result<()> {
        Ok(drop(load))
    }
}

fn main() {}
