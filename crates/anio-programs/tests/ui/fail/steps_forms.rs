use anio::prelude::*;

fn is_wanted(previous: &Previous<u32>) -> bool {
    previous.0.is_none()
}

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn load() -> Result<Vec<u32>> {
        Ok(vec![1])
    }

    #[task]
    pub fn twice(previous: Previous<u32>, before: Previous<&u32>) -> Result<Option<u32>> {
        Ok(previous.0)
    }

    #[task]
    pub fn mapped(previous: Previous<u32>, load: Each<u32>) -> Result<Option<u32>> {
        Ok(previous.0)
    }

    #[task]
    pub fn over_pairs(previous: Previous<u32>, load: Pair<u32>) -> Result<Option<u32>> {
        Ok(previous.0)
    }

    #[task]
    pub fn settled(previous: Previous<u32>, load: Settled<Vec<u32>>) -> Result<Option<u32>> {
        Ok(previous.0)
    }

    #[task(when = succeeded(load), after(load))]
    pub fn conditional(previous: Previous<u32>) -> Result<Option<u32>> {
        Ok(previous.0)
    }

    #[task(dependencies = ["load"], trigger_rules = task_success("load"))]
    pub fn by_rules(previous: Previous<u32>) -> Result<Option<u32>> {
        Ok(previous.0)
    }

    #[task(when = is_wanted)]
    pub fn guarded(previous: Previous<u32>) -> Result<Option<u32>> {
        Ok(previous.0)
    }

    #[task]
    pub async fn no_option(previous: Previous<Vec<u32>>) -> Result<Vec<u32>, String> {
        Ok(previous.0.unwrap_or_default())
    }

    #[task]
    pub fn nothing(previous: Previous<u32>) {}

    #[task]
    pub fn bare(previous: Previous) -> Result<Option<u32>> {
        Ok(None)
    }

    #[task]
    pub fn reference(previous: &Previous<u32>) -> Result<Option<u32>> {
        Ok(previous.0)
    }

    #[task]
    pub fn misspelt(previous: Previus<u32>) -> Result<Option<u32>> {
        Ok(None)
    }

    #[task]
    pub fn named_like_a_task(load: Previous<u32>) -> Result<Option<u32>> {
        Ok(load.0)
    }

    #[task]
    pub fn from_a_task(#[from(load)] before: Previous<u32>) -> Result<Option<u32>> {
        Ok(before.0)
    }

    #[task]
    pub fn misused(#[from(no_option)] whole: &Vec<Vec<u32>>) -> Result<usize> {
        Ok(whole.len())
    }
}

fn main() {}
